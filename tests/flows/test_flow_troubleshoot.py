"""The troubleshooting flow on real failed runs: diagnosed, told, and left alone unless it may act."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from prefect import flow
from prefect.exceptions import ParameterTypeError

from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.flows.troubleshoot import troubleshoot
from prefect_autopilot.models import ResolutionStatus

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*(socket|Transport):pytest.PytestUnraisableExceptionWarning"
)


def failed(name: str, message: str = "KeyError: 'total'", error: type[Exception] = KeyError) -> str:
    """Run a flow that fails and return the id of the run."""

    @flow(name=name)
    def broken() -> None:
        raise error(message)

    state = broken(return_state=True)
    assert state.is_failed()
    return str(state.state_details.flow_run_id)


def session_of(server: Any, run_id: str) -> Any:
    return server.stored(lambda store: store.session_for_run(run_id))


def test_a_bug_is_diagnosed_reported_and_handed_to_a_person(server: Any) -> None:
    run_id = failed("orders-with-a-bug")
    before = server.state_of(run_id)
    told = server.run(troubleshoot(flow_run_id=run_id, wait_s=30))
    assert told["flow_run_id"] == run_id
    assert told["outcome"] == ResolutionStatus.ESCALATED.value
    assert "total" in told["root_cause"]
    session = session_of(server, run_id)
    assert session.session_id == told["session_id"]
    assert session.attempts == ()
    assert server.state_of(run_id) == before, "the run itself was not touched"
    assert "KeyError" in server.artifacts("autopilot-session")[0]["data"]
    (attached,) = [one for one in server.artifacts("autopilot-diagnosis") if one["flow_run_id"] == run_id]
    assert "KeyError" in attached["data"]


def test_the_second_event_for_the_same_failure_ends_at_once(server: Any) -> None:
    run_id = failed("orders-twice")
    server.run(troubleshoot(flow_run_id=run_id, wait_s=30))
    again = server.run(troubleshoot(flow_run_id=run_id, wait_s=30))
    assert again == {"flow_run_id": run_id, "outcome": "nothing to do, or taken up already"}
    sessions = server.stored(lambda store: store.sessions())
    assert len(sessions) == 1


def test_by_default_an_outage_is_proposed_and_not_retried(server: Any) -> None:
    run_id = failed(
        "orders-outage",
        "Server error '503 Service Unavailable' for url 'https://api.shop.test/orders'",
        ConnectionError,
    )
    told = server.run(troubleshoot(flow_run_id=run_id, wait_s=30))
    assert told["outcome"] in {ResolutionStatus.MANUAL.value, ResolutionStatus.ESCALATED.value}
    assert server.state_of(run_id)["type"] == "FAILED"
    session = session_of(server, run_id)
    assert session.decision is not None
    assert session.decision.action != "act"


def test_what_was_found_is_queued_for_people(server: Any) -> None:
    from datetime import UTC, datetime

    run_id = failed("orders-told")
    server.run(troubleshoot(flow_run_id=run_id, wait_s=30))
    (waiting,) = server.stored(lambda store: store.pending_notices(datetime.now(UTC), "webhook"))
    assert (waiting.notice.outcome, waiting.notice.flow_run_id) == ("escalated", run_id)


def test_a_good_run_is_left_alone(server: Any) -> None:
    @flow(name="orders-good")
    def good() -> int:
        return 1

    run_id = str(good(return_state=True).state_details.flow_run_id)
    told = server.run(troubleshoot(flow_run_id=run_id))
    assert told["outcome"].startswith("nothing to do")
    assert server.stored(lambda store: store.sessions()) == ()


def test_our_own_failed_flows_are_left_alone(server: Any) -> None:
    run_id = failed("autopilot-of-a-kind")
    assert server.run(troubleshoot(flow_run_id=run_id))["outcome"].startswith("nothing to do")
    assert server.stored(lambda store: store.sessions()) == ()


def test_a_run_that_does_not_exist_fails_the_flow_by_its_name(server: Any) -> None:
    nobody = str(uuid.uuid4())
    with pytest.raises(UnknownNameError, match=nobody):
        server.run(troubleshoot(flow_run_id=nobody))


@pytest.mark.parametrize(
    "parameters",
    [{"mode": "yes"}, {"wait_s": -1}, {"wait_s": 7201}, {"flow_run_id": None}],
    ids=["mode", "negative wait", "longer than two hours", "no run"],
)
def test_parameters_of_the_form_are_checked_before_anything_is_done(
    server: Any, parameters: dict[str, Any]
) -> None:
    given = {"flow_run_id": str(uuid.uuid4())} | parameters
    with pytest.raises(ParameterTypeError, match=next(iter(parameters))):
        server.run(troubleshoot(**given))


def test_nobody_acts_unless_told_so() -> None:
    assert troubleshoot.parameters.properties["mode"]["default"] == "propose"
