"""Files of older versions open, and keep what they said."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.models import User
from tests.data.conftest import OpenStore


@pytest.fixture
def users_json(state_dir: Path) -> Path:
    state_dir.mkdir(mode=0o700)
    return state_dir / "users.json"


async def test_a_file_of_version_2_keeps_what_its_next_run_is_for_and_what_is_dropped(
    open_store: OpenStore, users_json: Path
) -> None:
    alice = b'{"slot": "2026-01-05T09:00:00Z", "next_run_at": "2026-01-05T09:05:00Z", "let_go": true}'
    old = b'{"version": 2, "revision": 5, "users": {"alice": %s, "bob": {}}, "sessions": {}}' % alice
    users_json.write_bytes(old)
    scheduled_for = datetime(2026, 1, 5, 9, tzinfo=UTC)
    user = User(scheduled_for=scheduled_for, next_run_at=scheduled_for + timedelta(minutes=5), drop_unfinished=True)
    assert open_store().snapshot.users == {"alice": user, "bob": User()}
    assert json.loads(users_json.read_bytes())["version"] == 3
    assert (users_json.parent / "copies" / "users-of-version-2-5.json").read_bytes() == old
    assert open_store().snapshot.users["alice"] == user
