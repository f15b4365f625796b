"""Analysis, questions, code and preview as Markdown; text from outside cannot leave its place."""

from __future__ import annotations

import json
import re

from prefect_autopilot.models import Analysis, GeneratedFlow, PreviewResult, ServiceCall

_MOST_CALLS = 50
_CELL_LENGTH = 160
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&@:/])")


def fenced(text: str, language: str = "") -> str:
    """Return ``text`` as a code block whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{_printable(text)}\n{fence}"


def inline(text: str) -> str:
    """Return ``text`` on one line with every sign that Markdown or HTML could read escaped."""
    one_line = " ".join(_printable(text).split())
    return (
        _SPECIAL.sub(r"\\\1", one_line).replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")
    )


def analysis_markdown(analysis: Analysis) -> str:
    """Return what was understood, why, and what is asked."""
    lines = ["## Request", "", fenced(analysis.text), "", f"**Status:** {analysis.status}", ""]
    used = [one for one in analysis.services if one.role == "used"]
    if used:
        lines += ["| service | confidence | because |", "|---|---|---|"]
        lines += [f"| {inline(one.service)} | {one.confidence:.2f} | {_cell(one.reason)} |" for one in used]
        lines.append("")
    for title, texts in (
        ("Questions", [question.text for question in analysis.questions]),
        ("Still open, filled in when it is deployed", analysis.open_parameters),
        ("Assumed, as nobody said it", analysis.assumptions),
        ("Not supported", analysis.unsupported),
        ("Recommendations", analysis.recommendations),
        ("Reasons", analysis.reasons),
        ("Language model", language_model_lines(analysis)),
    ):
        if texts:
            lines += [f"### {title}", "", *(f"- {inline(text)}" for text in texts), ""]
    return "\n".join(lines)


def language_model_lines(analysis: Analysis) -> tuple[str, ...]:
    """Return what a language model had to do with an analysis, nothing where none was asked."""
    use = analysis.language_model
    if use is None:
        return ()
    if not use.used:
        return (f"This is the offline reading; the plan of {use.model} was not taken. {use.reason}",)
    told = f"Start and steps are the plan of {use.model} at {use.host}, held against the catalogue."
    return (told, f"It took {use.requests} requests and about {use.tokens} tokens.", *use.left_out)


def code_markdown(generated: GeneratedFlow) -> str:
    """Return the source and how it is started."""
    deployment = generated.deployment
    start = deployment.event or deployment.cron or deployment.rrule or "by hand"
    if deployment.interval_s is not None:
        start = f"every {deployment.interval_s} s"
    lines = [f"## {inline(generated.file_name)}", "", f"**Starts:** {inline(start)}"]
    if deployment.timezone:
        lines.append(f"**Time zone:** {inline(deployment.timezone)}")
    connections = ", ".join(inline(name) for name in generated.spec.connections)
    return "\n\n".join(
        [
            *(line for line in lines if line),
            f"**Connections:** {connections}",
            fenced(generated.source.rstrip(), "python"),
            *_test_of(generated),
        ]
    )


def _test_of(generated: GeneratedFlow) -> list[str]:
    if not generated.test_source:
        return []
    return [f"## {inline(generated.test_file_name)}", fenced(generated.test_source.rstrip(), "python")]


def preview_markdown(result: PreviewResult) -> str:
    """Return what the simulated services saw."""
    ended = "succeeded" if result.succeeded else "failed"
    lines = [
        "## Preview",
        "",
        f"The flow {ended} after {result.duration_s:.1f} s against simulated services.",
        "",
    ]
    if result.error:
        lines += [fenced(result.error), ""]
    if not result.calls:
        lines.append("No service was called.")
        return "\n".join(lines)
    lines += ["| service | operation | status | parameters |", "|---|---|---|---|"]
    lines += [_call_row(call) for call in result.calls[:_MOST_CALLS]]
    if len(result.calls) > _MOST_CALLS:
        lines += ["", f"{len(result.calls) - _MOST_CALLS} more calls are not shown."]
    return "\n".join(lines)


def _call_row(call: ServiceCall) -> str:
    given = json.dumps(call.parameters, ensure_ascii=False, default=str)
    name = call.operation or f"{call.method} {call.path}"
    return f"| {inline(call.service)} | {inline(name)} | {call.status} | {_cell(given)} |"


def _cell(text: str) -> str:
    return inline(text if len(text) <= _CELL_LENGTH else f"{text[:_CELL_LENGTH]}…")


def _printable(text: str) -> str:
    """Drop control and format characters, which could recolour a terminal or turn text round."""
    return "".join(one for one in text if one.isprintable() or one in "\n\t")
