"""How far a flow had come when it failed, as its traceback and its source tell together."""

from __future__ import annotations

import ast
import re
from pathlib import PurePath
from typing import TypeAlias

from prefect_autopilot.models import Evidence, Value
from prefect_autopilot.troubleshooting.evidence import ENDED_BADLY, last_attempt

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
LOOPS: tuple[type[ast.stmt], ...] = (ast.For, ast.AsyncFor, ast.While)

_FRAME = re.compile(r'^\s*File "([^"\n]+)", line (\d+), in (\S+)\n\s+(\S[^\n]*)', re.MULTILINE)


class Frame(Value):
    """One call of a traceback that stands in the flow's own file."""

    function: str
    line: int


def own_frames(evidence: Evidence) -> tuple[Frame, ...]:
    """Return the calls of the last traceback that stand in the flow's file, outermost first.

    Empty where the file has changed since: a line that says something else now proves nothing.
    """
    source = evidence.source
    if source is None:
        return ()
    flow = source.entrypoint.rpartition(":")[2]
    lines = source.text.splitlines()
    for _, record in reversed(last_attempt(evidence)):
        last = record.message.rpartition(ENDED_BADLY)[2]
        found = [
            match for match in _FRAME.findall(last) if PurePath(match[0]).name == PurePath(source.path).name
        ]
        if not found or found[0][2] != flow:
            continue
        frames = tuple(Frame(function=function, line=int(line)) for _, line, function, _ in found)
        said = [code.strip() for *_, code in found]
        unchanged = all(
            frame.line <= len(lines) and lines[frame.line - 1].strip() == code
            for frame, code in zip(frames, said, strict=True)
        )
        return frames if unchanged else ()
    return ()


def said_at_end(evidence: Evidence) -> str:
    """Return the state's message and the last line of the last traceback: what the failure says of itself."""
    texts = [evidence.run.state.message or ""]
    for _, record in reversed(last_attempt(evidence)):
        if ENDED_BADLY in record.message:
            texts.append(record.message.rstrip().rpartition("\n")[2])
            break
    return "\n".join(texts)


def executed(text: str, function: str, line: int) -> frozenset[int] | None:
    """Return the lines of a function that may have run when it failed at ``line``; None where unclear.

    All lines up to the failing statement; whole loops around it; handlers and ``finally`` around it.
    """
    chain = _chain(text, function, line)
    if not chain:
        return None
    node = chain[0]
    done = set(range(node.lineno, _head_end(chain[-1]) + 1))
    for around in chain[1:]:
        if isinstance(around, ast.For | ast.AsyncFor | ast.While):
            done |= _lines(around)
        elif isinstance(around, ast.Try | ast.TryStar):
            parts: list[ast.stmt | ast.ExceptHandler] = [*around.handlers, *around.finalbody]
            for part in parts:
                done |= _lines(part)
    return frozenset(done)


def before(text: str, function: str, line: int) -> frozenset[int] | None:
    """Return the lines of a function that may have run before the statement at ``line``; None if unclear."""
    chain = _chain(text, function, line)
    if not chain:
        return None
    done = set(range(chain[0].lineno, chain[-1].lineno))
    for around in chain[1:]:
        if isinstance(around, ast.For | ast.AsyncFor | ast.While):
            done |= _lines(around)
    return frozenset(done)


def in_loop(text: str, function: str, line: int) -> bool:
    """Tell whether a line of a function may run more than once in one call; unclear counts as yes."""
    chain = _chain(text, function, line)
    if not chain or any(isinstance(around, LOOPS) for around in chain[1:]):
        return True
    return any(
        isinstance(part, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp | ast.Lambda)
        for part in ast.walk(chain[-1])
    )


def function_node(text: str, function: str) -> FunctionNode | None:
    """Return the definition of a function of the file, None where there is none or more than one."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function
    ]
    return found[0] if len(found) == 1 else None


def _chain(text: str, function: str, line: int) -> list[ast.stmt | ast.ExceptHandler]:
    """Return the function and the statements around a line, innermost last."""
    node = function_node(text, function)
    if node is None or not node.lineno <= line <= (node.end_lineno or 0):
        return []
    chain: list[ast.stmt | ast.ExceptHandler] = [node]
    while True:
        inner = next((part for part in _blocks(chain[-1]) if _spans(part, line)), None)
        if inner is None:
            return chain if len(chain) > 1 else []
        chain.append(inner)


def _blocks(node: ast.AST) -> list[ast.stmt | ast.ExceptHandler]:
    return [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt | ast.ExceptHandler)]


def _spans(node: ast.stmt | ast.ExceptHandler, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def _lines(node: ast.stmt | ast.ExceptHandler) -> set[int]:
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def _head_end(node: ast.AST) -> int:
    """Return the last line of a statement, of a compound one only its head."""
    blocks = _blocks(node)
    last: int = getattr(node, "end_lineno", 0) or 0
    return blocks[0].lineno - 1 if blocks else last
