"""A flow file changed as asked in plain English: just that, as a diff, hand edits kept."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from prefect_autopilot.adapters import files
from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.codegen import edit as source_edit
from prefect_autopilot.codegen.reading import Call, FlowSource, read_flow
from prefect_autopilot.effects.text import TextEdit, apply_edits, unified_diff
from prefect_autopilot.errors import UsageError
from prefect_autopilot.intelligence import analyze
from prefect_autopilot.intelligence.arguments import fill
from prefect_autopilot.intelligence.changes import Change, read_change
from prefect_autopilot.intelligence.operations import choose_operation
from prefect_autopilot.journeys.edit_add import Made, add_steps
from prefect_autopilot.journeys.edit_learning import learned
from prefect_autopilot.journeys.edit_place import (
    Condition,
    UnclearError,
    ask,
    condition_of,
    find_step,
    is_whole,
    services_in,
)
from prefect_autopilot.journeys.edit_test import updated_test
from prefect_autopilot.journeys.edit_value import change_value
from prefect_autopilot.models import FlowEdit, RequestContext, Service, StepSpec, TriggerSpec
from prefect_autopilot.services import Catalogue, connection_name

_BOM = "\ufeff"
_SCHEDULE = re.compile(
    r"\b(?:schedules?|time|cron|interval|when it runs)\b|^(?:run|start|trigger|schedule|execute)\b",
    re.IGNORECASE,
)
_ADDS = re.compile(r"\b(?:also|too|as well|in addition|additionally|add|another)\b", re.IGNORECASE)


def edit_source(
    source: str,
    request: str,
    *,
    file: str,
    context: RequestContext | None = None,
    function: str | None = None,
) -> FlowEdit:
    """Return what ``request`` changes in a flow's source: a diff, or the question that comes first.

    What is asked for already is told as unchanged. Nothing of the file is run. Raises InvalidFlowError for
    text that is no flow, UnknownNameError for a ``function`` that is none, UsageError for a change that
    cannot be made.
    """
    catalogue, known = user_catalogue(), context or RequestContext()
    plain = source.removeprefix(_BOM)
    flow = read_flow(plain, catalogue, function)
    change = read_change(request)
    schedule = _schedule_of(change, request, known, catalogue)
    try:
        if schedule is not None:
            new, made = plain, _scheduled(schedule)
        else:
            new, made = _changed(flow, change, known, catalogue)
    except UnclearError as unclear:
        return FlowEdit(
            file=file, request=request, status="clarify", questions=(unclear.question,), source=source
        )
    ast.parse(new)
    changed = new != plain or schedule is not None
    return FlowEdit(
        file=file,
        request=request,
        status="changed" if changed else "unchanged",
        changes=tuple(made.changes),
        notes=tuple(made.notes) or (() if changed else ("The flow is already as you ask.",)),
        diff=unified_diff(plain, new, file),
        source=source[: len(source) - len(plain)] + new,
        learned=learned(plain, new, catalogue, function) if new != plain else {},
        schedule=schedule,
    )


def edit_file(
    path: Path,
    request: str,
    *,
    context: RequestContext | None = None,
    function: str | None = None,
    write: bool = False,
) -> FlowEdit:
    """Return what ``request`` changes in a file, and with ``write`` replace it; a backup is kept.

    Raises ConflictError when the file changed meanwhile, UsageError when it cannot be read,
    InvalidFlowError when it is no text.
    """
    source = files.read_source(path)
    edit = edit_source(source, request, file=path.name, context=context, function=function)
    if edit.status == "changed" and edit.source != source:
        edit = _with_test(path, edit, source, function, write=write)
        if write:
            files.replace(path, edit.source, files.digest(source))
    return edit


def _with_test(path: Path, edit: FlowEdit, source: str, function: str | None, *, write: bool) -> FlowEdit:
    """Bring the test beside the flow up to the change; one that is no Python any more is left alone."""
    beside = path.with_name(f"test_{path.name}")
    if not beside.is_file():
        return edit
    test = files.read_source(beside)
    before, after = source.removeprefix(_BOM), edit.source.removeprefix(_BOM)
    try:
        new, notes = updated_test(test, before, after, user_catalogue(), function)
    except SyntaxError:
        new, notes = test, (f"{beside.name} is no Python: it was left as it is.",)
    if write and new != test:
        files.replace(beside, new, files.digest(test))
    changed = {"notes": (*edit.notes, *notes), "test_diff": unified_diff(test, new, beside.name)}
    return edit.model_copy(update=changed)


def _changed(
    flow: FlowSource, change: Change, context: RequestContext, catalogue: Catalogue
) -> tuple[str, Made]:
    match change.kind:
        case "add":
            made = _added(flow, change, context, catalogue)
        case "remove":
            made = _removed(flow, change, catalogue)
        case "condition":
            made = _conditioned(flow, change, context, catalogue)
        case "retries":
            made = _retried(flow, change, catalogue)
        case _:
            swap = _swapped_services(change, catalogue)
            if swap is not None:
                return _swapped(flow, *swap, context, catalogue)
            made = change_value(flow, change, catalogue)
    return apply_edits(flow.text.source, made.edits), made


def _added(flow: FlowSource, change: Change, context: RequestContext, catalogue: Catalogue) -> Made:
    limits = change.condition is not None or change.days is not None
    if limits and not _ADDS.search(change.rest) and change.side is None and flow.calls:
        there = find_step(flow, change.rest, catalogue, needed=False)
        if there is not None:  # "post to Slack only if …": the step is there, its condition is new
            return _conditioned(flow, change, context, catalogue)
    return add_steps(flow, change, context, catalogue)


def _removed(flow: FlowSource, change: Change, catalogue: Catalogue) -> Made:
    if flow.calls and find_step(flow, change.rest, catalogue, needed=False) is None:
        named = services_in(change.rest, catalogue)
        if named and not any(call.service in named for call in flow.calls):
            names = " or ".join(one.name for one in named)
            return Made(notes=[f"No step of the flow calls {names}."])
    call = _step(flow, change.rest, catalogue)
    edits = source_edit.remove(flow, call)
    return Made(edits=edits, changes=[f"Removes the step {call.name} (line {call.node.lineno})."])


def _step(flow: FlowSource, words: str, catalogue: Catalogue) -> Call:
    found = find_step(flow, words, catalogue)
    assert found is not None
    return found


def _conditioned(flow: FlowSource, change: Change, context: RequestContext, catalogue: Catalogue) -> Made:
    condition = condition_of(flow, change, context, catalogue)
    if condition is None:
        raise ask("condition", "On which condition or days? Say it as: only … on weekdays, or only … if …")
    if is_whole(change.rest):
        return _guarded(flow, condition)
    call = _step(flow, change.rest, catalogue)
    if call.blocks and condition.is_of(call.blocks[-1]):
        return Made(notes=[f"Line {call.blocks[-1].lineno} has this condition already."])
    edits = [*condition.imports, *source_edit.wrap(flow, call, condition.test, condition.setup)]
    return Made(edits=edits, changes=[f"Runs {call.name} only if {condition.test}."])


def _guarded(flow: FlowSource, condition: Condition) -> Made:
    """End the run at its start where the condition does not hold."""
    negated = Condition(f"not ({condition.test})")
    for statement in flow.body:
        if negated.is_of(statement):
            return Made(notes=[f"Line {statement.lineno} has this condition already."])
    completed = next((n for n, q in flow.module.imports.items() if q == "prefect.states.Completed"), None)
    returned = flow.flow.node.returns
    if completed is not None:
        leave = f'return {completed}(name="Skipped", message="Not due on this day.")'
    elif returned is None or (isinstance(returned, ast.Constant) and returned.value is None):
        leave = "return"
    else:
        raise ask("result", "What should the flow return when the condition does not hold?")
    lines = [*condition.setup, f"if {negated.test}:", f"    {leave}"]
    edit = source_edit.insert_lines(flow, lines, beside=flow.body[0], before=True)
    return Made(edits=[*condition.imports, edit], changes=[f"Ends the run at once unless {condition.test}."])


def _retried(flow: FlowSource, change: Change, catalogue: Catalogue) -> Made:
    count = change.count or 0
    options = {"retries": str(count)}
    if change.delay_s is not None:
        options["retry_delay_seconds"] = str(change.delay_s)
    call = find_step(flow, change.rest, catalogue, needed=False) if flow.calls else None
    told = f"{count} {'retry' if count == 1 else 'retries'}"
    told += f", {change.delay_s} s apart" if change.delay_s is not None else ""
    if call is None:
        edits = [source_edit.decorate(flow, name, value) for name, value in options.items()]
        return _settled(edits, f"Gives the flow {told}.")
    made = _settled(_step_options(flow, call, options), f"Gives the step {call.name} {told}.")
    if call.operation is not None and call.operation.effect == "unsafe" and count and made.edits:
        made.notes.append(
            f"{call.name} may not be repeated without harm: after an error it is tried again only where "
            "the service surely did nothing."
        )
    return made


def _settled(edits: list[TextEdit | None], told: str) -> Made:
    done = [one for one in edits if one is not None]
    return (
        Made(edits=_joined(done), changes=[told]) if done else Made(notes=["These retries are set already."])
    )


def _joined(edits: list[TextEdit]) -> list[TextEdit]:
    """Join insertions at one place into one, so that brackets opened there are opened once."""
    merged: dict[tuple[int, int], TextEdit] = {}
    for one in edits:
        key = (one.start, one.end)
        before = merged.get(key)
        if before is None:
            merged[key] = one
        elif before.text.startswith("(") and before.text.endswith(")"):
            merged[key] = TextEdit(one.start, one.end, f"{before.text[:-1]}, {one.text[1:]}")
        else:
            text = one.text if one.text.startswith(",") else f", {one.text}"
            merged[key] = TextEdit(one.start, one.end, before.text + text)
    return list(merged.values())


def _step_options(flow: FlowSource, call: Call, options: dict[str, str]) -> list[TextEdit | None]:
    if call.options is not None:
        return [source_edit.set_keyword(flow.text, call.options, *one) for one in options.items()]
    if call.function is not None and call.function.kind == "task":
        decorator = call.function.decorator
        if isinstance(decorator, ast.Call):
            return [source_edit.set_keyword(flow.text, decorator, *one) for one in options.items()]
        assert decorator is not None
        end = flow.text.end(decorator)
    else:
        end = flow.text.end(call.node.func)
        given = ", ".join(f"{name}={value}" for name, value in options.items())
        return [TextEdit(end, end, f".with_options({given})")]
    given = ", ".join(f"{name}={value}" for name, value in options.items())
    return [TextEdit(end, end, f"({given})")]


def _swapped_services(change: Change, catalogue: Catalogue) -> tuple[Service, Service] | None:
    old, new = change.old or change.what, change.new or ""
    found = [
        catalogue.find(re.sub(r"\s+(?:step|call|message|messages)$", "", one.strip())) for one in (old, new)
    ]
    return (found[0][0], found[1][0]) if all(len(one) == 1 for one in found) else None


def _swapped(
    flow: FlowSource, old: Service, new: Service, context: RequestContext, catalogue: Catalogue
) -> tuple[str, Made]:
    """Let another service do what a step does: the new step beside the old one, then the old one out."""
    meant = [call for call in flow.calls if call.service and call.service.id == old.id and call.operation]
    if not meant:
        if any(call.service and call.service.id == new.id for call in flow.calls):
            return flow.text.source, Made(
                notes=[f"The flow uses {new.name} already, and {old.name} nowhere."]
            )
        raise ask("step", f"The flow does not use {old.name}; which step should use {new.name}?")
    if len(meant) > 1:
        options = tuple(f"{call.name} (line {call.node.lineno})" for call in meant)
        raise ask("step", f"Which step should use {new.name} instead of {old.name}?", options)
    operation = meant[0].operation
    assert operation is not None
    words = operation.id.replace("_", " ")
    chosen = choose_operation(new, words, "sink")
    if chosen is None:
        raise ask("operation", f"What should be done in {new.name} instead of {words}?")
    step = StepSpec(
        id="swapped",
        service=new.id,
        operation=chosen.id,
        connection=connection_name(new.id),
        arguments=fill(new, chosen, "", event=None, has_event=False, earlier=None),
    )
    place = Change(kind="add", rest=words)
    made = add_steps(flow, place, context, catalogue, (step,), beside=meant[0])
    source = apply_edits(flow.text.source, made.edits)
    again = read_flow(source, catalogue, flow.flow.name)
    (gone,) = [call for call in again.calls if call.service and call.service.id == old.id and call.operation]
    made.changes.append(f"Removes the step {gone.name}.")
    return apply_edits(source, source_edit.remove(again, gone)), made


def _schedule_of(
    change: Change, request: str, context: RequestContext, catalogue: Catalogue
) -> TriggerSpec | None:
    """Return the schedule a change asks for, None where it is about something else."""
    said = change.what if change.kind == "value" else change.rest
    if change.kind not in {"add", "value"} or not _SCHEDULE.search(said):
        return None
    text = (change.new or "") if change.kind == "value" else re.sub(r"\s+instead$", "", request.strip(" ."))
    analysis = analyze(text, context, catalogue)
    trigger = analysis.trigger
    if analysis.steps or trigger is None or trigger.type != "schedule":
        return None
    when = next((one for one in analysis.questions if one.id == "when"), None)
    if when is not None or not (trigger.cron or trigger.rrule or trigger.interval_s):
        raise UsageError(when.text if when else "When should it run? Say a day and a time.")
    return trigger


def _scheduled(schedule: TriggerSpec) -> Made:
    told = schedule.cron or schedule.rrule or f"every {schedule.interval_s} s"
    return Made(changes=[f"Sets the schedule of the deployment to {told} ({schedule.timezone})."])
