"""From a workflow to source a person would write by hand, with its deployment."""

from prefect_autopilot.codegen.compose import TAG, generate
from prefect_autopilot.codegen.conditions import read_condition
from prefect_autopilot.codegen.events import event_name, shape_of
from prefect_autopilot.codegen.plan import example_values, parameter_names
from prefect_autopilot.codegen.seeds import rows_to_seed

__all__ = [
    "TAG",
    "event_name",
    "example_values",
    "generate",
    "parameter_names",
    "read_condition",
    "rows_to_seed",
    "shape_of",
]
