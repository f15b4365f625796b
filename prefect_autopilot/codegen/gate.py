"""The last check before source leaves the generator: it holds what was meant and nothing else."""

from __future__ import annotations

import ast

from prefect_autopilot.errors import UsageError


def check_source(source: str, meant: ast.Module, twin: ast.Module) -> None:
    """Raise UsageError unless ``source`` reads back as ``meant`` and has the shape of ``twin``.

    ``twin`` is the module of the same plan with harmless texts: a text that changed the structure
    would show as another node. Line and column do not count, values of constants not for the twin.
    """
    try:
        read = ast.parse(source)
        compile(read, "<generated flow>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"The request cannot be written as Python ({error}); put it more simply.") from error
    if ast.dump(read) != ast.dump(meant):
        raise UsageError("The request holds text that does not survive as a constant; put it more simply.")
    if node_kinds(read) != node_kinds(twin):
        raise UsageError("The request holds text that would become code; put it more simply.")


def node_kinds(tree: ast.AST) -> list[str]:
    """Return the kinds of all nodes in walking order, constants with the type of their value."""
    return [
        f"Constant {type(node.value).__name__}" if isinstance(node, ast.Constant) else type(node).__name__
        for node in ast.walk(tree)
    ]
