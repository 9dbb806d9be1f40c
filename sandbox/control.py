"""The control channel: HTTP and JSON on loopback. docs/sandbox.md lists the calls."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sandbox.actions import ActionError, Actions
from sandbox.report import messages_after, report
from sandbox.rules import RuleError
from sandbox.state.centre import Centre, Unknown

MAX_WAIT = 60.0


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, because the process that runs the sandbox has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class Control:
    """Serves the control channel of one sandbox."""

    def __init__(self, centre: Centre, actions: Actions) -> None:
        self._centre = centre
        self._actions = actions
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self, host: str, port: int) -> None:
        """Listen, and set `url`. Raises OSError if the port cannot be used."""
        try:
            listener = socket.create_server((host, port))
        except OSError as error:
            said = f"the control channel cannot listen on {host}:{port}: {error.strerror}"
            raise OSError(error.errno, said) from error
        listener.setblocking(False)
        config = uvicorn.Config(
            self._application(), log_config=None, access_log=False, lifespan="off", ws="none", loop="none"
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise OSError("the control channel did not start")
            await asyncio.sleep(0.005)
        self.url = f"http://{host}:{listener.getsockname()[1]}"

    async def stop(self) -> None:
        """Stop listening. Open connections are closed without waiting for their clients."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        self._server.force_exit = True
        await self._serving

    def _application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/report", self._report),
                Route("/world", self._world),
                Route("/messages", self._messages),
                Route("/faults", self._faults),
                Route("/faults", self._add_fault, methods=["POST"]),
                Route("/faults", self._clear_faults, methods=["DELETE"]),
                Route("/faults/{id:int}", self._remove_fault, methods=["DELETE"]),
                Route("/accounts/{name}/ban", self._ban, methods=["POST"]),
                Route("/accounts/{name}/restore", self._restore, methods=["POST"]),
                Route("/accounts/{name}/code", self._code),
                Route("/kick", self._kick, methods=["POST"]),
                Route("/outage", self._outage, methods=["POST"]),
                Route("/drop", self._drop, methods=["POST"]),
                Route("/ban-wave", self._ban_wave, methods=["POST"]),
            ],
            exception_handlers={ActionError: _bad, RuleError: _bad, Unknown: _unknown},
        )

    async def _health(self, _request: Request) -> JSONResponse:
        return JSONResponse({"ok": True})

    async def _report(self, request: Request) -> JSONResponse:
        with_messages = request.query_params.get("messages", "1") != "0"
        return JSONResponse(report(self._centre, self._actions, messages=with_messages))

    async def _world(self, _request: Request) -> JSONResponse:
        return JSONResponse(self._centre.world.as_dict())

    async def _messages(self, request: Request) -> JSONResponse:
        after = max(0, int(_number(request, "after", 0)))
        limit = max(1, int(_number(request, "limit", 1000)))
        wait = min(MAX_WAIT, _number(request, "wait", 0))
        if wait > 0 and len(self._centre.log) <= after:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._centre.arrived.wait(), wait)
        return JSONResponse(messages_after(self._centre, after, limit))

    async def _faults(self, _request: Request) -> JSONResponse:
        return JSONResponse({"faults": [rule.as_dict() for rule in self._centre.rules.all()]})

    async def _add_fault(self, request: Request) -> JSONResponse:
        return JSONResponse(self._centre.rules.add(await _body(request)).as_dict(), status_code=201)

    async def _clear_faults(self, _request: Request) -> JSONResponse:
        return JSONResponse({"removed": self._centre.rules.remove()})

    async def _remove_fault(self, request: Request) -> JSONResponse:
        return JSONResponse({"removed": self._centre.rules.remove(request.path_params["id"])})

    async def _ban(self, request: Request) -> JSONResponse:
        body = await _body(request)
        account = self._actions.set_state(request.path_params["name"], str(body.get("kind", "ban")))
        return JSONResponse({"account": {"name": account.name, **self._actions.state_of(account)}})

    async def _restore(self, request: Request) -> JSONResponse:
        account = self._actions.restore(request.path_params["name"])
        return JSONResponse({"account": {"name": account.name, **self._actions.state_of(account)}})

    async def _kick(self, request: Request) -> JSONResponse:
        names = (await _body(request)).get("accounts")
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ActionError("accounts: must be a list of names; leave it out to mean every account")
        return JSONResponse({"kicked": self._actions.kick(names)})

    async def _outage(self, request: Request) -> JSONResponse:
        self._actions.outage(_figure(await _body(request), "seconds"))
        return JSONResponse({"ok": True})

    async def _drop(self, request: Request) -> JSONResponse:
        self._actions.drop(_figure(await _body(request), "seconds"))
        return JSONResponse({"ok": True})

    async def _ban_wave(self, request: Request) -> JSONResponse:
        return JSONResponse({"banned": self._actions.ban_wave(int(_figure(await _body(request), "count")))})

    async def _code(self, request: Request) -> JSONResponse:
        account = self._centre.account(request.path_params["name"])
        codes = [code.code for code in self._centre.keys.codes.values() if code.account is account]
        return JSONResponse({"code": codes[-1] if codes else None})


async def _body(request: Request) -> dict[str, Any]:
    if not await request.body():
        return {}
    try:
        body = await request.json()
    except ValueError as error:
        raise ActionError("the body is not valid JSON") from error
    if not isinstance(body, dict):
        raise ActionError("the body must be a JSON object")
    return body


def _figure(body: dict[str, Any], name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ActionError(f"{name}: must be a number")
    return value


def _number(request: Request, name: str, default: float) -> float:
    try:
        return float(request.query_params.get(name, default))
    except ValueError as error:
        raise ActionError(f"{name}: must be a number") from error


async def _bad(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=400)


async def _unknown(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=404)
