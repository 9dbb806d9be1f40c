"""`python -m bench fuzz_api`: thousands of requests that the OpenAPI document allows, or forbids, sent to the API.

Schemathesis makes the requests from the document that the API serves. They go to the real daemon with a sandbox behind
it, as a user, as an operator and without a token. Many contain values of earlier responses (names, ids, tickets), and
some walk along the links that schemathesis finds between operations. Many uploads are files of other programs.
Every response must have a status, a content type and a body that the document names.
"""

import argparse
import contextlib
import itertools
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky, Unsatisfiable
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.security.tokens import OPERATOR, issue_token
from bench.report import Report
from bench.support.fuzz_foreign import Foreign
from bench.support.fuzz_memory import Memory
from core.clock import SystemClock
from tests.support.daemon import DaemonProcess, plain_world, whole_house
from tests.support.house import SECRET

USER, ROOT, OTHER = "alice", "root", "bob"
_NO_LIMIT = "100000000/second"
_NO_LIMITS = {f"RATE_{what}": _NO_LIMIT for what in ("PER_USER", "PER_ADDRESS", "EXPENSIVE", "FAILED_AUTH", "LOGIN")}
# Nobody reads its standard error before the end, and the pipe must not fill up.
_SETTINGS = _NO_LIMITS | {"LOG_LEVEL": "ERROR"}
_SECONDS_A_REQUEST = 60
_LIFETIME = timedelta(seconds=4)
_FRESH_TICKETS = 0.3
_STEPS = 15
_WALKS_A_RUN = 5
_EXAMPLES_A_ROUND = 6
_WALKED = 0.25
"""The part of the requests that are steps of walks."""
_TAKES_FILES = ("POST /api/sessions/import", "POST /api/media")
_FOREIGN = 0.1
"""The part of the requests that upload files of other programs."""
_CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_PASSWORD = "correct horse battery staple 9"  # noqa: S105  its users exist only during the run
_KNOWN = {
    "user": [USER, OTHER],
    "group": [f"@plaza{number:02}" for number in range(1, 9)],
    "password": _PASSWORD,
    "old": _PASSWORD,
    "new": _PASSWORD,
    "understood": True,
    "ends": int(time.time()) + 86_400,
}
"""Values that fuzzing would never guess."""
Headers = Callable[[], dict[str, str]]


@dataclass
class Found:
    """The result of a run."""

    cases: int = 0
    fed_back: int = 0
    foreign: int = 0
    walked: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    reached: set[str] = field(default_factory=set)
    """Operations that succeeded at least once."""
    server_errors: int = 0
    undocumented: int = 0
    """Responses whose status, content type or body the document does not name."""
    examples: list[str] = field(default_factory=list)

    def judge(self, case: Any, response: Any) -> None:
        """Count a response and what is wrong with it."""
        self.cases += 1
        self.statuses[response.status_code] += 1
        self.server_errors += response.status_code >= 500 and not _is_busy(response)
        if response.status_code < 400:
            self.reached.add(case.operation.label)
        try:
            case.validate_response(response, checks=_CHECKS if not _is_busy(response) else _CHECKS[1:])
        except (Failure, FailureGroup) as failure:
            self.undocumented += 1
            if len(self.examples) < 100:
                self.examples.append(f"{case.method} {case.formatted_path} {response.status_code}: {_said(failure)}")


class Fuzz:
    """One run against one daemon."""

    def __init__(self, daemon: DaemonProcess, chosen_seed: int) -> None:
        self.found = Found()
        self._memory = Memory(chosen_seed)
        self._memory.note(_KNOWN)
        self._foreign = Foreign(chosen_seed)
        self._session = requests.Session()
        self._url = daemon.url
        self._schema = schemathesis.openapi.from_url(f"{daemon.url}/api/openapi.json")
        self._operations: list[Any] = [
            result.ok() for result in self._schema.get_all_operations() if isinstance(result, Ok)
        ]
        # Each request gets a token of its own, because some requests revoke every token of their user.
        self._callers: list[Headers] = [lambda: _bearer(USER), lambda: _bearer(ROOT, OPERATOR), dict]
        self._seeds = itertools.count(chosen_seed)
        self._chance = random.Random(chosen_seed)

    @property
    def never_reached(self) -> list[str]:
        """Return the operations that never succeeded."""
        return [operation.label for operation in self._operations if operation.label not in self.found.reached]

    def run(self, cases: int) -> Found:
        """Send at least that many requests."""
        walked = int(cases * _WALKED)
        ways = [
            (operation, headers, mode)
            for operation in self._operations
            for headers in self._callers
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        ]
        each = max(1, -(-(cases - walked - int(cases * _FOREIGN)) // len(ways)))
        # In rounds, each in another order, so that any request can use what another made before it expires.
        rounds = -(-each // _EXAMPLES_A_ROUND)
        each = -(-each // rounds)
        for _ in range(rounds):
            self._chance.shuffle(ways)
            for operation, headers, mode in ways:
                self._ask(operation, mode, each, headers)
            for headers in self._callers[:2]:
                self._walk(headers, max(1, walked // 2 // rounds // _STEPS))
            self._bring(max(1, int(cases * _FOREIGN) // rounds // len(_TAKES_FILES)))
        while self.found.cases < cases:
            self._walk(self._callers[1], -(-(cases - self.found.cases) // _STEPS))
        self._session.close()
        return self.found

    def _ask(self, operation: Any, mode: GenerationMode, examples: int, headers: Headers) -> None:
        @seed(next(self._seeds))
        @_quietly(examples)
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            if mode is GenerationMode.POSITIVE:
                parts = (case.path_parameters, case.query, case.body)
                put = [self._memory.put_into(part, _resource(case.path)) for part in parts]
                self.found.fed_back += any(put)
                if case.query and "ticket" in case.query and self._chance.random() < _FRESH_TICKETS:
                    case.query["ticket"] = self._ticket(case.path)
            self._call(case, headers)

        with contextlib.suppress(Unsatisfiable):  # an operation without parameters has no wrong ones
            ask()

    def _bring(self, files: int) -> None:
        """Upload files of other programs."""
        for operation in self._operations:
            if operation.label in _TAKES_FILES:

                @seed(next(self._seeds))
                @_quietly(files)
                @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
                def bring(case: Any) -> None:
                    case.body, case.media_type = self._foreign.body(), "application/octet-stream"
                    self.found.foreign += 1
                    self._call(case, self._callers[0])

                bring()

    def _ticket(self, path: str) -> str:
        """Return a valid ticket. A stream that it opens ends soon."""
        wish = {"purpose": "stream" if path.endswith("/stream") else "download"}
        url = f"{self._url}/api/auth/tickets"
        given = self._session.post(url, json=wish, headers=_bearer(USER, lasts=timedelta(seconds=1)), timeout=10)
        return str(given.json().get("ticket"))

    def _walk(self, headers: Headers, walks: int) -> None:
        fuzz = self

        class Walking(self._schema.as_state_machine()):  # type: ignore[misc]  # made at run time
            def call(self, case: Any, **_: Any) -> Any:
                fuzz.found.walked += 1
                return fuzz._call(case, headers)

            def validate_response(self, *_: Any, **__: Any) -> None:
                """Do nothing: `call` has checked the response."""

        for _ in range(-(-walks // _WALKS_A_RUN)):
            # Hypothesis objects when a repeated call gets another response, which is normal for an API.
            with contextlib.suppress(Flaky):
                Walking.run(settings=_quietly(_WALKS_A_RUN, stateful_step_count=_STEPS))

    def _call(self, case: Any, headers: Headers) -> Any:
        response = case.call(session=self._session, headers=headers(), timeout=_SECONDS_A_REQUEST)
        self.found.judge(case, response)
        if response.status_code < 400:
            with contextlib.suppress(ValueError):
                self._memory.note(json.loads(response.content), place=_resource(case.path))
        return response


def run(argv: Sequence[str]) -> Report:
    """Send at least `--cases` requests."""
    options = argparse.ArgumentParser(prog="python -m bench fuzz_api")
    options.add_argument("--cases", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args(argv)
    report = Report("fuzz_api", ("status", "responses"))
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        whole_house(Path(folder), plain_world(accounts=8, groups=8), **_SETTINGS) as (_, daemon),
    ):
        _settle_in(daemon)
        fuzz = Fuzz(daemon, chosen.seed)
        found = fuzz.run(chosen.cases)
        code, errors = daemon.stop()
    for status, count in sorted(found.statuses.items()):
        report.row(status, count)
    for example in found.examples[:20]:
        report.row("example", example)
    report.row("with values of earlier responses", found.fed_back)
    report.row("uploads of files of other programs", found.foreign)
    report.row("steps of walks", found.walked)
    report.row("operations that succeeded", len(found.reached))
    report.row("operations that never did", ", ".join(fuzz.never_reached) or "none")
    report.row("minutes", f"{(time.monotonic() - began) / 60:.1f}")
    for line in errors.splitlines()[-20:]:
        report.row("the daemon said", line)
    report.target("cases", found.cases, ">=", chosen.cases)
    report.target("server_errors", found.server_errors, "<=", 0)
    report.target("undocumented", found.undocumented, "<=", 0)
    report.target("daemon_exit", code, "<=", 0)
    return report


def _settle_in(daemon: DaemonProcess) -> None:
    """Give each user groups, posts, accounts, a running bot and a password."""
    for user in (USER, OTHER, ROOT):
        config = {
            "groups": ["@plaza01", "@plaza02"],
            "post_content": {"posts": [f"Hello from {user}", "And again"]},
            "delay_between_posts": 1,
            "delay_between_cycles": 60,
        }
        daemon.call(user, "PATCH", "/api/config", json=config).raise_for_status()
        daemon.call(user, "POST", "/api/bot/start").raise_for_status()
        root = {"headers": _bearer(ROOT, OPERATOR), "json": {"password": _PASSWORD}}
        daemon.call(ROOT, "PUT", f"/api/admin/users/{user}/password", **root).raise_for_status()


def _resource(path: str) -> str:
    """Return the resource of a path: `media` of `/api/media/{name}`."""
    return path.removeprefix("/api/").partition("/")[0]


def _bearer(user: str, *roles: str, lasts: timedelta = _LIFETIME) -> dict[str, str]:
    """Return the header with a token that ends soon, which also ends the streams it opens."""
    token = issue_token(SECRET, user, now=SystemClock().now(), lifetime=lasts, roles=roles)
    return {"Authorization": f"Bearer {token}"}


def _quietly(examples: int, **more: Any) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        **more,
    )


def _is_busy(response: Any) -> bool:
    """Return whether the response is 503 `busy`, which is no error: it says when to try again."""
    return bool(response.status_code == 503 and b'"code":"busy"' in response.content)


def _said(failure: Failure | FailureGroup) -> str:
    """Return one line per failure. The request is left out, because the seed brings it back in the next run."""
    several = failure.exceptions if isinstance(failure, FailureGroup) else [failure]
    return "; ".join(" ".join(str(one).split())[:300] for one in several)
