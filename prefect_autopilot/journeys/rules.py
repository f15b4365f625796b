"""Monitoring rules from a YAML file or a block into the store, and what they would have done."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from prefect_autopilot.errors import UnknownNameError, UsageError
from prefect_autopilot.journeys.judging import history, workflow_id
from prefect_autopilot.models import MonitoringRule
from prefect_autopilot.monitoring.rehearsal import Rehearsed, rehearse
from prefect_autopilot.monitoring.rule_check import rules_of_text
from prefect_autopilot.monitoring.rules import EVERY_WORKFLOW
from prefect_autopilot.store import Store

__all__ = ["apply_rules", "dry_run", "rules_in", "rules_in_block", "rules_of_text"]

MOST_RUNS = 5000
"""Runs of a workflow that are gone through."""


def rules_in(path: Path) -> tuple[MonitoringRule, ...]:
    """Read the rules of a YAML file; raises UsageError that says what is wrong where."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The rules in {path} cannot be read: {error}.") from error
    return rules_of_text(text)


async def rules_in_block(name: str) -> tuple[MonitoringRule, ...]:
    """Read the rules of a stored block; raises UnknownNameError, or UsageError that says what is wrong."""
    from prefect_autopilot.blocks.rules import MonitoringRules

    try:
        block: Any = await MonitoringRules.aload(name)
    except ValueError as error:
        raise UnknownNameError("monitoring rules block", name) from error
    return rules_of_text(block.rules)


async def apply_rules(
    store: Store, rules: tuple[MonitoringRule, ...], by: str, now: datetime
) -> tuple[MonitoringRule, ...]:
    """Store rules; one with a known id replaces it. Names of workflows that were seen become their ids."""
    names = await _named(store)
    stored = []
    for rule in rules:
        known = rule.model_copy(update={"workflow_id": names.get(rule.workflow_id, rule.workflow_id)})
        kept = await store.add_rule(known)
        await store.audit(by, "rule.stored", kept.rule_id, kept.model_dump(mode="json"), now)
        stored.append(kept)
    return tuple(stored)


async def dry_run(
    store: Store, rules: tuple[MonitoringRule, ...], now: datetime, *, days: float = 30
) -> tuple[Rehearsed, ...]:
    """Return what rules would have done over the stored runs of the last ``days``; nothing is stored."""
    names = await _named(store)
    wanted = tuple(
        rule.model_copy(update={"workflow_id": names.get(rule.workflow_id, rule.workflow_id)})
        for rule in rules
    )
    idents = {rule.workflow_id for rule in wanted}
    found: list[Rehearsed] = []
    for workflow in await store.workflows():
        ident = workflow_id(workflow)
        if EVERY_WORKFLOW in idents or ident in idents:
            runs = await history(store, workflow, MOST_RUNS)
            # Seconds of pure computing for a long history; a server has other things to answer meanwhile.
            found += await asyncio.to_thread(rehearse, wanted, {ident: runs}, now - timedelta(days=days))
    return tuple(found)


async def _named(store: Store) -> dict[str, str]:
    """Return the id of each workflow by the names that stand for it alone."""
    found: dict[str, set[str]] = {}
    for one in await store.workflows():
        ident = workflow_id(one)
        both = f"{one.flow_name}/{one.deployment_name}"
        for name in (one.deployment_name, one.flow_name, both):
            if name:
                found.setdefault(name, set()).add(ident)
    return {name: next(iter(idents)) for name, idents in found.items() if len(idents) == 1}
