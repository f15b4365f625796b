"""The task every generated flow calls services with."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from prefect import task
from prefect.cache_policies import CachePolicy
from prefect.context import FlowRunContext, TaskRunContext
from prefect.utilities.asyncutils import (  # type: ignore[attr-defined]  # one is not among its exports
    in_run_sync_loop,
    run_coro_as_sync,
)

from prefect_autopilot.adapters.rates import LONGEST_REFUSAL_S
from prefect_autopilot.errors import ServiceError, UsageError
from prefect_autopilot.models.names import SIMULATE
from prefect_autopilot.tasks.connections import CLIENTS

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.futures import PrefectFuture
    from prefect.tasks import Task

    from prefect_autopilot.adapters.clients import Client


RETRY_DELAYS_S = (2.0, 10.0)
_REPEATABLE = ("safe", "idempotent")
_OVER_HTTP = ("http", "any_http")
_ATTEMPTS_KEPT = 32


class ServiceTask(Protocol):
    """How a flow sees ``call_service``; as a task of ``Any`` mypy would ask for an await."""

    def __call__(self, connection: str, operation: str, /, **parameters: Any) -> Any:
        """Call the operation and return its answer."""

    def with_options(self, *, name: str, **options: Any) -> ServiceTask:
        """Return the same task under another name."""

    def submit(self, connection: str, operation: str, /, **parameters: Any) -> PrefectFuture[Any]:
        """Start the call and return its future."""


@dataclass
class _Attempt:
    """One execution of a flow: which of its service calls were numbered, and how."""

    context: FlowRunContext
    seen: Counter[str]
    keys: dict[UUID, str]


class _Calls:
    """Numbers equal calls within one execution of a flow."""

    def __init__(self) -> None:
        self._attempts: OrderedDict[int, _Attempt] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, context: FlowRunContext, task_run: TaskRun, digest: str) -> str:
        with self._lock:
            attempt = self._attempts.get(id(context))
            if attempt is None or attempt.context is not context:
                attempt = self._attempts[id(context)] = _Attempt(context, Counter(), {})
                while len(self._attempts) > _ATTEMPTS_KEPT:
                    self._attempts.popitem(last=False)
            if task_run.id not in attempt.keys:
                attempt.seen[digest] += 1
                attempt.keys[task_run.id] = f"{digest}-{attempt.seen[digest]}"
            return attempt.keys[task_run.id]


_calls = _Calls()


def call_key(task_run: TaskRun, inputs: Mapping[str, Any]) -> str:
    """Return what identifies a service call across the attempts of one flow run.

    The same call made twice by a flow gets two keys; a later attempt of the same run gets the same
    two again, in whichever order equal calls are made. Another run gets others.
    """
    told = json.dumps(inputs, sort_keys=True, default=repr)
    digest = hashlib.sha256(told.encode()).hexdigest()[:32]
    context = FlowRunContext.get()
    if context is None or task_run.flow_run_id is None:
        return f"{task_run.id}-{digest}"
    if context.detached:  # another process cannot count with us: never share a key
        return f"{task_run.flow_run_id}-{digest}-{task_run.dynamic_key}-{task_run.id}"
    return f"{task_run.flow_run_id}-{_calls.key(context, task_run, digest)}"


@dataclass
class OncePerRun(CachePolicy):
    """A completed call is not made again by a later attempt of its run, and only then.

    Prefect's own policies cannot say that: inputs and run id alone also swallow the second of two
    equal calls, and two messages a flow means to send would arrive as one.
    """

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],  # noqa: ARG002  part of Prefect's interface
        **kwargs: Any,  # noqa: ARG002  part of Prefect's interface
    ) -> str | None:
        """Return the key of this call."""
        return call_key(task_ctx.task_run, inputs)


def is_worth_retrying(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001  Prefect's interface
    """Tell whether the same call may be made again and could succeed soon.

    Unsafe calls are never repeated here, whatever the error: their effect may have happened. Only where
    the service knows the repetition by the key of the call, it does it once however often it is asked. A wait
    the service asks for is kept; one of more than a minute is left to a remedy, which can wait that long.
    """
    error = state.data
    if not isinstance(error, ServiceError) or error.permanent:
        return False
    if error.effect not in _REPEATABLE and not error.keyed:
        return False
    # The gate of the connection holds the repetition back until then, where our own delay is shorter.
    return (error.retry_after_s or 0.0) <= LONGEST_REFUSAL_S


@task(
    name="call service",
    persist_result=True,
    result_serializer="json",
    cache_policy=OncePerRun(),
    retries=len(RETRY_DELAYS_S),
    retry_delay_seconds=list(RETRY_DELAYS_S),
    retry_condition_fn=is_worth_retrying,
)
def call_service(connection: str, operation: str, /, **parameters: Any) -> Any:
    """Call an operation of a service through a stored connection and return its answer.

    Three keywords are not the service's: ``save_to``, a path, lets the answer of a call that only reads be
    written to that file; ``all_pages=True`` answers the rows of every page of a list, or fails where they
    cannot all be had; ``page_at`` answers one page with where the next one is.
    Raises UsageError for parameters the operation does not take, ServiceError when the call fails.
    """
    context = TaskRunContext.get()
    inputs = {"connection": connection, "operation": operation, "parameters": parameters}
    key = call_key(context.task_run, inputs) if context else None
    run = context.task_run.flow_run_id if context else None
    return run_coro_as_sync(_call(connection, operation, parameters, key, run))


async def _call(
    connection: str, operation: str, parameters: dict[str, Any], key: str | None, run: UUID | None
) -> Any:
    given = dict(parameters)
    options: dict[str, Any] = {"idempotency_key": key}
    if (target := given.pop("save_to", None)) is not None:
        options["save_to"] = target
    if (page_at := given.pop("page_at", None)) is not None:
        options["page_at"] = page_at
    if given.pop("all_pages", False):
        options["all_pages"] = True
    async with _ready(connection, run) as client:
        if target is not None and client.service.protocol not in _OVER_HTTP:
            msg = f"{client.service.name} answers with rows; save them to a file in the flow."
            raise UsageError(msg)
        return await client.call(operation, given, **options)


@asynccontextmanager
async def _ready(connection: str, run: UUID | None) -> AsyncIterator[Client]:
    """Yield a client; within a run it is the one of the call before, its connection still open."""
    if run is None or not in_run_sync_loop():  # another loop ends with this call, and nothing outlives it
        async with await _client(connection) as client:
            yield client
        return
    key = (run, connection, os.environ.get(SIMULATE))
    async with CLIENTS.use(key, lambda: _client(connection)) as client:
        yield client


async def _client(connection: str) -> Client:
    simulator = os.environ.get(SIMULATE)
    if simulator:
        return _simulated(connection, simulator)
    from prefect_autopilot.blocks.connection import load_connection

    return (await load_connection(connection)).client(connection=connection)


def _simulated(connection: str, simulator: str) -> Client:
    # Databases and mail servers have a stand-in that speaks HTTP, like every other service.
    from pydantic import SecretStr

    from prefect_autopilot.adapters.catalogue import user_catalogue
    from prefect_autopilot.adapters.rates import RateGate
    from prefect_autopilot.adapters.services import ServiceClient
    from prefect_autopilot.services import service_of_connection, simulated_credentials

    service = service_of_connection(connection, user_catalogue())
    credentials = {name: SecretStr(value) for name, value in simulated_credentials(service).items()}
    base_url = f"{simulator.rstrip('/')}/{service.id}"
    # The stand-in may be called as fast as a preview can: the vendor's rate protects the vendor.
    return ServiceClient(
        service,
        credentials,
        base_url=base_url,
        connection=connection,
        allow_private_network=True,
        gate=RateGate(None),
    )
