"""How a condition speaks of what an earlier step found out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.models.conditions import ANSWER, opposite

TOLD = ("finds something", "finds nothing", "says yes", "says no")


@pytest.mark.parametrize("told", TOLD)
def test_the_step_and_what_it_told_are_read(told: str) -> None:
    found = ANSWER.fullmatch(f"hubspot_search_contacts_2 {told}")
    assert found is not None
    assert (found["step"], found["told"]) == ("hubspot_search_contacts_2", told)


@given(step=st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True), told=st.sampled_from(TOLD))
def test_an_answer_has_one_opposite_and_it_turns_back(step: str, told: str) -> None:
    other = opposite(f"{step} {told}")
    assert other != f"{step} {told}"
    assert ANSWER.fullmatch(other)
    assert opposite(other) == f"{step} {told}"


@given(st.text(alphabet=st.characters(categories=["L", "N", "Zs"]), min_size=1, max_size=60))
def test_any_condition_has_an_opposite_that_is_not_itself(condition: str) -> None:
    assert opposite(condition) != condition
