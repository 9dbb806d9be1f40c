"""Settings from the environment (prefix POSTFLEET_) and `.env`. Each is described in `.env.example`."""

import logging
import os
import re
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core.errors import SettingsError

EXAMPLE_SECRET = "change-me-to-at-least-32-random-characters"  # noqa: S105  the one in .env.example, refused
MIN_SECRET_BYTES = 32
_FEWEST_DIFFERENT_CHARACTERS = 8
_YEAR_OF_SECONDS = 366 * 86400
_CENTURY_OF_DAYS = 36_600
_MOST_POSTS = 1_000_000_000


class ApiPair(NamedTuple):
    """An application's identity at Telegram: api_id and api_hash."""

    api_id: int
    api_hash: SecretStr


class DataCentre(NamedTuple):
    """Where Telegram is, when it is not Telegram's own production address."""

    dc_id: int
    host: str
    port: int


class Settings(BaseSettings):
    """Everything an operator can set. Build it with `load_settings`, which explains what is wrong."""

    model_config = SettingsConfigDict(
        env_prefix="POSTFLEET_",
        env_file=".env",
        env_file_encoding="utf-8",
        dotenv_filtering="match_prefix",  # other programs may read theirs from the same file
        extra="forbid",
        frozen=True,
    )

    state_dir: Path = Path("state")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    jwt_secret: SecretStr = SecretStr("")
    api_pairs: Annotated[tuple[ApiPair, ...], NoDecode] = ()
    dc: Annotated[DataCentre | None, NoDecode] = None
    dc_public_key: Path | None = None
    vault_key: SecretStr | None = None

    tick_seconds: float = Field(default=2.0, gt=0, le=60)
    max_sessions_per_user: int = Field(default=7, ge=1, le=100)
    max_sessions_per_api_pair: int = Field(default=7, ge=1, le=100)
    max_unconfirmed_sessions_per_user: int = Field(default=50, ge=1, le=10_000)
    sessions_at_start: int = Field(default=3, ge=1, le=100)
    max_concurrent_sessions: int = Field(default=200, ge=1)
    max_concurrent_sends: int = Field(default=50, ge=1)
    send_timeout_seconds: float = Field(default=30.0, gt=0, le=_YEAR_OF_SECONDS)
    idle_connection_seconds: float = Field(default=60.0, ge=0, le=_YEAR_OF_SECONDS)
    network_patience_seconds: float = Field(default=300.0, ge=0, le=_YEAR_OF_SECONDS)
    wait_patience_seconds: float = Field(default=60.0, ge=0, le=_YEAR_OF_SECONDS)
    check_posts_after_seconds: float = Field(default=0.0, ge=0, le=600)
    group_gap_seconds: float = Field(default=3.0, ge=0, le=_YEAR_OF_SECONDS)
    daily_posts_per_account: int = Field(default=200, ge=1, le=_MOST_POSTS)
    max_replacements_per_day: int = Field(default=2, ge=0)
    ban_wave_in_10_minutes: int = Field(default=2, ge=1)
    ban_wave_in_24_hours: int = Field(default=3, ge=1)
    resume_on_start: bool = False
    least_cycle_delay_seconds: float = Field(default=60.0, ge=0, le=86_400)
    posts_per_day: int = Field(default=2_000, ge=0, le=_MOST_POSTS)
    posts_per_month: int = Field(default=40_000, ge=0, le=_MOST_POSTS)
    journal_days: int = Field(default=90, ge=1, le=_CENTURY_OF_DAYS)
    backups_kept: int = Field(default=7, ge=0, le=_CENTURY_OF_DAYS)
    backup_media: bool = False
    misfire_grace_seconds: float = Field(default=60.0, ge=1, le=_YEAR_OF_SECONDS)
    catch_up_per_second: float = Field(default=20.0, gt=0, le=1_000_000)
    stuck_cycle_seconds: float = Field(default=900.0, gt=0, le=_YEAR_OF_SECONDS)

    log_level: str = "INFO"
    log_max_bytes: int = Field(default=10_000_000, ge=10_000)
    log_backups: int = Field(default=5, ge=1, le=1_000)

    jwks_file: Path | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    access_token_minutes: float = Field(default=15.0, gt=0, le=1440)
    refresh_token_days: float = Field(default=30.0, gt=0, le=366)
    refuse_unknown_users: bool = False
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    behind_tls: bool = False
    metrics_from: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    least_free_megabytes: int = Field(default=100, ge=0)
    max_body_bytes: int = Field(default=1_000_000, ge=1_000)
    request_timeout_seconds: float = Field(default=30.0, gt=0, le=_YEAR_OF_SECONDS)
    header_timeout_seconds: float = Field(default=10.0, gt=0, le=_YEAR_OF_SECONDS)
    max_connections: int = Field(default=5_000, ge=1)
    max_connections_per_address: int = Field(default=500, ge=1)
    max_expensive_at_once: int = Field(default=8, ge=1)
    max_upload_mb: int = Field(default=50, ge=1, le=2_000)
    media_quota_mb: int = Field(default=500, ge=0)
    upload_timeout_seconds: float = Field(default=600.0, gt=0, le=_YEAR_OF_SECONDS)
    rate_per_user: str = "1200/minute"
    rate_per_address: str = "6000/minute"
    rate_expensive: str = "30/minute"
    rate_failed_auth: str = "60/minute"
    rate_login: str = "10/hour"

    @field_validator("rate_per_user", "rate_per_address", "rate_expensive", "rate_failed_auth", "rate_login")
    @classmethod
    def _is_rate(cls, value: str) -> str:
        if not re.fullmatch(r"[1-9]\d{0,8}/(second|minute|hour|day)", value):
            raise ValueError("write it as a number a second, minute, hour or day, for example 60/minute")
        return value

    @field_validator("log_level")
    @classmethod
    def _is_level(cls, value: str) -> str:
        if value.upper() not in logging.getLevelNamesMapping():
            raise ValueError("write DEBUG, INFO, WARNING, ERROR or CRITICAL")
        return value.upper()

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _read_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        origins = tuple(filter(None, (part.strip().rstrip("/") for part in value.split(","))))
        if not all(re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", origin) for origin in origins):
            raise ValueError("write each as scheme://host[:port], comma separated; * is not taken")
        return origins

    @field_validator("trusted_proxies", "metrics_from", mode="before")
    @classmethod
    def _read_proxies(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
        except ValueError:
            raise ValueError("write addresses or networks, comma separated, for example 10.0.0.0/8") from None

    @field_validator("api_pairs", mode="before")
    @classmethod
    def _read_pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs: list[ApiPair] = []
        for item in filter(None, (part.strip() for part in value.split(","))):
            api_id, colon, api_hash = item.partition(":")
            if not colon or not api_id.strip().isdigit() or not re.fullmatch(r"[0-9a-fA-F]{32}", api_hash.strip()):
                raise ValueError("write each pair as id:hash, comma separated; a hash is 32 hexadecimal digits")
            pairs.append(ApiPair(int(api_id), SecretStr(api_hash.strip())))
        if len({pair.api_id for pair in pairs}) != len(pairs):
            raise ValueError("an api_id stands in it twice; name each pair once")
        return tuple(pairs)

    @field_validator("dc", mode="before")
    @classmethod
    def _read_dc(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        parts = [part.strip() for part in value.split(",")]
        if len(parts) != 3 or not parts[0].isdigit() or not parts[2].isdigit():
            raise ValueError("write it as dc_id,host,port, for example 2,127.0.0.1,4430")
        return DataCentre(int(parts[0]), parts[1], int(parts[2]))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.dc_public_key is not None and not self.dc_public_key.is_file():
            raise ValueError(f"DC_PUBLIC_KEY: there is no file {self.dc_public_key}")
        return self

    def check_secrets(self) -> None:
        """Refuse a missing, weak or example JWT secret and a missing API pair.

        Raises:
            SettingsError: naming the setting and the fix.
        """
        check_jwt_secret(self.jwt_secret.get_secret_value())
        if not self.api_pairs:
            raise SettingsError(
                "POSTFLEET_API_PAIRS is empty: get an api_id and api_hash at my.telegram.org "
                "and set POSTFLEET_API_PAIRS=id:hash"
            )


RELOADABLE = frozenset(
    {
        "tick_seconds",
        "send_timeout_seconds",
        "wait_patience_seconds",
        "max_sessions_per_user",
        "max_unconfirmed_sessions_per_user",
        "max_concurrent_sessions",
        "max_concurrent_sends",
        "misfire_grace_seconds",
        "catch_up_per_second",
        "stuck_cycle_seconds",
        "least_cycle_delay_seconds",
        "posts_per_day",
        "posts_per_month",
        "journal_days",
        "backups_kept",
        "backup_media",
        "log_level",
    }
)
"""What SIGHUP changes while the daemon runs; the rest needs a restart."""


def reload_settings(running: Settings) -> tuple[list[str], list[str]]:
    """Read environment and `.env` again and let what can change change, in place, for everyone who holds them.

    Answers the names of what changed and of what needs a restart to.

    Raises:
        SettingsError: something is wrong in them; nothing was changed.
    """
    fresh = load_settings()
    fresh.check_secrets()
    differ = [name for name in Settings.model_fields if getattr(fresh, name) != getattr(running, name)]
    changed = [name for name in differ if name in RELOADABLE]
    for name in changed:
        running.__dict__[name] = getattr(fresh, name)
    return changed, [name for name in differ if name not in RELOADABLE]


def check_jwt_secret(secret: str) -> None:
    """Refuse a secret somebody could guess.

    Raises:
        SettingsError: saying what is wrong with it and how to make a good one.
    """
    make_one = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
    if not secret:
        raise SettingsError(f"POSTFLEET_JWT_SECRET is not set; {make_one}")
    if secret == EXAMPLE_SECRET:
        raise SettingsError(f"POSTFLEET_JWT_SECRET is the example from .env.example, which everybody knows; {make_one}")
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise SettingsError(f"POSTFLEET_JWT_SECRET is shorter than {MIN_SECRET_BYTES} bytes; {make_one}")
    if len(set(secret)) < _FEWEST_DIFFERENT_CHARACTERS:
        raise SettingsError(f"POSTFLEET_JWT_SECRET repeats a few characters and can be guessed; {make_one}")


def load_settings(**overrides: object) -> Settings:
    """Read the environment and `.env`; `overrides` (by field name) win.

    Raises:
        SettingsError: one line, naming every setting that is wrong and how to write it, or the file that cannot be
            read. Never shows a value.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        wrong = "; ".join(
            f"{_name_of(str(problem['loc'][0]))}: {_what_is_wrong(problem)}"
            if problem["loc"]
            else f"POSTFLEET_{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError(wrong) from None
    except UnicodeDecodeError as error:
        raise SettingsError(f".env: byte {error.start} is no UTF-8; save the file in that encoding") from None
    except OSError as error:
        raise SettingsError(f"{error.filename or '.env'} cannot be read: {error.strerror}") from None


def unknown_settings() -> list[str]:
    """What in the environment looks like a setting and is none, in words. Other programs may have theirs."""
    written = [name.lower().removeprefix("postfleet_") for name in os.environ if name.upper().startswith("POSTFLEET_")]
    return [f"{_name_of(name)}: {_no_such(name)}" for name in sorted(written) if name not in Settings.model_fields]


def _name_of(field: str) -> str:
    return f"POSTFLEET_{field.upper()}"


def _what_is_wrong(problem: ErrorDetails) -> str:
    if problem["type"] != "extra_forbidden":
        return problem["msg"].removeprefix("Value error, ")
    return _no_such(str(problem["loc"][0]))


def _no_such(field: str) -> str:
    meant = get_close_matches(field, Settings.model_fields, n=1, cutoff=0.8)
    return "there is no such setting" + (f"; did you mean {_name_of(meant[0])}?" if meant else "")
