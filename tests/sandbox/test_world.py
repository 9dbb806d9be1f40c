"""World files are read, or refused with the field named."""

import json
import re
from pathlib import Path

import pytest

from sandbox.actions import ActionError
from sandbox.rules import RuleError
from sandbox.server import Sandbox
from sandbox.state.centre import Unknown
from sandbox.world import WorldError, demo_world, load_world, world_from

YAML = """
seed: 7
accounts:
  - {name: acc01, phone: "9996620001"}
  - {name: acc02}
chats:
  - {username: plaza01, members: all}
  - {username: plaza02, members: [acc01]}
"""


def test_yaml_and_json_give_the_same_world(tmp_path: Path) -> None:
    (tmp_path / "world.yaml").write_text(YAML)
    world = load_world(tmp_path / "world.yaml")
    (tmp_path / "world.json").write_text(json.dumps(world.as_dict()))
    assert load_world(tmp_path / "world.json") == world
    assert world.chats[0].members == ["acc01", "acc02"]
    assert world.accounts[0].phone == "9996620001"


def test_every_account_of_the_demo_world_is_in_every_group() -> None:
    world = demo_world(seed=3)
    assert len(world.accounts) == 12
    assert [chat.username for chat in world.chats] == [f"plaza{number:02d}" for number in range(1, 21)]
    assert all(len(chat.members) == 12 for chat in world.chats)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ([], "dictionary"),
        ({"accounts": [{"name": "a", "id": "many"}]}, "accounts[0]: id"),
        ({"accounts": [{"name": "a", "state": "sleepy"}]}, "sleepy"),
        ({"accounts": [{"name": "a", "dc": 4}]}, "dc"),
        ({"accounts": [{"name": "a"}], "chats": [{"username": "c", "banned": {"a": ["fly"]}}]}, "fly"),
        ({"chats": [{"key": "c", "kind": "group", "slow_mode": 10}]}, "slow mode"),
        ({"chats": [{"key": "c", "topics": ["One"]}]}, "forum"),
        ({"limits": "loose"}, "loose"),
        ({"chats": [{"username": "c", "deletes_matching": "("}]}, "deletes_matching"),
        ({"accounts": {}}, "accounts"),
        ({"accounts": [{"name": "a"}, {"name": "a"}]}, "name"),
        ({"accounts": [{}]}, "accounts[0]"),
        ({"accounts": [{"name": "a", "colour": 1}]}, "colour"),
        ({"chats": [{"username": "c", "members": ["ghost"]}]}, "members"),
        ({"chats": [{"username": "c", "kind": "salon"}]}, "salon"),
        ({"weather": "fine"}, "weather"),
    ],
)
def test_an_invalid_world_is_refused_with_its_field_named(raw: object, named: str) -> None:
    with pytest.raises(WorldError, match=re.escape(named)):
        world_from(raw)


def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(WorldError, match=r"broken\.yaml"):
        load_world(tmp_path / "broken.yaml")


@pytest.mark.parametrize(
    ("part", "entry", "named"),
    [
        ("timeline", {"do": "ban", "account": "acc01"}, "timeline[0]: set either"),
        ("timeline", {"at": 1, "do": "dance"}, "timeline[0]: do"),
        ("timeline", {"at": 1, "do": "ban"}, "timeline[0]: account is missing"),
        ("timeline", {"at": 1, "do": "ban", "account": "ghost"}, "ghost"),
        ("timeline", {"at": 1, "do": "outage"}, "timeline[0]: seconds is missing"),
        ("timeline", {"at": 1, "do": "fault", "rule": {"colour": 1}}, "timeline[0]: rule: unknown field 'colour'"),
        ("faults", {"do": "explode"}, "faults[0]: do"),
    ],
)
def test_faults_and_timeline_are_checked_before_the_start(
    tmp_path: Path, part: str, entry: dict[str, object], named: str
) -> None:
    world = demo_world(accounts=1, groups=1)
    setattr(world, part, [entry])
    with pytest.raises((ActionError, RuleError, Unknown), match=re.escape(named)):
        Sandbox(world, folder=tmp_path)
