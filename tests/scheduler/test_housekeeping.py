"""Work that comes round by itself."""

import asyncio
import contextlib
import logging
import os
import re
import stat
import tarfile
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from bot.pacing.budget import budget_of
from core.models import Allowance, Cycle, Delivery, DeliveryState, Event, PostContent, PostType, Schedule, User
from data.users.data_manager import Transaction
from scheduler.housekeeping import Housekeeping, Job
from tests.scheduler.support import TimeHouse, time_house
from tests.support.clock import START, let_housekeeping_follow
from tests.support.house import House, open_house, until


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TimeHouse]:
    """A house at nine o'clock whose housekeeping goes by its clock."""
    async with time_house(tmp_path, ticking=False) as built:
        let_housekeeping_follow(built.clock, monkeypatch)
        yield built


@contextlib.asynccontextmanager
async def kept(house: TimeHouse) -> AsyncIterator[Housekeeping]:
    """The housekeeping of one life of the daemon."""
    keeping = Housekeeping(house.services)
    keeping.start()
    try:
        yield keeping
    finally:
        await keeping.stop()


def job_of(keeping: Housekeeping, name: str) -> Job:
    return next(job for job in keeping.jobs if job.name == name)


async def set_clock(house: TimeHouse, **by: float) -> None:
    """Somebody sets the clock, or the machine sleeps; then a minute passes, in which that is noticed."""
    await until(lambda: house.clock.sleepers, "the first look at the clock")
    house.clock.set_wall(timedelta(**by).total_seconds())
    await house.clock.advance(60)


async def test_each_job_is_entered_and_its_last_run_can_be_seen(house: TimeHouse) -> None:
    async with kept(house) as keeping:
        assert all(job.next_run_at is not None and job.last_run_at is None for job in keeping.jobs)
        job = await keeping.run("statistics")
        assert job.last_run_at == house.clock.now()
        assert re.fullmatch(r"memory [1-9]\d*\.\d MB, threads [1-9]\d*, tasks [1-9]\d*", job.last_result or "")


async def test_daily_jobs_whose_time_the_machine_slept_through_are_done_when_it_wakes(house: TimeHouse) -> None:
    async with kept(house) as keeping:
        await set_clock(house, hours=22)
        woken = house.clock.now()
        for name in ("backup", "retention"):
            await until(lambda name=name: job_of(keeping, name).last_run_at, f"the {name} that was missed")  # type: ignore[misc]  # until calls it at once
            coming = job_of(keeping, name).next_run_at
            assert coming is not None
            assert woken < coming < woken + timedelta(days=1)


async def test_a_clock_set_back_lets_no_job_wait_for_that_long(house: TimeHouse) -> None:
    async with kept(house) as keeping:
        await set_clock(house, days=-30)
        for job in keeping.jobs:
            assert job.next_run_at is not None
            assert job.next_run_at - house.clock.now() <= timedelta(days=1, minutes=1), job.name
        await set_clock(house, hours=1, minutes=5)
        await until(lambda: job_of(keeping, "uploads").last_run_at, "an hourly job an hour later")


async def test_what_ran_last_is_still_known_after_a_restart(house: TimeHouse, tmp_path: Path) -> None:
    (tmp_path / "state" / "backups").write_text("in the way")
    async with kept(house) as keeping:
        before = [await keeping.run(name) for name in ("statistics", "backup")]
    async with kept(house) as keeping:
        for job in before:
            again = job_of(keeping, job.name)
            assert (again.last_run_at, again.last_result) == (job.last_run_at, job.last_result)
            assert again.last_failed == (job.name == "backup")
    assert stat.S_IMODE((tmp_path / "state" / "housekeeping.json").stat().st_mode) == 0o600


async def test_a_daily_job_missed_while_the_daemon_was_down_is_done_soon_after_its_start(house: TimeHouse) -> None:
    async with kept(house) as keeping:
        await keeping.run("backup")
    house.clock.set_wall(timedelta(hours=17).total_seconds())
    async with kept(house) as keeping:
        coming = job_of(keeping, "backup").next_run_at
        assert coming is not None
        assert coming > house.clock.now() + timedelta(minutes=5), "half past two has not come yet"
    house.clock.set_wall(timedelta(hours=2).total_seconds())
    async with kept(house) as keeping:
        late = job_of(keeping, "backup").next_run_at
        assert late == house.clock.now() + timedelta(minutes=1), "bots resume first"
        last_run_at = job_of(keeping, "backup").last_run_at
        await set_clock(house, minutes=2)
        await until(lambda: job_of(keeping, "backup").last_run_at != last_run_at, "the backup that was missed")
    async with kept(house) as keeping:
        coming = job_of(keeping, "backup").next_run_at
        assert coming is not None
        assert coming > house.clock.now() + timedelta(hours=20), "it is done"


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"since": "2026-03-02T09:00:00", "jobs": 1}', b"\xff", b"[" * 9999, None]
)
async def test_damaged_notes_of_last_runs_are_begun_anew(
    house: TimeHouse, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    path = tmp_path / "state" / "housekeeping.json"
    if content is not None:
        path.write_bytes(content)
    async with kept(house) as keeping:
        assert ("last runs are forgotten" in caplog.text) == (content is not None)
        assert all(job.last_run_at is None and job.next_run_at for job in keeping.jobs)
        await keeping.run("statistics")
    async with kept(house) as keeping:
        assert job_of(keeping, "statistics").last_run_at == START


async def test_notes_of_last_runs_that_cannot_be_written_are_no_failure_of_the_job(
    house: TimeHouse, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state" / "housekeeping.json").mkdir()
    with caplog.at_level(logging.WARNING):
        async with kept(house) as keeping:
            assert not (await keeping.run("statistics")).last_failed
    assert "housekeeping.json cannot be written" in caplog.text


async def test_two_backups_in_one_second_are_one(tmp_path: Path) -> None:
    async with time_house(tmp_path) as house:
        keeping = Housekeeping(house.services)
        first, second = [(await keeping.run("backup")).last_failed for _ in range(2)]
        assert not first
        assert not second
        assert len(list((tmp_path / "state" / "backups").iterdir())) == 1


async def test_backups_are_whole_and_old_ones_go(tmp_path: Path) -> None:
    async with time_house(tmp_path, backups_kept=2) as house:
        await house.add_users({}, running=False)
        keeping = Housekeeping(house.services)
        for _ in range(3):
            job = await keeping.run("backup")
            assert not job.last_failed, job.last_result
            await house.wait(days=1)
        kept = sorted((tmp_path / "state" / "backups").iterdir())
        assert [file.name[:18] for file in kept] == ["postfleet-20260303", "postfleet-20260304"]
        with tarfile.open(kept[-1]) as archive:
            assert any(name.endswith("users.json") for name in archive.getnames())


async def test_backups_made_while_the_clock_was_ahead_give_way_to_new_ones(tmp_path: Path) -> None:
    async with time_house(tmp_path, ticking=False, backups_kept=1) as house:
        keeping = Housekeeping(house.services)
        for years in (1, -1):
            house.clock.set_wall(timedelta(days=365 * years).total_seconds())
            job = await keeping.run("backup")
            assert not job.last_failed, job.last_result
        (left,) = (tmp_path / "state" / "backups").iterdir()
        assert left.name == "postfleet-20260302-090000.tar.gz"


async def test_half_an_archive_that_a_killed_daemon_left_goes_with_a_later_backup(house: TimeHouse) -> None:
    backups = house.services.settings.state_dir / "backups"
    for name, hours in (("old", 7), ("of another process", 0)):
        half = backups / f".postfleet-backup-{name}"
        half.mkdir(parents=True)
        (half / "archive").write_bytes(b"half")
        os.utime(half, (time.time() - hours * 3600,) * 2)
    assert not (await Housekeeping(house.services).run("backup")).last_failed
    left = {path.name for path in backups.iterdir()}
    assert left == {".postfleet-backup-of another process", "postfleet-20260302-090000.tar.gz"}


async def test_old_events_are_forgotten_after_the_days_that_are_set(tmp_path: Path) -> None:
    async with time_house(tmp_path, journal_days=30) as house:
        for days in range(80):
            at = house.clock.now() - timedelta(days=80 - days)
            await house.services.journal.add_event(Event(at=at, user="alice", action="test", text=f"{days}"))
        keeping = Housekeeping(house.services)
        job = await keeping.run("retention")
        assert job.last_result is not None
        assert job.last_result.startswith("30 rows"), "the newest 50 of a user always stay"


async def test_who_had_used_up_everything_is_told_when_a_new_day_begins_where_they_live(tmp_path: Path) -> None:
    evening = START.replace(hour=18)
    async with time_house(tmp_path, evening, posts_per_day=1) as house:
        kathmandu = User(schedule=Schedule(timezone="Asia/Kathmandu"))  # midnight there is 18:15 UTC
        users = {"alice": kathmandu, "idle": kathmandu, "berta": User()}
        users["none"] = replace(kathmandu, allowance=Allowance(per_day=0))
        await house.add_users(users, running=False)
        keeping = Housekeeping(house.services)
        for user_id in ("alice", "berta"):
            await spend_one(house, user_id)
        await house.wait(minutes=10)
        await keeping.run("resets")
        assert house.said("alice") == [], "it is not midnight yet"
        await house.wait(minutes=10)
        job = await keeping.run("resets")
        assert job.last_result == "3 users began a new day; 1 of them had nothing left before it"
        assert house.said("alice") == ["A new day began: 1 posts may be made on 2026-03-03"]
        await house.wait(minutes=10)
        await keeping.run("resets")
        assert len(house.said("alice")) == 1, "once a day"
        assert house.said("idle") == house.said("berta") == house.said("none") == []


async def spend_one(house: TimeHouse, user_id: str) -> None:
    now = house.clock.now()
    cycle = Cycle(id=1, user=user_id, post_type=PostType.TEXT, post_content=PostContent(text="Hi"), started_at=now)
    post = Delivery(user=user_id, cycle=1, group="@g", session="s", random_id=1, planned_at=now)
    budget = budget_of(house.user(user_id), house.services.settings, now)
    (planned,) = await house.services.journal.plan_cycle(cycle, [post], budget)
    await house.services.journal.update(replace(planned, state=DeliveryState.DELIVERED, finished_at=now))


async def test_rounds_of_health_are_a_job_whose_result_can_be_seen(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=2) as house:
        await let_be_quiet(house, "acc01", "acc02")
        house.sandbox.ban("acc02")
        job = await Housekeeping(house.services).run("health")
        assert job.last_result == "2 accounts were asked; not well: acc02"


async def test_a_round_of_health_that_hangs_holds_up_neither_other_jobs_nor_the_end(tmp_path: Path) -> None:
    async with open_house(tmp_path, accounts=1) as house:
        await let_be_quiet(house, "acc01")
        house.sandbox.add_fault({"do": "silent", "account": "acc01"})
        keeping = Housekeeping(house.services)
        keeping.start()
        keeping.begin_now("health")
        await until(lambda: house.services.clients.at_work("acc01"), "the round to ask the account")
        assert not (await asyncio.wait_for(keeping.run("statistics"), 3)).last_failed
        await asyncio.wait_for(keeping.stop(), 3)


async def let_be_quiet(house: House, *names: str) -> None:
    long_ago = house.services.clock.now() - timedelta(days=2)

    def change(tx: Transaction) -> None:
        for name in names:
            tx.put_session(name, replace(tx.session(name), last_used_at=long_ago))

    await house.store.transact(change)


async def test_a_job_that_fails_says_so_and_the_next_one_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with time_house(tmp_path) as house:
        keeping = Housekeeping(house.services)
        (tmp_path / "state" / "backups").write_text("in the way")
        failed = await keeping.run("backup")
        assert failed.last_failed
        assert "StateNotWritten" in (failed.last_result or "")
        assert not (await keeping.run("allowances")).last_failed
