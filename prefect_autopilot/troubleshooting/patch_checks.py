"""What is read of a proposed patch before anybody sees it: the same signatures, and no further effects."""

from __future__ import annotations

import ast

from prefect_autopilot.effects import FunctionEffect, Level, OperationEffects, function_effects, read_module
from prefect_autopilot.errors import InvalidFlowError, UsageError


def same_but_mended(before: str, after: str, operations: OperationEffects | None = None) -> tuple[str, ...]:
    """Return what holds of a changed file, a sentence each; raises UsageError that says what does not.

    Flows and tasks keep name, decorator, parameters and return type; no function does more to the world than
    the file did, as the effect analysis reads both, which also decides of rewrites.
    """
    try:
        signed, now = _signatures(before), _signatures(after)
        did, does = function_effects(before, operations), function_effects(after, operations)
    except InvalidFlowError as error:
        raise UsageError(
            f"The file cannot be judged ({error.message}); leave the replacements out."
        ) from None
    for name in sorted(signed.keys() | now.keys()):
        if signed.get(name) != now.get(name):
            raise UsageError(f"The fix changes the signature of {name}, a flow or task; leave it as it is.")
    if new := sorted(_addresses(after) - _addresses(before)):
        raise UsageError(f"The fix names {new[0]}, an address that the file does not; do without.")
    touched = {touch for one in did.values() for touch in _touches(one)}
    for name, effect in does.items():
        allowed = did[name].level if name in did else Level.READ
        further = sorted(_touches(effect) - touched)
        if effect.level.rank > allowed.rank or further:
            what = further[0][1] if further else effect.level.value
            raise UsageError(f"The fix lets {name} do what the file did not ({what}); do without.")
    return (
        "it parses and compiles",
        f"the signatures of its flows and tasks ({', '.join(sorted(signed)) or 'none'}) are the same",
        "no function reads, writes or calls anything that the file did not, as far as its source tells",
    )


def _signatures(source: str) -> dict[str, str]:
    """Return of each flow and task what its callers and its deployment see of it."""
    found = {}
    for name, function in read_module(source).functions.items():
        if function.kind in {"flow", "task"}:
            node = function.node
            returns = ast.unparse(node.returns) if node.returns else ""
            decorators = [ast.unparse(one) for one in node.decorator_list]
            found[name] = f"{type(node).__name__} {decorators} ({ast.unparse(node.args)}) {returns}"
    return found


def _addresses(source: str) -> set[str]:
    constants = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str) and "://" in value}


def _touches(effect: FunctionEffect) -> set[tuple[int, str]]:
    """Return what a function does beyond computing: how far it reaches, and what it reaches."""
    return {
        (touch.level.rank, touch.resource or touch.what)
        for touch in effect.touches
        if touch.level is not Level.PURE
    }
