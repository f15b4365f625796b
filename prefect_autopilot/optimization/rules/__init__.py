"""The rewriting rules, one file each: a module of this package with a ``RULE`` is a rule."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from prefect_autopilot.optimization.plan import Rule


@cache
def rules() -> tuple[Rule, ...]:
    """Return all rules, those that get disputed lines first."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = (importlib.import_module(f"{__name__}.{name}").RULE for name in names)
    return tuple(sorted(found, key=lambda rule: (rule.order, rule.name)))


def explanation(name: str) -> str:
    """Return what a rule does, with an example before and after: the text at the head of its module."""
    return (importlib.import_module(f"{__name__}.{name}").__doc__ or "").strip()
