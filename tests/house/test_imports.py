"""The directions of docs/architecture.md, held against the syntax trees."""

from __future__ import annotations

import ast
import gc
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
    "client": {"client_answers", "client_calls", "client_events", "errors", "models"},
    "client_calls": {"client_answers", "models"},
    "client_events": {"client_answers", "client_calls", "errors", "models"},
    "client_answers": {"errors", "models"},
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
# By their last name: `import datetime as dt; dt.datetime.now()` reads a clock as well.
CLOCKS = {"now", "utcnow", "today", "uuid1", "uuid4", "getnode", "urandom", "monotonic", "perf_counter"}
BUILT_IN_IO = {"open", "print", "input", "breakpoint"}
# Only packaged data is read, and only by importlib.resources; nothing is written.
READS = {"read_text", "read_bytes", "iterdir"}
TOUCHES = {
    "open", "write_text", "write_bytes", "unlink", "mkdir", "touch", "rename", "rmdir", "symlink_to", "chmod",
    "glob", "rglob", "exists", "is_file", "is_dir", "stat", "cwd", "home", "expanduser",
}  # fmt: skip


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
        elif isinstance(node, ast.Call):
            yield from imported_by_name(node)


def imported_by_name(call: ast.Call) -> Iterator[str]:
    """Return what ``import_module("a.b")`` imports; of a text put together, what its beginning names."""
    if last_name(call.func) not in {"import_module", "__import__"} or not call.args:
        return
    name = call.args[0]
    parts = name.values if isinstance(name, ast.JoinedStr) else [name]
    if isinstance(parts[0], ast.Constant) and isinstance(parts[0].value, str):
        yield parts[0].value.removesuffix(".")


def last_name(function: ast.expr) -> str:
    """Return the last name of a dotted one: what is called, however it was imported."""
    return str(getattr(function, "attr", getattr(function, "id", "")))


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
    # Without collections in between: what is collected may be told with a traceback, whose formatting parses
    # too, and CPython 3.11 takes the depth of the inner tree for a fault of the outer one.
    gc.disable()
    try:
        return tuple(
            Module(str(path.relative_to(ROOT)), room_of(path), ast.parse(path.read_text(encoding="utf-8")))
            for path in source_files()
        )
    finally:
        gc.enable()


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
    yield from {name for name in names_from(module.tree, "pathlib") if not name.startswith("Pure")}
    packaged = "importlib.resources" in module.imported or "resources" in names_from(module.tree, "importlib")
    for call in (node for node in ast.walk(module.tree) if isinstance(node, ast.Call)):
        name = last_name(call.func)
        if name in CLOCKS or (isinstance(call.func, ast.Name) and name in BUILT_IN_IO):
            yield f"line {call.lineno}: {name}"
        elif isinstance(call.func, ast.Attribute) and (name in TOUCHES or (name in READS and not packaged)):
            yield f"line {call.lineno}: {name} of a file"
        elif name in {"import_module", "__import__"} and not imported_by_name_known(call, module):
            yield f"line {call.lineno}: an import that cannot be read"


def names_from(tree: ast.AST, library: str) -> set[str]:
    """Return what is taken from a library; the library's own name where it is imported as a whole."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == library:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name == library}
    return found


def imported_by_name_known(call: ast.Call, module: Module) -> bool:
    """Tell whether an import by name says what it imports, or stays below its own package."""
    below = call.args and ast.unparse(call.args[0]).startswith(("f'{__name__}.", 'f"{__name__}.'))
    return bool(below and module.place.endswith("__init__.py")) or any(imported_by_name(call))


def test_the_core_does_no_io_and_reads_no_clock() -> None:
    assert not offences(outside_world)


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "from datetime import datetime\ndatetime.now()",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "from datetime import date as day\nday.today()",
        "open('x')",
        "import uuid\nuuid.uuid4()",
        "from uuid import uuid4\nuuid4()",
        "from pathlib import Path",
        "import pathlib",
        "from pathlib import PurePath, PosixPath",
        "def f(path):\n    return path.read_text()",
        "def f(path):\n    return path.open()",
        "from importlib import resources\ndef f(path):\n    path.write_text('x')",
        "import importlib\nimportlib.import_module('os')",
        "from importlib import import_module\nimport_module('httpx.models')",
        "from importlib import import_module\nimport_module(f'subprocess.{x}')",
        "from importlib import import_module\nimport_module(name)",
        "__import__('random')",
    ],
)
def test_what_the_core_may_not_do_is_seen(source: str) -> None:
    assert list(outside_world(Module("here", "monitoring", ast.parse(source))))
    assert not list(outside_world(Module("here", "adapters", ast.parse(source))))


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime\ndef f(now: datetime):\n    return now.isoformat()",
        "from pathlib import PurePath\nPurePath('a/b').name",
        "from importlib import resources\nresources.files('a').joinpath('b').read_text('utf-8')",
        "from importlib.resources import files\nfiles('a').joinpath('b').read_bytes()",
        "class A:\n    def f(self):\n        return self.now",
    ],
    ids=["a moment given", "a path's text", "packaged data", "packaged bytes", "a field"],
)
def test_what_the_core_may_do_is_left_alone(source: str) -> None:
    assert not list(outside_world(Module("here", "monitoring", ast.parse(source))))


def test_an_import_by_name_keeps_the_directions_too() -> None:
    tree = ast.parse("from importlib import import_module\nimport_module('prefect_autopilot.api.routes')")
    assert set(own_rooms(imports(tree))) - ALLOWED["journeys"] == {"api"}
    text = ast.parse("import importlib\nimportlib.import_module(f'prefect_autopilot.cli.{name}')")
    assert set(own_rooms(imports(text))) - ALLOWED["api"] == {"cli"}


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
