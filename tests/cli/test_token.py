"""`python run.py token issue`."""

import os
import subprocess
import sys
from pathlib import Path

import jwt

from tests.api.support import SECRET

ROOT = Path(__file__).parents[2]


def run(folder: Path, *arguments: str, secret: str = SECRET) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTFLEET_")}
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "token", "issue", *arguments],
        cwd=folder,
        env={**environment, "POSTFLEET_JWT_SECRET": secret},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_it_prints_the_token_and_nothing_else(tmp_path: Path) -> None:
    done = run(tmp_path, "--user", "alice", "--hours", "2")
    assert done.returncode == 0, done.stderr
    claims = jwt.decode(done.stdout.strip(), SECRET, algorithms=["HS256"])
    assert claims["sub"] == "alice"
    assert 7200 <= claims["exp"] - claims["iat"] < 7202
    assert done.stdout.count("\n") == 1
    assert "roles" not in claims


def test_a_weak_secret_or_bad_user_is_refused_in_one_line(tmp_path: Path) -> None:
    weak = run(tmp_path, "--user", "alice", secret="short")
    assert (weak.returncode, weak.stdout) == (2, "")
    assert "POSTFLEET_JWT_SECRET is shorter" in weak.stderr
    bad = run(tmp_path, "--user", "a b")
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)
    assert "user" in bad.stderr
