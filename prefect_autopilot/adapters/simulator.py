"""The catalogue's services on this machine: checks requests, keeps state, records calls, fails when told to.

One application serves all of them: ``http://host/<service>`` is the base URL of a service. Run it in this
process through ``httpx.ASGITransport``, or on a socket::

    python -m prefect_autopilot.adapters.simulator --port 8099 --control
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from prefect_autopilot.adapters.clients import check_call
from prefect_autopilot.adapters.services import utc_now
from prefect_autopilot.adapters.simulated_guard import Accepted, Limit, proof_names, without_proof
from prefect_autopilot.adapters.simulated_request import Asked, is_awaited, matching, read_request
from prefect_autopilot.adapters.simulated_service import Reply, SimulatedService
from prefect_autopilot.errors import AutopilotError, UnknownNameError, UsageError
from prefect_autopilot.models import JSONDict, Operation, ServiceCall
from prefect_autopilot.services import (
    Catalogue,
    check_parameters,
    find_operation,
    load_catalogue,
    simulated_credentials,
)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_GARBAGE = "<html><body>\x1b[31mupstream connect error</body>"
_HUNG_UP = 499  # nobody reads it: the caller is gone


@dataclass
class Fault:
    """A failure that a simulated service shows until it is used up, over or healed."""

    service: str
    operation: str | None = None
    status: int | None = 503
    retry_after: float | None = None
    times: int | None = None
    until: datetime | None = None
    slow_s: float = 0.0
    garbage: bool = False

    def hits(self, service: str, operation: str | None, now: datetime) -> bool:
        """Tell whether a call meets this fault."""
        if self.service not in (service, "*") or (self.operation not in (None, operation)):
            return False
        return (self.times is None or self.times > 0) and (self.until is None or now < self.until)


class Simulator:
    """An ASGI application that behaves like the catalogue's services."""

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        *,
        control: bool = False,
        page_size: int = 20,
        seeded: bool = True,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Simulate ``catalogue`` (the packaged one); ``control`` opens ``/_control`` to other processes."""
        self._catalogue = catalogue or load_catalogue()
        self._page_size = page_size
        self._seeded = seeded
        self._clock = clock
        self.reset()
        routes = [Route("/_control/{action}", self._control, methods=["GET", "POST"])] if control else []
        routes.append(Route("/{service}/{rest:path}", self._serve, methods=METHODS))
        self._app = Starlette(routes=routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        await self._app(scope, receive, send)

    def reset(self) -> None:
        """Forget calls, faults, tokens and everything that was created."""
        self.calls: list[ServiceCall] = []
        self._faults: list[Fault] = []
        self._twins: dict[str, SimulatedService] = {}
        self._accepted: dict[str, Accepted] = {}
        self._limits: dict[str, Limit] = {}
        self._answered: dict[tuple[str, str], tuple[str, Reply]] = {}

    def twin(self, service_id: str) -> SimulatedService:
        """Return what the simulator holds of a service; raises UnknownNameError."""
        if service_id not in self._twins:
            service = self._catalogue.get(service_id)
            self._twins[service_id] = SimulatedService(
                service, page_size=self._page_size, seeded=self._seeded
            )
            self._accepted[service_id] = Accepted(service, simulated_credentials(service))
        return self._twins[service_id]

    def fail(
        self,
        service: str,
        operation: str | None = None,
        *,
        status: int | None = 503,
        retry_after: float | None = None,
        times: int | None = None,
        until: datetime | None = None,
        slow_s: float = 0.0,
        garbage: bool = False,
    ) -> None:
        """Let a service (``*``: all) or one operation fail, be slow (``status`` None) or answer garbage."""
        if service != "*":
            held = self.twin(service).service
            if operation is not None:
                find_operation(held, operation)
        self._faults.append(Fault(service, operation, status, retry_after, times, until, slow_s, garbage))

    def heal(self, service: str | None = None) -> None:
        """End the faults of a service, or of all."""
        self._faults = [fault for fault in self._faults if service not in (None, fault.service)]

    def accepted(self, service: str) -> Accepted:
        """Return what the service accepts as proof of who calls; raises UnknownNameError."""
        self.twin(service)
        return self._accepted[service]

    def expire(self, service: str) -> None:
        """Let the service's access tokens and keys run out; what renews them stays good."""
        self.accepted(service).expire()

    def revoke(self, service: str) -> None:
        """Withdraw everything: calls get 401 and a renewal ``invalid_grant``."""
        self.accepted(service).revoke()

    def allow(self, service: str, credentials: Mapping[str, str]) -> None:
        """Accept these credentials as well."""
        self.accepted(service).allow(credentials)

    def rotate(self, service: str) -> None:
        """Give a new refresh token with every renewal; who uses an old one ends the connection."""
        self.accepted(service).rotating = True

    def limit(self, service: str, calls: int, window_s: float) -> None:
        """Let a service take ``calls`` in a window of seconds, tell so, and refuse the rest with 429."""
        self.twin(service)
        self._limits[service] = Limit(calls, window_s)

    def seed(self, service: str, resource: str, row: Mapping[str, Any]) -> JSONDict:
        """Add a row as if it had just come in (a new e-mail) and return it with its id."""
        return self.twin(service).add(resource, row)

    async def _serve(self, request: Request) -> Response:
        service_id = request.path_params["service"]
        if service_id not in self._catalogue:
            return JSONResponse({"error": "unknown_service", "message": f"No service {service_id!r}."}, 404)
        raw = request.scope.get("raw_path", request.url.path.encode()).decode("ascii").partition("?")[0]
        path = raw[len(service_id) + 1 :]
        twin = self.twin(service_id)
        if path == "/oauth/token" and request.method == "POST":
            return await self._renew(service_id, request)
        found = matching(twin.service, request.method, path)
        operation = _meant(found, request, await _sent(request))
        fault = self._meet(service_id, operation.id if operation else None)
        if fault is not None and fault.slow_s and not await is_awaited(request, fault.slow_s):
            return Response(status_code=_HUNG_UP)
        if fault is not None and fault.garbage:
            self._record(service_id, operation, request, path, Reply(200), {})
            return Response(_GARBAGE, 200, media_type="application/json")
        if fault is not None and fault.status is not None:
            wait = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            parameters: JSONDict = {}
            refusal = twin.refusal(fault.status, "simulated_fault", headers=wait)
            reply = Reply(fault.status, refusal.body, wait)
        else:
            values = next((held for one, held in found if one is operation), {})
            reply, parameters = await self._limited(twin, operation, values, request)
        self._record(service_id, operation, request, path, reply, parameters)
        return _response(reply)

    async def _limited(
        self, twin: SimulatedService, operation: Operation | None, path: Mapping[str, str], request: Request
    ) -> tuple[Reply, JSONDict]:
        limit = self._limits.get(twin.service.id)
        if limit is None:
            return await self._answer(twin, operation, path, request)
        over, headers = limit.count(self._clock())
        if over:
            return twin.refusal(429, "rate_limited", headers=headers), {}
        reply, parameters = await self._answer(twin, operation, path, request)
        return Reply(reply.status, reply.body, {**reply.headers, **headers}), parameters

    async def _answer(
        self, twin: SimulatedService, operation: Operation | None, path: Mapping[str, str], request: Request
    ) -> tuple[Reply, JSONDict]:
        service = twin.service
        body = await request.body()
        refusal = self._refused(twin, request, body)
        if refusal is not None:
            return refusal, {}
        if operation is None:
            return Reply(404, twin.refusal(404, "unknown_method").body), {}
        proof = proof_names(service)
        query = [(name, value) for name, value in request.query_params.multi_items() if name not in proof]
        mark = [(name, value) for name, value in query if name == "_page"]
        query = [pair for pair in query if pair not in mark]
        try:
            sent = without_proof(service, request, body)
            asked = read_request(operation, path, query, request.headers, sent)
            checked = check_parameters(service, operation, asked.parameters)
            check_call(service, operation, checked)
        except UsageError as error:
            return twin.refusal(400, "invalid_arguments", error.message), {}
        key = request.headers.get(service.idempotency_header or "", "") or str(
            checked.get(service.idempotency_field or "", "")
        )
        sent_before = json.dumps([operation.id, checked], sort_keys=True, default=str)
        if key and (service.id, key) in self._answered:
            before, answered = self._answered[service.id, key]
            if before != sent_before:
                told = "The idempotency key was used for another call."
                return twin.refusal(409, "idempotency_key_reused", told), checked
            return answered, checked
        reply = twin.answer(
            Asked(operation, asked.path, {**checked, **dict(mark)}, asked.body), str(request.url)
        )
        if key:
            self._answered[service.id, key] = sent_before, reply
        return reply, checked

    def _refused(self, twin: SimulatedService, request: Request, body: bytes) -> Reply | None:
        """Return the refusal of a request whose credentials are not accepted."""
        service = twin.service
        if self._accepted[service.id].admits(request, body):
            return None
        wait = {
            "WWW-Authenticate": 'Bearer error="invalid_token", error_description="The access token expired"'
        }
        code = "token_expired" if service.success_field else "invalid_token"
        return twin.refusal(401, code, "The access token is invalid or has expired.", wait)

    async def _renew(self, service_id: str, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", errors="replace")))
        status, told = self._accepted[service_id].renew(form, request.headers.get("authorization", ""))
        return JSONResponse(told, status)

    def _meet(self, service: str, operation: str | None) -> Fault | None:
        now = self._clock()
        for fault in self._faults:
            if fault.hits(service, operation, now):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def _record(
        self,
        service: str,
        operation: Operation | None,
        request: Request,
        path: str,
        reply: Reply,
        given: JSONDict,
    ) -> None:
        head = "" if reply.body is None else json.dumps(reply.body, ensure_ascii=False, default=str)[:300]
        self.calls.append(
            ServiceCall(
                service=service,
                operation=operation.id if operation else None,
                method=request.method,
                path=path,
                status=reply.status,
                parameters=dict(given),
                answer_head=head,
            )
        )

    async def _control(self, request: Request) -> Response:
        body = await request.body()
        try:
            given = json.loads(body) if body else {}
            told = self._command(request.path_params["action"], given)
        except (AutopilotError, TypeError, ValueError, KeyError, RecursionError) as error:
            return JSONResponse({"error": str(error)}, 422)
        return JSONResponse(told)

    def _command(self, action: str, given: dict[str, Any]) -> Any:
        """Do what another process asks for; the fields of ``given`` are the arguments of the method."""
        if action == "calls":
            wanted = given.get("service")
            return [call.model_dump() for call in self.calls if wanted in (None, call.service)]
        if action == "fail":
            if "for_s" in given:
                given["until"] = self._clock() + timedelta(seconds=float(given.pop("for_s")))
            self.fail(**given)
        elif action in ("heal", "expire", "revoke", "reset", "allow", "seed", "rotate", "limit"):
            made = getattr(self, action)(**given)
            return made if made is not None else {"ok": True}
        elif action != "health":
            raise UnknownNameError("control action", action)
        return {"ok": True}


async def _sent(request: Request) -> dict[str, Any]:
    """Return the fields of a JSON body or a form, none of any other."""
    kind = request.headers.get("content-type", "")
    if "urlencoded" in kind:
        return dict(parse_qsl((await request.body()).decode("utf-8", errors="replace")))
    if "json" not in kind:
        return {}
    try:
        sent = json.loads(await request.body())
    except (ValueError, RecursionError):
        return {}
    return sent if isinstance(sent, dict) else {}


def _meant(
    found: list[tuple[Operation, dict[str, str]]], request: Request, sent: Mapping[str, Any]
) -> Operation | None:
    """Choose among operations of one address by the values that tell them apart (AWS's ``Action``).

    Where nothing does, it is the one that knows all of the query and has the fewest parameters besides.
    """
    given = {**sent, **request.headers, **request.query_params}
    fitting = []
    for operation, _ in found:
        fixed = [p for p in operation.parameters if p.default is not None and p.choices == (str(p.default),)]
        if all(given.get(p.name, request.headers.get(p.name)) == str(p.default) for p in fixed):
            unknown = set(request.query_params) - {p.name for p in operation.parameters}
            fitting.append(((-len(fixed), len(unknown), len(operation.parameters)), operation))
    return min(fitting, key=itemgetter(0))[1] if fitting else None


def _response(reply: Reply) -> Response:
    if reply.body is None:
        return Response(status_code=reply.status, headers=reply.headers)
    return JSONResponse(reply.body, reply.status, headers=reply.headers)


@contextlib.contextmanager
def serve_simulator(
    simulator: Simulator | None = None, *, host: str = "127.0.0.1", port: int = 0, control: bool = False
) -> Iterator[str]:
    """Serve a simulator from a thread and yield its address; port 0 takes a free one."""
    import uvicorn

    application = simulator or Simulator(control=control)
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    server = uvicorn.Server(uvicorn.Config(application, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.01)
        yield f"http://{host}:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        bound.close()


def main(arguments: list[str] | None = None) -> None:
    """Serve the simulator until interrupted."""
    parser = argparse.ArgumentParser(prog="simulator", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control", action="store_true", help="open /_control to other processes")
    chosen = parser.parse_args(arguments)
    with serve_simulator(host=chosen.host, port=chosen.port, control=chosen.control) as url:
        sys.stdout.write(f"Simulated services at {url}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how a person ends it
            threading.Event().wait()


if __name__ == "__main__":
    main()
