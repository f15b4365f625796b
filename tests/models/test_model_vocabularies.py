"""The words that cross the wire: renaming one breaks files, databases and callers."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from prefect_autopilot import models
from prefect_autopilot.models import (
    FAILURE_STATES,
    TERMINAL_STATES,
    AlertCondition,
    AlertType,
    FindingPattern,
    IssueCategory,
    OperationEffect,
    RemedyClass,
    ResolutionStatus,
    ServiceStatus,
    SessionStep,
    Severity,
    Strategy,
    TriggerType,
)
from prefect_autopilot.models.runs import StateType
from prefect_autopilot.models.workflow import AnalysisStatus

VOCABULARIES: list[tuple[type[StrEnum], str]] = [
    (Severity, "critical high medium low info"),
    (
        IssueCategory,
        (
            "configuration connectivity permissions performance data logic external_service timeout resource"
            " unknown"
        ),
    ),
    (SessionStep, "identification analysis diagnosis resolution verification"),
    (
        ResolutionStatus,
        "in_progress resolved auto_resolved partial escalated manual_intervention_required closed",
    ),
    (
        FindingPattern,
        (
            "anomaly_detection correlation_analysis trend_analysis pattern_matching root_cause_analysis"
            " temporal_pattern dependency_chain"
        ),
    ),
    (Strategy, "performance cost reliability hybrid"),
    (
        AlertCondition,
        (
            "greater_than greater_than_or_equal less_than less_than_or_equal equal not_equal change_percent"
            " baseline_ratio trend slo_burn"
        ),
    ),
    (
        AlertType,
        (
            "performance_degradation error_rate_increase workflow_stalled resource_exhaustion"
            " connectivity_issue data_quality_issue security_issue custom_metric"
        ),
    ),
    (OperationEffect, "safe idempotent unsafe"),
    (ServiceStatus, "operable declared recognised"),
]
LITERALS: list[tuple[Any, str]] = [
    (
        RemedyClass,
        (
            "retry_backoff wait_rate_limit refresh_credentials raise_timeout reduce_concurrency"
            " increase_memory free_disk fix_configuration fix_code fix_data install_dependency"
            " grant_permission wait_for_service rerun_on_other_infrastructure restart_worker none"
        ),
    ),
    (TriggerType, "schedule webhook app_event email form chat manual other"),
    (AnalysisStatus, "flow clarify unsupported reject"),
    (StateType, "SCHEDULED PENDING RUNNING COMPLETED FAILED CANCELLED CRASHED PAUSED CANCELLING"),
]
NAMES = [vocabulary.__name__ for vocabulary, _ in VOCABULARIES]


@pytest.mark.parametrize(("vocabulary", "words"), VOCABULARIES, ids=NAMES)
def test_the_words_and_their_order_stay(vocabulary: type[StrEnum], words: str) -> None:
    assert [member.value for member in vocabulary] == words.split()


@pytest.mark.parametrize(
    ("literal", "words"), LITERALS, ids=["remedies", "triggers", "statuses", "state types"]
)
def test_the_literal_words_and_their_order_stay(literal: Any, words: str) -> None:
    assert list(get_args(literal)) == words.split()


@pytest.mark.parametrize("vocabulary", [vocabulary for vocabulary, _ in VOCABULARIES], ids=NAMES)
def test_a_member_is_its_word_in_text_and_json(vocabulary: type[StrEnum]) -> None:
    adapter = TypeAdapter(vocabulary)
    for member in vocabulary:
        assert f"{member}" == member.value == str(member)
        assert adapter.dump_json(member) == f'"{member.value}"'.encode()
        assert adapter.validate_python(member.value) is member


@pytest.mark.parametrize("vocabulary", [vocabulary for vocabulary, _ in VOCABULARIES], ids=NAMES)
@pytest.mark.parametrize("word", ["", "something else", "CRITICAL HIGH"])
def test_another_word_is_refused(vocabulary: type[StrEnum], word: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(vocabulary).validate_python(word)


def test_every_vocabulary_is_reachable_from_the_room() -> None:
    assert {vocabulary.__name__ for vocabulary, _ in VOCABULARIES} <= set(models.__all__)


def test_the_steps_of_a_session_are_five_and_end_in_an_observation() -> None:
    assert len(SessionStep) == 5
    assert list(SessionStep)[-1] is SessionStep.VERIFICATION


def test_ends_are_states_and_failures_are_ends() -> None:
    assert set(get_args(StateType)) >= TERMINAL_STATES
    assert TERMINAL_STATES >= FAILURE_STATES


def test_a_cancelled_run_ended_and_did_not_fail() -> None:
    assert "CANCELLED" in TERMINAL_STATES
    assert "CANCELLED" not in FAILURE_STATES


@pytest.mark.parametrize("state", ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"])
def test_what_goes_on_has_not_ended(state: str) -> None:
    assert state not in TERMINAL_STATES


def test_the_sets_of_states_cannot_be_added_to() -> None:
    assert isinstance(TERMINAL_STATES, frozenset)
    assert isinstance(FAILURE_STATES, frozenset)
