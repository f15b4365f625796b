"""Remedies: what the gate must know of each stands on its class, and a new one needs nothing else there."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import pytest

from prefect_autopilot.models import AskOwner, ProvedRepair, Remedy, RemedyKind, Repair, RetryRun
from prefect_autopilot.models.acts import Act
from prefect_autopilot.models.policy import ONLY_BY_NAME

REMEDIES: tuple[Any, ...] = get_args(get_args(Remedy)[0])


def kind_of(remedy: Any) -> str:
    return str(remedy.model_fields["kind"].default)


def test_a_policy_may_name_every_remedy_but_asking_a_person() -> None:
    assert {kind_of(one) for one in REMEDIES} - {"ask_owner"} == {*get_args(RemedyKind)}
    assert {*get_args(RemedyKind)} >= ONLY_BY_NAME


def test_every_repair_is_a_remedy_with_a_proof() -> None:
    assert {*get_args(Repair)} < {*REMEDIES}
    assert {*get_args(Repair)} == {one for one in REMEDIES if issubclass(one, ProvedRepair)}


@pytest.mark.parametrize("remedy", REMEDIES, ids=kind_of)
def test_every_remedy_says_what_it_does_in_words(remedy: Any) -> None:
    assert issubclass(remedy, Act)
    assert "plan" in vars(remedy), "the plan of another remedy would be proposed"
    assert remedy.plan[0].isupper()
    assert not remedy.plan.endswith(".")


@pytest.mark.parametrize("remedy", REMEDIES, ids=kind_of)
def test_what_runs_the_work_again_says_that_it_repeats_it(remedy: Any) -> None:
    alone = {"release_slots", "end_stuck_run", "run_missed", "pause_deployment", "ask_owner"}
    assert remedy.repeats is (kind_of(remedy) not in alone)


def test_only_a_retry_may_follow_itself() -> None:
    assert [kind_of(one) for one in REMEDIES if not one.once] == ["retry_run", "ask_owner"]


def test_a_plan_is_told_with_its_own_values() -> None:
    assert RetryRun(flow_run_id="r", delay_s=12.4).told() == "Retry the same run in 12 s"
    assert AskOwner(flow_run_id="r", advice="{flow_run_id}").told() == "Ask the owner"


def test_text_of_others_is_no_part_of_the_template() -> None:
    class Tell(ProvedRepair):
        kind: Literal["tell"] = "tell"
        plan: ClassVar[str] = "Tell {place}"
        place: str

    assert Tell(flow_run_id="r", place="{flow_run_id!r}").told() == "Tell {flow_run_id!r}"


def test_a_remedy_is_stored_without_what_its_class_says() -> None:
    assert RetryRun(flow_run_id="r", delay_s=1).model_dump() == {
        "flow_run_id": "r",
        "kind": "retry_run",
        "delay_s": 1.0,
        "because": "retry_backoff",
    }
