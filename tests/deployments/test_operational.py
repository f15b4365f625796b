"""prefect.yaml and `install` say the same, and both keep our own flows out of their own trigger."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from prefect_autopilot.deployments.operational import OPERATIONAL_FLOWS, failed_run_trigger
from prefect_autopilot.models.names import WORK_POOL

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def declared() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    return {entry["name"]: entry for entry in document["deployments"]}


def test_a_checkout_and_an_installed_package_deploy_the_same_flows(declared: dict[str, Any]) -> None:
    assert list(declared) == [flow.name for flow in OPERATIONAL_FLOWS]


@pytest.mark.parametrize("flow", OPERATIONAL_FLOWS, ids=lambda flow: flow.name)
def test_each_deployment_is_declared_as_it_is_installed(flow: Any, declared: dict[str, Any]) -> None:
    entry = declared[flow.name]
    assert entry["entrypoint"] == flow.entrypoint
    assert entry["work_pool"]["name"] == WORK_POOL
    assert entry.get("parameters", {}) == flow.parameters
    every = [{"interval": flow.interval_s}] if flow.interval_s else []
    at = [
        {"slug": one.slug, "cron": one.cron, "timezone": "UTC", "parameters": one.parameters}
        for one in flow.recurrences
    ]
    assert entry.get("schedules", []) == [*every, *at]
    triggers = [failed_run_trigger()] if flow.on_failed_runs else []
    assert entry.get("triggers", []) == triggers


@pytest.mark.parametrize("flow", OPERATIONAL_FLOWS, ids=lambda flow: flow.name)
def test_each_entrypoint_is_a_flow_of_that_name(flow: Any) -> None:
    module, _, function = flow.entrypoint.rpartition(".")
    found = getattr(importlib.import_module(module), function)
    assert found.name == flow.name


@pytest.mark.parametrize("flow", OPERATIONAL_FLOWS, ids=lambda flow: flow.name)
def test_every_flow_of_ours_is_recognisable_by_its_name(flow: Any) -> None:
    assert flow.name.startswith("autopilot-")


def test_the_trigger_excludes_our_flows_by_one_glob_not_by_a_list() -> None:
    assert failed_run_trigger()["match_related"]["prefect.resource.name"] == "!autopilot-*"


def test_the_run_id_is_handed_over_as_an_explicit_template() -> None:
    given = failed_run_trigger()["parameters"]["flow_run_id"]
    assert given == {"__prefect_kind": "jinja", "template": "{{ flow_run.id }}"}


def test_acting_unattended_is_nobodys_default(declared: dict[str, Any]) -> None:
    assert declared["autopilot-troubleshoot"]["parameters"]["mode"] == "propose"
