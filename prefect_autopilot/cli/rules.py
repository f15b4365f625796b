"""``rules``: check, try out, store, list and remove monitoring rules."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.local import open_store, person
from prefect_autopilot.cli.output import JSONFlag, write_json, write_line, write_table
from prefect_autopilot.errors import UnknownNameError, UsageError


async def list_rules(*, as_json: JSONFlag = False) -> int:
    """List the stored rules."""
    async with open_store() as store:
        found = await store.rules()
    if as_json:
        write_json(found)
        return 0
    rows = [
        (
            one.rule_id,
            one.workflow_id,
            one.metric_name,
            one.condition.value,
            one.threshold,
            one.severity.value,
        )
        for one in found
    ]
    write_table("", ("id", "workflow", "metric", "condition", "threshold", "severity"), rows)
    return 0


async def apply(
    file: Annotated[Path | None, Parameter(help="YAML file with the rules.")] = None,
    /,
    *,
    block: Annotated[
        str | None, Parameter(help="Name of a Monitoring Rules block on the Prefect server, instead.")
    ] = None,
) -> int:
    """Store the rules of a YAML file or block; one with a known rule_id replaces it."""
    from prefect_autopilot.journeys.rules import apply_rules, rules_in, rules_in_block

    if (file is None) == (block is None):
        raise UsageError("Name either a YAML file with the rules or --block NAME.")
    rules = rules_in(file) if file is not None else await rules_in_block(str(block))
    async with open_store() as store:
        stored = await apply_rules(store, rules, person(), datetime.now(UTC))
    for rule in stored:
        write_line(f"{rule.rule_id}: {rule.metric_name} {rule.condition.value} {rule.threshold:g}")
    return 0


async def remove(rule_id: Annotated[str, Parameter(help="Id of the rule.")], /) -> int:
    """Remove a rule; its open alerts stay until they are over."""
    async with open_store() as store:
        if not await store.remove_rule(rule_id):
            raise UnknownNameError("rule", rule_id)
        await store.audit(person(), "rule.removed", rule_id, {}, datetime.now(UTC))
    write_line(f"{rule_id} is removed.")
    return 0


async def dry_run(
    file: Annotated[Path | None, Parameter(help="YAML file with rules; the stored ones otherwise.")] = None,
    /,
    *,
    days: Annotated[float, Parameter(help="Days of history to go through.")] = 30,
    as_json: JSONFlag = False,
) -> int:
    """Say how often rules would have fired over the runs that were seen; nothing is stored or told."""
    from prefect_autopilot.journeys import observe
    from prefect_autopilot.journeys.rules import dry_run as rehearse
    from prefect_autopilot.journeys.rules import rules_in

    async with open_store() as store:
        rules = rules_in(file) if file is not None else await store.rules()
        found = await rehearse(store, rules, datetime.now(UTC), days=days)
        names = await observe.names(store)
    if as_json:
        write_json(
            [
                {
                    "rule": one.rule.model_dump(mode="json"),
                    "workflow_id": one.workflow_id,
                    "fired": [at.isoformat() for at in one.fired],
                    "firing_s": one.firing_s,
                    "runs": one.runs,
                }
                for one in found
            ]
        )
        return 0
    if not found:
        write_line(
            "No run was seen of the workflows these rules are about; prefect-autopilot watch reads them."
        )
    for one in found:
        name = "/".join(filter(None, names[one.workflow_id]))
        rule = f"{one.rule.metric_name} {one.rule.condition.value} {one.rule.threshold:g}"
        times = "once" if len(one.fired) == 1 else f"{len(one.fired)} times"
        hours = f", for {one.firing_s / 3600:.1f} h in all" if one.fired else ""
        write_line(f"{name}: {rule} would have fired {times} in {one.runs} runs{hours}.")
    return 0
