"""Work that comes round by itself."""

import tarfile
from datetime import timedelta
from pathlib import Path

import pytest

from core.models import Event
from scheduler.housekeeping import Housekeeping
from tests.scheduler.support import time_house


async def test_each_job_is_entered_and_its_last_run_can_be_seen(tmp_path: Path) -> None:
    async with time_house(tmp_path) as house:
        keeping = Housekeeping(house.parts.settings, house.parts.journal, house.clock)
        keeping.start()
        assert all(job.next_run_at is not None and job.last_run_at is None for job in keeping.jobs)
        job = await keeping.run("statistics")
        assert job.last_run_at == house.clock.now()
        assert "memory" in (job.last_result or "")
        await keeping.stop()


async def test_backups_are_whole_and_old_ones_go(tmp_path: Path) -> None:
    async with time_house(tmp_path, backups_kept=2) as house:
        await house.add_users({}, running=False)
        keeping = Housekeeping(house.parts.settings, house.parts.journal, house.clock)
        for _ in range(3):
            job = await keeping.run("backup")
            assert not job.last_failed, job.last_result
            await house.wait(days=1)
        kept = sorted((tmp_path / "state" / "backups").iterdir())
        assert [file.name[:18] for file in kept] == ["postfleet-20260303", "postfleet-20260304"]
        with tarfile.open(kept[-1]) as archive:
            assert any(name.endswith("users.json") for name in archive.getnames())


async def test_old_events_are_forgotten_after_the_days_that_are_set(tmp_path: Path) -> None:
    async with time_house(tmp_path, journal_days=30) as house:
        for days in range(80):
            at = house.clock.now() - timedelta(days=80 - days)
            await house.parts.journal.add_event(Event(at=at, user="alice", action="test", text=f"{days}"))
        keeping = Housekeeping(house.parts.settings, house.parts.journal, house.clock)
        job = await keeping.run("retention")
        assert job.last_result is not None
        assert job.last_result.startswith("30 rows"), "the newest 50 of a user always stay"


async def test_a_job_that_fails_says_so_and_the_next_one_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with time_house(tmp_path) as house:
        keeping = Housekeeping(house.parts.settings, house.parts.journal, house.clock)
        (tmp_path / "state" / "backups").write_text("in the way")
        failed = await keeping.run("backup")
        assert failed.last_failed
        assert "Error" in (failed.last_result or "")
        assert not (await keeping.run("allowances")).last_failed
