"""No command leaves keys behind in a core dump."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon import ROOT, clean_environment

_ASK = """
import ctypes, resource, sys
import run
try:
    run.main()
except SystemExit:
    pass
print("dumpable", ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
@pytest.mark.parametrize(
    "command", [["serve"], ["token", "issue", "--user", "alice"], ["session", "list"], ["status"]], ids=" ".join
)
def test_a_command_leaves_no_memory_behind(tmp_path: Path, command: list[str]) -> None:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    done = subprocess.run(
        [sys.executable, "-c", _ASK, *command],
        cwd=tmp_path,
        env=clean_environment() | {"PYTHONPATH": str(ROOT), "POSTFLEET_STATE_DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)),
    )
    assert "dumpable 0 (0, 0)" in done.stdout, done.stderr
