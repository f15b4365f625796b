"""What is one alert, what is muted, what people are told and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import AlertPolicy, Notice, Severity, Silence, WorkflowAlert
from prefect_autopilot.monitoring import FleetMetrics
from prefect_autopilot.monitoring.groups import MOST_LISTED, explained, grouped, is_group, regroup
from prefect_autopilot.monitoring.silencing import check, covers, is_active, silenced_by
from prefect_autopilot.monitoring.telling import acknowledged, decide

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
POLICY = AlertPolicy()
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def alert(name: str, **fields: Any) -> WorkflowAlert:
    labels = {"workflow": f"flow-{name}/prod", "flow": f"flow-{name}", "deployment": "prod", "kind": "slow"}
    base: dict[str, Any] = {
        "alert_id": f"alert-{name}",
        "fingerprint": f"anomaly:{name}:slow",
        "workflow_id": name,
        "alert_type": "error_rate_increase",
        "severity": "medium",
        "title": f"{name}: slow",
        "description": f"{name} is slow.",
        "created_at": NOW,
        "labels": labels | fields.pop("labels", {}),
    }
    return WorkflowAlert.model_validate(base | fields)


def on_pool(number: int, **fields: Any) -> list[WorkflowAlert]:
    return [alert(f"w{i}", labels={"work_pool": "docker"}, **fields) for i in range(number)]


def told(name: str, ago: timedelta, **fields: Any) -> WorkflowAlert:
    return alert(name, told=1, told_at=NOW - ago, created_at=NOW - ago, **fields)


def titles(
    *alerts: WorkflowAlert, policy: AlertPolicy = POLICY, muted: dict[str, str] | None = None
) -> list[str]:
    return [notice.title for notice in decide(alerts, muted or {}, policy, NOW).notices]


# --- told once, then reminded, escalated, over ----------------------------------------------------------


def test_a_new_alert_is_told_with_its_description() -> None:
    found = decide([alert("a")], {}, POLICY, NOW)
    (notice,) = found.notices
    assert (notice.title, notice.text, notice.outcome) == ("a: slow", "a is slow.", "info")
    assert [(event.action, event.key) for event in notice.incidents] == [("trigger", "alert-a")]
    (after,) = found.alerts
    assert (after.told, after.told_at) == (1, NOW)


def test_what_was_told_is_not_told_again_in_the_next_pass() -> None:
    after = decide([alert("a")], {}, POLICY, NOW).alerts
    again = decide(after, {}, POLICY, NOW + MINUTE)
    assert again.notices == ()
    assert again.alerts == ()


def test_a_pass_that_was_killed_before_it_noted_that_it_told_tells_the_same_notice() -> None:
    first = decide([alert("a")], {}, POLICY, NOW)
    second = decide([alert("a")], {}, POLICY, NOW + MINUTE)
    assert [one.notice_id for one in first.notices] == [one.notice_id for one in second.notices]


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (alert("a", status="pending"), []),
        (told("a", 3 * HOUR), []),
        (told("a", 4 * HOUR), ["Still: a: slow"]),
        (told("a", 4 * HOUR, acknowledged=True), []),
        (told("a", 29 * MINUTE, severity="high"), []),
        (told("a", 30 * MINUTE, severity="high"), ["Escalated: a: slow"]),
        (told("a", 30 * MINUTE, severity="critical"), ["Escalated: a: slow"]),
        (told("a", 30 * MINUTE, severity="critical", acknowledged=True), []),
        (told("a", 2 * HOUR, severity="high", escalated_at=NOW - HOUR), []),
        (told("a", 4 * HOUR, severity="high", escalated_at=NOW - HOUR), ["Still: a: slow"]),
        (told("a", HOUR, status="resolved", resolved_at=NOW), ["Over: a: slow"]),
        (told("a", HOUR, status="resolved", resolved_at=NOW, over_told=True), []),
        (told("a", HOUR, status="resolved", resolved_at=NOW - timedelta(days=1)), []),
        (alert("a", status="resolved", resolved_at=NOW), []),
    ],
    ids=[
        "pending",
        "told lately",
        "told four hours ago",
        "acknowledged is not repeated",
        "grave and fresh",
        "grave and unseen",
        "critical and unseen",
        "critical and seen",
        "escalated once only",
        "repeated after escalation",
        "over",
        "over was told",
        "over long ago",
        "over and never told",
    ],
)
def test_what_an_alert_is_told_as(standing: WorkflowAlert, expected: list[str]) -> None:
    assert titles(standing) == expected


def test_an_escalation_is_an_outcome_of_its_own_and_says_since_when() -> None:
    (notice,) = decide([told("a", HOUR, severity="high")], {}, POLICY, NOW).notices
    assert notice.outcome == "escalated"
    assert "2026-03-02 11:00 UTC" in notice.text


def test_what_was_escalated_says_so_to_its_end_and_in_a_digest() -> None:
    before = told("a", HOUR, severity="high")
    (notice,) = decide([before], {}, POLICY, NOW).notices
    assert notice.escalated
    assert not decide([alert("a")], {}, POLICY, NOW).notices[0].escalated
    over = before.model_copy(
        update={"status": "resolved", "resolved_at": NOW, "escalated_at": NOW - timedelta(minutes=20)}
    )
    assert decide([over], {}, POLICY, NOW).notices[0].escalated
    assert not decide([over.model_copy(update={"escalated_at": None})], {}, POLICY, NOW).notices[0].escalated
    many = [before, *(alert(str(number)) for number in range(9))]
    (digest,) = decide(many, {}, POLICY, NOW).notices
    assert (digest.outcome, digest.escalated) == ("escalated", True)
    (calm,) = decide(many[1:], {}, POLICY, NOW).notices
    assert (calm.outcome, calm.escalated) == ("info", False)


def test_reminders_have_ids_of_their_own() -> None:
    alerts: tuple[WorkflowAlert, ...] = (alert("a"),)
    ids = set()
    for hours in range(0, 20, 4):
        found = decide(alerts, {}, POLICY, NOW + hours * HOUR)
        ids |= {one.notice_id for one in found.notices}
        alerts = found.alerts
    assert len(ids) == 5


def test_the_end_resolves_the_incident_under_the_key_that_opened_it() -> None:
    (opened,) = decide([alert("a")], {}, POLICY, NOW).notices
    over = told("a", HOUR, status="resolved", resolved_at=NOW, resolution_notes="5 good runs since.")
    (closed,) = decide([over], {}, POLICY, NOW).notices
    assert closed.text == "5 good runs since."
    assert [event.action for event in closed.incidents] == ["resolve"]
    assert closed.incidents[0].key == opened.incidents[0].key


def test_the_same_alert_that_fires_again_is_another_incident() -> None:
    first, second = alert("a"), alert("a", alert_id="alert-a-2")
    keys = {decide([one], {}, POLICY, NOW).notices[0].incidents[0].key for one in (first, second)}
    assert len(keys) == 2


def test_somebody_who_takes_an_alert_on_is_told_to_the_incident() -> None:
    notice = acknowledged(alert("a", acknowledged=True, acknowledged_by="ana"))
    assert "ana" in notice.text
    assert [event.action for event in notice.incidents] == ["acknowledge"]


# --- muted ----------------------------------------------------------------------------------------------


def test_a_muted_alert_is_not_told_and_says_why() -> None:
    found = decide([alert("a")], {"alert-a": "silence:s1"}, POLICY, NOW)
    assert found.notices == ()
    assert [(one.muted_by, one.told) for one in found.alerts] == [("silence:s1", 0)]


def test_an_alert_is_told_when_its_silence_ends() -> None:
    (quiet,) = decide([alert("a")], {"alert-a": "silence:s1"}, POLICY, NOW).alerts
    later = decide([quiet], {}, POLICY, NOW + HOUR)
    assert [notice.title for notice in later.notices] == ["a: slow"]
    assert later.alerts[0].muted_by is None


def test_a_muted_alert_is_neither_repeated_nor_escalated() -> None:
    assert titles(told("a", 9 * HOUR, severity="critical"), muted={"alert-a": "silence:s1"}) == []


def test_the_end_of_what_was_told_is_told_through_a_silence() -> None:
    over = told("a", HOUR, status="resolved", resolved_at=NOW)
    assert titles(over, muted={"alert-a": "silence:s1"}) == ["Over: a: slow"]


# --- too many -------------------------------------------------------------------------------------------


def test_more_than_five_in_one_pass_are_one_digest_with_every_incident() -> None:
    (notice,) = decide([alert(f"a{i}") for i in range(6)], {}, POLICY, NOW).notices
    assert notice.title == "6 alerts changed"
    assert len(notice.incidents) == 6
    assert all(f"a{i}: slow" in notice.text for i in range(6))


def test_beyond_the_cap_only_critical_alerts_are_told() -> None:
    policy = AlertPolicy(most_per_hour=3, most_at_once=100)
    before = [told(f"old{i}", 10 * MINUTE) for i in range(3)]
    fresh = [alert("mild"), alert("bad", severity="critical")]
    assert titles(*before, *fresh, policy=policy) == ["bad: slow"]


def test_what_was_held_back_comes_as_a_digest() -> None:
    policy = AlertPolicy(most_per_hour=1, most_at_once=100)
    before = told("old", 10 * MINUTE)
    held = [alert(f"a{i}", created_at=NOW - 30 * MINUTE) for i in range(4)]
    found = decide([before, *held], {}, policy, NOW)
    assert [notice.title for notice in found.notices] == ["4 alerts changed"]
    assert {one.told for one in found.alerts} == {1}


def test_the_cap_counts_the_last_hour_only() -> None:
    policy = AlertPolicy(most_per_hour=1)
    assert titles(told("old", HOUR), alert("a"), policy=policy) == ["a: slow"]


def test_the_gravest_alerts_use_what_is_left_of_the_cap() -> None:
    policy = AlertPolicy(most_per_hour=1)
    assert titles(alert("mild", severity="low"), alert("bad", severity="high"), policy=policy) == [
        "bad: slow"
    ]


@given(
    st.lists(st.sampled_from(list(Severity)), min_size=1, max_size=30),
    st.integers(1, 30),
    st.integers(1, 30),
)
def test_nothing_is_ever_lost_whatever_the_caps(
    severities: list[Severity], per_hour: int, at_once: int
) -> None:
    policy = AlertPolicy(most_per_hour=per_hour, most_at_once=at_once)
    standing = {f"alert-a{i}": alert(f"a{i}", severity=severity) for i, severity in enumerate(severities)}
    opened: set[str] = set()
    for minute in range(0, 91, 10):
        found = decide(tuple(standing.values()), {}, policy, NOW + minute * MINUTE)
        standing |= {one.alert_id: one for one in found.alerts}
        opened |= {event.key for notice in found.notices for event in notice.incidents}
    assert opened == set(standing)


# --- groups ---------------------------------------------------------------------------------------------


def test_one_pool_down_is_one_alert() -> None:
    (group,) = regroup(on_pool(10), POLICY, NOW)
    assert is_group(group)
    assert group.title == "work pool docker: 10 workflows: slow (10)"
    assert len(group.members) == 10
    assert set(grouped([group])) == {f"alert-w{i}" for i in range(10)}


@pytest.mark.parametrize("number", [1, 2])
def test_two_workflows_are_no_group(number: int) -> None:
    assert regroup(on_pool(number), POLICY, NOW) == ()


def test_three_alerts_of_one_workflow_are_no_group() -> None:
    same = [one.model_copy(update={"workflow_id": "w"}) for one in on_pool(5)]
    assert regroup(same, POLICY, NOW) == ()


def test_alerts_that_began_hours_apart_are_no_group() -> None:
    spread = [one.model_copy(update={"created_at": NOW - i * HOUR}) for i, one in enumerate(on_pool(6))]
    assert regroup(spread, POLICY, NOW) == ()


def test_failed_and_late_runs_of_one_pool_have_one_cause_and_slow_ones_another() -> None:
    failed, late = on_pool(4)[:2], on_pool(4, alert_type="workflow_stalled")[2:]
    slow = [
        alert(f"s{i}", alert_type="performance_degradation", labels={"work_pool": "docker"}) for i in range(3)
    ]
    groups = regroup([*failed, *late, *slow], POLICY, NOW)
    assert sorted(len(group.members) for group in groups) == [3, 4]


def test_alerts_without_a_pool_are_grouped_by_their_flow() -> None:
    same = [alert(f"w{i}", labels={"flow": "orders"}) for i in range(3)]
    (group,) = regroup(same, POLICY, NOW)
    assert group.title.startswith("flow orders: 3 workflows")


def test_pending_alerts_form_no_group() -> None:
    assert regroup(on_pool(5, status="pending"), POLICY, NOW) == ()


def test_a_group_takes_in_what_follows_however_late() -> None:
    first = on_pool(3)
    (group,) = regroup(first, POLICY, NOW)
    later = alert("late", labels={"work_pool": "docker"}, created_at=NOW + HOUR, severity="critical")
    (grown,) = regroup([*first, later, group], POLICY, NOW + HOUR)
    assert grown.alert_id == group.alert_id
    assert grown.members == (*group.members, "alert-late")
    assert grown.severity is Severity.CRITICAL
    assert "4 workflows" in grown.title


def test_a_group_that_did_not_change_is_not_returned() -> None:
    first = on_pool(3)
    (group,) = regroup(first, POLICY, NOW)
    assert regroup([*first, group], POLICY, NOW + MINUTE) == ()


def test_a_group_is_over_with_its_last_alert() -> None:
    first = on_pool(3)
    (group,) = regroup(first, POLICY, NOW)
    assert regroup([first[0], group], POLICY, NOW) == ()
    (over,) = regroup([group], POLICY, NOW + HOUR)
    assert (over.status, over.resolved_at) == ("resolved", NOW + HOUR)
    assert "3 alerts" in (over.resolution_notes or "")


def test_a_group_has_the_gravest_severity_of_its_alerts() -> None:
    mixed = [
        one.model_copy(update={"severity": severity})
        for one, severity in zip(on_pool(3), (Severity.LOW, Severity.HIGH, Severity.MEDIUM), strict=True)
    ]
    assert regroup(mixed, POLICY, NOW)[0].severity is Severity.HIGH


def test_a_large_group_lists_the_first_and_counts_the_rest() -> None:
    (group,) = regroup(on_pool(MOST_LISTED + 7), POLICY, NOW)
    assert group.description.splitlines()[-1] == "- and 7 more"


# --- upstreams ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("upstreams", "failing", "expected"),
    [
        ({"a": {"b"}}, {"b"}, "b"),
        ({"a": {"b"}, "b": {"c"}}, {"c"}, "c"),
        ({"a": {"b"}}, {"c"}, None),
        ({"a": {"b"}}, set(), None),
        ({}, {"b"}, None),
        ({"a": {"a"}}, {"a"}, None),
        ({"a": {"b"}, "b": {"a"}}, {"a"}, None),
        ({"a": {"b"}, "b": {"a", "c"}}, {"c"}, "c"),
    ],
    ids=["near", "far", "another", "none fails", "none known", "itself", "a ring", "a ring with a cause"],
)
def test_a_failing_upstream_explains_what_waits_for_it(
    upstreams: dict[str, set[str]], failing: set[str], expected: str | None
) -> None:
    assert explained(alert("a"), upstreams, failing) == expected


@pytest.mark.parametrize("kind", ["resource_exhaustion", "security_issue"])
def test_a_failing_upstream_does_not_explain_everything(kind: str) -> None:
    assert explained(alert("a", alert_type=kind), {"a": {"b"}}, {"b"}) is None


# --- silences -------------------------------------------------------------------------------------------


def silence(**fields: Any) -> Silence:
    return Silence.model_validate({"silence_id": "s", "starts_at": NOW, "ends_at": NOW + HOUR} | fields)


@pytest.mark.parametrize(
    ("fields", "covered"),
    [
        ({}, True),
        ({"workflow": "a"}, True),
        ({"workflow": "flow-a/prod"}, True),
        ({"workflow": "FLOW-A/*"}, True),
        ({"workflow": "prod"}, True),
        ({"workflow": "flow-b*"}, False),
        ({"kind": "slow"}, True),
        ({"kind": "error_rate_*"}, True),
        ({"kind": "rows"}, False),
        ({"work_pool": "docker"}, True),
        ({"work_pool": "k8s"}, False),
        ({"workflow": "a", "kind": "rows"}, False),
    ],
    ids=str,
)
def test_what_a_silence_covers(fields: dict[str, str], covered: bool) -> None:  # noqa: FBT001 - a column
    assert covers(silence(**fields), alert("a", labels={"work_pool": "docker"})) is covered


def test_a_silence_of_a_pool_does_not_cover_what_has_none() -> None:
    assert not covers(silence(work_pool="d*"), alert("a"))


@pytest.mark.parametrize(
    ("minutes", "active"), [(-1, False), (0, True), (59, True), (60, False), (90, False)]
)
def test_a_silence_has_a_start_and_an_end(minutes: int, active: bool) -> None:  # noqa: FBT001 - a column
    assert is_active(silence(), NOW + minutes * MINUTE) is active


@pytest.mark.parametrize(
    ("at", "active"),
    [
        ("2026-03-02T22:59:59+00:00", False),
        ("2026-03-02T23:00:00+00:00", True),
        ("2026-03-03T00:29:59+00:00", True),
        ("2026-03-03T00:30:00+00:00", False),
        ("2026-03-29T21:59:00+00:00", False),
        ("2026-03-29T22:00:00+00:00", True),
        ("2026-05-01T22:30:00+00:00", False),
    ],
    ids=["before", "begins", "lasts", "ended", "summer before", "summer begins", "after its last day"],
)
def test_a_maintenance_window_recurs_in_its_time_zone(at: str, active: bool) -> None:  # noqa: FBT001
    window = silence(cron="0 0 * * *", minutes=90, timezone="Europe/Berlin", ends_at=NOW + timedelta(days=40))
    assert is_active(window, datetime.fromisoformat(at)) is active


def test_the_first_active_silence_is_named() -> None:
    found = silenced_by(alert("a"), [silence(silence_id="no", kind="rows"), silence(silence_id="yes")], NOW)
    assert found is not None
    assert found.silence_id == "yes"


@pytest.mark.parametrize(
    "fields", [{"ends_at": NOW}, {"ends_at": NOW - HOUR}, {"minutes": 0}, {"minutes": 10**6}], ids=str
)
def test_a_silence_that_never_holds_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        silence(**fields)


@pytest.mark.parametrize("fields", [{"cron": "now and then"}, {"timezone": "Mars/Base"}], ids=str)
def test_a_window_that_cannot_be_read_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        check(silence(**fields))


def test_a_notice_without_incidents_reads_as_before() -> None:
    assert Notice(notice_id="n", outcome="info", title="t", text="x").incidents == ()


def test_a_scrape_counts_one_alert_for_one_pool_down() -> None:
    (group,) = regroup(on_pool(10), POLICY, NOW)
    members = [one.model_copy(update={"muted_by": f"group:{group.alert_id}"}) for one in on_pool(10)]
    fleet = FleetMetrics()
    fleet.set_alerts([group, *members])
    lines = [
        line
        for line in fleet.render().decode().splitlines()
        if line.startswith("prefect_autopilot_alerts_firing")
    ]
    assert [line.rpartition(" ")[2] for line in lines] == ["1.0"]
