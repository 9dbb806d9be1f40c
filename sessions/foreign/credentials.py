"""The credentials of an account. It imports next to nothing, because confined readers of foreign files use it."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Credentials:
    """An account's data centre and auth key (256 bytes). Whoever has them controls the account."""

    dc_id: int
    host: str
    port: int
    auth_key: bytes

    @property
    def key_id(self) -> str:
        """A name for the auth key that does not reveal it."""
        return hashlib.blake2b(self.auth_key, digest_size=8, person=b"postfleet-key-id").hexdigest()

    def __repr__(self) -> str:  # no traceback or log ever shows the key
        return f"Credentials(dc_id={self.dc_id})"
