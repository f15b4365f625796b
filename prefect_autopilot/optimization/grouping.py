"""The edit that three rules share: start a group of calls early, wait for each where it stood."""

from __future__ import annotations

from collections.abc import Iterator

from prefect_autopilot.effects import Function
from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.models import Rejection
from prefect_autopilot.optimization.decorators import foreign_runner
from prefect_autopilot.optimization.futures import base_name, needed_imports, start_text, wait_edit
from prefect_autopilot.optimization.plan import (
    SAME_TIME,
    SUBMIT_COST_S,
    Durations,
    Finding,
    FlowFile,
    Proposal,
)
from prefect_autopilot.optimization.regions import Group, overlapping, regions
from prefect_autopilot.optimization.statements import Statement, blocks


def find_groups(file: FlowFile, rule: str, flavours: frozenset[str]) -> Iterator[Finding]:
    """Yield one proposal for each group whose first call has one of the flavours, and what is left alone."""
    for flow in file.flows:
        reader, judge = file.statements(flow), file.judge(flow)
        calls = 0
        rejected: list[Rejection] = []
        for block in blocks(file.reader, flow):
            for region in regions(reader, block):
                group = overlapping(reader, judge, region)
                mine = [site for one in region for site in one.sites if site.flavour in flavours]
                calls += len(mine)
                taken = {id(member.site) for member in group.members} if group else set()
                if group and group.members[0].site.flavour in flavours:
                    yield _foreign(file, flow, rule, group) or _proposal(file, flow, rule, group)
                for site in mine:
                    if id(site) not in taken:
                        reason = judge.call(site) or _blocking(region, site.call.lineno)
                        rejected.append(Rejection(rule=rule, line=site.call.lineno, reason=reason))
            for node in block:
                calls += _walled(file, flow, rule, reader.read(node), flavours, rejected)
        if calls > 1:
            yield from rejected


def _foreign(file: FlowFile, flow: Function, rule: str, group: Group) -> Rejection | None:
    """Refuse to submit calls that ran in the flow's own process to a runner that may use another one."""
    direct = [member.site for member in group.members if member.site.flavour == "call"]
    reason = foreign_runner(file, flow) if direct else ""
    return Rejection(rule=rule, line=direct[0].call.lineno, reason=reason) if reason else None


def _walled(
    file: FlowFile,
    flow: Function,
    rule: str,
    statement: Statement,
    flavours: frozenset[str],
    into: list[Rejection],
) -> int:
    """Note a task call that is itself a wall; return how many there are."""
    if not statement.wall or not hasattr(statement.node, "value"):
        return 0
    found = [site for site in file.statements(flow).sites_of(statement.node) if site.flavour in flavours]
    into += [Rejection(rule=rule, line=statement.line, reason=statement.wall) for _ in found[:1]]
    return len(found)


def _blocking(region: tuple[Statement, ...], line: int) -> str:
    if len([one for one in region if one.sites]) < 2:  # noqa: PLR2004 - a pair needs two
        return "no other call between the same walls could wait at the same time"
    before = [one for one in region if one.line < line]
    return f"it needs what line {before[-1].line} makes" if before else "the calls after it need its value"


def _proposal(file: FlowFile, flow: Function, rule: str, group: Group) -> Finding:
    sites = [member.site for member in group.members]
    line = sites[0].call.lineno
    saving = file.saving(lambda duration: _saved(group, duration))
    little = file.too_little(saving, [site.task for site in sites])
    if little:
        return Rejection(rule=rule, line=line, reason=little)
    nodes = [group.region[member.place].node for member in group.members]
    starts = [group.region[group.start_of(member)].node for member in group.members]
    if not all(file.text.starts_line(node) for node in [*nodes, *starts]):
        return Rejection(rule=rule, line=line, reason="several statements stand on one line")
    edits: list[TextEdit] = []
    futures: dict[int, str] = {}
    lines: dict[int, list[str]] = {}
    for index, member in enumerate(group.members):
        site, node = member.site, group.region[member.place].node
        suffix = "started" if site.flavour == "await" else "future"
        name = file.new_name(f"{base_name(node, site)}_{suffix}")
        futures[index] = name
        inputs = {_bound_name(group, index_of): futures[index_of] for index_of in _inputs(group, member)}
        lines.setdefault(group.start_of(member), []).append(f"{name} = {start_text(file, site, inputs)}")
        edits.append(wait_edit(file, site, name))
    edits += [file.text.insertion(group.region[place].node, texts) for place, texts in lines.items()]
    names = ", ".join(dict.fromkeys(site.task.node.name for site in sites))
    started = [site for site in sites if site.flavour != "await"]
    return Proposal(
        rule=rule,
        line=line,
        reason=f"{len(sites)} reads ({names}) do not need one another and can wait at the same time",
        edits=tuple(sorted(edits)),
        evidence=tuple(
            dict.fromkeys(text for site in sites for text in file.reader.effect(site.task).evidence)
        ),
        saving=saving,
        preconditions=(SAME_TIME,),
        undo=f"call {names} directly again, one after the other",
        bounds=flow if len(started) > file.settings.max_workers else None,
        imports=tuple(dict.fromkeys(text for site in sites for text in needed_imports(file, site))),
    )


def _inputs(group: Group, member: object) -> list[int]:
    """Return the members whose values a member takes, by index."""
    by_site = {id(one): index for index, one in enumerate(group.members)}
    own = by_site[id(member)]
    found = []
    for index, one in enumerate(group.members[:own]):
        name = _bound_name(group, index)
        latest = [
            place for place in range(group.members[own].place) if name and name in group.region[place].binds
        ]
        taken = name and name in group.members[own].site.bare and latest and latest[-1] == one.place
        if taken and group.start_of(group.members[own]) <= one.place:
            found.append(index)
    return found


def _bound_name(group: Group, index: int) -> str:
    """Return the name a member's value is bound to, empty where it is not one name."""
    member = group.members[index]
    statement = group.region[member.place]
    value = getattr(statement.node, "value", None)
    return next(iter(statement.binds)) if value is member.site.replaced and len(statement.binds) == 1 else ""


def _saved(group: Group, duration: Durations) -> float | None:
    """Return the seconds saved: all durations less the longest chain and the cost of submitting."""
    durations: list[float] = []
    finished: list[float] = []
    for member in group.members:
        seconds = duration(member.site.task)
        if seconds is None:
            return None
        durations.append(seconds)
        needed = [finished[one] for one in _inputs(group, member)]
        finished.append(max(needed, default=0.0) + seconds)
    return sum(durations) - max(finished) - SUBMIT_COST_S * len(durations)
