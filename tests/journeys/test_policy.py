"""The policy file: read whole or not at all, and without one nothing is done unattended."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import ConfigurationError, PrefectError
from prefect_autopilot.journeys.desk import open_desk
from prefect_autopilot.journeys.policy import policy_in_force, read_policy
from prefect_autopilot.models import Expectation, PolicyOverride, QuietHours, RemedyPolicy
from prefect_autopilot.settings import Settings, load_settings
from prefect_autopilot.store import Store

WHOLE = """
mode: auto
min_confidence: 0.9
max_attempts_per_run: 2
max_remedies_per_minute: 4
breaker_failures: 5
max_wait_s: 120
paused: true
protected_deployments: [billing, payroll]
rerun_allowed:
  - nightly-orders
remedies: {refresh_credentials: approve}
deployments:
  - match: [payroll, critical]
    mode: propose
    remedies: {retry_run: approve}
    max_attempts_per_run: 1
min_between_attempts_s: 300
quick_attempts: 2
max_share_of_runs: 0.1
free_remedies: 5
quiet_hours:
  - {start: "22:00", end: "06:00", days: [fri, sat], timezone: Europe/Berlin}
shadow_until: 2026-03-09T00:00:00Z
shadow_days: 3
storm_runs: 50
max_memory_mb: 8192
max_timeout_s: 900
quarantine: {/data/in: /data/aside}
scratch_folders: [/var/scratch/etl/]
probe_hosts: [api.internal]
expectations:
  - {match: [orders/prod], file: /data/out/orders.parquet, min_bytes: 1000}
  - {match: [orders/prod], artifact: orders-table, min_rows: 1}
"""


def write(folder: Path, text: str | bytes, name: str = "policy.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("mode", ["propose", "auto"])
def test_without_a_file_everything_but_the_mode_is_the_safe_default(mode: Literal["propose", "auto"]) -> None:
    assert read_policy(None, mode=mode) == RemedyPolicy(mode=mode)


def test_every_setting_of_a_file_is_read(tmp_path: Path) -> None:
    policy = read_policy(write(tmp_path, WHOLE), mode="propose")
    assert policy == RemedyPolicy(
        mode="auto",
        min_confidence=0.9,
        max_attempts_per_run=2,
        max_remedies_per_minute=4,
        breaker_failures=5,
        max_wait_s=120,
        paused=True,
        protected_deployments=("billing", "payroll"),
        rerun_allowed=("nightly-orders",),
        remedies={"refresh_credentials": "approve"},
        deployments=(
            PolicyOverride(
                match=("payroll", "critical"),
                mode="propose",
                remedies={"retry_run": "approve"},
                max_attempts_per_run=1,
            ),
        ),
        min_between_attempts_s=300,
        quick_attempts=2,
        max_share_of_runs=0.1,
        free_remedies=5,
        quiet_hours=(QuietHours(start=time(22), end=time(6), days=("fri", "sat"), timezone="Europe/Berlin"),),
        shadow_until=datetime(2026, 3, 9, tzinfo=UTC),
        shadow_days=3,
        storm_runs=50,
        max_memory_mb=8192,
        max_timeout_s=900,
        quarantine={"/data/in": "/data/aside"},
        scratch_folders=("/var/scratch/etl",),
        probe_hosts=("api.internal",),
        expectations=(
            Expectation(match=("orders/prod",), file="/data/out/orders.parquet", min_bytes=1000),
            Expectation(match=("orders/prod",), artifact="orders-table", min_rows=1),
        ),
    )


def test_the_example_above_knows_every_setting(tmp_path: Path) -> None:
    policy = read_policy(write(tmp_path, WHOLE), mode="propose")
    default = RemedyPolicy()
    same = [name for name in RemedyPolicy.model_fields if getattr(policy, name) == getattr(default, name)]
    assert same == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.yaml", "max_attempts_per_run: 1\nprotected_deployments: [a]"),
        ("p.yml", "{max_attempts_per_run: 1, protected_deployments: [a]}"),
        ("p.toml", "max_attempts_per_run = 1\nprotected_deployments = ['a']"),
        ("p.json", '{"max_attempts_per_run": 1, "protected_deployments": ["a"]}'),
        ("policy", "max_attempts_per_run: 1\nprotected_deployments:\n- a\n"),
    ],
    ids=["yaml", "yml", "toml", "json", "no ending"],
)
def test_the_same_policy_may_be_written_in_several_ways(tmp_path: Path, name: str, text: str) -> None:
    policy = read_policy(write(tmp_path, text, name), mode="propose")
    assert policy == RemedyPolicy(max_attempts_per_run=1, protected_deployments=("a",))


@pytest.mark.parametrize(
    ("text", "argument", "expected"),
    [
        ("mode: propose", "auto", "propose"),
        ("mode: auto", "propose", "auto"),
        ("paused: false", "auto", "auto"),
        ("paused: false", "propose", "propose"),
    ],
    ids=["file holds back", "file lets act", "argument auto", "argument propose"],
)
def test_a_file_that_says_the_mode_wins(
    tmp_path: Path, text: str, argument: Literal["propose", "auto"], expected: str
) -> None:
    assert read_policy(write(tmp_path, text), mode=argument).mode == expected


def test_what_the_file_leaves_out_keeps_its_safe_default(tmp_path: Path) -> None:
    policy = read_policy(write(tmp_path, "breaker_failures: 1"), mode="propose")
    assert policy == RemedyPolicy(breaker_failures=1)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("mode: on", "mode"),
        ("mode: automatic", "mode"),
        ("min_confidence: 70", "min_confidence"),
        ("min_confidence: high", "min_confidence"),
        ("max_attempts_per_run: -1", "max_attempts_per_run"),
        ("max_attempts_per_run: unlimited", "max_attempts_per_run"),
        ("breaker_failures: 0", "breaker_failures"),
        ("paused: sometimes", "paused"),
        ("protected_deployments: billing", "protected_deployments"),
        ("protected_deployments: [1, billing]", "protected_deployments.0"),
        ("rerun_allowed: {a: b}", "rerun_allowed"),
        ("max_wait_s:", "max_wait_s"),
        ("max_atempts_per_run: 1", "max_atempts_per_run"),
    ],
    ids=[
        "yaml turns on into true",
        "unknown mode",
        "percent",
        "word for number",
        "negative",
        "unlimited",
        "breaker off",
        "sometimes",
        "one name instead of a list",
        "a number among names",
        "a table instead of a list",
        "nothing",
        "misspelt",
    ],
)
def test_a_wrong_setting_is_refused_with_file_and_place(tmp_path: Path, text: str, place: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_policy(path, mode="auto")
    assert f"{path} is wrong at {place}:" in caught.value.message
    assert caught.value.permanent


@pytest.mark.parametrize(
    "text",
    ["", "- a\n- b", "auto", "42", "null", "# only a comment"],
    ids=["empty", "list", "word", "number", "null", "comment"],
)
def test_a_file_that_holds_no_table_is_refused_and_not_taken_for_defaults(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="must hold a table of settings"):
        read_policy(write(tmp_path, text), mode="auto")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.yaml", "mode: [auto"),
        ("p.yaml", "a: b: c"),
        ("p.yaml", "\tmode: auto"),
        ("p.toml", "mode = auto"),
        ("p.toml", "mode = 'auto'\nmode = 'propose'"),
        ("p.yaml", "!!python/object/apply:os.system ['true']"),
        ("p.yaml", "mode: !!python/name:os.system"),
    ],
    ids=["open bracket", "two colons", "tab", "bare word", "said twice", "python call", "python name"],
)
def test_what_is_no_yaml_or_toml_is_refused_and_nothing_in_it_is_run(
    tmp_path: Path, name: str, text: str
) -> None:
    with pytest.raises(ConfigurationError, match="is not valid"):
        read_policy(write(tmp_path, text, name), mode="auto")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda _path: None, "gone.yaml"),
        (lambda path: path.mkdir(), "folder.yaml"),
        (lambda path: path.write_bytes(b"mode: \xff\xfe"), "binary.yaml"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "binary.toml"),
    ],
    ids=["gone", "a folder", "binary yaml", "binary toml"],
)
def test_a_file_that_cannot_be_read_is_refused_by_its_name(tmp_path: Path, make: Any, name: str) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        read_policy(path, mode="auto")
    assert str(path) in caught.value.message


@given(text=st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@pytest.mark.parametrize("name", ["p.yaml", "p.toml"])
def test_any_file_gives_a_whole_policy_or_one_sentence(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path, text.encode("utf-8", "replace"), name)
    try:
        policy = read_policy(path, mode="propose")
    except ConfigurationError as error:
        assert str(path) in error.message  # noqa: PT017  # both ends are allowed
    else:
        assert isinstance(policy, RemedyPolicy)


def test_the_policy_of_the_document_is_a_policy(tmp_path: Path) -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "policy.md"
    shown = document.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    policy = read_policy(write(tmp_path, shown), mode="auto")
    assert policy.mode == "propose"
    assert policy.mode_for("retry_run", frozenset({"x"})) == "auto"
    assert policy.mode_for("retry_run", frozenset({"critical"})) == "propose"
    named = {line.partition(":")[0] for line in shown.splitlines() if line[:1].isalpha()}
    assert named == set(RemedyPolicy.model_fields) - {"paused"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("deployments: [{match: [a], mode: sometimes}]", "deployments.0.mode"),
        ("deployments: [{mode: auto}]", "deployments.0.match"),
        ("remedies: {reboot: auto}", "remedies.reboot"),
        ("quiet_hours: [{start: '22:00', end: '06:00', timezone: Nowhere}]", "quiet_hours.0.timezone"),
        ("shadow_until: 2026-03-09", "shadow_until"),
    ],
    ids=["mode", "match", "remedy", "zone", "moment"],
)
def test_a_mistake_deep_in_the_file_is_named_by_its_place(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        read_policy(write(tmp_path, text), mode="auto")
    assert place in told.value.message


# The block, and the first days

NOW = datetime(2026, 3, 2, 3, tzinfo=UTC)


def server_with(block: Any, *, status: int = 200) -> PrefectAPI:
    """Return the API of a server that has this policy block, or none."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/block_types/slug/autopilot-policy/block_documents/name/autopilot"
        return httpx.Response(404) if block is None else httpx.Response(status, json={"data": block})

    return PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(answer), tries=1)


def settings_of(folder: Path, **told: Any) -> Settings:
    return load_settings(home=folder, **told)


async def in_force(
    block: Any, store: Store, folder: Path, *, now: datetime = NOW, status: int = 200, **told: Any
) -> RemedyPolicy:
    return await policy_in_force(server_with(block, status=status), store, settings_of(folder, **told), now)


@pytest.mark.parametrize("mode", ["propose", "approve", "auto"])
async def test_without_file_and_block_the_mode_that_was_told_holds_at_once(
    mode: str, store: Store, tmp_path: Path
) -> None:
    assert await in_force(None, store, tmp_path, mode=mode) == RemedyPolicy.model_validate({"mode": mode})


async def test_the_block_says_everything_also_its_mode(store: Store, tmp_path: Path) -> None:
    told = {"mode": "approve", "quiet_hours": [{"start": "22:00", "end": "06:00"}], "storm_runs": 5}
    policy = await in_force(told, store, tmp_path, mode="auto")
    assert (policy.mode, policy.storm_runs, len(policy.quiet_hours)) == ("approve", 5, 1)


async def test_a_file_comes_before_the_block(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path, "mode: approve")
    assert (await in_force({"mode": "auto"}, store, tmp_path, policy_file=path)).mode == "approve"


async def test_what_a_block_leaves_at_its_default_nobody_has_asked_for(store: Store, tmp_path: Path) -> None:
    whole = RemedyPolicy(mode="approve", max_wait_s=60).model_dump(mode="json")
    policy = await in_force(whole, store, tmp_path)
    assert policy.model_fields_set == {"mode", "max_wait_s"}


@pytest.mark.parametrize(
    ("block", "place"),
    [
        ({"mode": "sometimes"}, "mode"),
        ({"mode": "auto", "remedies": {"reboot": "auto"}}, "remedies.reboot"),
        ([], "holds no settings"),
    ],
    ids=["mode", "remedy", "no settings"],
)
async def test_a_block_with_a_mistake_fails_closed_and_says_where(
    block: Any, place: str, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=place) as told:
        await in_force(block, store, tmp_path, mode="auto")
    assert "block autopilot" in told.value.message


async def test_a_server_that_does_not_tell_its_block_is_no_server_without_one(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(PrefectError):
        await in_force({}, store, tmp_path, status=500, mode="auto")


async def test_a_desk_whose_server_is_away_holds_every_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    async with open_desk(settings_of(tmp_path, mode="auto")) as desk:
        assert desk.policy == RemedyPolicy(mode="auto", paused=True)
        assert desk.reread is not None
        with pytest.raises(PrefectError):
            await desk.reread()


async def test_in_the_first_days_of_a_policy_that_lets_act_everything_is_only_shown(
    store: Store, tmp_path: Path
) -> None:
    path, later = write(tmp_path, "mode: auto"), NOW + timedelta(days=2)
    first = await in_force(None, store, tmp_path, policy_file=path)
    assert first.shadow_until == NOW + timedelta(days=7)
    again = await in_force(None, store, tmp_path, policy_file=path, now=later)
    assert again.shadow_until == first.shadow_until, "the days are not begun anew"
    block = await in_force({"mode": "auto", "shadow_days": 1}, store, tmp_path, now=later)
    assert block.shadow_until == NOW + timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("mode: propose", "propose"),
        ("remedies: {retry_run: approve}", "propose"),
        ("{mode: auto, shadow_days: 0}", "propose"),
        ("storm_runs: 5", "auto"),
        ("mode: auto", "auto"),
    ],
    ids=["proposes", "asks", "no such days", "told, file says no mode", "told"],
)
async def test_no_days_are_needed_where_nothing_is_done_or_the_owner_said_so(
    text: str, mode: str, store: Store, tmp_path: Path
) -> None:
    policy = await in_force(None, store, tmp_path, policy_file=write(tmp_path, text), mode=mode)
    assert policy.shadow_until is None


async def test_a_moment_that_is_said_holds_in_place_of_the_days(store: Store, tmp_path: Path) -> None:
    text = "{mode: auto, shadow_until: 2020-01-01T00:00:00Z}"
    policy = await in_force(None, store, tmp_path, policy_file=write(tmp_path, text))
    assert policy.shadow_until == datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "told",
    [
        {"mode": "auto"},
        {"remedies": {"retry_run": "auto"}},
        {"deployments": [{"match": ["a"], "mode": "auto"}]},
        {"deployments": [{"match": ["a"], "remedies": {"retry_run": "auto"}}]},
    ],
    ids=["all", "one remedy", "one deployment", "one remedy of one deployment"],
)
def test_a_policy_lets_act_wherever_it_says_so(told: Any) -> None:
    assert RemedyPolicy.model_validate(told).lets_act
    assert not RemedyPolicy().lets_act
