"""Changes of objects in memory: assignments to items and attributes, and of names outside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeAlias

from prefect_autopilot.effects.scope import Scope
from prefect_autopilot.effects.values import Level, Touch

# Library calls that return what others get as well.
_SHARED = frozenset(
    {"decimal.getcontext", "logging.getLogger", "asyncio.get_event_loop", "threading.current_thread"}
)
Store: TypeAlias = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete


def stores(node: Store, scope: Scope) -> Iterator[Touch]:
    """Yield what an assignment or deletion changes besides the function's own names."""
    targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [node.target]
    for target in targets:
        for one in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
            if isinstance(one, ast.Subscript | ast.Attribute):
                if scope.module.qualified(one.value, scope.names) == "os.environ":
                    yield Touch(
                        level=Level.WRITE,
                        line=node.lineno,
                        what="sets os.environ",
                        resource="process",
                        idempotent=True,
                    )
                    continue
                yield from mutation(one.value, node.lineno, scope)
            elif isinstance(one, ast.Name) and (_adds(node, one, scope) or one.id not in scope.names):
                yield from mutation(one, node.lineno, scope)


def _adds(node: Store, name: ast.Name, scope: Scope) -> bool:
    """Tell whether ``name += …`` may change an object that has other names: a number or text is replaced."""
    return isinstance(node, ast.AugAssign) and name.id not in scope.counters


def mutation(node: ast.expr, line: int, scope: Scope) -> Iterator[Touch]:
    """Yield the change of the object an expression stands for, by each name it is seen through."""
    names = sorted(scope.roots(node))
    for name in names:
        outside = name not in scope.names
        yield Touch(
            level=Level.WRITE if outside else Level.PURE,
            line=line,
            what=f"changes {name} in place",
            resource=f"memory:{name}" if outside else "",
            idempotent=True,  # it is gone with the process
            target=name if outside else "",
            mutates=name,
            inside=not (isinstance(node, ast.Name) and node.id == name),
        )
    made = None if names else _maker(node)
    told = scope.module.qualified(made.func, scope.names) if made is not None else None
    if told in _SHARED:
        yield Touch(
            level=Level.WRITE,
            line=line,
            what=f"changes what {told} returns",
            resource=f"memory:{told}",
            idempotent=True,
            target=told or "",
        )


def _maker(node: ast.expr) -> ast.Call | None:
    """Return the call whose value is changed, None where none made it."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Await):
        node = node.value
    return node if isinstance(node, ast.Call) else None
