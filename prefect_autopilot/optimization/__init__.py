"""Rewrites flow files: each edit has a rule, a reason, the lines that justify it and an expected saving.

Adding a rule: one module in ``rules/`` with a ``RULE``, and its tests.
"""

from prefect_autopilot.optimization.picture import picture
from prefect_autopilot.optimization.plan import MAX_WORKERS, FlowFile, Proposal, RateLimits, Rule
from prefect_autopilot.optimization.rewriting import optimize
from prefect_autopilot.optimization.rules import rules
from prefect_autopilot.optimization.timeline import timeline, timelines

__all__ = [
    "MAX_WORKERS",
    "FlowFile",
    "Proposal",
    "RateLimits",
    "Rule",
    "optimize",
    "picture",
    "rules",
    "timeline",
    "timelines",
]
