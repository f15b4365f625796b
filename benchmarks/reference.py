"""Write what the code knows into the documents, between two marks; ``--check`` only compares.

python benchmarks/reference.py
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import runpy
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from prefect_autopilot.models import IssueCategory, JSONDict, Operation, Remedy, Service, ServiceStatus
from prefect_autopilot.models.policy import ONLY_BY_NAME

DOCS = Path(__file__).resolve().parents[1] / "docs"
MARKED = re.compile(r"<!-- reference: ([a-z-]+) -->\n.*?<!-- /reference -->", re.DOTALL)
LEAD = "The lines below are written by `make reference`; a test compares them with the code."

CATEGORIES = {
    IssueCategory.CONFIGURATION: "A setting, name, version or address is wrong.",
    IssueCategory.CONNECTIVITY: "The other side could not be reached.",
    IssueCategory.PERMISSIONS: "A credential or a right is missing, wrong or over.",
    IssueCategory.PERFORMANCE: "Something waited for something else: locks, limits, slow queries.",
    IssueCategory.DATA: "What came in is not what was expected.",
    IssueCategory.LOGIC: "A fault in code.",
    IssueCategory.EXTERNAL_SERVICE: "The other side answered that it cannot.",
    IssueCategory.TIMEOUT: "A deadline passed.",
    IssueCategory.RESOURCE: "Memory, disk, processor, slots or quota ran out.",
}


def cell(text: object) -> str:
    """Return text as it may stand in a cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def code(text: object) -> str:
    """Return text as code in a cell; nothing where there is none."""
    return f"`{' '.join(str(text).split())}`".replace("|", "\\|") if str(text) else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def yes(told: object) -> str:
    """Return a truth as people write it."""
    return "yes" if told else "no"


def services() -> str:
    """Return every service that has operations, by category, and the names of the others."""
    from prefect_autopilot.services import load_catalogue

    known = sorted(load_catalogue().services, key=lambda one: (one.category, one.name.casefold()))
    with_operations = [one for one in known if one.status is not ServiceStatus.RECOGNISED]
    parts = []
    for category in dict.fromkeys(one.category for one in with_operations):
        rows = (_service(one) for one in with_operations if one.category == category)
        head = ("id", "name", "status", "sign-in", "limit", "operations", "starts a flow")
        parts.append(f"## {category.replace('_', ' ').capitalize()}\n\n{table(head, rows)}")
    names = ", ".join(f"{one.name}" for one in known if one.status is ServiceStatus.RECOGNISED)
    parts.append(f"## Only recognised by name\n\n{names}")
    return "\n\n".join(parts)


def _service(one: Service) -> tuple[str, ...]:
    limit = f"{one.rate_limit_per_s:g} a second" if one.rate_limit_per_s else ""
    starts = ", ".join(f"{code(trigger.event)} ({trigger.kind})" for trigger in one.triggers)
    return (
        code(one.id),
        cell(one.name),
        one.status.value,
        one.auth.scheme,
        limit,
        ", ".join(_operation(operation) for operation in one.operations),
        starts,
    )


def _operation(one: Operation) -> str:
    told = one.effect.value if one.confirmed else f"{one.effect.value}, not confirmed"
    return f"{code(one.id)} ({told})"


def operations() -> str:
    """Return what every call of the catalogue needs and answers, by service."""
    from prefect_autopilot.services import load_catalogue

    parts = []
    for one in sorted(load_catalogue().services, key=lambda service: service.name.casefold()):
        if one.operations:
            rows = ((code(call.id), ", ".join(_needed(call)), _answered(call)) for call in one.operations)
            parts.append(f"## {cell(one.name)}\n\n{table(('call', 'needs', 'answers'), rows)}")
    return "\n\n".join(parts)


def _needed(call: Operation) -> Iterator[str]:
    return (code(given.name) for given in call.parameters if given.required and given.default is None)


def _answered(call: Operation) -> str:
    if call.returns is None:
        return ""
    fields = ", ".join(code(path) for path in call.returns.fields)
    return f"{cell(call.returns.what)} {fields}".strip()


def provenance() -> str:
    """Return what the operations of the catalogue rest on."""
    return str(runpy.run_path(str(Path(__file__).with_name("provenance.py")))["split"]())


def patterns() -> str:
    """Return every failure pattern, by category."""
    from prefect_autopilot.troubleshooting.knowledge import load_patterns

    parts = []
    for category, meaning in CATEGORIES.items():
        found = [one for one in load_patterns() if one.category is category]
        rows = (
            (
                code(one.name),
                cell(one.cause),
                f"{one.rests_on}: {cell(one.why)}",
                yes(one.transient),
                one.remedy.replace("_", " "),
                cell(one.advice),
            )
            for one in found
        )
        head = ("pattern", "what it means", "goes by", "passes by itself", "helps first", "what to do")
        title = category.value.replace("_", " ").capitalize()
        parts.append(f"## {title}\n\n{meaning} {len(found)} patterns.\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def remedies() -> str:
    """Return every remedy: when it fits, what it does, how it is undone, what shows that it helped."""
    rows = (
        (
            code(one.model_fields["kind"].default),
            cell((one.__doc__ or "").partition("\n")[0].replace("``", "`")),
            cell(one.when),
            cell(one.undo),
            cell(one.helped),
            cell(one.cost),
            cell(one.radius),
            yes(one.repeats),
            yes(one.model_fields["kind"].default in ONLY_BY_NAME),
        )
        for one in get_args(get_args(Remedy)[0])
    )
    head = (
        "remedy",
        "what it does",
        "done when",
        "undone by",
        "seen to help when",
        "costs",
        "touches",
        "does the work again",
        "only where the policy names it",
    )
    return table(head, rows)


def rewrites() -> str:
    """Return every rewrite rule with its example before and after."""
    from prefect_autopilot.optimization import rules
    from prefect_autopilot.optimization.rules import explanation

    parts = []
    for rule in rules():
        strategies = ", ".join(sorted(one.value for one in rule.strategies))
        parts.append(f"## {rule.name}\n\nFor: {strategies}.\n\n{_as_markdown(explanation(rule.name))}")
    return "\n\n".join(parts)


def _as_markdown(explained: str) -> str:
    """Return an explanation with its indented examples as fenced code, which are fragments: no `python`."""
    return re.sub(
        r"^(.*)::\n\n((?:(?: {4}.*)?\n)+?)(?=\S|\Z)",
        lambda match: f"{match[1]}:\n\n```py\n{_dedented(match[2])}\n```\n\n",
        f"{explained}\n".replace("``", "`"),
        flags=re.MULTILINE,
    ).strip()


def _dedented(block: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in block.strip("\n").splitlines())


def metrics() -> str:
    """Return the Prometheus metrics with type and labels."""
    from prefect_autopilot.monitoring import FleetMetrics

    registry = FleetMetrics().registry
    # The library shows labels only with samples.
    collectors = dict.fromkeys(registry._names_to_collectors.values())  # noqa: SLF001
    rows = []
    for one in collectors:
        family: Any = next(iter(one.collect()))
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels: Iterable[str] = getattr(one, "_labelnames", ())
        rows.append((code(name), family.type, ", ".join(map(code, labels)), cell(family.documentation)))
    return table(("metric", "type", "labels", "what it says"), sorted(rows))


def exporter() -> str:
    """Return the metrics under the names of the exporter that people have already."""
    from prefect_autopilot.monitoring import FleetMetrics

    rows = []
    for one in FleetMetrics().exporter.collect():
        name = f"{one.name}_total" if one.type == "counter" else one.name
        labels: Iterable[str] = getattr(one, "_labelnames", ())
        rows.append((code(name), one.type, ", ".join(map(code, labels)), cell(one.documentation)))
    return table(("metric", "type", "labels", "what it says"), sorted(rows))


def deployments() -> str:
    """Return what is deployed on a Prefect server, and when it runs."""
    from prefect_autopilot.deployments.operational import OPERATIONAL_FLOWS

    rows = []
    for one in OPERATIONAL_FLOWS:
        module, _, function = one.entrypoint.rpartition(".")
        flow = getattr(importlib.import_module(module), function)
        when = [f"{told.slug}: {code(told.cron)} UTC" for told in one.recurrences]
        when += [f"every {one.interval_s} s"] if one.interval_s else []
        when += ["when a run failed, crashed or timed out"] if one.on_failed_runs else []
        given = ", ".join(f"{name} = {value}" for name, value in one.parameters.items())
        rows.append((code(one.name), cell(flow.description), "; ".join(when) or "by hand", cell(given)))
    return table(("deployment", "does", "runs", "parameters"), rows)


def measures() -> str:
    """Return the metrics that rules can be made on, and the conditions."""
    from prefect_autopilot.models import AlertCondition, AlertType
    from prefect_autopilot.monitoring.measures import UNITS

    told = table(("metric", "unit"), ((code(name), cell(unit)) for name, unit in UNITS.items()))
    conditions = ", ".join(code(one.value) for one in AlertCondition)
    kinds = ", ".join(code(one.value) for one in AlertType)
    return f"{told}\n\nConditions: {conditions}.\n\nTypes of alerts: {kinds}."


def settings() -> str:
    """Return every setting with its default, bounds and meaning."""
    from prefect_autopilot.settings import PREFIX, Settings

    known = Settings.model_json_schema()["properties"]
    rows = (
        (code(f"{PREFIX}{name.upper()}"), _type(one), _default(one), cell(one["description"]))
        for name, one in known.items()
    )
    return table(("setting", "value", "default", "meaning"), rows)


def _type(told: JSONDict) -> str:
    for choice in told.get("anyOf", ()):
        if choice.get("type") != "null":
            return _type(choice)
    if "enum" in told:
        return " or ".join(code(one) for one in told["enum"])
    bounds = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}
    limits = " ".join(f"{word} {told[key]:,}" for key, word in bounds.items() if key in told)
    name = {"path": "path", "password": "secret"}.get(told.get("format", ""), told.get("type", "value"))
    if name == "array":
        inner = _type(told.get("items", {}))
        return f"JSON list of {inner}s"
    if name == "object":
        return "JSON object"
    plain = {"string": "text", "integer": "whole number", "boolean": "`true` or `false`"}
    return " ".join(part for part in (plain.get(name, name), limits) if part)


def _default(told: JSONDict) -> str:
    value = told.get("default")
    if value is None or value in ("", []):
        return "none"
    return code(json.dumps(value) if not isinstance(value, str) else value)


def commands() -> str:
    """Return every command with its arguments and options, as its help tells them."""
    from prefect_autopilot.cli.commands import build_app

    text = build_app().generate_docs(output_format="markdown")
    body = text[text.index("## prefect-autopilot analyze") :]
    # Usage lines are no commands to run, and an empty tuple is no default that helps anybody.
    return body.replace("```console", "```text").replace(" *[default: ()]*", "").strip()


def calls() -> str:
    """Return every call of the REST API with its scope, fields and example."""
    from fastapi import FastAPI

    from prefect_autopilot.api.routes import describe, mount

    app = FastAPI()
    mount(app.router)
    describe(app)
    document = app.openapi()
    parts: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            parts.setdefault(one["tags"][0], []).append(
                "\n\n".join(_call(method.upper(), path, one, document["components"]["schemas"]))
            )
    return "\n\n".join(f"## {tag.capitalize()}\n\n" + "\n\n".join(told) for tag, told in parts.items())


def _call(method: str, path: str, one: JSONDict, schemas: JSONDict) -> Iterator[str]:
    yield f"### {method} {path}"
    yield f"{one['summary']}. Scope: {one.get('x-scope', 'none')}."
    fields = [
        (code(told["name"]), f"in {told['in']}", yes(told.get("required")), _about(told))
        for told in one.get("parameters", ())
    ]
    body = one.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = schemas.get(str(body.get("schema", {}).get("$ref", "")).rpartition("/")[2], {})
    needed = schema.get("required", ())
    fields += [
        (code(name), _type(told) if "$ref" not in told else "object", yes(name in needed), _about(told))
        for name, told in schema.get("properties", {}).items()
    ]
    if fields:
        yield table(("field", "value", "needed", "meaning"), fields)
    if "example" in body:
        yield f"```json\n{json.dumps(body['example'], indent=2, ensure_ascii=False)}\n```"
    answer = one["responses"]["200"].get("content", {}).get("application/json", {})
    if "example" in answer:
        shown = json.dumps(answer["example"], indent=2, ensure_ascii=False)
        yield f"answers\n\n```json\n{shown}\n```"


def _about(told: JSONDict) -> str:
    return cell(told.get("description", ""))


PARTS: dict[str, Callable[[], str]] = {
    "calls": calls,
    "commands": commands,
    "deployments": deployments,
    "exporter": exporter,
    "measures": measures,
    "metrics": metrics,
    "operations": operations,
    "patterns": patterns,
    "remedies": remedies,
    "rewrites": rewrites,
    "provenance": provenance,
    "services": services,
    "settings": settings,
}


def filled(text: str, parts: dict[str, Callable[[], str]]) -> str:
    """Return a document with what the code knows between its marks; raises KeyError for an unknown mark."""
    return MARKED.sub(
        lambda match: f"<!-- reference: {match[1]} -->\n{LEAD}\n\n{parts[match[1]]()}\n<!-- /reference -->",
        text,
    )


def stale(docs: Path = DOCS) -> dict[Path, str]:
    """Return the documents that say something else than the code, with what they should say."""
    found = {}
    for path in sorted(docs.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if (wanted := filled(text, PARTS)) != text:
            found[path] = wanted
    return found


def main() -> int:
    """Write or compare; 1 when something is stale and only compared."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only say what is stale")
    check = parser.parse_args().check
    for path, wanted in (found := stale()).items():
        sys.stdout.write(f"{path.relative_to(DOCS.parent)} {'is stale' if check else 'written'}\n")
        if not check:
            path.write_text(wanted, encoding="utf-8")
    return 1 if check and found else 0


if __name__ == "__main__":
    raise SystemExit(main())
