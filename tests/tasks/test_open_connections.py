"""Clients that stay open between the calls of a run: opened once, closed for certain, never with old keys."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from prefect import flow

from prefect_autopilot.adapters.simulator import Simulator, serve_simulator
from prefect_autopilot.errors import ConfigurationError, ServiceError, UsageError
from prefect_autopilot.services import load_catalogue
from prefect_autopilot.tasks import call_service
from prefect_autopilot.tasks import services as task_module
from prefect_autopilot.tasks.connections import CLIENTS, OpenClients


class Counted:
    """A client that knows how often it was opened and closed."""

    service = load_catalogue().get("asana")

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.gone = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.opened += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed += 1
        self.gone.set()

    async def call(self, *_: Any, **__: Any) -> Any:
        return None


class Maker:
    def __init__(self) -> None:
        self.made: list[Counted] = []

    async def __call__(self) -> Counted:
        await asyncio.sleep(0)
        self.made.append(Counted())
        return self.made[-1]


def refusal(status: int) -> ServiceError:
    return ServiceError(
        "refused", service="asana", operation="x", effect="safe", permanent=True, status=status
    )


def test_one_client_serves_the_calls_of_a_key_and_is_closed_when_idle() -> None:
    clients, make = OpenClients(idle_s=0.01), Maker()

    async def run() -> None:
        for _ in range(3):
            async with clients.use("a", make):
                pass
        assert (len(make.made), make.made[0].closed, clients.count()) == (1, 0, 1)
        await make.made[0].gone.wait()
        assert clients.count() == 0

    asyncio.run(run())
    assert (make.made[0].opened, make.made[0].closed) == (1, 1)


def test_calls_at_once_share_one_client_and_other_keys_have_their_own() -> None:
    clients, make = OpenClients(), Maker()

    async def use(key: str) -> int:
        async with clients.use(key, make) as client:
            await asyncio.sleep(0)
            return id(client)

    async def run() -> None:
        same = await asyncio.gather(*(use("a") for _ in range(5)))
        assert len({*same, await use("b")}) == 2
        await clients.close()

    asyncio.run(run())
    assert [client.closed for client in make.made] == [1, 1]
    assert clients.count() == 0


@pytest.mark.parametrize(("status", "made"), [(401, 2), (403, 2), (404, 1), (503, 1)])
def test_refused_credentials_are_read_anew_by_the_next_call(status: int, made: int) -> None:
    clients, make = OpenClients(), Maker()

    async def run() -> None:
        with pytest.raises(ServiceError):
            async with clients.use("a", make):
                raise refusal(status)
        async with clients.use("a", make):
            pass
        await clients.close()

    asyncio.run(run())
    assert len(make.made) == made
    assert all(client.closed == 1 for client in make.made)


def test_a_client_that_cannot_be_made_is_not_kept() -> None:
    clients = OpenClients()

    async def fails() -> Counted:
        raise ConfigurationError("incomplete")

    async def run() -> None:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="incomplete"):
                async with clients.use("a", fails):
                    pass
        assert clients.count() == 0

    asyncio.run(run())


def test_a_cancelled_call_takes_the_client_from_nobody() -> None:
    clients, make = OpenClients(), Maker()

    async def use(seconds: float) -> None:
        async with clients.use("a", make):
            await asyncio.sleep(seconds)

    async def run() -> None:
        one, other = asyncio.create_task(use(60)), asyncio.create_task(use(0.02))
        await asyncio.sleep(0.005)
        one.cancel()
        await other
        assert make.made[0].closed == 0
        await clients.close()

    asyncio.run(run())
    assert (len(make.made), make.made[0].closed) == (1, 1)


def test_every_event_loop_has_its_own_clients() -> None:
    clients, make = OpenClients(), Maker()

    async def use() -> None:
        async with clients.use("a", make):
            pass
        await clients.close()

    asyncio.run(use())
    asyncio.run(use())
    assert [client.closed for client in make.made] == [1, 1]


def test_the_end_of_the_process_does_not_wait_for_loops_that_ended() -> None:
    clients = OpenClients()

    async def use() -> None:
        async with clients.use("a", Maker()):
            pass

    asyncio.run(use())
    clients.close_all()


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, prefect_harness: None) -> Iterator[Simulator]:
    simulated = Simulator()
    with serve_simulator(simulated) as url:
        monkeypatch.setenv("PREFECT_AUTOPILOT_SIMULATE", url)
        monkeypatch.setattr(task_module.call_service, "retry_delay_seconds", [0.0, 0.0])
        yield simulated


def test_the_calls_of_a_run_make_one_client(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    simulated = task_module._simulated

    def counting(connection: str, address: str) -> Any:
        made.append(connection)
        return simulated(connection, address)

    monkeypatch.setattr(task_module, "_simulated", counting)

    @flow
    def several() -> None:
        for n in range(3):
            call_service("asana-default", "create_task", name=f"T{n}")

    several()
    assert len(simulator.calls) == 3
    assert made == ["asana-default"]
    several()
    assert made == ["asana-default"] * 2, "another run reads its connection anew"
    CLIENTS.close_all()
    assert CLIENTS.count() == 0


def test_an_answer_is_saved_to_a_file_from_a_flow(simulator: Simulator, tmp_path: Path) -> None:
    @flow
    def save() -> Any:
        return call_service("asana-default", "list_tasks", save_to=tmp_path / "tasks.json")

    told = save()
    assert told["bytes"] == (tmp_path / "tasks.json").stat().st_size > 0
    assert told["content_type"] == "application/json"


@pytest.mark.parametrize("connection", ["asana-default"])
def test_what_changes_something_is_not_saved_to_a_file(
    simulator: Simulator, tmp_path: Path, connection: str
) -> None:
    @flow
    def save() -> Any:
        return call_service(connection, "create_task", name="T", save_to=str(tmp_path / "x"))

    with pytest.raises(UsageError, match="only what is read"):
        save()
    assert (simulator.calls, list(tmp_path.iterdir())) == ([], [])


def test_no_parameter_of_the_catalogue_is_called_like_the_target() -> None:
    names = {
        parameter.name
        for service in load_catalogue().services
        for operation in service.operations
        for parameter in operation.parameters
    }
    assert "save_to" not in names
