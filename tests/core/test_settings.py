"""What an operator is told when a setting is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import SettingsError
from core.settings import EXAMPLE_SECRET, SECTIONS, Settings, about, load_settings, reload_settings
from core.settings_docs import env_example, table

GOOD_SECRET = "Zk3v9QpL7xW2mN8rT5yB1cD4fG6hJ0sA-uEiOq"
PAIR = "12345:0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_api_pairs_and_dc_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTFLEET_API_PAIRS", f"{PAIR}, 777:fedcba9876543210fedcba9876543210")
    monkeypatch.setenv("POSTFLEET_DC", "2,127.0.0.1,4430")
    settings = load_settings()
    assert [pair.api_id for pair in settings.api_pairs] == [12345, 777]
    assert settings.dc is not None
    assert settings.dc.port == 4430


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("", "is not set"),
        (EXAMPLE_SECRET, "is the example"),
        ("Xq7!pL", "shorter than 32 bytes"),
        ("ab" * 40, "can be guessed"),
    ],
)
def test_a_missing_weak_or_example_secret_is_refused_and_never_shown(secret: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        load_settings(jwt_secret=secret, api_pairs=PAIR).check_secrets()
    assert not secret or secret not in str(refused.value)


def test_no_api_pair_is_refused_with_the_place_to_get_one() -> None:
    with pytest.raises(SettingsError, match=r"my\.telegram\.org"):
        load_settings(jwt_secret=GOOD_SECRET).check_secrets()


@pytest.mark.parametrize("pairs", ["12345", "x:0123456789abcdef0123456789abcdef", "1:zz", f"{PAIR},{PAIR}"])
def test_a_malformed_api_pair_is_refused_by_name_without_showing_the_hash(pairs: str) -> None:
    with pytest.raises(SettingsError, match="POSTFLEET_API_PAIRS") as refused:
        load_settings(api_pairs=pairs)
    assert "0123456789abcdef" not in str(refused.value)


def test_a_public_key_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match=r"DC_PUBLIC_KEY.*nowhere\.pem"):
        load_settings(dc_public_key="nowhere.pem")


@pytest.mark.parametrize("level", ["verbose", "", "20", "INFO,DEBUG"])
def test_a_log_level_that_does_not_exist_is_refused_by_name(level: str) -> None:
    with pytest.raises(SettingsError, match=r"POSTFLEET_LOG_LEVEL: write DEBUG, INFO, WARNING, ERROR or CRITICAL"):
        load_settings(log_level=level)


def test_a_log_level_may_be_written_small() -> None:
    assert load_settings(log_level="debug").log_level == "DEBUG"


def test_a_file_of_settings_in_another_encoding_is_named_without_showing_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"POSTFLEET_LOG_LEVEL=INFO\n# caf\xe9 secret\n")
    with pytest.raises(SettingsError, match=r"^\.env: byte 30 is no UTF-8") as refused:
        load_settings()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", [name for name, field in Settings.model_fields.items() if field.annotation is float])
@pytest.mark.parametrize("endless", ["inf", "1e300", "nan"])
def test_a_time_that_no_clock_can_wait_is_refused_by_name(name: str, endless: str) -> None:
    with pytest.raises(SettingsError, match=f"^POSTFLEET_{name.upper()}: "):
        load_settings(**{name: endless})


@pytest.mark.parametrize("name", ["posts_per_day", "posts_per_month", "journal_days", "backups_kept", "log_backups"])
def test_a_number_that_nothing_can_count_to_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^POSTFLEET_{name.upper()}: .* less than or equal to "):
        load_settings(**{name: "99999999999"})


@pytest.mark.parametrize("wrong", ["POSTFLEET_JWT_SECRET=short", "POSTFLEET_API_PAIRS="])
def test_a_reload_is_refused_when_a_start_would_be(tmp_path: Path, wrong: str) -> None:
    good = f"POSTFLEET_JWT_SECRET={GOOD_SECRET}\nPOSTFLEET_API_PAIRS={PAIR}\n"
    (tmp_path / ".env").write_text(good)
    running = load_settings()
    (tmp_path / ".env").write_text(f"{good}POSTFLEET_POSTS_PER_DAY=12\n{wrong}\n")
    with pytest.raises(SettingsError, match=wrong.partition("=")[0]):
        reload_settings(running)
    assert running.posts_per_day == 2_000


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "POSTFLEET_POST_PER_DAY",
            r"^POSTFLEET_POST_PER_DAY: there is no such setting; did you mean POSTFLEET_POSTS_PER_DAY",
        ),
        ("POSTFLEET_COLOUR", r"^POSTFLEET_COLOUR: there is no such setting$"),
        ("POSTFLEET_NEXT_VAULT_KEY", r"^POSTFLEET_NEXT_VAULT_KEY: there is no such setting$"),
    ],
)
def test_a_misspelt_name_in_the_file_of_settings_is_refused(tmp_path: Path, written: str, said: str) -> None:
    (tmp_path / ".env").write_text(f"{written}=7\nPOSTFLEET_TICK_SECONDS=1\n")
    with pytest.raises(SettingsError, match=said):
        load_settings()


def test_settings_of_other_programs_may_stand_in_the_same_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COMPOSE_PROJECT_NAME=posts\nstate_dir=elsewhere\nPOSTFLEET_TICK_SECONDS=1\n")
    assert (load_settings().tick_seconds, load_settings().state_dir) == (1, Path("state"))


def test_a_path_that_no_disk_can_have_is_refused() -> None:
    with pytest.raises(SettingsError, match="cannot be read: File name too long"):
        load_settings(dc_public_key="x" * 5_000)


ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("page", "made"), [(".env.example", env_example), ("docs/settings.md", table)])
def test_the_pages_of_settings_say_what_the_code_says(page: str, made: Callable[[], str]) -> None:
    assert (ROOT / page).read_text() == made(), "run: make docs-settings"


def test_every_setting_stands_in_the_pages_with_a_sentence() -> None:
    for name in Settings.model_fields:
        assert f"POSTFLEET_{name.upper()}=" in env_example()
        assert f"`POSTFLEET_{name.upper()}`" in table()
        assert about(name).text.partition("\n")[0].endswith((".", ":"))


def test_every_section_begins_with_a_setting_and_the_first_begins_one() -> None:
    assert SECTIONS.keys() <= Settings.model_fields.keys()
    assert next(iter(Settings.model_fields)) in SECTIONS


def test_a_reload_changes_what_the_pages_say_and_names_the_rest(tmp_path: Path) -> None:
    good = f"POSTFLEET_JWT_SECRET={GOOD_SECRET}\nPOSTFLEET_API_PAIRS={PAIR}\n"
    (tmp_path / ".env").write_text(good)
    running = load_settings()
    (tmp_path / ".env").write_text(f"{good}POSTFLEET_POSTS_PER_DAY=12\nPOSTFLEET_PORT=8001\n")
    assert (about("posts_per_day").reloads, about("port").reloads) == (True, False)
    assert reload_settings(running) == (["posts_per_day"], ["port"])
    assert (running.posts_per_day, running.port) == (12, 8000)


def test_the_example_file_sets_what_the_defaults_are(monkeypatch: pytest.MonkeyPatch) -> None:
    example = ROOT / ".env.example"
    told = Settings(_env_file=example)  # type: ignore[call-arg]  # pydantic-settings takes it
    plain = load_settings()
    differs = {name for name in Settings.model_fields if getattr(told, name) != getattr(plain, name)}
    assert differs <= {"jwt_secret"}
