"""The pieces the demonstration is made of: shop, mail, waiting, counting, samples."""

from __future__ import annotations

import asyncio
import io
import os
import time
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from prefect_autopilot.demo import shop as shop_module
from prefect_autopilot.demo.evidence import FLOWS, counted_flows, watch_for_errors
from prefect_autopilot.demo.faults import BUGGY, ERROR, ESCALATED, FAILING_LINE, RESOLVED, _heard, _once
from prefect_autopilot.demo.improve import FUNCTION, SAMPLE, faster, measured
from prefect_autopilot.demo.request import EVENT, POLLING, REQUEST, important_mail, made_so_far
from prefect_autopilot.demo.screen import Screen
from prefect_autopilot.demo.shop import ORDERS, running_shop
from prefect_autopilot.demo.world import SERVICES, World, own_settings_only, wait_for
from prefect_autopilot.effects import may_rerun
from prefect_autopilot.errors import PrefectError
from prefect_autopilot.journeys import automate, improve
from prefect_autopilot.models import (
    Proof,
    RequestContext,
    RunRecord,
    ServiceCall,
    SessionStep,
    StateRecord,
    Strategy,
)
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.services import load_catalogue
from prefect_autopilot.settings import PREFIX, load_settings
from prefect_autopilot.store import Store
from prefect_autopilot.watcher import Hint


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop_module, "LATENCY_S", 0.0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["orders", "customers", "products", "stock"])
def test_the_shop_lists_what_the_sample_flow_reads(name: str) -> None:
    with running_shop() as url:
        answer = httpx.get(f"{url}/{name}", timeout=20)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"items": [{"id": number} for number in range(1, ORDERS + 1)]}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("number", [1, ORDERS])
def test_the_shop_tells_one_order(number: int) -> None:
    with running_shop() as url:
        assert httpx.get(f"{url}/orders/{number}", timeout=20).json() == {"id": number, "amount": 10 * number}


@pytest.mark.usefixtures("quick")
def test_the_shop_closes_with_its_block_even_after_an_error() -> None:
    urls: list[str] = []

    def visit() -> None:
        with running_shop() as url:
            urls.append(url)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        visit()
    assert urls[0].startswith("http://127.0.0.1:")
    with pytest.raises(httpx.ConnectError):
        httpx.get(urls[0], timeout=20)


def test_the_shop_takes_its_time_but_serves_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop_module, "LATENCY_S", 0.2)

    async def read(http: httpx.AsyncClient, url: str) -> tuple[float, float]:
        begun = time.monotonic()
        await http.get(f"{url}/orders")
        return begun, time.monotonic()

    async def all_at_once(url: str) -> list[tuple[float, float]]:
        async with httpx.AsyncClient(timeout=20) as http:
            return await asyncio.gather(*(read(http, url) for _ in range(4)))

    with running_shop() as url:
        spans = asyncio.run(all_at_once(url))
    assert all(end - begun >= 0.2 for begun, end in spans)
    assert max(begun for begun, _ in spans) < min(end for _, end in spans), "all four were open at once"


async def test_waiting_ends_with_what_is_found() -> None:
    looks = iter([None, None, "there"])

    async def look() -> str | None:
        return next(looks)

    assert await wait_for(look, within_s=20, what="it is there") == "there"


@pytest.mark.parametrize("found", [0, "", False, ()], ids=repr)
async def test_a_find_that_is_false_is_a_find(found: Any) -> None:
    async def look() -> Any:
        return found

    assert await wait_for(look, within_s=0, what="it is there") == found


async def test_waiting_in_vain_says_for_what_and_how_long() -> None:
    async def look() -> None:
        return None

    with pytest.raises(PrefectError, match="Waited 0 s in vain until pigs fly") as caught:
        await wait_for(look, within_s=0, what="pigs fly")
    assert not caught.value.permanent


class Runs:
    """A run that goes through states, one at each look."""

    def __init__(self, *types: str) -> None:
        self.types = iter(types)

    async def run(self, run_id: str) -> RunRecord:
        type_ = next(self.types)
        state = StateRecord(id=type_, type=type_, name=type_.title(), timestamp=datetime.now(UTC))
        return RunRecord(id=run_id, state=state)


def world(**parts: Any) -> World:
    needed = dict.fromkeys(
        ("screen", "prefect", "settings", "simulator", "services_url", "api", "folder", "watcher")
    )
    quiet = Screen(console=Console(file=io.StringIO()))
    return World(**(needed | {"screen": quiet} | parts))


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"])
async def test_a_run_has_ended_when_its_state_says_so(end: str) -> None:
    run = await world(api=Runs("SCHEDULED", end)).ended("run-1")
    assert run.state.type == end


async def test_a_run_that_does_not_end_is_not_waited_for_for_ever() -> None:
    with pytest.raises(PrefectError, match="run run-1 has ended"):
        await world(api=Runs("RUNNING", "RUNNING")).ended("run-1", within_s=0)


def call(service: str, operation: str, status: int = 200) -> ServiceCall:
    return ServiceCall(service=service, operation=operation, method="POST", path="/", status=status)


@pytest.mark.parametrize(
    ("calls", "made"),
    [
        ([], (0, 0)),
        ([call("asana", "create_task", 201), call("slack", "post_message")], (1, 1)),
        ([call("asana", "create_task", 503), call("asana", "create_task", 201)], (1, 0)),
        ([call("asana", "create_task", 401), call("slack", "post_message", 429)], (0, 0)),
        ([call("slack", "create_task"), call("asana", "list_projects")], (0, 0)),
        ([call("slack", "post_message")] * 2, (0, 2)),
    ],
    ids=["nothing", "both", "refused once", "refused", "other calls", "twice"],
)
def test_only_what_a_service_really_did_is_counted(calls: list[ServiceCall], made: tuple[int, int]) -> None:
    class Simulated:
        pass

    simulated = Simulated()
    simulated.calls = calls  # type: ignore[attr-defined]
    assert made_so_far(world(simulator=simulated)) == made


def test_a_mail_is_important_unread_and_says_its_subject() -> None:
    mail = important_mail("Contract")
    assert {"IMPORTANT", "UNREAD"} <= set(mail["labelIds"])
    headers = {header["name"]: header["value"] for header in mail["payload"]["headers"]}
    assert headers["Subject"] == "Contract"
    assert important_mail("Contract")["threadId"] != mail["threadId"]


def test_the_request_needs_no_guess_and_uses_what_the_demonstration_simulates() -> None:
    analysis = automate.understand(REQUEST, RequestContext(connected_services=SERVICES))
    assert analysis.status == "flow"
    assert {match.service for match in analysis.services if match.role == "used"} == set(SERVICES)
    generated = automate.build(analysis)
    assert generated.deployment.event == EVENT
    assert POLLING.startswith("gmail")


@pytest.mark.parametrize("service", SERVICES)
def test_every_simulated_service_is_one_the_catalogue_can_drive(service: str) -> None:
    found = load_catalogue().get(service)
    assert found.operations
    assert found.verification is not None


async def test_the_demonstration_watches_the_buggy_flow_by_a_rule(tmp_path: Path) -> None:
    class Watched:
        pass

    watched = Watched()
    async with Store.open(f"sqlite:///{tmp_path / 'autopilot.db'}") as store:
        watched.desk = Watched()  # type: ignore[attr-defined]
        watched.desk.store = store  # type: ignore[attr-defined]
        await watch_for_errors(world(watcher=watched), "dep-1")
        (rule,) = await store.rules()
    assert (rule.workflow_id, rule.metric_name, rule.threshold) == ("dep-1", "error_rate", 0.5)
    assert rule.is_active


def sample(name: str) -> str:
    return (resources.files("prefect_autopilot.demo.samples") / name).read_text(encoding="utf-8")


def test_the_bug_is_a_genuine_one_on_the_day_the_demonstration_chooses() -> None:
    from prefect_autopilot.demo.samples.order_averages import average, read_orders

    with pytest.raises(ZeroDivisionError):
        average.fn(read_orders.fn("sunday"))
    assert average.fn(read_orders.fn("monday")) == pytest.approx(100.25)


def test_the_buggy_flow_is_left_alone_for_its_bug_and_not_because_it_may_not_be_repeated() -> None:
    assert may_rerun(sample(BUGGY), "order_averages").level == "safe"


def test_the_sequential_sample_can_be_made_faster(tmp_path: Path) -> None:
    path = tmp_path / SAMPLE
    path.write_text(sample(SAMPLE), encoding="utf-8")
    plan = improve.plan(path, Strategy.PERFORMANCE)
    assert plan.changed
    assert f"def {FUNCTION}(" in plan.source
    assert path.read_text(encoding="utf-8") == sample(SAMPLE)


def test_what_the_evidence_must_quote_stands_in_the_buggy_flow() -> None:
    assert sample(BUGGY).count(FAILING_LINE) == 1
    assert ZeroDivisionError.__name__ == ERROR


def test_a_resolved_session_has_five_steps_and_an_escalated_one_nothing_to_verify() -> None:
    assert len(RESOLVED) == 5
    assert {SessionStep.VERIFICATION} == RESOLVED - ESCALATED


@pytest.mark.parametrize(
    ("before", "after", "passed"),
    [((1, 1), (2, 2), True), ((1, 1), (3, 2), False), ((1, 1), (2, 3), False), ((1, 1), (1, 1), False)],
    ids=["once", "two tasks", "two messages", "nothing"],
)
def test_done_once_means_exactly_one_of_each(
    before: tuple[int, int], after: tuple[int, int], *, passed: bool
) -> None:
    stage = world()
    _once(stage, "the outage", before, after)
    assert stage.screen.passed is passed


def failed_run(number: int) -> RunRecord:
    state = StateRecord(id=f"s{number}", type="FAILED", name="Failed", timestamp=datetime.now(UTC))
    return RunRecord(id=f"run-{number}", state=state)


@pytest.mark.parametrize(("heard", "passed"), [((1, 2, 3), True), ((1, 3), False), ((), False)])
def test_every_failure_must_have_been_told_by_an_event(heard: tuple[int, ...], *, passed: bool) -> None:
    class Listening:
        hint = Hint()

    for number in heard:
        Listening.hint.tell(f"prefect.flow-run.run-{number}")
    stage = world(watcher=Listening())
    _heard(stage, tuple(failed_run(number) for number in (1, 2, 3)))
    assert stage.screen.passed is passed
    assert stage.screen.checks[0].observed.startswith(f"{len(heard)} of 3")


def proof(
    before: tuple[float, float] | None, after: tuple[float, float] | None, before_s: float = 3.0
) -> Proof:
    return Proof(
        equal=True,
        n=3,
        before_s=before_s,
        after_s=1.0,
        before_range_s=before,
        after_range_s=after,
        reason="same",
    )


@pytest.mark.parametrize(
    ("before", "after", "before_s", "is_faster"),
    [
        ((2.5, 3.5), (0.9, 1.2), 3.0, True),
        ((2.5, 3.5), (0.9, 3.2), 3.0, True),
        ((0.8, 3.5), (0.9, 1.2), 3.0, True),
        ((1.0, 1.3), (0.9, 1.2), 1.2, False),
        ((0.9, 1.2), (0.9, 1.2), 1.0, False),
        (None, (0.9, 1.2), 3.0, False),
    ],
    ids=["apart", "one run held up", "one original not held up", "a little", "alike", "nothing before"],
)
def test_faster_means_a_median_a_fifth_below_that_of_the_original(
    before: tuple[float, float] | None,
    after: tuple[float, float] | None,
    before_s: float,
    *,
    is_faster: bool,
) -> None:
    assert faster(proof(before, after, before_s)) is is_faster


def test_what_was_measured_is_told_with_spread_and_number() -> None:
    told = measured(proof((2.5, 3.5), (0.9, 1.2)))
    assert told == "3.00 s (2.50 to 3.50) before, 1.00 s (0.90 to 1.20) after; medians of 3 runs each"
    assert measured(proof(None, None)) == "not measured"


def test_the_flows_of_a_prometheus_text_are_those_with_finished_runs() -> None:
    fleet = FleetMetrics()
    now = datetime.now(UTC)
    for number, (name, kind) in enumerate([("done", "COMPLETED"), ("broken", "FAILED"), ("busy", "RUNNING")]):
        state = StateRecord(id=f"s{number}", type=kind, name=kind.title(), timestamp=now)
        fleet.observe(RunRecord(id=f"run-{number}", flow_name=name, state=state, start=now))
    samples, flows = counted_flows(fleet.render(now).decode())
    assert flows == {"done", "broken"}
    assert samples > len(flows)


def test_a_text_without_runs_tells_of_no_flow() -> None:
    assert counted_flows("# No finished run was seen yet.\n") == (0, frozenset())


def test_what_is_no_prometheus_text_is_refused() -> None:
    with pytest.raises(ValueError, match=r".+"):
        counted_flows("<html>{not metrics</html>\n")


def test_the_flows_looked_for_are_those_of_the_samples_and_of_the_request() -> None:
    analysis = automate.understand(REQUEST, RequestContext(connected_services=SERVICES))
    named = {automate.build(analysis).deployment.flow_name}
    named |= {name for name in FLOWS if f'name="{name}"' in sample(BUGGY) + sample(SAMPLE)}
    assert named == FLOWS


def test_the_users_own_settings_stay_out_of_the_demonstration_and_come_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(f"{PREFIX}STORE_URL", "postgresql://production.test/autopilot")
    monkeypatch.setenv(f"{PREFIX}NOTIFY_WEBHOOK", "https://hooks.test/oncall")
    with own_settings_only():
        assert not [name for name in os.environ if name.startswith(PREFIX)]
        settings = load_settings(home=tmp_path)
        assert str(tmp_path) in settings.store_url.get_secret_value()
        assert settings.notify_webhook is None
    assert os.environ[f"{PREFIX}STORE_URL"] == "postgresql://production.test/autopilot"


def test_settings_come_back_after_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}MODE", "propose")
    with pytest.raises(ZeroDivisionError), own_settings_only():
        raise ZeroDivisionError
    assert os.environ[f"{PREFIX}MODE"] == "propose"
