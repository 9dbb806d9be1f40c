"""A short soak: the bench that runs for half an hour, for half a minute, with what must hold at any length."""

from pathlib import Path

from bench.soak import soak


def test_under_load_and_faults_nothing_is_doubled_and_nothing_piles_up(tmp_path: Path) -> None:
    samples, stats = soak(tmp_path, 0.3, users=8)
    assert stats["exit code"] == 0
    assert stats["posts"] > 50
    assert stats["doubled"] == 0
    half = len(samples) // 2
    for name in ("descriptors", "threads", "tasks"):
        first = max(getattr(sample, name) for sample in samples[:half])
        last = min(getattr(sample, name) for sample in samples[half:])
        assert last <= first, f"{name} went back to where they were"
