"""The task of generated flows: which calls are made, once, twice or never again."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.flow_engine import run_flow_sync
from prefect.states import AwaitingRetry, Failed

from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.errors import ServiceError, UnknownNameError, UsageError
from prefect_autopilot.models import Service
from prefect_autopilot.services import load_catalogue
from prefect_autopilot.tasks import call_service
from prefect_autopilot.tasks import services as task_module

TASK = {"name": "Call the supplier", "notes": "before noon"}


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, prefect_harness: None) -> Iterator[Simulator]:
    simulated = Simulator()
    with serve_simulator(simulated) as url:
        monkeypatch.setenv("PREFECT_AUTOPILOT_SIMULATE", url)
        monkeypatch.setattr(task_module.call_service, "retry_delay_seconds", [0.0, 0.0])
        yield simulated


def operations(simulator: Simulator) -> list[str | None]:
    return [call.operation for call in simulator.calls]


def test_a_flow_calls_a_simulated_service_without_a_stored_connection(simulator: Simulator) -> None:
    @flow
    def create() -> object:
        return call_service("asana-default", "create_task", **TASK)

    answer = create()

    assert answer["data"]["name"] == TASK["name"]
    assert [call.parameters for call in simulator.calls] == [TASK]


def test_a_call_can_be_given_a_readable_name(simulator: Simulator) -> None:
    @flow
    def create() -> object:
        return call_service.with_options(name="Create Asana task")("asana-default", "create_task", **TASK)

    create()

    assert operations(simulator) == ["create_task"]


def test_two_equal_unsafe_calls_of_one_run_are_both_made(simulator: Simulator) -> None:
    @flow
    def notify_twice() -> None:
        for _ in range(2):
            call_service("slack-default", "post_message", channel="#alerts", text="Same words")

    notify_twice()

    assert operations(simulator) == ["post_message", "post_message"]


def test_equal_calls_submitted_at_once_are_all_made(simulator: Simulator) -> None:
    @flow
    def notify_at_once() -> None:
        sent = [
            call_service.submit("slack-default", "post_message", channel="#a", text="Same") for _ in range(3)
        ]
        for one in sent:
            one.result()

    notify_at_once()

    assert operations(simulator) == ["post_message"] * 3


def test_a_later_attempt_in_the_same_process_repeats_no_completed_call(simulator: Simulator) -> None:
    attempts: list[int] = []

    @flow(retries=1, retry_delay_seconds=0)
    def resume() -> None:
        attempts.append(len(attempts))
        for _ in range(2):
            call_service("asana-default", "create_task", **TASK)
        if len(attempts) == 1:
            msg = "the process stumbles after two tasks"
            raise RuntimeError(msg)
        call_service("slack-default", "post_message", channel="#alerts", text="Done")

    resume()

    assert len(attempts) == 2
    assert operations(simulator) == ["create_task", "create_task", "post_message"]


def test_a_run_retried_by_the_server_repeats_no_completed_call(simulator: Simulator) -> None:
    @flow
    def two_steps() -> None:
        call_service("asana-default", "create_task", **TASK)
        call_service("slack-default", "post_message", channel="#alerts", text="Created")

    simulator.fail("slack", times=1)
    with pytest.raises(ServiceError):
        two_steps()
    with get_client(sync_client=True) as client:
        run = latest_run(client, "two-steps")
        client.set_flow_run_state(run.id, AwaitingRetry())
        run_flow_sync(two_steps, flow_run=client.read_flow_run(run.id))
        state = client.read_flow_run(run.id).state

    assert state is not None
    assert state.is_completed()
    assert operations(simulator) == ["create_task", "post_message", "post_message"]
    assert [call.status for call in simulator.calls] == [201, 503, 200]


def latest_run(client: SyncPrefectClient, name: str):  # noqa: ANN201  prefect's own type
    from prefect.client.schemas.filters import FlowFilter
    from prefect.client.schemas.sorting import FlowRunSort

    found = client.read_flow_runs(
        flow_filter=FlowFilter.model_validate({"name": {"any_": [name]}}),
        sort=FlowRunSort.START_TIME_DESC,
        limit=1,
    )
    return found[0]


def test_another_run_makes_every_call_again(simulator: Simulator) -> None:
    @flow
    def create() -> None:
        call_service("asana-default", "create_task", **TASK)

    create()
    create()

    assert operations(simulator) == ["create_task", "create_task"]


@pytest.mark.parametrize(
    ("connection", "operation", "parameters", "fault", "calls"),
    [
        pytest.param("asana-default", "list_projects", {}, {"status": 503, "times": 1}, 2, id="safe, outage"),
        pytest.param("asana-default", "list_projects", {}, {"status": 503}, 3, id="safe, lasting outage"),
        pytest.param("asana-default", "list_projects", {}, {"status": 404}, 1, id="safe, permanent"),
        pytest.param(
            "asana-default",
            "list_projects",
            {},
            {"status": 429, "retry_after": 600},
            1,
            id="safe, long wait asked",
        ),
        pytest.param(
            "asana-default",
            "update_task",
            {"task_gid": "1200000000000101", "completed": True},
            {"status": 502, "times": 1},
            2,
            id="idempotent, outage",
        ),
        pytest.param(
            "asana-default", "create_task", TASK, {"status": 503, "times": 1}, 1, id="unsafe, outage"
        ),
        pytest.param(
            "stripe-default",
            "create_customer",
            {"name": "Ada"},
            {"status": 503, "times": 1},
            2,
            id="unsafe with a key in a header, outage",
        ),
        pytest.param(
            "square-default",
            "create_customer",
            {"given_name": "Ada"},
            {"status": 503, "times": 1},
            2,
            id="unsafe with a key among the parameters, outage",
        ),
        pytest.param(
            "stripe-default",
            "create_customer",
            {"name": "Ada"},
            {"status": 400},
            1,
            id="unsafe with a key, permanent",
        ),
        pytest.param(
            "slack-default",
            "post_message",
            {"channel": "#a", "text": "x"},
            {"status": 429, "retry_after": 0},
            1,
            id="unsafe, rate limit",
        ),
    ],
)
def test_only_repeatable_calls_are_repeated_within_the_task(
    simulator: Simulator,
    connection: str,
    operation: str,
    parameters: dict[str, object],
    fault: dict,
    calls: int,
) -> None:
    @flow
    def once() -> object:
        return call_service(connection, operation, **parameters, return_state=True)

    simulator.fail(connection.partition("-")[0], operation, **fault)
    state = once(return_state=True)

    assert operations(simulator) == [operation] * calls
    assert state.is_completed() is (fault.get("times") == 1 and calls == 2)


def test_the_state_of_a_failed_call_tells_what_diagnosis_needs(simulator: Simulator) -> None:
    @flow
    def fails() -> object:
        return call_service("asana-default", "create_task", **TASK, return_state=True)

    simulator.expire("asana")
    state = fails(return_state=True)

    told = str(state.message) + str(state.data)
    for fact in (
        "service=asana",
        "operation=create_task",
        "connection=asana-default",
        "effect=unsafe",
        "status=401",
    ):
        assert fact in told
    assert "simulated-asana-access_token" not in told


def test_a_wrong_parameter_is_refused_before_anything_is_sent(simulator: Simulator) -> None:
    @flow
    def wrong() -> object:
        return call_service("asana-default", "create_task", nmae="T")

    with pytest.raises(UnknownNameError, match=r"'nmae'.*name"):
        wrong()
    assert simulator.calls == []


def test_an_unknown_connection_names_the_nearest_service(simulator: Simulator) -> None:
    with pytest.raises(UnknownNameError, match="asana"):
        call_service.fn("asanna-default", "create_task", name="T")


def test_without_a_simulator_the_stored_connection_is_used(
    monkeypatch: pytest.MonkeyPatch, prefect_harness: None
) -> None:
    from prefect_autopilot.blocks import ServiceConnection

    monkeypatch.delenv("PREFECT_AUTOPILOT_SIMULATE", raising=False)
    simulated = Simulator()
    simulated.allow("asana", {"token": "own-token-of-a-person"})
    with serve_simulator(simulated) as url:
        block = ServiceConnection(
            service="asana",
            base_url=f"{url}/asana",
            credentials={"token": "own-token-of-a-person"},
            allow_private_network=True,
        )
        block.save("asana-stored", overwrite=True)

        @flow
        def create() -> object:
            return call_service("asana-stored", "create_task", name="T")

        create()

    assert [call.status for call in simulated.calls] == [201]


# Prefect 3.8.8 leaves its own API connection open when a synchronous task, even an empty one, runs in an
# async flow; measured: the socket's other end is the Prefect server, not the simulator.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*socket:pytest.PytestUnraisableExceptionWarning")
def test_an_async_flow_may_call_a_service_too(simulator: Simulator) -> None:
    @flow
    async def create() -> object:
        return call_service("asana-default", "create_task", **TASK)

    asyncio.run(create())
    gc.collect()

    assert operations(simulator) == ["create_task"]


@pytest.mark.parametrize("reserved", ["wait_for", "return_state"])
def test_no_parameter_of_the_catalogue_collides_with_prefects_own_arguments(reserved: str) -> None:
    def names(service: Service) -> set[str]:
        return {parameter.name for operation in service.operations for parameter in operation.parameters}

    assert [service.id for service in load_catalogue().services if reserved in names(service)] == []


def test_a_state_without_a_service_error_is_not_repeated() -> None:
    class Run:
        run_count = 1

    failed = Failed(data=UsageError("wrong words"))
    assert not task_module.is_worth_retrying(call_service, Run(), failed)
    lost = httpx.ConnectError("gone")
    assert not task_module.is_worth_retrying(call_service, Run(), Failed(data=lost))


@pytest.mark.parametrize(
    ("effect", "facts", "worth"),
    [
        ("safe", {}, True),
        ("idempotent", {}, True),
        ("unsafe", {}, False),
        ("unsafe", {"keyed": True}, True),
        ("unsafe", {"keyed": True, "permanent": True}, False),
        ("unsafe", {"keyed": True, "retry_after_s": 600.0}, False),
        ("unsafe", {"keyed": True, "retry_after_s": 1.0}, True),
        ("safe", {"permanent": True}, False),
    ],
)
def test_what_is_repeated_is_decided_by_effect_key_and_wait(
    effect: str, facts: dict[str, Any], *, worth: bool
) -> None:
    class Run:
        run_count = 1

    told = {"permanent": False, "service": "stripe", "operation": "create_customer", **facts}
    failed = Failed(data=ServiceError("failed", effect=effect, **told))
    assert task_module.is_worth_retrying(call_service, Run(), failed) is worth


def test_a_stand_in_is_called_as_fast_as_a_preview_can() -> None:
    assert load_catalogue().get("slack").rate_limit_per_s
    client: Any = task_module._simulated("slack-default", "http://127.0.0.1:9")
    assert client._gate.per_s is None
