"""The recipes of CONTRIBUTING work: a copy of the package gets one of each, in the places they name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

SERVICE = """id = "zorblify"
name = "Zorblify"
category = "other"
base_url = "https://api.zorblify.example"
status = "declared"

[auth]
scheme = "bearer"

[[operations]]
id = "list_orders"
method = "GET"
path = "/orders"
effect = "safe"
verbs = ["list orders"]
"""
PATTERN = """
[[pattern]]
name = "flux-drained"
confidence = 0.9
severity = "medium"
transient = true
remedy = "retry_backoff"
cause = "The flux capacitor is drained"
why = "Its own class."
advice = "Charge it."
exceptions = ["FluxDrainedError"]
examples = ["FluxDrainedError: 0 gigawatts left"]
"""
EFFECT = """
[[entry]]
names = ["zorblify.fetch"]
effect = "read"
resource = "http"
waits = true
"""
REWRITE = '''"""Look at each flow and leave it alone.

Before::

    one = 1

After::

    one = 2
"""

from collections.abc import Iterator

from prefect_autopilot.models import Rejection, Strategy
from prefect_autopilot.optimization.plan import Finding, FlowFile, Rule


def find(file: FlowFile) -> Iterator[Finding]:
    """Yield why nothing is done."""
    yield Rejection(rule="look_only", line=1, reason="it only looks")


RULE = Rule(name="look_only", strategies=frozenset(Strategy), find=find)
'''
COMMAND = '''"""A greeting."""


def greet() -> int:
    """Say hello."""
    print("hello")
    return 0
'''
REMEDY = '''class ChargeFlux(ProvedRepair):
    """Charge the flux capacitor, then retry the run."""

    plan: ClassVar[str] = "Charge it to {gigawatts:g}, then retry"
    when: ClassVar[str] = "the capacitor is drained"
    undo: ClassVar[str] = "cannot be: charge stays"
    helped: ClassVar[str] = "the retry completes"
    kind: Literal["charge_flux"] = "charge_flux"
    gigawatts: float


class AskOwner(Act):'''
CHANNEL = """async def _pigeon(notice: Notice, channel: Channel, _transport: object) -> None:
    print(f"pigeon to {channel.url.get_secret_value()}: {notice.title}")


Send = Callable"""

SCRIPT = """
import asyncio, contextlib, io, json
from types import SimpleNamespace

told = {}
import prefect_autopilot
told["home"] = prefect_autopilot.__file__

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.models import RequestContext, Strategy
from prefect_autopilot.services import load_catalogue
catalogue = load_catalogue()
found = analyze("Every day at 9 list the Zorblify orders and post them to Slack", RequestContext(), catalogue)
told["service"] = [one.service for one in found.services]

from prefect_autopilot.troubleshooting import diagnose_text
told["pattern"] = diagnose_text("FluxDrainedError: 0 gigawatts left").pattern

from prefect_autopilot.effects import function_effects
source = "import zorblify\\n\\ndef read():\\n    return zorblify.fetch()\\n"
told["effect"] = function_effects(source)["read"].level.name

from prefect_autopilot.optimization import optimize
flow = "from prefect import flow\\n\\n@flow\\ndef main():\\n    return 1\\n"
plan = optimize(flow, file="f.py", strategy=Strategy.HYBRID)
told["rewrite"] = [one.reason for one in plan.rejected if one.rule == "look_only"]

from pydantic import SecretStr, TypeAdapter
from prefect_autopilot.adapters.channels import configured_channels, deliver
from prefect_autopilot.models import Notice, Remedy, RemedyPolicy
from prefect_autopilot.settings import load_settings
(channel,) = configured_channels(load_settings(notify=(SecretStr("pigeon://roof"),)))
said = io.StringIO()
with contextlib.redirect_stdout(said):
    asyncio.run(deliver(Notice(notice_id="1", outcome="info", title="hello", text=""), channel))
told["channel"] = said.getvalue().strip()

from prefect_autopilot.cli import main
said = io.StringIO()
with contextlib.redirect_stdout(said):
    told["code"] = main(["greet"])
told["command"] = said.getvalue().strip()

from prefect_autopilot.journeys import remedies
remedy = TypeAdapter(Remedy).validate_python({"kind": "charge_flux", "flow_run_id": "run", "gigawatts": 1.21})
told["plan"] = remedy.told()
told["policy"] = RemedyPolicy(remedies={"charge_flux": "approve"}).mode_for("charge_flux", frozenset())
retried = []
async def yes(*_, **given):
    retried.append(given.get("message"))
api = SimpleNamespace(expect_state=yes, retry_run=yes)
from datetime import UTC, datetime
desk = SimpleNamespace(api=api, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
session = SimpleNamespace(session_id="session", attempts=())
asyncio.run(remedies._act(desk, remedy, session, state_id="state", number=1))
told["act"] = retried[-1]
print(json.dumps(told))
"""


def put(path: Path, before: str, *, instead: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{before!r} stands {text.count(before)} times in {path.name}"
    path.write_text(text.replace(before, instead), encoding="utf-8")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Follow each recipe in a copy of the package, and return what the copy then does."""
    folder = tmp_path_factory.mktemp("recipes")
    package = folder / "prefect_autopilot"
    shutil.copytree(ROOT / "prefect_autopilot", package, ignore=shutil.ignore_patterns("__pycache__"))
    follow(package)
    environment = os.environ | {"PYTHONPATH": str(folder), "PREFECT_AUTOPILOT_HOME": str(folder / "home")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert said["home"].startswith(str(folder)), "the copy was not what was imported"
    return said


def follow(package: Path) -> None:
    (package / "services" / "catalog" / "zorblify.toml").write_text(SERVICE, encoding="utf-8")
    for place, entry in (
        (package / "troubleshooting" / "patterns" / "resource.toml", PATTERN),
        (package / "effects" / "table" / "apis.toml", EFFECT),
    ):
        place.write_text(place.read_text(encoding="utf-8") + entry, encoding="utf-8")
    (package / "optimization" / "rules" / "look_only.py").write_text(REWRITE, encoding="utf-8")
    (package / "cli" / "greet.py").write_text(COMMAND, encoding="utf-8")
    commands = package / "cli" / "commands.py"
    put(commands, '    ("analyze",', instead='    ("greet", "greet:greet", "Say hello."),\n    ("analyze",')
    channels = package / "adapters" / "channels.py"
    put(channels, "Send = Callable", instead=CHANNEL)
    put(channels, '    "webhook": _post,\n', instead='    "webhook": _post,\n    "pigeon": _pigeon,\n')
    put(channels, '    "http": "webhook",\n', instead='    "http": "webhook",\n    "pigeon": "pigeon",\n')
    values, acts = package / "models" / "remedies.py", package / "journeys" / "remedies.py"
    put(values, "class AskOwner(Act):", instead=REMEDY)
    put(values, '    "retry_run",\n', instead='    "retry_run",\n    "charge_flux",\n')
    put(values, "    RemoveStaleLock\n", instead="    RemoveStaleLock\n    | ChargeFlux\n")
    case = "        case AskOwner():\n"
    put(acts, case, instead=f'        case ChargeFlux():\n            why = "charged"\n{case}')
    lines = "import ChargeFlux\nfrom prefect_autopilot.models.remedies "
    put(
        acts,
        "\nSTARTED = ",
        instead=f"\nfrom prefect_autopilot.models.remedies {lines}import RetryRun\n\nSTARTED = ",
    )


def test_a_service_is_a_file(told: dict[str, Any]) -> None:
    assert told["service"] == ["zorblify", "slack"]


def test_a_pattern_is_an_entry(told: dict[str, Any]) -> None:
    assert told["pattern"] == "flux-drained"


def test_an_effect_is_an_entry(told: dict[str, Any]) -> None:
    assert told["effect"] == "READ"


def test_a_rewrite_is_a_file(told: dict[str, Any]) -> None:
    assert told["rewrite"] == ["it only looks"]


def test_a_channel_is_a_function_and_its_lines_in_one_file(told: dict[str, Any]) -> None:
    assert told["channel"] == "pigeon to pigeon://roof: hello"


def test_a_command_is_a_function_and_a_line(told: dict[str, Any]) -> None:
    assert (told["code"], told["command"]) == (0, "hello")


def test_a_remedy_is_a_class_and_an_act(told: dict[str, Any]) -> None:
    assert told["plan"] == "Charge it to 1.21, then retry"
    assert told["policy"] == "approve"
    assert told["act"] == "autopilot: attempt 1 of session session, charged"


def test_every_place_a_recipe_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("| to add |") :].partition("\n\n")[0]
    rows = [row.strip("|").split("|") for row in table.splitlines()[2:]]

    assert [name.strip() for name, *_ in rows] == [
        *("a service", "a failure pattern", "an effect of a library call", "a remedy", "a rewrite"),
        *("a notification channel", "a command", "a package (folder with modules)"),
    ]
