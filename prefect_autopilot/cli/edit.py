"""``edit`` and ``explain``: change a flow in plain English as a diff; say in English what one does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.output import Flag, JSONFlag, write_json, write_line
from prefect_autopilot.cli.text_input import request_text

if TYPE_CHECKING:
    from prefect_autopilot.models import DeploymentSpec, FlowEdit, FlowExplanation

FlowArgument = Annotated[
    str, Parameter(help="File of the flow, FILE.py:FUNCTION, or the name of one in the flows folder.")
]


async def edit(
    flow: FlowArgument,
    text: Annotated[
        str, Parameter(help='The change in plain English ("-": stdin).', allow_leading_hyphen=True)
    ],
    /,
    *,
    connected: Annotated[str | None, Parameter(help="Services you have connected: gmail,slack.")] = None,
    timezone: Annotated[
        str, Parameter(help="IANA name of the zone that days and times are meant in.")
    ] = "UTC",
    write: Annotated[Flag, Parameter(help="Replace the file; a backup is kept.")] = False,
    as_json: JSONFlag = False,
) -> int:
    """Change just what is asked in a flow file, shown as a diff; everything else stays as it is."""
    from prefect_autopilot.cli.automate import request_context
    from prefect_autopilot.journeys.edit import edit_file
    from prefect_autopilot.journeys.edit_schedule import reschedule
    from prefect_autopilot.journeys.memory import remember_learned, with_memory

    request = request_text(text)
    path, function = flow_file(flow)
    context = await with_memory(request_context(connected, timezone))
    told = edit_file(path, request, context=context, function=function, write=write)
    if write and told.status == "changed":
        await remember_learned(told.learned)
    done: tuple[str, ...] = ()
    if told.schedule is not None:
        done = await reschedule(path, function, told.schedule, write=write)
    if as_json:
        write_json(told)
    else:
        _show_edit(told, done, path, write=write)
    return 1 if told.status == "clarify" else 0


async def explain(
    flow: FlowArgument,
    /,
    *,
    offline: Annotated[Flag, Parameter(help="Do not ask the Prefect server for deployments.")] = False,
    as_json: JSONFlag = False,
) -> int:
    """Say in English what a flow does, in which order, and what happens when it fails."""
    from prefect_autopilot.journeys.edit_schedule import deployments_of
    from prefect_autopilot.journeys.explain import explain_file

    path, function = flow_file(flow)
    told = explain_file(path, function)
    known: tuple[DeploymentSpec, ...] = () if offline else await deployments_of(told.name)
    if known:
        told = explain_file(path, function, known)
    if as_json:
        write_json(told)
    else:
        _show_explanation(told)
    return 0


def flow_file(flow: str) -> tuple[Path, str | None]:
    """Return file and function of FILE.py, FILE.py:FUNCTION or the name of a flow in the flows folder."""
    from prefect_autopilot.errors import UnknownNameError, UsageError
    from prefect_autopilot.settings import load_settings

    name, separator, function = flow.rpartition(":")
    if separator and name.endswith(".py") and function.isidentifier():
        return Path(name), function
    path = Path(flow)
    if path.suffix == ".py" or path.is_file():
        return path, None
    folder = load_settings().flows_folder
    stem = flow.replace("-", "_")
    for candidate in (folder / f"{stem}.py", folder / f"{stem}_flow.py"):
        if candidate.is_file():
            return candidate, None
    import difflib

    if path.parent != Path():
        raise UsageError(f"There is no file {flow}; name a flow file.")
    known = [one.stem.replace("_", "-") for one in folder.glob("*.py")] if folder.is_dir() else []
    raise UnknownNameError("flow file or flow", flow, tuple(difflib.get_close_matches(flow, known, n=3)))


def _show_edit(told: FlowEdit, done: tuple[str, ...], path: Path, *, write: bool) -> None:
    for question in told.questions:
        options = f" ({', '.join(question.options)})" if question.options else ""
        write_line(f"question: {question.text}{options}")
    for line in told.changes:
        write_line(line)
    for line in told.notes:
        write_line(f"note: {line}")
    if told.diff:
        write_line()
        write_line(told.diff)
        write_line(
            f"{path} was replaced; a backup is beside it." if write else "Nothing was written; add --write."
        )
    if told.test_diff:
        write_line(told.test_diff)
    for line in done:
        write_line(line)


def _show_explanation(told: FlowExplanation) -> None:
    write_line(f"{told.name} ({told.file}:{told.function})")
    for label, text in (("about", told.summary), ("request", told.request or "")):
        if text:
            write_line(f"{label:<11} {text}")
    for label, lines in (
        ("starts", told.starts),
        ("takes", told.parameters),
        ("connections", told.connections),
    ):
        for line in lines:
            write_line(f"{label:<11} {line}")
    write_line()
    for step in told.steps:
        write_line(f"{step.line:>5}  {'    ' * step.depth}{step.text}")
    write_line()
    for line in told.on_failure:
        write_line(f"{'on failure':<11} {line}")
    write_line(f"{'run again':<11} {told.rerun}")
