"""What code does to the world: pure < read < write < unknown, each with the line that shows it.

The library table (``table/*.toml``) says what calls of libraries do; calls within the file are followed; what
is not known is unknown and stops every rewrite and every automatic rerun. Two comments overrule:
``# autopilot: pure`` on a function says it may run at any time and any number of times, ``# autopilot: keep``
leaves a function or line alone.
"""

from prefect_autopilot.effects.module import Function, Module, children, read_module, split_lines, walked
from prefect_autopilot.effects.project import Project
from prefect_autopilot.effects.reader import EffectReader
from prefect_autopilot.effects.rerun import (
    besides_services,
    flow_effects,
    function_effects,
    may_rerun,
    read_then_written,
)
from prefect_autopilot.effects.scope import Scope, bound_names
from prefect_autopilot.effects.table import is_handle, table_version
from prefect_autopilot.effects.values import (
    FunctionEffect,
    Level,
    OperationEffects,
    RerunVerdict,
    TaskCallEffect,
    Touch,
    worst,
)

__all__ = [
    "EffectReader",
    "Function",
    "FunctionEffect",
    "Level",
    "Module",
    "OperationEffects",
    "Project",
    "RerunVerdict",
    "Scope",
    "TaskCallEffect",
    "Touch",
    "besides_services",
    "bound_names",
    "children",
    "flow_effects",
    "function_effects",
    "is_handle",
    "may_rerun",
    "read_module",
    "read_then_written",
    "split_lines",
    "table_version",
    "walked",
    "worst",
]
