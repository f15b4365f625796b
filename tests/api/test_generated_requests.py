"""Requests generated from the OpenAPI document, right and wrong ones: none is a server error."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from prefect_autopilot.api import create_app
from prefect_autopilot.api.routes import routes
from prefect_autopilot.settings import Settings

TAGS = sorted({route.tag for route in routes()})
EACH = 4
MANY = 3


def load_fuzz() -> ModuleType:
    """Load the script that sends many more of them."""
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "api_fuzz.py"
    spec = importlib.util.spec_from_file_location("api_fuzz", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["api_fuzz"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(60)
@pytest.mark.parametrize("tag", TAGS)
def test_no_generated_request_is_a_server_error(tag: str, settings: Settings) -> None:
    fuzz = load_fuzz()
    # Two rounds: the second one names sessions that exist.
    calls = sum(route.tag == tag for route in routes())
    found = fuzz.run(create_app(settings), cases=2 * EACH * calls, seconds=45, only=tag, each=EACH)
    assert found.failures == []
    assert found.counts["4xx"] > 0
    # Of two calls that take a file's whole source, few generated requests are right ones.
    assert found.counts["2xx"] > 0 or calls < MANY
