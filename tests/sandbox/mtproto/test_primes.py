"""The numbers of the key exchange."""

from sandbox.mtproto.primes import random_pq


def test_the_number_to_factor_is_never_read_as_negative() -> None:
    for _ in range(200):
        pq = random_pq()
        assert int.from_bytes(pq.to_bytes((pq.bit_length() + 7) // 8, "big"), "big", signed=True) > 0
