"""`python -m bench fuzz_api`: asks the API whatever its OpenAPI document allows, and what it does not, for long.

Schemathesis makes the requests, from the document the API serves, against a real server with real rooms behind it: as a
user, as an operator, and as nobody. Every answer must have a status, a content type and a body that the document names.
"""

import argparse
import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.tokens import OPERATOR
from bench.parts.api_servers import server, token
from bench.report import Report

_SECONDS_A_REQUEST = 60
_CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@dataclass
class Found:
    """What came of it."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    server_errors: int = 0
    undocumented: int = 0
    """Answers whose status, content type or body the document does not name."""
    examples: list[str] = field(default_factory=list)


def run(argv: Sequence[str]) -> Report:
    """Fuzz with `--cases` requests or more."""
    options = argparse.ArgumentParser(prog="python -m bench fuzz_api")
    options.add_argument("--cases", type=int, default=20_000)
    chosen = options.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, server("ours", Path(folder)) as ours:
        found = fuzz(ours.port, chosen.cases)
    report = Report("fuzz_api", ("status", "answers"))
    for status, count in sorted(found.statuses.items()):
        report.row(status, count)
    for example in found.examples[:20]:
        report.row("example", example)
    report.target("cases", found.cases, ">=", chosen.cases)
    report.target("server_errors", found.server_errors, "<=", 0)
    report.target("undocumented", found.undocumented, "<=", 0)
    return report


def fuzz(port: int, cases: int) -> Found:
    """Send about so many requests, spread over every operation and over user, operator and nobody."""
    url = f"http://127.0.0.1:{port}"
    schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")
    operations: list[Any] = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    callers: list[Callable[[], dict[str, str]]] = [
        lambda: {"Authorization": f"Bearer {token(1)}"},
        lambda: {"Authorization": f"Bearer {token(2, [OPERATOR])}"},
        dict,
    ]
    each = max(1, -(-cases // (len(operations) * len(callers) * 2)))
    found = Found()
    with requests.Session() as session:
        while found.cases < cases:
            for operation in operations:
                for headers in callers:
                    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                        _ask(operation, mode, each, headers, session, found)
    return found


def _ask(
    operation: Any,
    mode: GenerationMode,
    examples: int,
    headers: Callable[[], dict[str, str]],
    session: requests.Session,
    found: Found,
) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        # A token a request: some of them end every token their user has.
        response = case.call(session=session, headers=headers(), timeout=_SECONDS_A_REQUEST)
        found.cases += 1
        found.statuses[response.status_code] += 1
        found.server_errors += response.status_code >= 500
        try:
            case.validate_response(response, checks=_CHECKS)
        except (Failure, FailureGroup) as failure:
            found.undocumented += 1
            if len(found.examples) < 100:
                found.examples.append(f"{case.method} {case.formatted_path} {response.status_code}: {_said(failure)}")

    with contextlib.suppress(Unsatisfiable):  # what takes nothing cannot be given anything wrong
        ask()


def _said(failure: Failure | FailureGroup) -> str:
    """One line a failure, without the request: the seed is the same in the next run."""
    several = failure.exceptions if isinstance(failure, FailureGroup) else [failure]
    return "; ".join(" ".join(str(one).split())[:300] for one in several)
