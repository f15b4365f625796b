"""``analyze`` and ``generate``: from a request to an understanding, and on to a deployed flow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from prefect_autopilot.cli.output import Flag, JSONFlag, Stream, write_json, write_line, write_table
from prefect_autopilot.cli.text_input import comma_separated, request_text
from prefect_autopilot.errors import UsageError

if TYPE_CHECKING:
    from prefect_autopilot.models import Analysis, GeneratedFlow, JSONDict, PreviewResult, RequestContext

Connected = Annotated[str | None, Parameter(help="Services you have connected, by id: gmail,slack.")]
Timezone = Annotated[str, Parameter(help="IANA name of the time zone that times are meant in.")]


def analyze(
    text: Annotated[
        str | None, Parameter(help='The request in plain English ("-": stdin).', allow_leading_hyphen=True)
    ] = None,
    /,
    *,
    connected: Connected = None,
    timezone: Timezone = "UTC",
    batch: Annotated[Stream, Parameter(help='JSON Lines of requests ("-": stdin).')] = None,
    output: Annotated[Stream, Parameter(help='Where the answers go ("-": stdout).')] = None,
    as_json: JSONFlag = False,
) -> int:
    """Say what a request in plain English was understood to mean; nothing is created."""
    if (batch is None) is (text is None):
        raise UsageError("Give either a request or --batch IN --output OUT.")
    if batch is not None:
        from prefect_autopilot.cli.batch import run_batch
        from prefect_autopilot.cli.batch_analyze import analyze_rows

        return run_batch(batch, output, analyze_rows)
    if output is not None:
        raise UsageError("--output belongs to --batch; redirect the standard output instead.")
    request, context = request_text(text), request_context(connected, timezone)
    import asyncio

    from prefect_autopilot.journeys import automate
    from prefect_autopilot.journeys.memory import note_missing, with_memory

    analysis = automate.understand(request, asyncio.run(with_memory(context)))
    asyncio.run(note_missing(analysis))
    if as_json:
        write_json(analysis)
    else:
        show_analysis(analysis)
    return 0


async def generate(
    text: Annotated[
        str | None, Parameter(help='The request in plain English ("-": stdin).', allow_leading_hyphen=True)
    ] = None,
    /,
    *,
    connected: Connected = None,
    timezone: Timezone = "UTC",
    interactive: Annotated[
        Flag, Parameter(help="Ask what is open, show a preview, ask before deploying.")
    ] = False,
    spec: Annotated[Path | None, Parameter(help="File the plan is written to, as YAML.")] = None,
    entry: Annotated[Path | None, Parameter(help="File for prefect deploy: schedule or event.")] = None,
    plan: Annotated[Path | None, Parameter(name="--from", help="Plan to make the flow of, as YAML.")] = None,
    output: Annotated[Path | None, Parameter(help="Folder the flow is written to; shown otherwise.")] = None,
    preview: Annotated[Flag, Parameter(help="Run it against simulated services first.")] = False,
    deploy: Annotated[Flag, Parameter(help="Deploy it; its trigger is live afterwards.")] = False,
    parameter: Annotated[
        tuple[str, ...], Parameter(help="NAME=VALUE of a flow parameter, as text or JSON.", negative=())
    ] = (),
    replace: Annotated[Flag, Parameter(help="Replace a file of this name; a backup is kept.")] = False,
    as_json: JSONFlag = False,
) -> int:
    """Turn a request into a Prefect flow; preview and deploy it on request."""
    given = read_parameters(parameter)
    if given and not (deploy or interactive):
        raise UsageError("--parameter gives values to a deployment; add --deploy.")
    if interactive and (as_json or plan is not None or text == "-"):
        raise UsageError("--interactive asks on the terminal; it goes with a request and without --json.")
    from prefect_autopilot.journeys import automate
    from prefect_autopilot.journeys.memory import note_missing, with_memory

    context = request_context(connected, timezone)
    context = context if plan is not None else await with_memory(context)
    analysis, flow, chosen = _planned(text, plan, context, interactive=interactive)
    if analysis is not None:
        await note_missing(analysis)
    if flow is None:
        if as_json:
            write_json({"analysis": analysis})
        elif analysis is not None:
            show_analysis(analysis)
        return 1
    told = Generated(analysis, flow, await automate.preview(flow) if preview or interactive else None)
    if interactive:
        from prefect_autopilot.cli.interactive import keep_choices, may_deploy, open_values

        await keep_choices(context, chosen)
        _show_generated(told)
        deploy = may_deploy(told.preview)
        given = open_values(flow, given) if deploy else given
        told.is_shown = True
    if told.preview is None or told.preview.succeeded:
        await _keep(told, output, given if deploy else None, replace=replace)
        told.spec_file = _keep_text(spec, "spec", flow, replace=replace)
        told.entry_file = _keep_text(entry, "entry", flow, replace=replace)
    if as_json:
        write_json(told.as_json())
    else:
        _show_generated(told)
    return 0 if told.preview is None or told.preview.succeeded else 1


def _planned(
    text: str | None, plan: Path | None, context: RequestContext, *, interactive: bool
) -> tuple[Analysis | None, GeneratedFlow | None, RequestContext]:
    """Return what was understood, the flow of it (None where there is none yet), and the context then."""
    from prefect_autopilot.journeys import automate

    if plan is not None:
        from prefect_autopilot.journeys.spec_file import build_spec, read_spec_file

        if text is not None:
            raise UsageError("Give either a request or --from FILE.")
        return None, build_spec(read_spec_file(plan)), context
    request = request_text(text)
    if interactive:
        from prefect_autopilot.cli.interactive import settle

        analysis, context = settle(request, context)
    else:
        analysis = automate.understand(request, context)
    return analysis, automate.build(analysis) if analysis.status == "flow" else None, context


def _keep_text(path: Path | None, what: str, flow: GeneratedFlow, *, replace: bool) -> str | None:
    """Write the plan of a flow or its entry for ``prefect deploy``; return the path, None where none is."""
    from prefect_autopilot.adapters import files
    from prefect_autopilot.journeys.deployment_file import deployment_yaml
    from prefect_autopilot.journeys.spec_file import spec_yaml

    if path is None:
        return None
    text = spec_yaml(flow.spec) if what == "spec" else deployment_yaml(flow)
    if replace and path.exists():
        files.replace(path, text, files.digest_of(path))
    else:
        files.write_new(path.parent, path.name, text)
    return str(path)


@dataclass
class Generated:
    """What became of a request; ``file`` and ``deployment`` stay None until they exist."""

    analysis: Analysis | None
    flow: GeneratedFlow
    preview: PreviewResult | None
    file: str | None = None
    deployment: str | None = None
    missing_connections: tuple[str, ...] = ()
    spec_file: str | None = None
    entry_file: str | None = None
    is_shown: bool = False
    """Whether source and preview were shown already, before a question."""

    def as_json(self) -> JSONDict:
        """Return what programs read."""
        from prefect_autopilot.journeys import automate

        told = {
            name: value
            for name, value in vars(self).items()
            if name not in {"is_shown", "spec_file", "entry_file"}
        }
        return told | {"connections": automate.connections(self.flow)}


async def _keep(told: Generated, output: Path | None, parameters: JSONDict | None, *, replace: bool) -> None:
    """Write the flow, and deploy it when ``parameters`` are given (an empty mapping counts)."""
    from prefect_autopilot.journeys import automate

    if parameters is not None:
        from prefect_autopilot.cli.prefect_server import prefect_server
        from prefect_autopilot.journeys.memory import remember_use

        folder = output if output is not None else _flows_folder()
        async with prefect_server():
            told.missing_connections = await automate.missing_connections(told.flow)
            told.deployment = await automate.deploy(told.flow, folder, parameters=parameters, replace=replace)
        await remember_use(step.service for step in told.flow.spec.steps)
        told.file = str(folder / told.flow.file_name)
    elif output is not None:
        told.file = str(automate.write_flow(told.flow, output, replace=replace))


def read_parameters(pairs: tuple[str, ...]) -> JSONDict:
    """Return flow parameters by name; a value that is JSON is read as JSON, anything else as text.

    Raises ``UsageError`` for a pair without a name or a name given twice.
    """
    given: JSONDict = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not name or not separator or name in given:
            raise UsageError(f"{pair!r} is no parameter; write NAME=VALUE, each NAME once.")
        try:
            given[name] = json.loads(value)
        except (ValueError, RecursionError):
            given[name] = value
    return given


def request_context(connected: str | None, timezone: str) -> RequestContext:
    """Return what is known of the person who asks; services are named by id, name or alias.

    Raises ``UsageError`` for an unknown time zone, UnknownNameError for a service nobody knows.
    """
    from zoneinfo import ZoneInfo

    from prefect_autopilot.adapters.catalogue import user_catalogue
    from prefect_autopilot.models import RequestContext

    try:
        ZoneInfo(timezone)
    except (ValueError, KeyError, OSError):
        raise UsageError(
            f"There is no time zone {timezone!r}; use an IANA name such as Europe/Berlin."
        ) from None
    names, ids = comma_separated(connected), []
    catalogue = user_catalogue()
    for name in names:
        found = () if name in catalogue else catalogue.find(name)
        ids += [one.id for one in found] or [catalogue.get(name).id]
    return RequestContext(timezone=timezone, connected_services=tuple(dict.fromkeys(ids)))


def show_analysis(analysis: Analysis) -> None:
    """Write an understanding as a person reads it: trigger, steps, what is open."""
    from prefect_autopilot.codegen.markdown import language_model_lines

    write_line(f"{analysis.status}, confidence {analysis.confidence:.2f}")
    if analysis.status == "reject":
        for line in analysis.reasons:
            write_line(line)
    if analysis.trigger is not None:
        trigger = analysis.trigger
        when = trigger.cron or trigger.rrule or trigger.event or ""
        write_line(
            " ".join(filter(None, ("starts on", trigger.type, trigger.service, when, trigger.timezone)))
            + (f", only if: {trigger.filter}" if trigger.filter else "")
        )
    if analysis.services:
        found = [(one.service, one.role, one.confidence, one.reason) for one in analysis.services]
        write_table("Services", ("service", "role", "confidence", "why"), found)
    if analysis.steps:
        steps = [
            (number, one.service, one.operation, one.condition)
            for number, one in enumerate(analysis.steps, 1)
        ]
        write_table("Steps", ("", "service", "operation", "only if"), steps)
    for question in analysis.questions:
        options = f" ({', '.join(question.options)})" if question.options else ""
        write_line(f"question: {question.text}{options}")
    _show_open(analysis)
    for line in analysis.recommendations:
        write_line(f"advice: {line}")
    for line in language_model_lines(analysis):
        write_line(f"language model: {line}")


def _show_open(analysis: Analysis) -> None:
    """Write what is filled in later, what nobody said, what no flow does, and words nothing stands for."""
    for name in analysis.open_parameters:
        write_line(f"open: {name}")
    for line in analysis.assumptions:
        write_line(f"assumed: {line}")
    for line in analysis.unsupported:
        write_line(f"not possible: {line}")
    for span in analysis.unused:
        write_line(f"not used: {' '.join(span.text.split())}")


def _flows_folder() -> Path:
    from prefect_autopilot.settings import load_settings

    return load_settings().flows_folder


def _show_generated(told: Generated) -> None:
    from prefect_autopilot.journeys import automate

    if not told.is_shown:
        if told.preview is not None:
            _show_preview(told.preview)
        if told.file is None and (told.preview is None or told.preview.succeeded):
            write_line(told.flow.source)
    if told.analysis is not None:
        _show_open(told.analysis)
    if told.spec_file is not None:
        write_line(f"plan        {told.spec_file}")
    if told.entry_file is not None:
        write_line(f"entry       {told.entry_file}")
    if told.file is not None:
        write_line(f"file        {told.file}")
        write_line(f"test        {Path(told.file).with_name(told.flow.test_file_name)}")
    if told.deployment is not None:
        spec = told.flow.deployment
        write_line(f"deployment  {spec.flow_name}/{spec.name} ({told.deployment})")
    is_known = told.deployment is not None
    for connection in told.missing_connections if is_known else automate.connections(told.flow):
        write_line(
            f"{'missing' if is_known else 'needs':<12}the connection {connection};"
            " see prefect-autopilot services connect --help"
        )


def _show_preview(result: PreviewResult) -> None:
    rows = [(one.service, one.operation, one.method, one.path, one.status) for one in result.calls]
    outcome = "succeeded" if result.succeeded else f"failed ({result.error})"
    write_table(
        f"Preview {outcome} in {result.duration_s:.1f} s; every service was simulated",
        ("service", "operation", "method", "path", "status"),
        rows,
    )
