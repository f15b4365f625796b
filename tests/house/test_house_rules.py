"""The house rules that a script can check."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The process edges: the command line's last resort (a command's, a batch row's), the REST error handler, a
# foreign server's event stream.
BROAD_HANDLERS_ALLOWED = {
    "prefect_autopilot/cli/__init__.py": 1,
    "prefect_autopilot/cli/batch.py": 1,
    "prefect_autopilot/api/errors.py": 1,
    "prefect_autopilot/watcher.py": 1,
}
FORBIDDEN_NAMES = re.compile(r"(Manager|Engine|Helper|Utils?|Handler|Enhanced)(?![a-z])|^(helpers?|utils?)$")
# Names other people chose, which we must answer to.
FOREIGN_NAMES: set[str] = set()
MACHINE_PATHS = re.compile(r"/t[m]p/v[e]nv|/\.p[y]env/|/r[o]ot/|/w[o]rk/[a-z]")
REGISTRY_HOSTS = re.compile(
    r"\b(?:p[y]pi\.org|p[y]thonhosted\.org|registry\.n[p]mjs|deb\.d[e]bian\.org|i[n]dex-url)"
)


def load_style() -> ModuleType:
    """Load the script once for all tests: it reads every file of the checkout."""
    spec = importlib.util.spec_from_file_location("house_style", ROOT / "benchmarks" / "style.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["house_style"] = module
    spec.loader.exec_module(module)
    return module


style = load_style()


def tracked_files() -> list[Path]:
    """Return the files git tracks or would track; without git, every file but caches."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        names = [path for path in ROOT.rglob("*") if "__pycache__" not in path.parts]
    return [path for path in names if path.is_file()]


def test_functions_and_modules_are_short_and_annotated() -> None:
    assert style.offenders(ROOT) == []


def test_most_functions_are_very_short() -> None:
    lengths = [
        style.length(one) for module in style.read(ROOT, *style.SOURCE_ROOMS) for one in module.functions
    ]
    assert style.percentile(lengths, 0.95) <= 40


def test_everything_is_caught_only_at_the_process_edges() -> None:
    found: dict[str, int] = {}
    for module in style.read(ROOT, *style.SOURCE_ROOMS):
        count = sum(style.broad(one) and not cleans_up_only(one) for one in style.handlers(module.tree))
        if count:
            found[str(module.path)] = count
    beyond = {path: count for path, count in found.items() if count > BROAD_HANDLERS_ALLOWED.get(path, 0)}
    assert not beyond


def cleans_up_only(handler: ast.ExceptHandler | ast.Call) -> bool:
    """Tell whether a handler ends by raising the same error again: nothing is hidden."""
    if isinstance(handler, ast.Call):
        return False
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_no_caught_error_vanishes_without_a_reason() -> None:
    """`except X: pass`, `except X: continue` and suppress(X) need a comment there or on the line before."""
    silent = []
    for module in style.read(ROOT, *style.SOURCE_ROOMS):
        lines = (ROOT / module.path).read_text(encoding="utf-8").splitlines()
        silent += [
            f"{module.path}:{one.lineno}"
            for one in style.handlers(module.tree)
            if style.hides(one) and not style.explained(one, lines)
        ]
    assert not silent


@pytest.mark.parametrize(
    ("body", "vanishes"),
    [
        ("with suppress(OSError):\n    f()", True),
        ("with contextlib.suppress(OSError):\n    f()", True),
        ("async with g(), suppress(OSError):\n    f()", True),
        ("with suppress(OSError):  # it may be gone\n    f()", False),
        ("# it may be gone\nwith suppress(OSError):\n    f()", False),
        ("with suppress(OSError):\n    f()  # of the work, not of the error", True),
        ("try:\n    f()\nexcept OSError:\n    pass", True),
        ("try:\n    f()\nexcept OSError:\n    ...", True),
        ("for a in b:\n    try:\n        f()\n    except OSError:\n        continue", True),
        ("try:\n    f()\nexcept OSError:\n    pass  # it may be gone", False),
        ("try:\n    f()\nexcept OSError:  # it may be gone\n    pass", False),
        ("try:\n    f()\nexcept OSError:\n    told = True", False),
        ("with opened(OSError):\n    f()", False),
    ],
)
def test_an_error_that_vanishes_without_a_reason_is_seen(body: str, vanishes: bool) -> None:  # noqa: FBT001 - a column
    source = f"async def here():\n{textwrap.indent(body, '    ')}"
    found = [
        one
        for one in style.handlers(ast.parse(source))
        if style.hides(one) and not style.explained(one, source.splitlines())
    ]
    assert bool(found) is vanishes


def test_names_say_what_a_thing_is() -> None:
    bad = []
    for module in style.read(ROOT, *style.SOURCE_ROOMS):
        names = [module.path.stem]
        names += [node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
        bad += [f"{module.path}: {name}" for name in names if FORBIDDEN_NAMES.search(name)]
    assert not [line for line in bad if line.split(": ")[1] not in FOREIGN_NAMES]


def test_public_functions_and_classes_say_what_they_do() -> None:
    silent = []
    for module in style.read(ROOT, *style.SOURCE_ROOMS):
        if "migrations" in module.path.parts:
            continue
        for node in module.tree.body:
            named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if named and not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{module.path}:{node.lineno}: {node.name}")
    assert not silent


@pytest.mark.parametrize("pattern", [MACHINE_PATHS, REGISTRY_HOSTS], ids=["machine paths", "registry hosts"])
def test_no_file_names_a_machine(pattern: re.Pattern[str]) -> None:
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture names nothing
        found += [f"{path.relative_to(ROOT)}: {hit.group()}" for hit in pattern.finditer(text)]
    assert not found


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert lines
    assert not [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line)]


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


def test_tests_and_sources_leave_no_unfinished_marks() -> None:
    marks = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]))
    found = [
        path for path in tracked_files() if path.suffix == ".py" and marks.search(path.read_text("utf-8"))
    ]
    assert not found


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("def f():\n    return 1", 2),
        ('def f():\n    """One."""\n    return 1', 2),
        ('def f():\n    """One.\n\n    Two.\n    """\n    return 1', 2),
        ("@wraps\ndef f(\n    a,\n):\n    return a", 4),
    ],
    ids=["plain", "docstring", "long docstring", "decorator and arguments"],
)
def test_the_length_of_a_function_leaves_its_docstring_out(source: str, lines: int) -> None:
    assert style.length(ast.parse(source).body[0]) == lines


@pytest.mark.parametrize(
    ("clause", "is_broad"),
    [
        ("except:", True),
        ("except Exception:", True),
        ("except BaseException as error:", True),
        ("except (ValueError, Exception):", True),
        ("except ValueError:", False),
        ("except (ValueError, OSError):", False),
        ("with suppress(Exception):", True),
        ("with contextlib.suppress(ValueError, BaseException):", True),
        ("with suppress(ValueError):", False),
    ],
)
def test_a_broad_handler_is_recognised(clause: str, is_broad: bool) -> None:  # noqa: FBT001 - a column of the table
    (handler,) = style.handlers(
        ast.parse(f"{clause}\n    g()" if "with" in clause else f"try:\n    f()\n{clause}\n    g()")
    )
    assert style.broad(handler) is is_broad


@pytest.mark.parametrize(
    ("signature", "whole"),
    [
        ("def f(a: int) -> int: ...", True),
        ("def f(self) -> None: ...", True),
        ("def f(a) -> int: ...", False),
        ("def f(a: int): ...", False),
        ("def f(*a) -> int: ...", False),
        ("def f(**a) -> int: ...", False),
        ("def f(*, a) -> int: ...", False),
    ],
)
def test_a_missing_annotation_is_seen(signature: str, whole: bool) -> None:  # noqa: FBT001 - a column of the table
    assert style.annotated(ast.parse(signature).body[0]) is whole
