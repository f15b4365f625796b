"""The workflows before and after a failed one: what waits for it, what it waits for, how their runs stand.

Read only of failures that last: then somebody has to know what is held up, and whether the cause came before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.adapters.prefect_values import run_record
from prefect_autopilot.errors import PrefectError
from prefect_autopilot.journeys.deployed import AFTER, deployments_in
from prefect_autopilot.models import FAILURE_STATES, Diagnosis, Evidence, EvidenceLine, JSONDict, RunRecord
from prefect_autopilot.redaction import redact

LOOK_BACK = timedelta(days=1)
"""Before the failure: how old the newest run of an upstream may be to say anything."""
MOST_LINKED = 20
MOST_RUNS = 100
_EVENT = "prefect.flow-run."


@dataclass(frozen=True, slots=True)
class Link:
    """A deployment that stands before or after the failed one, and what ties them."""

    deployment: str
    after: bool
    why: str
    on: frozenset[str] = frozenset()
    """The states of the first workflow that start the other one; empty where only an order is told."""


async def with_linked(api: PrefectAPI, evidence: Evidence, diagnosis: Diagnosis) -> Evidence:
    """Return the evidence of a lasting failure with the workflows tied to it by automations and tags.

    Two calls, one where automations were read within a minute, two more where something is tied. What cannot
    be read is named in ``missing``.
    """
    run = evidence.run
    if diagnosis.transient or run.deployment_id is None or run.state.type not in FAILURE_STATES:
        return evidence
    try:
        lines, before = await _lines(api, evidence, run.deployment_id)
    except PrefectError as error:
        missing = f"workflows before and after it ({error.message})"
        return evidence.model_copy(update={"missing": (*evidence.missing, missing)})
    found = {
        "surroundings": (*evidence.surroundings, *lines),
        "upstream": tuple(sorted({one.flow_name for one in before})),
        "compared": (*evidence.compared, *before),
    }
    return evidence.model_copy(update=found)


async def _lines(
    api: PrefectAPI, evidence: Evidence, deployment: str
) -> tuple[list[EvidenceLine], list[RunRecord]]:
    """Return what is told of each tied workflow, and the runs of those that the failed one waits for."""
    run = evidence.run
    tagged, waited_for = await _waiting_by_tag(api, run), await _named_by_tag(api, run)
    links = {
        link.deployment: link
        for link in (
            *_by_tag(tagged),
            *(Link(str(raw["id"]), after=False, why="its tag says so") for raw in waited_for),
            *_by_automation(await api.automations(lately=True), deployment),
        )
    }
    links.pop(deployment, None)
    chosen = list(links.values())[:MOST_LINKED]
    if not chosen:
        return [], []
    names = {raw["id"]: str(raw.get("name") or raw["id"]) for raw in (*tagged, *waited_for)}
    if unnamed := [link.deployment for link in chosen if link.deployment not in names]:
        names |= {
            raw["id"]: str(raw.get("name") or raw["id"]) for raw in await api.deployments_by_id(unnamed)
        }
    runs = await _runs(api, chosen, evidence)
    firsts = {
        one.deployment: names[one.deployment] for one in chosen if not one.after and one.deployment in names
    }
    before = [
        run_record(raw, {str(raw.get("flow_id")): {"name": redact(firsts[raw["deployment_id"]])}})
        for raw in runs
        if raw.get("deployment_id") in firsts and raw.get("flow_id")
    ]
    return [_told(link, names, runs, run) for link in chosen if link.deployment in names], before


async def _waiting_by_tag(api: PrefectAPI, run: RunRecord) -> Sequence[JSONDict]:
    """Return the deployments whose tag says that they come after the failed one."""
    full = f"{run.flow_name}/{run.deployment_name}" if run.deployment_name else ""
    tags = [f"{AFTER}{name}" for name in (run.flow_name, run.deployment_name, full) if name]
    body = {"deployments": {"tags": {"any_": tags}}, "limit": MOST_LINKED}
    return tuple(await api.request("POST", "/deployments/filter", body)) if tags else ()


async def _named_by_tag(api: PrefectAPI, run: RunRecord) -> Sequence[JSONDict]:
    """Return the deployments that the run's tags, its deployment's among them, name as what it waits for."""
    names = [tag.removeprefix(AFTER).strip() for tag in run.tags if tag.startswith(AFTER)]
    for kind, part in (("deployments", -1), ("flows", 0)):
        wanted = {kind: {"name": {"any_": [name.split("/")[part] for name in names]}}}
        if names and (
            found := await api.request("POST", "/deployments/filter", wanted | {"limit": MOST_LINKED})
        ):
            return tuple(found)
    return ()


def _by_tag(tagged: Iterable[JSONDict]) -> Iterator[Link]:
    for raw in tagged:
        yield Link(str(raw["id"]), after=True, why="its tag says that it comes after this one")


def _by_automation(automations: Iterable[JSONDict], deployment: str) -> Iterator[Link]:
    for automation in automations:
        trigger = automation.get("trigger") or {}
        firsts = set(deployments_in([trigger.get("match"), trigger.get("match_related")]))
        states = frozenset(
            str(event).removeprefix(_EVENT)
            for event in trigger.get("expect") or ()
            if str(event).startswith(_EVENT)
        )
        thens = {
            str(action["deployment_id"])
            for action in automation.get("actions") or ()
            if action.get("type") == "run-deployment" and action.get("deployment_id")
        }
        why = f"automation {redact(str(automation.get('name') or automation.get('id')))!r}"
        if deployment in firsts:
            yield from (Link(one, after=True, why=why, on=states) for one in sorted(thens))
        if deployment in thens:
            yield from (Link(one, after=False, why=why, on=states) for one in sorted(firsts))


async def _runs(api: PrefectAPI, links: Iterable[Link], evidence: Evidence) -> Sequence[JSONDict]:
    """Return the newest runs of tied workflows, as far back as the failed one's own were read."""
    runs = (evidence.run, *evidence.recent_runs)
    since = min(one.start or one.state.timestamp for one in runs) - LOOK_BACK
    body = {
        "deployments": {"id": {"any_": [link.deployment for link in links]}},
        "flow_runs": {"expected_start_time": {"after_": since.isoformat()}},
        "sort": "EXPECTED_START_TIME_DESC",
        "limit": MOST_RUNS,
    }
    return tuple(await api.request("POST", "/flow_runs/filter", body))


def _told(link: Link, names: dict[str, str], runs: Sequence[JSONDict], run: RunRecord) -> EvidenceLine:
    where = f"deployment {redact(names[link.deployment])}"
    own = [raw for raw in runs if raw.get("deployment_id") == link.deployment]
    if not link.after:
        newest = next(
            (f"its newest run {raw['id']} is {_state(raw)}" for raw in own), "it has not run for a day"
        )
        return EvidenceLine(text=f"this one comes after it ({link.why}): {newest}", where=where)
    begun = (run.start or run.expected_start or run.state.timestamp).isoformat()
    since = [raw for raw in own if str(raw.get("expected_start_time") or "") >= begun[:19]]
    ties = f"runs when this one is {' or '.join(sorted(link.on))}" if link.on else "comes after this one"
    then = f"its run {since[0]['id']} is {_state(since[0])}" if since else "it has not run since"
    return EvidenceLine(text=f"{ties} ({link.why}): {then}", where=where)


def _state(raw: JSONDict) -> str:
    return str((raw.get("state") or {}).get("name") or raw.get("state_type") or "unknown")
