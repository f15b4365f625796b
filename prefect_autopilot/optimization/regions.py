"""Which task calls of one block may wait at the same time, and where each may start at the earliest."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from prefect_autopilot.optimization.calls import CallSite, Judge
from prefect_autopilot.optimization.statements import Statement, StatementReader


@dataclass
class Movable:
    """One call that may start before the statement it stands in."""

    site: CallSite
    place: int
    """Index of its statement in the region."""
    earliest: int = 0
    blocked_by: str = ""
    """The edge that keeps it from starting earlier."""
    after: set[int] = field(default_factory=set)
    """Calls (by index) whose value it takes, as futures."""


@dataclass(frozen=True)
class Group:
    """Calls that overlap when they start as early as they may."""

    region: tuple[Statement, ...]
    members: tuple[Movable, ...]

    def start_of(self, member: Movable) -> int:
        """Return the statement before which a call is started, at most as early as the first other call."""
        return max(member.earliest, min(one.place for one in self.members if one.place >= member.earliest))


def regions(reader: StatementReader, block: list[ast.stmt]) -> list[tuple[Statement, ...]]:
    """Split a block at its walls; a statement that ends a region may hold calls that start earlier."""
    found: list[tuple[Statement, ...]] = []
    current: list[Statement] = []
    for node in block:
        statement = reader.read(node)
        if not statement.wall:
            current.append(statement)
        if statement.wall or statement.last:
            found.append(tuple(current))
            current = []
    return [one for one in [*found, tuple(current)] if one]


def overlapping(reader: StatementReader, judge: Judge, region: tuple[Statement, ...]) -> Group | None:
    """Return the calls of a region that can wait at the same time, or None."""
    movable = [
        Movable(site, place)
        for place, statement in enumerate(region)
        for site in statement.sites
        if not judge.call(site)
    ]
    chosen = set(range(len(movable)))
    while len(chosen) > 1:
        for index in chosen:
            _settle(reader, region, movable, index, chosen)
        kept = {one for one in chosen if any(_overlap(movable, one, other) for other in chosen - {one})}
        if kept == chosen:
            break
        chosen = kept
    members = tuple(movable[index] for index in sorted(chosen))
    return Group(region, members) if len(members) > 1 else None


def _settle(
    reader: StatementReader,
    region: tuple[Statement, ...],
    movable: list[Movable],
    index: int,
    chosen: set[int],
) -> None:
    """Find the earliest statement a call may start before, walking back from its own."""
    one = movable[index]
    one.after, one.earliest, one.blocked_by = set(), 0, ""
    names = set(one.site.names)
    for place in range(one.place - 1, -1, -1):
        statement = region[place]
        bound = names & statement.binds
        source = _source_of(movable, place, statement, chosen)
        by_future = source is not None and one.site.flavour != "await" and bound <= one.site.bare
        if bound and by_future and source is not None:
            one.after.add(source)
            names -= bound
            bound = set()
        changed = reader.reach(frozenset(names)) & statement.changes
        if bound or changed:
            kind = "sets" if bound else "changes"
            one.blocked_by = f"line {statement.line} {kind} {', '.join(sorted(bound or changed))}"
            one.earliest = place + 1
            return


def _source_of(movable: list[Movable], place: int, statement: Statement, chosen: set[int]) -> int | None:
    """Return the chosen call whose value a statement binds to a single name, if that is all it does."""
    node = statement.node
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return None
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if len(targets) != 1 or not isinstance(targets[0], ast.Name):
        return None
    for index in chosen:
        found = movable[index]
        if found.place == place and found.site.replaced is node.value and found.site.flavour != "await":
            return index
    return None


def _overlap(movable: list[Movable], one: int, other: int) -> bool:
    first, second = sorted((one, other))
    needed, pending = set[int](), [second]
    while pending:
        for index in movable[pending.pop()].after:
            if index not in needed:
                needed.add(index)
                pending.append(index)
    return first not in needed and movable[second].earliest <= movable[first].place
