"""Texts that start a task call and wait for it: ``submit`` and ``result``, or an asyncio task."""

from __future__ import annotations

import ast

from prefect_autopilot.effects.text import TextEdit
from prefect_autopilot.optimization.calls import CallSite
from prefect_autopilot.optimization.plan import FlowFile


def start_text(file: FlowFile, site: CallSite, futures: dict[str, str] | None = None) -> str:
    """Return the text that starts a call; ``futures`` replaces arguments by the futures they come from."""
    text = _with_futures(file, site, futures or {})
    if site.flavour == "await":
        return f"{file.imported('asyncio')[0]}.create_task({text})"
    if site.flavour == "submit":
        return text
    func = file.text.of(site.call.func)
    return f"{func}.submit{text[len(func) :]}"


def end_text(site: CallSite, future: str) -> str:
    """Return the text that waits for a started call and gives its value."""
    return f"await {future}" if site.flavour == "await" else f"{future}.result()"


def _with_futures(file: FlowFile, site: CallSite, futures: dict[str, str]) -> str:
    start = file.text.start(site.call)
    text = file.text.of(site.call)
    given = [*site.call.args, *(word.value for word in site.call.keywords if word.arg)]
    for value in sorted(given, key=file.text.start, reverse=True):
        if isinstance(value, ast.Name) and value.id in futures:
            at = file.text.start(value) - start
            text = text[:at] + futures[value.id] + text[at + len(value.id) :]
    return text


_LONG_LINE = 100


def list_lines(name: str, made: str, clauses: str, indent: str, unit: str) -> list[str]:
    """Return a statement that makes a list by a comprehension, over several lines where it would be long."""
    line = f"{name} = [{made} {clauses}]"
    if len(indent) + len(line) <= _LONG_LINE or "\n" in line:
        return [line]
    return [f"{name} = [", f"{unit}{made}", f"{unit}{clauses}", "]"]


def wait_edit(file: FlowFile, site: CallSite, future: str) -> TextEdit:
    """Return the edit that puts the waiting in the place of the call."""
    return TextEdit(file.text.start(site.replaced), file.text.end(site.replaced), end_text(site, future))


def needed_imports(file: FlowFile, site: CallSite) -> tuple[str, ...]:
    """Return the import statements that starting a call needs."""
    return file.imported("asyncio")[1] if site.flavour == "await" else ()


def base_name(statement: ast.stmt, site: CallSite) -> str:
    """Return what a future is named after: the variable that gets the value, else the task."""
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        if statement.value is site.replaced and isinstance(target, ast.Name):
            return target.id
    return site.task.node.name.lstrip("_")
