"""World files say what they mean or are refused by name."""

import json
from pathlib import Path

import pytest

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


def test_the_demo_world_has_everyone_everywhere() -> None:
    world = demo_world(seed=3)
    assert len(world.accounts) == 12
    assert [chat.username for chat in world.chats] == [f"plaza{number:02d}" for number in range(1, 21)]
    assert all(len(chat.members) == 12 for chat in world.chats)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ([], "mapping"),
        ({"accounts": {}}, "accounts"),
        ({"accounts": [{"name": "a"}, {"name": "a"}]}, "name"),
        ({"accounts": [{}]}, "accounts[0]"),
        ({"accounts": [{"name": "a", "colour": 1}]}, "colour"),
        ({"chats": [{"username": "c", "members": ["ghost"]}]}, "members"),
        ({"chats": [{"username": "c", "kind": "salon"}]}, "salon"),
        ({"weather": "fine"}, "weather"),
    ],
)
def test_a_world_that_cannot_be_is_refused_by_name(raw: object, named: str) -> None:
    with pytest.raises(WorldError, match=named.replace("[", r"\[").replace("]", r"\]")):
        world_from(raw)


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(WorldError, match=r"broken\.yaml"):
        load_world(tmp_path / "broken.yaml")
