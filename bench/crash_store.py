"""Kill -9 at any moment and at every step of a commit: confirmed changes survive, and the files stay whole.

    python -m bench crash_store [--kills 1000] [--variant "in place"] [--seed N] [--no-variants]

Two processes with 64 callers each write the same state and are killed. No confirmed change may be lost. Stores that
are broken on purpose go through the same rig, which must notice them.
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from bench.report import Report
from bench.support.crash_rig import Found, Rig, quiet
from bench.support.crash_variants import STEPS, VARIANTS, WHEN

_ROUNDS_A_STATE = 25
_SYSTEM_CALLS = ("openat", "writev", "fsync", "rename", "flock", "close", "pwrite64", "pread64", "fdatasync", "fcntl")
"""Every system call by which a commit of users.json or of the journal reaches the disk."""
_MOST_KILLS_A_VARIANT = 80


def run(argv: list[str]) -> Report:
    """Run the rig. 1,000 kills take about five minutes."""
    parser = argparse.ArgumentParser(prog="python -m bench crash_store")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("--variant", choices=VARIANTS, default="", help="only this store, which is broken on purpose")
    parser.add_argument("--traced", type=int, default=4, help="kills per system call of a commit, with strace")
    parser.add_argument("--no-variants", action="store_true", help="only the store as it is")
    options = parser.parse_args(argv)
    chance = random.Random(options.seed)
    report = Report("crash_store", ("store", "kills", "confirmed", "lost", "unparsable", "broken", "first remark"))
    found = Found()
    if options.variant:
        _kill_until_noticed(found, options.kills, options.variant, chance)
    else:
        _kill_at_every_step(found, "", chance)
        traced = _kill_at_system_calls(found, options.traced, chance)
        if options.traced and not traced:
            print("skipped the kills at system calls: strace is not installed")
        _kill_at_random(found, options.kills, "", chance)
    _row(report, options.variant or f"as it is (seed {options.seed})", found)
    report.target("kills", found.kills, ">=", options.kills)
    report.target("lost_acks", found.lost_acks, "==", 0)
    report.target("unparsable", found.unparsable, "==", 0)
    report.target("broken_invariants", found.broken_invariants, "==", 0)
    if not options.variant and not options.no_variants:
        report.target("variants_missed", _missed(report, chance), "==", 0)
    return report


def _kill_at_every_step(found: Found, variant: str, chance: random.Random) -> None:
    with _folder() as folder:
        rig = _rig(folder, variant, chance)
        for step in STEPS:
            for when in WHEN if step == "write" else ("before", "after"):
                rig.round(found, (step, when))
                if found.unparsable:
                    return


def _kill_at_system_calls(found: Found, rounds: int, chance: random.Random) -> bool:
    if shutil.which("strace") is None:
        return False
    with _folder() as folder:
        rig = _rig(folder, "", chance)
        for call in _SYSTEM_CALLS:
            for _ in range(rounds):
                rig.round(found, call=call)
    return True


def _kill_until_noticed(found: Found, kills: int, variant: str, chance: random.Random) -> None:
    _kill_at_random(found, min(kills, 6), variant, chance)
    if found.good:
        _kill_at_every_step(found, variant, chance)
    if found.good:
        _kill_at_random(found, kills, variant, chance)


def _kill_at_random(found: Found, kills: int, variant: str, chance: random.Random) -> None:
    rounds = 0
    while found.kills < kills:
        with _folder() as folder:
            rig = _rig(folder, variant, chance)
            while found.kills < kills:
                rig.round(found)
                rounds += 1
                if variant and not found.good:
                    return
                if found.unparsable or rounds % _ROUNDS_A_STATE == 0:
                    break


def _missed(report: Report, chance: random.Random) -> int:
    missed = 0
    for variant in VARIANTS:
        found = Found()
        with quiet():
            _kill_until_noticed(found, _MOST_KILLS_A_VARIANT, variant, chance)
        _row(report, variant, found)
        missed += found.good
    return missed


def _row(report: Report, name: str, found: Found) -> None:
    remark = found.remarks[0] if found.remarks else ""
    report.row(
        name, found.kills, found.confirmed, found.lost_acks, found.unparsable, found.broken_invariants, remark[:100]
    )


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="postfleet-crash-")


def _rig(folder: str, variant: str, chance: random.Random) -> Rig:
    rig = Rig(Path(folder) / "state", variant, random.Random(chance.random()))
    rig.set_up()
    return rig


if __name__ == "__main__":
    finished = run(sys.argv[1:])
    finished.show()
    sys.exit(0 if finished.ok else 1)
