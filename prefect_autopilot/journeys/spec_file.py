"""A plan as YAML for those who prefer to edit that, and the JSON Schema it is held against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prefect_autopilot import codegen
from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import GeneratedFlow, JSONDict, WorkflowSpec

LARGEST = 200_000
"""Characters; a plan of a hundred steps has about a tenth."""

_NEXT_LINE = "\x85"
SCHEMA_ID = "urn:prefect-autopilot:workflow-spec:1"
_HEAD = (
    "# The plan of an automation, version 1; `prefect-autopilot generate --from FILE` makes the flow of it.\n"
)


def spec_yaml(spec: WorkflowSpec) -> str:
    """Return a plan as YAML that ``read_spec`` reads back as the same plan."""
    import yaml

    plain = spec.model_dump(mode="json", exclude_defaults=True)
    told = {
        "version": spec.version,
        **plain,
        "steps": [_with_kinds(step, spec, n) for n, step in enumerate(plain["steps"])],
    }
    # PyYAML writes U+0085 at the end of a text as a line break that it does not read back.
    is_plain = _NEXT_LINE not in json.dumps(told, ensure_ascii=False)
    text: str = yaml.safe_dump(told, sort_keys=False, allow_unicode=is_plain, width=100)
    return _HEAD + text


def _with_kinds(step: JSONDict, spec: WorkflowSpec, number: int) -> JSONDict:
    """Write arguments with their ``kind``, which tells them apart and would be left out as a default."""
    arguments = spec.steps[number].arguments
    if not arguments:
        return step
    return step | {"arguments": {name: one.model_dump(mode="json") for name, one in arguments.items()}}


def read_spec(text: str) -> WorkflowSpec:
    """Read a plan from YAML or JSON; raises UsageError that names the first place that is wrong."""
    import yaml

    if len(text) > LARGEST:
        raise UsageError(f"The plan has more than {LARGEST:,} characters; name a plan that generate wrote.")
    try:
        found: Any = yaml.load(text, Loader=_PlainLoader.of(yaml))  # noqa: S506 - a safe loader without aliases
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"The plan is no YAML: {reason}.") from error
    if not isinstance(found, dict):
        raise UsageError("The plan is no mapping; it begins with version, name and request.")
    try:
        return WorkflowSpec.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the plan"
        raise UsageError(f"The plan is wrong at {place}: {first['msg']}.") from error


class _PlainLoader:
    """Makes YAML's safe loader without aliases: a few of them could stand for gigabytes."""

    @staticmethod
    def of(yaml: Any) -> Any:
        class Loader(yaml.SafeLoader):  # type: ignore[misc]
            def compose_node(self, parent: Any, index: Any) -> Any:
                if self.check_event(yaml.events.AliasEvent):
                    raise yaml.YAMLError("aliases are not read")
                return super().compose_node(parent, index)

        return Loader


def read_spec_file(path: Path) -> WorkflowSpec:
    """Read a plan from a file; raises UsageError when it cannot be read or is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}; name a plan.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text; name a plan.") from error
    return read_spec(text)


def build_spec(spec: WorkflowSpec) -> GeneratedFlow:
    """Return the flow of a plan, checked against the catalogue; raises UsageError or UnknownNameError."""
    return codegen.generate(spec, user_catalogue())


def spec_schema() -> JSONDict:
    """Return the JSON Schema of a plan, version 1."""
    schema = WorkflowSpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **schema}
