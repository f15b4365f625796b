"""The directions of docs/architecture.md, held against the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAPPED = ("blocks", "tasks", "flows", "deployments")

VALUES = {"models", "errors", "redaction"}
SHARED = VALUES | {"services", "effects"}
CORE = {"intelligence", "codegen", "optimization", "monitoring", "troubleshooting"}
BELOW_EDGES = SHARED | CORE
EDGES = {"settings", "store", "adapters"}
BELOW_BLOCKS = BELOW_EDGES | EDGES
EVERYTHING = BELOW_BLOCKS | {
    "blocks", "journeys", "tasks", "flows", "deployments", "api", "watcher", "cli", "demo", "",
}  # fmt: skip

# Room -> rooms it may import besides itself. The package's own __init__ is the room "".
ALLOWED: dict[str, set[str]] = {
    "models": set(),
    "errors": set(),
    "redaction": {"models", "errors"},
    "services": VALUES,
    "effects": VALUES,
    **dict.fromkeys(CORE, SHARED),
    "settings": BELOW_EDGES,
    "store": BELOW_EDGES | {"settings"},
    "adapters": BELOW_EDGES | {"settings", "store"},
    "blocks": BELOW_BLOCKS,
    "journeys": BELOW_BLOCKS | {"blocks"},
    "tasks": BELOW_BLOCKS | {"blocks", "journeys"},
    "flows": BELOW_BLOCKS | {"blocks", "journeys", "tasks"},
    "deployments": BELOW_BLOCKS | {"blocks", "journeys", "tasks", "flows"},
    "api": BELOW_BLOCKS | {"blocks", "journeys", "flows", "deployments", ""},
    "watcher": BELOW_BLOCKS | {"blocks", "journeys", "flows", "deployments", ""},
    "cli": EVERYTHING,
    "demo": EVERYTHING,
    "up": EVERYTHING,
    "testing": BELOW_BLOCKS,
    "hooks": BELOW_BLOCKS | {"blocks", "journeys"},
    "__main__": {"cli"},
    "": EVERYTHING,
}

# What starts the whole product on one machine stands above every room, wherever its file lies.
COMPOSITION = {Path("deployments/up.py"): "up"}

PURE = SHARED | CORE
PREFECT_AT_MODULE_LEVEL = {*MAPPED, "up"}
HEAVY = {
    "sklearn", "statsmodels", "scipy", "numpy", "pandas", "libcst", "fastapi", "openai", "pydantic_ai",
}  # fmt: skip
IMPURE = {
    "prefect", "httpx", "requests", "sqlalchemy", "alembic", "fastapi", "subprocess", "socket", "random",
    "secrets", "time", "os", "shutil", "tempfile", "asyncio",
}  # fmt: skip
CLOCKS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("uuid", "uuid4"),
}


def source_files() -> list[Path]:
    rooms = [ROOT / room for room in ("prefect_autopilot", *MAPPED)]
    found = [path for room in rooms for path in sorted(room.rglob("*.py"))]
    # Generated flows and the flows of the demonstration are users' code: they import Prefect as users do.
    return [path for path in found if not {"generated", "samples"} & {*path.relative_to(ROOT).parts}]


def room_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    if relative in COMPOSITION:
        return COMPOSITION[relative]
    parts = relative.with_suffix("").parts
    if parts[0] in MAPPED:
        return parts[0]
    return "" if parts[1] == "__init__" else parts[1]


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "prefect_autopilot":
                yield from (f"prefect_autopilot.{alias.name}" for alias in node.names)
            else:
                yield node.module


def module_level(tree: ast.Module) -> Iterator[str]:
    """Imports that run when the module is imported: not in functions, not under TYPE_CHECKING."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(ast.Module([node], []))
        pending.extend(ast.iter_child_nodes(node))


def own_rooms(names: Iterator[str]) -> Iterator[str]:
    for name in names:
        parts = name.split(".")
        if parts[0] == "prefect_autopilot":
            room = parts[1] if len(parts) > 1 else ""
            yield room if room in ALLOWED else ""


@dataclass(frozen=True)
class Module:
    """One file of the product, read once for all rules."""

    place: str
    room: str
    tree: ast.Module

    @property
    def imported(self) -> set[str]:
        return set(imports(self.tree))

    @property
    def imported_with_it(self) -> set[str]:
        """Libraries that importing the module imports."""
        return {name.split(".")[0] for name in module_level(self.tree)}


@cache
def modules() -> tuple[Module, ...]:
    return tuple(
        Module(str(path.relative_to(ROOT)), room_of(path), ast.parse(path.read_text(encoding="utf-8")))
        for path in source_files()
    )


def offences(rule: Callable[[Module], Iterable[str]]) -> dict[str, list[str]]:
    """Return what each file does against a rule; files that keep it are left out."""
    found = {module.place: sorted(rule(module)) for module in modules()}
    return {place: said for place, said in found.items() if said}


def test_every_module_is_read() -> None:
    assert len(modules()) > 300


def test_a_module_imports_only_rooms_it_stands_on() -> None:
    unknown = {module.room for module in modules()} - set(ALLOWED)
    assert not unknown, f"{unknown} are new rooms: give them a place in docs/architecture.md and here"
    assert not offences(
        lambda module: set(own_rooms(imports(module.tree))) - ALLOWED[module.room] - {module.room}
    )


def test_prefect_is_imported_at_module_level_only_inside_prefects_rooms() -> None:
    assert not offences(
        lambda module: (
            module.imported_with_it & {"prefect"} if module.room not in PREFECT_AT_MODULE_LEVEL else ()
        )
    )


def test_heavy_libraries_are_not_imported_with_the_module() -> None:
    assert not offences(lambda module: module.imported_with_it & HEAVY)


def test_nothing_reaches_into_prefects_private_modules() -> None:
    assert not offences(
        lambda module: {name for name in module.imported if name.startswith("prefect.") and "._" in name}
    )


def outside_world(module: Module) -> Iterator[str]:
    """What a module of the core may not touch: I/O, clocks, randomness."""
    if module.room not in PURE:
        return
    yield from IMPURE & {name.split(".")[0] for name in module.imported}
    for call in (node for node in ast.walk(module.tree) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            if (call.func.value.id, call.func.attr) in CLOCKS:
                yield f"line {call.lineno}: {call.func.attr}"
        elif isinstance(call.func, ast.Name) and call.func.id in {"open", "print", "input"}:
            yield f"line {call.lineno}: {call.func.id}"


def test_the_core_does_no_io_and_reads_no_clock() -> None:
    assert not offences(outside_world)


@pytest.mark.parametrize(
    "source",
    ["import os", "from datetime import datetime\ndatetime.now()", "open('x')", "import uuid\nuuid.uuid4()"],
)
def test_what_the_core_may_not_do_is_seen(source: str) -> None:
    assert list(outside_world(Module("here", "monitoring", ast.parse(source))))
    assert not list(outside_world(Module("here", "adapters", ast.parse(source))))


def test_own_modules_are_imported_by_their_full_name() -> None:
    def relative(module: Module) -> Iterator[str]:
        nodes = ast.walk(module.tree)
        yield from (f"line {n.lineno}" for n in nodes if isinstance(n, ast.ImportFrom) and n.level)
        yield from {name.split(".")[0] for name in module.imported} & set(MAPPED)

    assert not offences(relative)


def test_every_room_has_a_direction() -> None:
    rooms = {room_of(path) for path in source_files()}
    assert rooms <= set(ALLOWED)
    assert not any(room in ALLOWED[room] for room in CORE | {"models", "store"})


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import prefect", {"prefect"}),
        ("def f():\n    import prefect", set()),
        ("if TYPE_CHECKING:\n    import prefect", set()),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import prefect", {"prefect"}),
        ("class A:\n    import prefect", {"prefect"}),
        ("try:\n    import prefect\nexcept ImportError:\n    pass", {"prefect"}),
        ("from prefect_autopilot import store", {"prefect_autopilot.store"}),
    ],
)
def test_the_reader_of_module_level_imports_sees_what_runs(source: str, found: set[str]) -> None:
    assert set(module_level(ast.parse(source))) == found
