"""Start the reads of a loop before waiting for the first of them, a bounded number at a time.

Before::

    for page in pages:
        rows.append(fetch_page(page))

After::

    fetch_page_futures = [fetch_page.submit(page) for page in pages]
    for fetch_page_future in fetch_page_futures:
        rows.append(fetch_page_future.result())
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects import Function, walked
from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.fanout import (
    BlockedError,
    LoopParts,
    fan_out_saving,
    limited_start,
    loaded,
    rejection,
    skips,
    split_loop,
    stored,
)
from prefect_autopilot.optimization.futures import (
    base_name,
    list_lines,
    needed_imports,
    start_text,
    wait_edit,
)
from prefect_autopilot.optimization.plan import SAME_TIME, Finding, FlowFile, Proposal, Rule
from prefect_autopilot.optimization.statements import blocks

_NAME = "map_loop"


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield a proposal or a rejection for each loop that calls a task."""
    for flow in file.flows:
        loops = [node for block in blocks(file.reader, flow) for node in block if isinstance(node, ast.For)]
        for node in loops:
            try:
                parts = split_loop(file, flow, node)
                if parts is not None:
                    yield _proposal(file, flow, parts)
            except BlockedError as error:
                yield rejection(_NAME, node, error)


def _proposal(file: FlowFile, flow: Function, parts: LoopParts) -> Finding:
    loop = parts.loop
    saving = fan_out_saving(file, parts.sites)
    little = file.too_little(saving, [site.task for site in parts.sites])
    if little:
        return Rejection(rule=_NAME, line=loop.lineno, reason=little)
    whole_lines = [loop, *parts.first, parts.second[0]]
    if not all(file.text.starts_line(node) and file.text.ends_line(node) for node in whole_lines):
        raise BlockedError("several statements stand on one line")
    if loop.body[0].lineno <= (loop.iter.end_lineno or loop.lineno):
        raise BlockedError("the body stands on the line of the loop")
    parts = _keep_targets(flow, parts)
    futures = [file.new_name(f"{base_name(_owner(parts, site), site)}_future") for site in parts.sites]
    prelude, starts = _starts(file, parts)
    edits = [wait_edit(file, site, name) for site, name in zip(parts.sites, futures, strict=True)]
    shape = _comprehension if not parts.first else _two_loops
    edits += shape(file, parts, prelude, starts, futures)
    awaited = any(site.flavour == "await" for site in parts.sites)
    tasks = ", ".join(dict.fromkeys(site.task.node.name for site in parts.sites)) or "the submitted task"
    return Proposal(
        rule=_NAME,
        line=loop.lineno,
        reason=f"the calls of {tasks} in the loop do not need one another and can wait at the same time",
        edits=tuple(sorted(edits)),
        evidence=tuple(text for site in parts.sites for text in file.reader.effect(site.task).evidence),
        saving=saving,
        preconditions=(SAME_TIME,),
        undo=f"call {tasks} directly in one loop again",
        bounds=None if awaited else flow,
        imports=tuple(dict.fromkeys(text for site in parts.sites for text in needed_imports(file, site))),
    )


def _owner(parts: LoopParts, site: object) -> ast.stmt:
    """Return the statement of the second part that holds a call."""
    replaced = getattr(site, "replaced", None)
    return next(node for node in parts.second if any(part is replaced for part in walked(node)))


def _keep_targets(flow: Function, parts: LoopParts) -> LoopParts:
    """Carry the loop's own names as well where they are read after the loop."""
    inside = {id(part) for part in walked(parts.loop)}
    end = parts.loop.end_lineno or parts.loop.lineno
    repeated = any(
        isinstance(part, ast.For | ast.While | ast.AsyncFor)
        and part is not parts.loop
        and id(parts.loop) in {id(one) for one in walked(part)}
        for part in walked(flow.node)
    )
    others = (part for part in walked(flow.node) if isinstance(part, ast.Name) and id(part) not in inside)
    later = [part for part in others if repeated or part.lineno > end]
    names = [name for name in stored([parts.loop.target]) if name in loaded(later)]
    if any(skips(node) for node in parts.first) and loaded(later) & stored([parts.loop.target, *parts.first]):
        raise BlockedError("a name of the last round is read after the loop, and rounds are skipped")
    carried = tuple(dict.fromkeys([*parts.carried, *sorted(names)]))
    return LoopParts(parts.loop, parts.first, parts.second, parts.sites, carried)


def _starts(file: FlowFile, parts: LoopParts) -> tuple[list[str], list[str]]:
    """Return lines that go before the loop, and the text that starts each call."""
    names = [*sorted(stored([parts.loop.target])), *sorted(stored(parts.first))]
    prelude: list[str] = []
    starts: list[str] = []
    for site in parts.sites:
        if site.flavour == "await":
            lines, start = limited_start(file, site, names, _unit(file, parts.loop))
            prelude += lines
            starts.append(start)
        else:
            starts.append(start_text(file, site))
    return prelude, starts


def _unit(file: FlowFile, loop: ast.For) -> str:
    return file.text.indent(loop.body[0])[len(file.text.indent(loop)) :]


def _pending_name(file: FlowFile, parts: LoopParts) -> str:
    if len(parts.sites) == 1 and not parts.carried:
        return file.new_name(f"{parts.sites[0].task.node.name.lstrip('_')}_futures")
    return file.new_name("pending")


def _comprehension(
    file: FlowFile, parts: LoopParts, prelude: list[str], starts: list[str], futures: list[str]
) -> list[TextEdit]:
    """Put the calls into a list before the loop; the loop then runs over that list."""
    loop, pending = parts.loop, _pending_name(file, parts)
    target, items = file.text.of(loop.target), file.text.of(loop.iter)
    kept = [f"({target})" if isinstance(loop.target, ast.Tuple) and not target.startswith("(") else target]
    element = [*(kept if parts.carried else []), *starts]
    made = element[0] if len(element) == 1 else f"({', '.join(element)})"
    unpacked = [*(kept if parts.carried else []), *futures]
    over = f"({items})" if isinstance(loop.iter, ast.IfExp | ast.Lambda) else items
    start = list_lines(pending, made, f"for {target} in {over}", file.text.indent(loop), _unit(file, loop))
    header = TextEdit(
        file.text.start(loop.target), file.text.end(loop.iter), f"{', '.join(unpacked)} in {pending}"
    )
    return [_insert(file, loop, [*prelude, *start]), header]


def _two_loops(
    file: FlowFile, parts: LoopParts, prelude: list[str], starts: list[str], futures: list[str]
) -> list[TextEdit]:
    """End the first loop before the first waiting statement and begin a second one there."""
    loop, pending = parts.loop, _pending_name(file, parts)
    element = [*parts.carried, *starts]
    if not element:
        raise BlockedError("nothing of a round is needed after its call")
    made = element[0] if len(element) == 1 else f"({', '.join(element)})"
    inner, outer = file.text.indent(parts.second[0]), file.text.indent(loop)
    newline = file.text.newline
    second = f"{outer}for {', '.join([*parts.carried, *futures])} in {pending}:"
    between = f"{inner}{pending}.append({made}){newline}{second}{newline}"
    at = file.text.line_start(parts.second[0].lineno)
    return [_insert(file, loop, [*prelude, f"{pending} = []"]), TextEdit(at, at, between)]


def _insert(file: FlowFile, before: ast.stmt, texts: list[str]) -> TextEdit:
    edit = file.text.insertion(before, texts)
    blank = f"{file.text.indent(before)}{file.text.newline}"
    lines = edit.text.split(file.text.newline)
    kept = file.text.newline.join("" if f"{line}{file.text.newline}" == blank else line for line in lines)
    return TextEdit(edit.start, edit.end, kept)


RULE = Rule(name=_NAME, strategies=frozenset({Strategy.PERFORMANCE, Strategy.HYBRID}), find=find, order=20)
