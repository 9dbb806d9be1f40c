"""SIGTERM while the disk refuses: the daemon still leaves in order, and says so with its exit code."""

from pathlib import Path

from tests.support.daemon import plain_world, whole_house


def test_an_address_that_cannot_be_removed_makes_no_orderly_stop_a_failed_one(tmp_path: Path) -> None:
    with whole_house(tmp_path, plain_world(accounts=1, groups=1)) as (_, daemon):
        address = daemon.state_dir / "api.address"
        address.unlink()
        (address / "in the way").mkdir(parents=True)
        code, errors = daemon.stop()
        assert code == 0, errors
        said = (daemon.state_dir / "logs" / "postfleet.log").read_text()
        assert "api.address could not be removed" in said
        assert "daemon_stopped" in said
        assert "Traceback" not in said
