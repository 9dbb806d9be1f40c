"""Every setting: what it means, its unit, default and bounds, and whether SIGHUP changes it in a running daemon.

A new setting needs a line here and one run of `make docs-settings`, which writes it into `.env.example` and
`docs/settings.md`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, model_validator
from pydantic.config import JsonDict
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import SettingsError
from core.settings.jwt_secret import EXAMPLE_SECRET, MAKE_SECRET, check_jwt_secret
from core.settings.kinds import ApiPairs, LogLevel, Networks, Origins, OtherDataCentre, Rate

_YEAR_OF_SECONDS = 366 * 86400
_CENTURY_OF_DAYS = 36_600
_MOST_POSTS = 1_000_000_000


@dataclass(frozen=True)
class About:
    """What the docs say about a setting."""

    text: str
    unit: str
    """Of the number; "" where it counts something, or is none."""
    example: str
    """Shown where there is no default."""
    required: bool
    """Whether the daemon does not start without it."""
    reloads: bool
    """Whether SIGHUP changes it while the daemon runs; the others need a restart."""


def setting(
    default: object,
    text: str,
    *,
    unit: str = "",
    example: str = "",
    required: bool = False,
    reloads: bool = False,
    gt: float | None = None,
    ge: float | None = None,
    le: float | None = None,
) -> Any:
    """Declare a setting. `text` is a few whole sentences; a line of its own stays one."""
    about: JsonDict = {"text": text, "unit": unit, "example": example, "required": required, "reloads": reloads}
    return Field(default=default, gt=gt, ge=ge, le=le, json_schema_extra=about)


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

    state_dir: Path = setting(
        Path("state"),
        "The folder that holds everything (0700, made at the first start), on a local disk. Only one daemon may use "
        "it.",
    )
    vault_key: SecretStr | None = setting(
        None,
        "64 hexadecimal digits that seal the session files. Without it a key file is made in STATE_DIR (0600).",
    )
    journal_days: int = setting(
        90, "Events and posts older than this are deleted.", unit="days", reloads=True, ge=1, le=_CENTURY_OF_DAYS
    )
    backups_kept: int = setting(
        7,
        "The number of daily backups kept in STATE_DIR/backups; 0: none are made.",
        reloads=True,
        ge=0,
        le=_CENTURY_OF_DAYS,
    )
    backup_media: bool = setting(
        False,
        "true adds uploaded files to each daily backup, which can make it large. `run.py backup` always adds them.",
        reloads=True,
    )
    least_free_megabytes: int = setting(
        100, "With less free disk beside STATE_DIR, /readyz reports it.", unit="MB of 1,000,000 bytes", ge=0
    )

    api_pairs: ApiPairs = setting((), "Your applications at my.telegram.org: id:hash, comma separated.", required=True)
    dc: OtherDataCentre = setting(
        None,
        "Another data centre than Telegram's own, as dc_id,host,port: Telegram's test servers, "
        "`python run.py sandbox`, or another server.",
        example="2,127.0.0.1,4430",
    )
    dc_public_key: Path | None = setting(
        None, "The RSA public key of that data centre (PEM, PKCS1).", example="public.pem"
    )

    host: str = setting("127.0.0.1", "The address on which the API listens.")
    port: int = setting(
        8000, "The port of the API. 0 takes any free one and writes it to STATE_DIR/api.address.", ge=0, le=65535
    )
    behind_tls: bool = setting(False, "true: clients reach the API over TLS only; responses then carry HSTS.")
    trusted_proxies: Networks = setting(
        (),
        "Addresses or networks of the proxies whose X-Forwarded-For is believed, comma separated.",
        example="10.0.0.0/8",
    )
    cors_origins: Origins = setting(
        (), "Origins of other pages that may read the API, comma separated.", example="https://dashboard.example"
    )
    metrics_from: Networks = setting(
        (),
        "Addresses or networks that may read /metrics without an operator's token, comma separated: 127.0.0.1 for a "
        "Prometheus on this machine. Do not use it behind a proxy on such an address, because every request comes "
        "from there.",
        example="127.0.0.1",
    )

    jwt_secret: SecretStr = setting(
        SecretStr(""),
        f"Signs and checks the API's tokens: 32 bytes or more. The one in `.env.example` is refused. Make one:\n"
        f"{MAKE_SECRET}",
        example=EXAMPLE_SECRET,
        required=True,
    )
    jwks_file: Path | None = setting(
        None,
        "The keys of another issuer as a JWKS file (RS256, ES256, EdDSA, HS256 by kid). It is read again when it "
        "changes.",
        example="jwks.json",
    )
    jwt_issuer: str | None = setting(
        None, "What that issuer's tokens must say in `iss`.", example="https://login.example"
    )
    jwt_audience: str | None = setting(None, "What that issuer's tokens must say in `aud`.", example="postfleet")
    access_token_minutes: float = setting(
        15.0, "How long an access token of a login here lasts.", unit="minutes", gt=0, le=1440
    )
    refresh_token_days: float = setting(30.0, "How long a login here lasts.", unit="days", gt=0, le=366)
    refuse_unknown_users: bool = setting(
        False, "A valid token of an unknown user makes that user, with defaults; true refuses it instead."
    )

    max_body_bytes: int = setting(1_000_000, "The largest body of a request, uploads excepted.", unit="bytes", ge=1_000)
    request_timeout_seconds: float = setting(
        30.0,
        "The longest a request may take. For downloads of tables and files it limits each piece.",
        unit="seconds",
        gt=0,
        le=_YEAR_OF_SECONDS,
    )
    header_timeout_seconds: float = setting(
        10.0, "The longest a request's head may take to arrive.", unit="seconds", gt=0, le=_YEAR_OF_SECONDS
    )
    max_connections: int = setting(5_000, "The most connections that may be open.", ge=1)
    max_connections_per_address: int = setting(
        500, "The most connections that one address may have open, trusted proxies excepted.", ge=1
    )
    max_expensive_at_once: int = setting(
        8,
        "The most previews, checks and exports at once, over all users; one user has at most two. Uploads: four "
        "times as many.",
        ge=1,
    )
    rate_per_user: Rate = setting("1200/minute", "How often one user may ask.")
    rate_per_address: Rate = setting("6000/minute", "How often one address may ask.")
    rate_expensive: Rate = setting(
        "30/minute", "How often one user may ask for previews, checks and exports, and one address for logins."
    )
    rate_failed_auth: Rate = setting("60/minute", "How often one address may send a token that is refused.")
    rate_login: Rate = setting(
        "10/hour",
        "How many wrong passwords in a row one address may try for one user. All addresses together: ten times as "
        "many.",
    )

    max_upload_mb: int = setting(50, "The largest file to upload.", unit="MB of 1,000,000 bytes", ge=1, le=2_000)
    media_quota_mb: int = setting(500, "The most that one user's files may take.", unit="MB of 1,000,000 bytes", ge=0)
    upload_timeout_seconds: float = setting(
        600.0, "The longest an upload may take.", unit="seconds", gt=0, le=_YEAR_OF_SECONDS
    )

    max_sessions_per_user: int = setting(7, "The most accounts that one user may have.", reloads=True, ge=1, le=100)
    max_sessions_per_api_pair: int = setting(7, "The most accounts on one API pair.", ge=1, le=100)
    max_unconfirmed_sessions_per_user: int = setting(
        50,
        "The most imported accounts of one user that wait for Telegram to confirm who they are.",
        reloads=True,
        ge=1,
        le=10_000,
    )
    sessions_at_start: int = setting(
        3,
        "The most accounts a bot is given from the pool: one for each group when it starts, more when it gets groups.",
        ge=1,
        le=100,
    )
    max_replacements_per_day: int = setting(
        2, "The most spare accounts that one user is given within 24 hours after bans.", ge=0
    )
    ban_wave_in_10_minutes: int = setting(
        2, "This many bans of one user's accounts within 10 minutes are a ban wave, which stops the bot.", ge=1
    )
    ban_wave_in_24_hours: int = setting(
        3, "This many bans of one user's accounts within 24 hours are a ban wave, which stops the bot.", ge=1
    )

    max_concurrent_sessions: int = setting(
        200, "The most accounts that post at the same time, over all users.", reloads=True, ge=1
    )
    max_concurrent_sends: int = setting(
        50,
        "The most posts that are sent at the same time, over all users. Connections that rest between two posts do "
        "not count.",
        reloads=True,
        ge=1,
    )
    send_timeout_seconds: float = setting(
        30.0,
        "An unanswered send is repeated after this time, with the same random_id, so that it cannot arrive twice.",
        unit="seconds",
        reloads=True,
        gt=0,
        le=_YEAR_OF_SECONDS,
    )
    idle_connection_seconds: float = setting(
        60.0,
        "An account's connection is closed after this time without a post; 0 closes it at once.",
        unit="seconds",
        ge=0,
        le=_YEAR_OF_SECONDS,
    )
    network_patience_seconds: float = setting(
        300.0,
        "When Telegram cannot be reached, an account tries this long before it gives up its posts of the cycle.",
        unit="seconds",
        ge=0,
        le=_YEAR_OF_SECONDS,
    )
    wait_patience_seconds: float = setting(
        60.0,
        "The longest wait asked for by Telegram that a cycle waits for. A longer one leaves the account's posts to a"
        " later cycle.",
        unit="seconds",
        reloads=True,
        ge=0,
        le=_YEAR_OF_SECONDS,
    )
    check_posts_after_seconds: float = setting(
        0.0,
        "This long after its last post of a cycle an account checks whether its posts are still there, because "
        "moderation bots remove some. It costs one call for each group; 0 checks nothing.",
        unit="seconds",
        ge=0,
        le=600,
    )
    group_gap_seconds: float = setting(
        3.0,
        "The least time between two posts to one group. Telegram is known to allow about 20 a minute.",
        unit="seconds",
        ge=0,
        le=_YEAR_OF_SECONDS,
    )
    daily_posts_per_account: int = setting(
        200, "The most posts of one account within any 24 hours.", ge=1, le=_MOST_POSTS
    )

    tick_seconds: float = setting(
        2.0,
        "The longest the scheduler sleeps; it wakes earlier when somebody is due.",
        unit="seconds",
        reloads=True,
        gt=0,
        le=60,
    )
    least_cycle_delay_seconds: float = setting(
        60.0,
        "The least time between two cycles of a bot. A smaller `delay_between_cycles` is refused. Cron expressions "
        "cannot name less than 60 seconds either.",
        unit="seconds",
        reloads=True,
        ge=0,
        le=86_400,
    )
    posts_per_day: int = setting(
        2_000,
        "The most posts of one user on a day of their time zone, unless an operator set another limit for them.",
        reloads=True,
        ge=0,
        le=_MOST_POSTS,
    )
    posts_per_month: int = setting(
        40_000,
        "The most posts of one user in a month of their time zone, unless an operator set another limit for them.",
        reloads=True,
        ge=0,
        le=_MOST_POSTS,
    )
    resume_on_start: bool = setting(
        False, "After a restart of the daemon all bots are stopped. true starts the bots that ran."
    )
    misfire_grace_seconds: float = setting(
        60.0,
        "A run that is later than this counts as missed (daemon down, machine asleep). The user's schedule says "
        "whether it is made up for.",
        unit="seconds",
        reloads=True,
        ge=1,
        le=_YEAR_OF_SECONDS,
    )
    catch_up_per_second: float = setting(
        20.0,
        "The number of missed runs that begin in a second, one user after the other.",
        reloads=True,
        gt=0,
        le=1_000_000,
    )
    stuck_cycle_seconds: float = setting(
        900.0,
        "A cycle that shows no progress for this time is ended and continued later.",
        unit="seconds",
        reloads=True,
        gt=0,
        le=_YEAR_OF_SECONDS,
    )

    log_level: LogLevel = setting("INFO", "DEBUG, INFO, WARNING, ERROR or CRITICAL.", reloads=True)
    log_max_bytes: int = setting(10_000_000, "The size at which the log file is rotated.", unit="bytes", ge=10_000)
    log_backups: int = setting(5, "The number of rotated log files that are kept.", ge=1, le=1_000)

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


SECTIONS = {
    "state_dir": "The state",
    "api_pairs": "Telegram",
    "host": "The API's address",
    "jwt_secret": "Tokens and logins",
    "max_body_bytes": "Bounds of requests",
    "max_upload_mb": "Uploads",
    "max_sessions_per_user": "Accounts",
    "max_concurrent_sessions": "Posting",
    "tick_seconds": "Schedules and allowances",
    "log_level": "The log",
}
"""The first setting of each section → its heading."""


def about(name: str) -> About:
    """Return the description of the setting of that name."""
    return About(**Settings.model_fields[name].json_schema_extra)  # type: ignore[arg-type]  # what `setting` put there
