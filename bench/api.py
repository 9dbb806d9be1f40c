"""`python -m bench api`: the speed of the sync state, against bare Starlette with the same bytes in the same run.

Each server runs alone in a process of its own (uvicorn, httptools, uvloop, logs to a file as in the daemon). The load
comes from this process, over 64 connections that each wait for the response. Short rounds of all kinds take turns. Each
round gives a ratio to the bare server's rate a moment before or after, and the figures are the medians of those ratios.
A ratio compares requests per second of the server's own processor time, so other programs on the machine do not change
it. On an idle machine that is the rate seen from outside.

The last figures are the delays of single polls at 500 a second while 50 accounts each write a post a second into the
store and the journal. They are measured again with 1,000 open streams, 100 slow clients (half a head, half a body, a
stream that is not read) and an upload of a gigabyte, together with the memory those cost the server.
"""

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvloop

from bench.report import Report
from bench.support.api_load import Delays, Kind, Rate, at_a_steady_rate, at_full_speed, crowd, polls, upload_without_end
from bench.support.api_servers import PATH, POSTING, USERS, Server, server, token

STREAMS = 1000
SLOW_CLIENTS = 100
UPLOAD_MB = 1000
NEW_TOKENS = 25_000
"""More than the cache of verified tokens holds, so that each is forgotten before its next use."""
POLLS_PER_SECOND = 500
MAX_CROWD_MB = 150.0


@dataclass(frozen=True)
class _Crowded:
    delays: Delays
    events: int
    lost: int
    megabytes: float
    uploaded: float


def run(argv: Sequence[str]) -> Report:
    """Compare with bare Starlette, then measure the delays."""
    options = argparse.ArgumentParser(prog="python -m bench api")
    options.add_argument("--seconds", type=float, default=0.3, help="length of one kind's turn in a round")
    options.add_argument("--rounds", type=int, default=30)
    options.add_argument("--poll-seconds", type=float, default=15.0, help="length of the polling at a steady rate")
    chosen = options.parse_args(argv)
    report = Report("api", ("load", "requests/s", "requests per CPU second", "against bare"))
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(_measure(report, Path(folder), chosen.seconds, chosen.rounds, chosen.poll_seconds))
    return report


async def _measure(report: Report, state: Path, seconds: float, rounds: int, poll_seconds: float) -> None:
    headers = [f"Authorization: Bearer {token(user)}" for user in range(USERS)]
    if rounds:
        await _compare(report, state, headers, seconds, rounds)
    if poll_seconds:
        await _delay(report, state, headers, poll_seconds)


async def _compare(report: Report, state: Path, headers: Sequence[str], seconds: float, rounds: int) -> None:
    with server("ours", state) as ours:
        document = await _get(ours, headers[0])
        (state / "body").write_bytes(document.content)
        with server("bare", state) as bare:
            new = [f"Authorization: Bearer {token(number % USERS)}" for number in range(NEW_TOKENS)]
            same = [f"{headers[0]}\r\nIf-None-Match: {document.headers['etag']}"]
            base = Kind("bare Starlette", bare, polls(headers))
            kinds = {
                "vs_bare_200_warm": Kind("200, token known", ours, polls(headers)),
                "vs_bare_304_warm": Kind("304, token known", ours, polls(same), b"304"),
                "vs_bare_new_token": Kind("200, every token new", ours, polls(new)),
            }
            found = await _take_turns([base, *kinds.values()], seconds, rounds)
    for kind in (base, *kinds.values()):
        clock, processor = (
            statistics.median(rates) for rates in zip(*((r.clock, r.processor) for r in found[kind.name]), strict=True)
        )
        report.row(kind.name, round(clock), round(processor), _ratio(found[kind.name], found[base.name]))
    report.row(f"body of {len(document.content)} bytes", "", "", "")
    wanted = {"vs_bare_200_warm": 1.0, "vs_bare_304_warm": 1.4, "vs_bare_new_token": 0.45}
    for name, kind in kinds.items():
        report.target(name, _ratio(found[kind.name], found[base.name]), ">=", wanted[name])


async def _take_turns(kinds: Sequence[Kind], seconds: float, rounds: int) -> dict[str, list[Rate]]:
    found: dict[str, list[Rate]] = {kind.name: [] for kind in kinds}
    for kind in kinds:  # warm up
        await at_full_speed(kind, 0.3)
    for number in range(rounds):
        for kind in kinds if number % 2 else reversed(kinds):
            found[kind.name].append(await at_full_speed(kind, seconds))
    return found


def _ratio(rates: Sequence[Rate], base: Sequence[Rate]) -> float:
    return statistics.median(one.processor / other.processor for one, other in zip(rates, base, strict=True))


async def _delay(report: Report, state: Path, headers: Sequence[str], seconds: float) -> None:
    with server("posting", state) as posting:
        await at_a_steady_rate(posting, polls(headers), POLLS_PER_SECOND, 1.0)  # warm up
        alone = await at_a_steady_rate(posting, polls(headers), POLLS_PER_SECOND, seconds)
        crowded = await _crowded(posting, headers, seconds)
    for name, delays in (("", alone), (f", {STREAMS} streams, {SLOW_CLIENTS} slow clients", crowded.delays)):
        text = f"delay at {POLLS_PER_SECOND} polls/s while {POSTING} accounts post{name}"
        report.row(text, f"p50 {delays.p50:.2f} ms", f"p99 {delays.p99:.2f} ms", "")
    report.row("changes the streams were told of", crowded.events, "", "")
    report.row(f"of an upload of {UPLOAD_MB} MB were sent until it was refused", f"{crowded.uploaded:.0f} MB", "", "")
    report.target("p99_ms_500rps", alone.p99, "<=", 50.0)
    report.target("p99_ms_500rps_crowded", crowded.delays.p99, "<=", 50.0)
    report.target("crowd_megabytes", crowded.megabytes, "<=", MAX_CROWD_MB)
    report.target("streams_lost", crowded.lost, "<=", 0)


async def _crowded(posting: Server, headers: Sequence[str], seconds: float) -> _Crowded:
    before = posting.megabytes()
    async with crowd(posting, headers, STREAMS, SLOW_CLIENTS) as others:
        told = others.events
        async with asyncio.TaskGroup() as tasks:
            upload = tasks.create_task(upload_without_end(posting, headers[0], UPLOAD_MB))
            delays = await at_a_steady_rate(posting, polls(headers), POLLS_PER_SECOND, seconds)
        memory = posting.megabytes() - before
        return _Crowded(delays, others.events - told, others.lost, memory, upload.result())


async def _get(server: Server, header: str) -> httpx.Response:
    name, _, value = header.partition(": ")
    async with httpx.AsyncClient() as http:
        sent = {name: value, "Accept-Encoding": "identity"}
        return (await http.get(f"http://127.0.0.1:{server.port}{PATH}", headers=sent)).raise_for_status()
