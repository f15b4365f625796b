"""Monitoring rules as people write them: checked, with the nearest valid name where one is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import AlertCondition, AlertType, JSONDict, MonitoringRule, Severity
from prefect_autopilot.monitoring.measures import UNITS, is_metric

SIGNS = {">": "greater_than", ">=": "greater_than_or_equal", "<": "less_than", "<=": "less_than_or_equal",
         "==": "equal", "=": "equal", "!=": "not_equal"}  # fmt: skip
"""Signs that people write for a condition."""
CHOICES: dict[str, tuple[str, ...]] = {
    "condition": tuple(AlertCondition),
    "severity": tuple(Severity),
    "alert_type": tuple(AlertType),
    "metric_name": tuple(UNITS),
}
MOST_RULES = 1000
MOST_TEXT = 1_000_000
DEEPEST = 20


def read_rules(document: object) -> tuple[MonitoringRule, ...]:
    """Return the rules of a document: a list of them, a mapping with ``rules``, or one rule.

    Raises UsageError that says which rule is wrong where, and names the nearest valid name.
    """
    listed = document.get("rules", [document]) if isinstance(document, Mapping) else document
    if not isinstance(listed, list) or not listed or len(listed) > MOST_RULES:
        raise UsageError(f"The rules must be a list of 1 to {MOST_RULES} rules, bare or below 'rules'.")
    found = tuple(_rule(entry, place) for place, entry in enumerate(listed, start=1))
    named = [rule.rule_id for rule in found if rule.rule_id]
    if twice := next((name for name in named if named.count(name) > 1), None):
        raise UsageError(f"Two rules have the rule_id {twice!r}; give each its own.")
    return found


def rules_of_text(text: str) -> tuple[MonitoringRule, ...]:
    """Read rules written as YAML; raises UsageError that says what is wrong where."""
    import yaml

    if len(text) > MOST_TEXT:
        raise UsageError(f"The rules have more than {MOST_TEXT:,} characters; store them in parts.")
    try:
        _check_plain(text)
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"The rules are no valid YAML: {reason}.") from error
    return read_rules(document)


def _check_plain(text: str) -> None:
    """Refuse aliases, few of which can stand for gigabytes, and nesting, whose cost grows as its square."""
    import yaml

    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise UsageError("The rules hold a YAML alias (*name); write out what it stands for.")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise UsageError(f"The rules are nested more than {DEEPEST} levels deep; write a plain list.")


def _rule(entry: object, place: int) -> MonitoringRule:
    if not isinstance(entry, Mapping):
        raise UsageError(f"Rule {place} is {str(entry)[:100]!r}; write its fields as a mapping.")
    given: JSONDict = {str(name): value for name, value in entry.items()}
    name = str(given.get("rule_id") or place)
    for field in given.keys() - MonitoringRule.model_fields.keys():
        raise UsageError(f"Rule {name} has no field {field!r}{_nearest(field, MonitoringRule.model_fields)}")
    condition = given.get("condition")
    given["condition"] = SIGNS.get(condition, condition) if isinstance(condition, str) else condition
    for field, choices in CHOICES.items():
        value = given.get(field)
        if field == "metric_name" and is_metric(value):
            continue
        if value is not None and value not in choices:
            raise UsageError(f"Rule {name}: {value!r} is no {field}{_nearest(str(value), choices)}")
    try:
        rule = MonitoringRule.model_validate({"workflow_id": "*"} | given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"Rule {name} is wrong at {where}: {first['msg']}.") from None
    _possible(rule, name)
    return rule


def _possible(rule: MonitoringRule, name: str) -> None:
    """Raise where a rule could never fire, or always would."""
    if not (math.isfinite(rule.threshold) and math.isfinite(rule.cooldown_minutes)):
        raise UsageError(f"Rule {name}: threshold and cooldown_minutes must be finite numbers.")
    if rule.cooldown_minutes < 0:
        raise UsageError(f"Rule {name}: cooldown_minutes must not be below zero.")
    if rule.condition is AlertCondition.SLO_BURN:
        most = 1 / (1 - rule.objective)
        if not 0 < rule.threshold <= most:
            raise UsageError(
                f"Rule {name}: a burn rate for the objective {rule.objective:g} is above 0 and at most"
                f" {most:g} (every run fails)."
            )
    if rule.condition is AlertCondition.BASELINE_RATIO and rule.threshold <= 0:
        raise UsageError(f"Rule {name}: a baseline_ratio is above 0, 2 for twice the baseline.")


def _nearest(word: str, choices: Iterable[Any]) -> str:
    known = [str(choice) for choice in choices]
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}."
