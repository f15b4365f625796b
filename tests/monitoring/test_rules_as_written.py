"""Rules as people write them, burn rates, and what rules would have done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import AlertCondition, MonitoringRule, RunRecord, StateRecord, WorkflowMetric
from prefect_autopilot.monitoring.measures import outcomes
from prefect_autopilot.monitoring.rehearsal import rehearse
from prefect_autopilot.monitoring.rule_check import MOST_RULES, SIGNS, read_rules
from prefect_autopilot.monitoring.rules import OUTCOMES, evaluate, read

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SLOW = {"metric_name": "response_time", "condition": ">", "threshold": 60}


def runs(states: str, took: float = 60.0, start: datetime = NOW - timedelta(hours=100)) -> list[RunRecord]:
    """One run an hour; . is good, F failed, C cancelled, R still running."""
    names = {".": "COMPLETED", "F": "FAILED", "C": "CANCELLED", "R": "RUNNING"}
    found = []
    for i, letter in enumerate(states):
        at = start + timedelta(hours=i)
        end = None if letter == "R" else at + timedelta(seconds=took)
        found.append(
            RunRecord(
                id=f"run-{start:%d%H}-{i}",
                flow_name="orders",
                run_count=1,
                state=StateRecord(id=f"s{i}", type=names[letter], name=letter, timestamp=end or at),
                start=at,
                end=end,
                duration_s=took,
            )
        )
    return found


# --- reading --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document", [[SLOW], {"rules": [SLOW]}, SLOW], ids=["a list", "below rules", "one rule"]
)
def test_rules_are_read_in_three_shapes(document: object) -> None:
    (rule,) = read_rules(document)
    assert (rule.workflow_id, rule.condition, rule.threshold) == ("*", AlertCondition.GREATER_THAN, 60)


@pytest.mark.parametrize(("sign", "name"), SIGNS.items())
def test_a_sign_stands_for_its_condition(sign: str, name: str) -> None:
    assert read_rules(SLOW | {"condition": sign})[0].condition == name


@pytest.mark.parametrize("condition", list(AlertCondition))
def test_every_condition_can_be_written(condition: AlertCondition) -> None:
    assert read_rules(SLOW | {"condition": condition.value, "threshold": 2})[0].condition is condition


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"metric_name": "respose_time"}, "did you mean 'response_time'"),
        ({"metric_name": "eror_rate"}, "did you mean 'error_rate'"),
        ({"condition": "greater"}, "did you mean 'greater_than'"),
        ({"condition": "zzzz"}, "there are greater_than"),
        ({"severity": "hihg"}, "did you mean 'high'"),
        ({"alert_type": "error_rate"}, "did you mean 'error_rate_increase'"),
        ({"treshold": 5}, "no field 'treshold'; did you mean 'threshold'"),
        ({"condition": ["greater_than"]}, "no condition"),
        ({"threshold": "much"}, "threshold"),
        ({"threshold": float("nan")}, "finite"),
        ({"threshold": float("inf")}, "finite"),
        ({"cooldown_minutes": -1}, "below zero"),
        ({"condition": "slo_burn", "threshold": 101}, "at most 100"),
        ({"condition": "slo_burn", "threshold": 0}, "above 0"),
        ({"condition": "slo_burn", "objective": 1}, "objective"),
        ({"condition": "slo_burn", "window_runs": 3}, "window_runs"),
        ({"condition": "baseline_ratio", "threshold": 0}, "baseline_ratio"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_rule_is_refused_with_the_nearest_name(change: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match="Rule night") as caught:
        read_rules([SLOW | {"rule_id": "night"} | change])
    assert told in caught.value.message


@pytest.mark.parametrize("field", ["metric_name", "condition", "threshold"])
def test_a_rule_without_a_necessary_field_is_refused_by_its_name(field: str) -> None:
    with pytest.raises(UsageError, match=field):
        read_rules({name: value for name, value in SLOW.items() if name != field})


@pytest.mark.parametrize(
    "document", [None, [], "rules", 5, {"rules": {}}, [5], [None], [SLOW] * (MOST_RULES + 1)],
    ids=["nothing", "empty", "a word", "a number", "a mapping", "a number in a list", "null", "too many"],
)  # fmt: skip
def test_what_is_no_list_of_rules_is_refused(document: object) -> None:
    with pytest.raises(UsageError):
        read_rules(document)


def test_two_rules_with_one_id_are_refused() -> None:
    with pytest.raises(UsageError, match="'night'"):
        read_rules([SLOW | {"rule_id": "night"}] * 2)


def test_the_place_of_a_rule_without_id_is_told() -> None:
    with pytest.raises(UsageError, match="Rule 2"):
        read_rules([SLOW, SLOW | {"condition": "?"}])


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=10,
    )
)
def test_any_document_is_read_or_refused_in_one_sentence(document: object) -> None:
    try:
        read_rules(document)
    except UsageError as error:
        assert error.message  # noqa: PT017 - either outcome is right


# --- burn rates -----------------------------------------------------------------------------------------


def burning(**fields: Any) -> MonitoringRule:
    base = {"workflow_id": "*", "metric_name": "error_rate", "condition": "slo_burn", "threshold": 6}
    return MonitoringRule.model_validate(base | {"objective": 0.95, "window_runs": 24} | fields)


@pytest.mark.parametrize(
    ("states", "burn"),
    [
        ("." * 24, 0.0),
        ("." * 12 + "F" * 12, 10.0),
        ("F" * 24, 20.0),
        ("F" * 12 + "." * 12, 0.0),
        ("." * 21 + "FF.", 1.667),
        ("." * 9 + "FFF", 5.0),
    ],
    ids=["clean", "half", "all", "it is over", "a few", "half a window is enough"],
)
def test_both_windows_must_burn(states: str, burn: float) -> None:
    reading = read(burning(), 0.5, outcomes(runs(states)))
    assert reading is not None
    assert reading.value == pytest.approx(burn, rel=0.01)


@pytest.mark.parametrize("states", ["", "F", "FFF", "." * 11])
def test_too_few_runs_burn_nothing(states: str) -> None:
    assert read(burning(), 1.0, outcomes(runs(states))) is None


def test_a_cancelled_run_is_no_outcome() -> None:
    assert outcomes(runs(".FCR.")) == [0.0, 1.0, 0.0]


def test_an_alert_says_how_fast_the_budget_goes() -> None:
    rule = burning(severity="critical")
    metric = WorkflowMetric(name="error_rate", value=0.5, tags={"workflow_id": "w"}, timestamp=NOW)
    earlier = {("w", OUTCOMES): outcomes(runs("." * 12 + "F" * 12))}
    (alert,) = evaluate([rule], [metric], earlier, (), NOW)
    assert "10.0 times too fast" in alert.title
    assert "12 of the last 24" in alert.title


# --- dry run --------------------------------------------------------------------------------------------


def rule(**fields: Any) -> MonitoringRule:
    return read_rules(SLOW | {"threshold": 90} | fields)[0]


def test_a_rule_says_how_often_it_would_have_fired() -> None:
    history = runs("." * 60, start=NOW - timedelta(hours=300))
    history += runs("." * 60, took=120, start=NOW - timedelta(hours=200))
    history += runs("." * 60, start=NOW - timedelta(hours=100))
    (found,) = rehearse([rule()], {"w": history}, NOW - timedelta(days=30))
    assert len(found.fired) == 1
    assert found.runs == 180
    assert NOW - timedelta(hours=200) < found.fired[0] < NOW - timedelta(hours=140)
    assert 0 < found.firing_s < 200 * 3600


def test_a_rule_that_never_would_have_fired_says_so() -> None:
    (found,) = rehearse([rule(threshold=1e6)], {"w": runs("." * 60)}, NOW - timedelta(days=30))
    assert (found.fired, found.firing_s) == ((), 0.0)


def test_what_was_before_the_period_is_known_and_not_counted() -> None:
    history = runs("." * 60, took=120)
    (found,) = rehearse([rule()], {"w": history}, NOW - timedelta(hours=50))
    assert len(found.fired) == 1
    assert found.runs == 10


@pytest.mark.parametrize(
    ("fields", "number"),
    [({"workflow_id": "w"}, 1), ({"workflow_id": "x"}, 0), ({"is_active": False}, 0)],
    ids=str,
)
def test_only_rules_that_apply_are_rehearsed(fields: dict[str, Any], number: int) -> None:
    assert len(rehearse([rule(**fields)], {"w": runs("." * 20)}, NOW - timedelta(days=9))) == number


def test_the_rehearsal_agrees_with_evaluating_as_time_goes_by() -> None:
    states = "." * 30 + "F" * 12 + "." * 40 + "F" * 12 + "." * 6
    (found,) = rehearse([burning(severity="critical")], {"w": runs(states)}, NOW - timedelta(days=30))
    assert len(found.fired) == 2


def test_no_run_no_rehearsal_of_moments() -> None:
    (found,) = rehearse([rule()], {"w": []}, NOW)
    assert (found.runs, found.fired) == (0, ())
