"""The entry of a generated flow for ``prefect deploy``."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.journeys import automate
from prefect_autopilot.journeys.deployment import EVENT_PARAMETER
from prefect_autopilot.journeys.deployment_file import deployment_yaml
from prefect_autopilot.models import GeneratedFlow, RequestContext
from prefect_autopilot.services import load_catalogue


def generated(text: str) -> GeneratedFlow:
    return automate.build(analyze(text, RequestContext(), load_catalogue()))


def entry_of(text: str) -> tuple[str, dict[str, Any]]:
    written = deployment_yaml(generated(text))
    (entry,) = yaml.safe_load(written)["deployments"]
    return written, entry


@pytest.mark.parametrize(
    ("when", "schedule"),
    [
        ("every Monday at 9 in Berlin", {"cron": "0 9 * * 1", "timezone": "Europe/Berlin"}),
        ("every 36 hours", {"interval": 129_600, "timezone": "UTC"}),
        ("every other Thursday at 9:15", {"rrule": "FREQ=WEEKLY", "timezone": "UTC"}),
    ],
    ids=["cron", "interval", "rrule"],
)
def test_a_schedule_stands_in_it(when: str, schedule: dict[str, Any]) -> None:
    _, entry = entry_of(f'{when} post "hello" to #ops in Slack')
    (found,) = entry["schedules"]
    assert found["timezone"] == schedule["timezone"]
    assert found.keys() >= schedule.keys()
    for key, value in schedule.items():
        assert value in found[key] if key == "rrule" else found[key] == value
    assert "triggers" not in entry


def test_an_event_stands_in_it_with_its_data() -> None:
    written, entry = entry_of('When a Trello card is created, post "new" to #ops in Slack')
    (trigger,) = entry["triggers"]
    assert trigger["expect"] == ["prefect-autopilot.trello.new_card"]
    assert trigger["parameters"] == {"event": EVENT_PARAMETER}
    assert "looked for by a second deployment" in written
    assert "schedules" not in entry


def test_it_names_the_flow_its_pool_and_what_is_needed_first() -> None:
    flow = generated("When a Trello card is created, post it to Slack")
    written = deployment_yaml(flow)
    (entry,) = yaml.safe_load(written)["deployments"]
    assert entry["entrypoint"] == f"{flow.file_name}:{flow.function}"
    assert entry["work_pool"] == {"name": "autopilot"}
    assert {"# Connection: trello-default", "# Connection: slack-default"} <= set(written.splitlines())
    assert "# Parameter to give: slack_channel" in written


@pytest.mark.parametrize(
    "said",
    ["{{ prefect.blocks.secret.key }}", "{{ $HOME }}", "{{{{x}}}}", "a: [b\n# c", "\x85", "!!python/name:os"],
    ids=["a block", "the environment", "nested", "yaml", "a line of its own", "a tag"],
)
def test_what_a_person_wrote_is_neither_a_template_nor_yaml(said: str) -> None:
    flow = generated('every Monday at 9 post "hello" to #ops in Slack')
    spec = flow.deployment.model_copy(update={"description": said, "parameters": {}})
    written = deployment_yaml(flow.model_copy(update={"deployment": spec}))
    (entry,) = yaml.safe_load(written)["deployments"]
    assert entry["description"].replace("{ ", "{") == said.replace("{ ", "{")
    assert "{{" not in written
