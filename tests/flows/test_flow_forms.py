"""Every operational flow in the Prefect UI: a name of ours, a sentence, and a form that explains itself."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from prefect_autopilot.deployments.operational import OPERATIONAL_FLOWS


def flow_of(definition: Any) -> Any:
    module, _, function = definition.entrypoint.rpartition(".")
    return getattr(importlib.import_module(module), function)


EACH = pytest.mark.parametrize("definition", OPERATIONAL_FLOWS, ids=lambda definition: definition.name)


@EACH
def test_the_form_explains_each_field(definition: Any) -> None:
    for name, field in flow_of(definition).parameters.properties.items():
        assert field.get("description"), name


@EACH
def test_the_flow_says_what_it_does(definition: Any) -> None:
    assert (flow_of(definition).description or "").endswith(".")


@EACH
def test_the_parameters_of_the_deployment_are_fields_of_the_form(definition: Any) -> None:
    assert definition.parameters.keys() <= flow_of(definition).parameters.properties.keys()


@EACH
def test_a_flow_that_runs_by_itself_needs_nothing_that_only_a_person_knows(definition: Any) -> None:
    needed = set(flow_of(definition).parameters.required or ())
    if definition.interval_s or definition.recurrences:
        assert needed == set()
    if definition.on_failed_runs:
        assert needed == {"flow_run_id"}, "which the automation hands over"


@EACH
def test_a_failed_flow_of_ours_is_not_simply_repeated(definition: Any) -> None:
    assert not flow_of(definition).retries
