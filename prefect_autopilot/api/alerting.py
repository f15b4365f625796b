"""Calls about alerts: acknowledge them, silence them, try rules out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field
from starlette.requests import Request

from prefect_autopilot.api.access import actor_of
from prefect_autopilot.api.answers import Page, RulesAnswer
from prefect_autopilot.api.bodies import Body, Limit, Offset, RuleBody, Told
from prefect_autopilot.api.context import context_of
from prefect_autopilot.api.lists import DEFAULT_LIMIT, page_of
from prefect_autopilot.errors import UsageError
from prefect_autopilot.journeys import alerting
from prefect_autopilot.journeys.rules import dry_run
from prefect_autopilot.models import Silence, Value, WorkflowAlert
from prefect_autopilot.monitoring.rule_check import read_rules

Pattern = Annotated[str, Field(min_length=1, max_length=300)]


class SilenceBody(Body):
    """A silence, or a maintenance window that recurs; it begins now where no start is given."""

    workflow: Pattern = "*"
    kind: Pattern = "*"
    work_pool: Pattern = "*"
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime
    cron: Annotated[str, Field(max_length=200)] | None = None
    minutes: float = Field(default=60, gt=0, le=7 * 24 * 60)
    timezone: str = Field(default="UTC", max_length=100)
    reason: Annotated[Told, Field(max_length=1000)] = ""


class SilencesAnswer(Page):
    """Silences and maintenance windows that have not ended."""

    success: bool = True
    silences: tuple[Silence, ...]


class SilenceAnswer(Silence):
    """The stored silence."""

    success: bool = True


class EndedAnswer(Value):
    """A silence that has ended."""

    success: bool = True
    silence_id: str


class AlertAnswer(WorkflowAlert):
    """The alert as it stands now."""

    success: bool = True


class WouldHaveFired(Value):
    """What a rule would have done for one workflow."""

    workflow_id: str
    fired: tuple[datetime, ...]
    firing_s: float
    runs: int


class DryRunAnswer(Value):
    """How often a rule would have fired; nothing was stored or told."""

    success: bool = True
    fired: int
    workflows: tuple[WouldHaveFired, ...]


async def acknowledge_alert(alert_id: str, request: Request) -> AlertAnswer:
    """Take an alert on; it is neither repeated nor escalated any more, and who was first stays."""
    context = context_of(request)
    taken = await alerting.acknowledge(await context.store(), alert_id, actor_of(request), context.clock())
    return AlertAnswer(**taken.model_dump())


async def list_silences(request: Request, limit: Limit = DEFAULT_LIMIT, offset: Offset = 0) -> SilencesAnswer:
    """Return the silences and maintenance windows that have not ended."""
    context = context_of(request)
    found = (await (await context.store()).silences(context.clock()))[offset : offset + limit + 1]
    return SilencesAnswer(silences=found[:limit], **page_of(len(found), limit, offset))


async def list_rules(
    request: Request,
    workflow_id: str | None = None,
    limit: Limit = DEFAULT_LIMIT,
    offset: Offset = 0,
) -> RulesAnswer:
    """Return the monitoring rules, by id."""
    found = (await (await context_of(request).store()).rules(workflow_id))[offset : offset + limit + 1]
    return RulesAnswer(rules=found[:limit], **page_of(len(found), limit, offset))


async def add_silence(body: SilenceBody, request: Request) -> SilenceAnswer:
    """Tell nobody of alerts that match until it ends; they are still found and listed."""
    context = context_of(request)
    now = context.clock()
    given = body.model_dump()
    given["starts_at"] = body.starts_at or now
    if body.ends_at <= given["starts_at"]:
        raise UsageError("The silence ends before it starts; choose ends_at.")
    wanted = Silence(**given, created_by=actor_of(request))
    stored = await alerting.silence(await context.store(), wanted, now)
    return SilenceAnswer(**stored.model_dump())


async def end_silence(silence_id: str, request: Request) -> EndedAnswer:
    """End a silence before its time."""
    context = context_of(request)
    await alerting.unsilence(await context.store(), silence_id, actor_of(request), context.clock())
    return EndedAnswer(silence_id=silence_id)


async def rehearse_rule(
    body: RuleBody, request: Request, days: Annotated[float, Field(gt=0, le=3650)] = 30
) -> DryRunAnswer:
    """Say how often a rule would have fired over the runs that were seen; nothing is stored or told."""
    context = context_of(request)
    (rule,) = read_rules(body.model_dump(mode="json"))
    found = await dry_run(await context.store(), (rule,), context.clock(), days=days)
    workflows = tuple(
        WouldHaveFired(workflow_id=one.workflow_id, fired=one.fired, firing_s=one.firing_s, runs=one.runs)
        for one in found
    )
    return DryRunAnswer(fired=sum(len(one.fired) for one in workflows), workflows=workflows)
