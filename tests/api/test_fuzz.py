"""A short run of what `python -m bench fuzz_api` does for long."""

from pathlib import Path

from bench.fuzz_api import fuzz
from bench.parts.api_servers import server


def test_whatever_is_asked_the_answer_is_one_the_document_names(tmp_path: Path) -> None:
    with server("ours", tmp_path) as ours:
        found = fuzz(ours.port, 250)
    assert found.cases >= 250
    assert found.server_errors == 0
    assert found.examples == []
    assert {200, 401, 403, 422} <= set(found.statuses)
