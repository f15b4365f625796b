"""The names other people may build on."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import prefect_autopilot

PUBLIC = {
    "MonitoringRule",
    "__version__",
    "add_monitoring_rule",
    "analyze",
    "analyze_workflow_metrics",
    "detect",
    "diagnose_text",
    "generate",
    "generate_recommendations",
    "optimize",
    "start_monitoring_server",
    "start_troubleshooting_session",
}
ROOMS = (
    "models",
    "services",
    "effects",
    "intelligence",
    "codegen",
    "optimization",
    "monitoring",
    "troubleshooting",
)
HEAVY = (
    *("prefect", "sklearn", "statsmodels", "scipy", "pandas", "libcst", "fastapi", "sqlalchemy", "alembic"),
    *("pydantic_ai", "openai", "httpx2"),
)


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that are loaded after a statement in a fresh interpreter."""
    program = (
        f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_public_names_are_exactly_these() -> None:
    assert set(prefect_autopilot.__all__) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_can_be_used(name: str) -> None:
    value = getattr(prefect_autopilot, name)
    assert value is getattr(prefect_autopilot, name)
    assert name == "__version__" or callable(value)
    assert name in dir(prefect_autopilot)


def test_every_public_function_says_what_it_does() -> None:
    silent = [name for name in PUBLIC - {"__version__"} if not getattr(prefect_autopilot, name).__doc__]
    assert not silent


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'analyse'"):
        _ = prefect_autopilot.analyse  # type: ignore[attr-defined]


def test_the_version_is_that_of_the_installed_distribution() -> None:
    from importlib.metadata import version

    assert prefect_autopilot.__version__ == version("prefect-autopilot")


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_public_names_exist(room: str) -> None:
    module = importlib.import_module(f"prefect_autopilot.{room}")
    assert module.__all__, f"{room} has no public names"
    assert all(hasattr(module, name) for name in module.__all__)


def test_importing_the_package_alone_loads_nothing_of_weight() -> None:
    assert not modules_after("import prefect_autopilot") & {*HEAVY, "pydantic", "httpx", "rich", "cyclopts"}


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_core_room_loads_no_heavy_library(room: str) -> None:
    assert not modules_after(f"import prefect_autopilot.{room}") & set(HEAVY)


def test_the_block_collection_that_servers_import_is_light() -> None:
    assert not modules_after("import prefect_autopilot.blocks") & {
        "sklearn",
        "statsmodels",
        "libcst",
        "pandas",
    }
