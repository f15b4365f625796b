"""Send many items in one call where a library has a call for many: a proposal, for what it sends may differ.

Before::

    for row in rows:
        cursor.execute("insert into t values (%s, %s)", row)

After::

    cursor.executemany("insert into t values (%s, %s)", rows)

Which calls have a form for many stands in ``batches.toml`` beside the rules, with its source.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from prefect_autopilot.effects import Function, Touch
from prefect_autopilot.models import Advice, Strategy
from prefect_autopilot.optimization.plan import Finding, FlowFile, Rule
from prefect_autopilot.optimization.starts import repeated_touches

_NAME = "batch_calls"


@dataclass(frozen=True)
class Batch:
    """A call for one item and the call for many that stands for it."""

    names: tuple[str, ...]
    instead: str
    most: int
    """Items in one call, 0 where no bound is told."""
    says: str
    """Word that the call's own text must begin with, such as the verb of an SQL statement."""
    source: str


@cache
def batches() -> tuple[Batch, ...]:
    """Return the calls that have a form for many."""
    text = files("prefect_autopilot.optimization").joinpath("batches.toml").read_text(encoding="utf-8")
    return tuple(
        Batch(tuple(row["names"]), row["instead"], row.get("most", 0), row.get("says", ""), row["source"])
        for row in tomllib.loads(text)["batch"]
    )


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield advice for each call in a loop that a call for many could replace."""
    for function in [*file.tasks, *file.flows]:
        told: set[int] = set()
        for call, touch in repeated_touches(file, function):
            batch = _batch(touch)
            if batch is not None and call.lineno not in told:
                told.add(call.lineno)
                yield _advice(function, call, touch, batch)


def _batch(touch: Touch) -> Batch | None:
    name, _, rest = touch.what.partition(":")
    for batch in batches():
        if name in batch.names and rest.strip().upper().startswith(batch.says):
            return batch
    return None


def _advice(function: Function, call: ast.Call, touch: Touch, batch: Batch) -> Advice:
    most = f", up to {batch.most} items at a time" if batch.most else ""
    return Advice(
        rule=_NAME,
        line=call.lineno,
        reason=f"{function.node.name} calls {touch.what.partition(':')[0]} once for each item",
        how=f"collect the items and call {batch.instead} once{most}; {batch.source}",
        evidence=(touch.told,),
        preconditions=(
            "nothing between two of the calls needs what the first of them did",
            "a call for many that fails in part is told apart from one that fails as a whole",
        ),
        undo=f"call {ast.unparse(call.func)} for each item again",
    )


RULE = Rule(
    name=_NAME,
    strategies=frozenset({Strategy.PERFORMANCE, Strategy.COST, Strategy.HYBRID}),
    find=find,
    order=70,
)
"""One call for many items."""
