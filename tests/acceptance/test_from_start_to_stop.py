"""The daemon as a process, driven over HTTP with a JWT from start to stop; what counts is what stands in the chats."""

import json
from pathlib import Path

from tests.support.daemon import plain_world, wait_until, whole_house

GROUPS = ["@plaza01", "@plaza02", "@plaza03", "@plaza04"]


def test_a_bot_posts_to_every_group_each_cycle_until_it_is_stopped_gracefully(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world()) as (sandbox, daemon):
        config = {
            "groups": GROUPS,
            "post_type": "text",
            "post_content": "Meeting on Thursday",
            "delay_between_posts": 0,
            "delay_between_cycles": 0.5,
        }
        assert daemon.call("alice", "PATCH", "/api/config", json=config).status_code == 200
        started = daemon.call("alice", "POST", "/api/bot/start")
        assert started.status_code == 202
        assert started.json()["bot_status"] == "running"
        wait_until(lambda: len(sandbox.texts("plaza04")) >= 2, "two cycles")

        again = daemon.call("alice", "POST", "/api/bot/start")
        assert (again.status_code, again.json()["bot_status"]) == (200, "running")

        assert daemon.call("alice", "POST", "/api/bot/stop").is_success
        wait_until(lambda: daemon.state("alice")["bot_status"] == "stopped", "the bot to stop")
        state = daemon.state("alice")
        counts = {len(sandbox.texts(group.removeprefix("@"))) for group in GROUPS}
        assert len(counts) == 1, "every cycle that began reached every group, once"
        cycles = counts.pop()
        assert state["stats"]["total_success"] == cycles * len(GROUPS)
        assert state["next_run_at"] is None
        assert len(state["assigned_sessions"]) == 3
        assert {line["action"] for line in state["logs"]} >= {"bot_started", "post_delivered", "cycle_finished"}

        figures = daemon.figures()
        assert figures['postfleet_deliveries_total{outcome="delivered"}'] == cycles * len(GROUPS)
        assert figures["postfleet_due_lateness_seconds_count"] == cycles
        assert 0 <= figures["postfleet_due_lateness_seconds_sum"] < 5 * cycles
        assert figures['postfleet_users{status="stopped"}'] == 1

        code, _ = daemon.stop()
        assert code == 0
        lines = [json.loads(line) for line in (daemon.state_dir / "logs" / "postfleet.log").read_text().splitlines()]
        assert {line.get("action") for line in lines} >= {"daemon_started", "post_delivered", "daemon_stopped"}


def test_kill_9_in_a_cycle_neither_loses_nor_doubles_a_post(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world()) as (sandbox, daemon):
        config = {"groups": GROUPS, "post_content": "Once", "delay_between_posts": 0.3, "delay_between_cycles": 3600}
        daemon.call("alice", "PATCH", "/api/config", json=config).raise_for_status()
        sandbox.fault(do="drop_after", method="messages.sendMessage", chat="plaza02", count=1)
        daemon.call("alice", "POST", "/api/bot/start").raise_for_status()
        wait_until(lambda: any(sandbox.texts(group.removeprefix("@")) for group in GROUPS), "the first post")
        daemon.kill()

        daemon.start()
        state = daemon.state("alice")
        assert state["bot_status"] == "stopped", "after a restart people start their bots again"
        daemon.call("alice", "POST", "/api/bot/start").raise_for_status()
        wait_until(lambda: "cycle_finished" in str(daemon.state("alice")["logs"]), "the cycle to be finished")
        assert [sandbox.texts(group.removeprefix("@")) for group in GROUPS] == [["Once"]] * 4


def test_a_banned_account_is_replaced_and_its_posts_still_land(tmp_path: Path) -> None:
    world = plain_world(timeline=[{"after_sends": 1, "account": "acc01", "do": "ban"}])
    with whole_house(tmp_path, world, SESSIONS_AT_START="2") as (sandbox, daemon):
        config = {"groups": GROUPS, "post_content": "Hi", "delay_between_posts": 0, "delay_between_cycles": 0.5}
        daemon.call("alice", "PATCH", "/api/config", json=config).raise_for_status()
        daemon.call("alice", "POST", "/api/bot/start").raise_for_status()
        wait_until(lambda: "acc01" not in daemon.state("alice")["assigned_sessions"], "acc01 to be replaced")
        wait_until(lambda: all(len(sandbox.texts(group[1:])) >= 3 for group in GROUPS), "more cycles")
        daemon.call("alice", "POST", "/api/bot/stop").raise_for_status()
        wait_until(lambda: daemon.state("alice")["bot_status"] == "stopped", "the bot to stop")

        assert daemon.state("alice")["assigned_sessions"] == ["acc02", "acc03"]
        assert (daemon.state_dir / "sessions" / "banned" / "acc01.session").exists()
        assert (daemon.state_dir / "sessions" / "assigned" / "acc03.session").exists()
        assert len({len(sandbox.texts(group[1:])) for group in GROUPS}) == 1
        assert "session_replaced" in {line["action"] for line in daemon.state("alice")["logs"]}
