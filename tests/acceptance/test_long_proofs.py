"""A short run of each long proof in `bench/`."""

from bench import crash_posts, day


def test_a_few_kills_in_cycles_over_a_broken_network_neither_lose_nor_double_a_post() -> None:
    ordeals = crash_posts.proof(kills=4, seed=7)
    found = [text for ordeal in ordeals for text in ordeal.result.duplicates + ordeal.result.missing]
    assert found == []
    for ordeal in ordeals:
        assert ordeal.in_cycles >= 1
        assert ordeal.faults >= 1
        assert ordeal.miscounted == 0
        assert (
            ordeal.result.messages
            >= ordeal.result.states["delivered"]
            >= len(crash_posts.USERS) * crash_posts.GROUPS - 9
        )


def test_half_a_simulated_hour_causes_no_flood_where_a_naive_loop_does() -> None:
    simulated = day.simulate(hours=0.5)
    assert sum(outcome.floods for outcome in simulated.ours.values()) == simulated.counted_floods == 0
    assert min(map(simulated.share_of_allowed, simulated.programmes)) >= 0.95
    assert sum(outcome.floods for outcome in simulated.theirs.values()) > 0
