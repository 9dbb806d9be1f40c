"""A short run of each long proof in `bench/`."""

from bench import crash_posts, day


def test_a_few_kills_in_cycles_over_a_broken_network_neither_lose_nor_double_a_post() -> None:
    ordeals = crash_posts.proof(kills=4, seed=7)
    found = [text for told in ordeals for text in told.result.duplicates + told.result.missing]
    assert found == []
    for told in ordeals:
        assert told.in_cycles >= 1
        assert told.faults >= 1
        assert told.miscounted == 0
        assert (
            told.result.messages >= told.result.states["delivered"] >= len(crash_posts.USERS) * crash_posts.GROUPS - 9
        )


def test_half_a_simulated_hour_causes_no_flood_where_a_naive_loop_does() -> None:
    told = day.simulate(hours=0.5)
    assert sum(outcome.floods for outcome in told.ours.values()) == told.told_floods == 0
    assert min(map(told.share_of_allowed, told.shares)) >= 0.95
    assert sum(outcome.floods for outcome in told.theirs.values()) > 0
