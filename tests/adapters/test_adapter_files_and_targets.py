"""Files whole or as before at every step; targets and versions; what previews and proofs are told."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement

from prefect_autopilot.adapters import files
from prefect_autopilot.adapters.prefect_target import PrefectTarget, find_target
from prefect_autopilot.adapters.preview import last_error, preview_environment, run_preview
from prefect_autopilot.adapters.proof import judge, proof_environment, prove
from prefect_autopilot.adapters.proof_session import ReverseAsyncio, _shown, load, replaced_asyncio
from prefect_autopilot.adapters.versions import check_python, check_versions
from prefect_autopilot.codegen import generate
from prefect_autopilot.errors import AutopilotError, ConfigurationError, ConflictError, ProofError, UsageError
from prefect_autopilot.models import Constant, GeneratedFlow, JSONDict, StepSpec, TriggerSpec, WorkflowSpec
from prefect_autopilot.services import load_catalogue

OLD, NEW = "print('old')\n", "print('new ü')\n"

# --- Files.


def left(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in folder.iterdir()}


@pytest.fixture
def flow_file(tmp_path: Path) -> Path:
    folder = tmp_path / "flows"
    folder.mkdir()
    path = folder / "my_flow.py"
    path.write_text(OLD)
    return path


STEPS_OF_A_WRITE = ["os.fdopen", "os.fchmod", "os.fsync", "tempfile.mkstemp", "os.open"]
REASONS = {
    errno.ENOSPC: ("the disk is full", False),
    errno.EDQUOT: ("the disk quota is used up", False),
    errno.EROFS: ("the file system is read-only", True),
    errno.EACCES: ("permission is denied", True),
    errno.EPERM: ("permission is denied", True),
    errno.EIO: ("Input/output error", True),
}


def break_step(monkeypatch: pytest.MonkeyPatch, step: str, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"prefect_autopilot.adapters.files.{step}", refuse)


@pytest.mark.parametrize("number", REASONS, ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize("step", STEPS_OF_A_WRITE)
def test_a_replacement_that_fails_at_any_step_leaves_a_whole_file(
    flow_file: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    break_step(monkeypatch, step, number)
    with pytest.raises(AutopilotError) as caught:
        files.replace(flow_file, NEW, files.digest(OLD))
    reason, permanent = REASONS[number]
    assert reason in caught.value.message
    assert str(flow_file) in caught.value.message
    assert caught.value.permanent is permanent
    found = left(flow_file.parent)
    assert found.pop("my_flow.py") in {OLD, NEW}
    assert not [name for name in found if name.endswith(".tmp")]
    assert all(text == OLD for text in found.values()), "only backups may stand beside it"


@pytest.mark.parametrize("step", STEPS_OF_A_WRITE[:-1])
def test_a_new_file_that_cannot_be_written_is_not_there_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    break_step(monkeypatch, step, errno.ENOSPC)
    with pytest.raises(AutopilotError, match="the disk is full"):
        files.write_new(tmp_path, "my_flow.py", NEW)
    assert left(tmp_path) == {}


@pytest.mark.parametrize("text", ["x\ud800", "\udfff"])
def test_a_text_utf_8_cannot_write_is_refused_and_leaves_nothing(flow_file: Path, text: str) -> None:
    with pytest.raises(UsageError, match="remove it"):
        files.write_new(flow_file.parent, "other_flow.py", text)
    with pytest.raises(UsageError, match="remove it"):
        files.replace(flow_file, text, files.digest(OLD))
    assert left(flow_file.parent) == {"my_flow.py": OLD}


def test_what_a_person_saves_while_we_write_is_not_lost(
    flow_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = files._written

    def save_meanwhile(path: Path, content: bytes, mode: int) -> Path:
        if path == flow_file:
            flow_file.write_text("mine\n")
        return written(path, content, mode)

    monkeypatch.setattr(files, "_written", save_meanwhile)
    with pytest.raises(ConflictError, match="has changed"):
        files.replace(flow_file, NEW, files.digest(OLD))
    assert flow_file.read_text() == "mine\n"
    assert not list(flow_file.parent.glob(".*.tmp"))


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755])
def test_a_replaced_file_and_its_backup_keep_the_mode(flow_file: Path, mode: int) -> None:
    flow_file.chmod(mode)
    backup = files.replace(flow_file, NEW, files.digest(OLD))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (flow_file, backup)] == [mode, mode]


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_any_text_is_written_and_replaced_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = files.write_new(folder, "my_flow.py", texts[0])
    for before, text in pairwise(texts):
        backup = files.replace(path, text, files.digest(before))
        assert backup.read_bytes() == before.encode("utf-8")
        assert path.read_bytes() == text.encode("utf-8")
        assert files.digest_of(path) == files.digest(text)


@given(name=st.text(max_size=30))
@settings(max_examples=150, deadline=None)
def test_any_name_is_refused_or_stays_in_its_folder(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        path = files.resolve_below(folder, name)
    except UsageError as error:
        told = error.message
    else:
        told = ""
        assert path.parent == folder.resolve()
        assert path.name == name
    assert "\n" not in told


@pytest.mark.parametrize(("name", "said"), [("link.py", "leads out"), ("loop.py", "leads to itself")])
def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, name: str, said: str) -> None:
    folder = tmp_path / "flows"
    folder.mkdir()
    (tmp_path / "secret.py").write_text("secret\n")
    (folder / "link.py").symlink_to(tmp_path / "secret.py")
    (folder / "loop.py").symlink_to(folder / "loop.py")
    with pytest.raises(UsageError, match=said):
        files.write_new(folder, name, NEW)
    with pytest.raises(ConflictError):
        files.replace(folder / "loop.py", NEW, files.digest(OLD))
    assert (tmp_path / "secret.py").read_text() == "secret\n"


def test_a_digest_is_that_of_the_bytes() -> None:
    assert files.digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert files.digest("a\r\n") != files.digest("a\n")


# --- Which server.

URL = "http://127.0.0.1:4200/api"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"profiles = []\nactive = 'a'", "hold no tables"),
        (b"profiles = 'x'", "hold no tables"),
        (b"active = 'a'\n[profiles]\na = 'x'", "hold no tables"),
        (b"\xff\xfe", "not UTF-8"),
        (b"active = ", "not valid TOML"),
        (b"", "PREFECT_API_URL"),
        (b"active = 5\n[profiles.a]\nPREFECT_API_URL = 'x'", "PREFECT_API_URL"),
        (b"active = [1]", "PREFECT_API_URL"),
        (b"active = 'gone'\n[profiles.a]\nPREFECT_API_URL = 'x'", "PREFECT_API_URL"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_profiles_that_name_no_server_are_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "profiles.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        find_target({}, tmp_path)
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message


def test_a_folder_in_place_of_the_profiles_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        find_target({"PREFECT_PROFILES_PATH": str(tmp_path)}, tmp_path / "elsewhere")


def test_the_server_of_the_environment_needs_sound_profiles_no_less(tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text("active = 'a'\n[profiles.a]\nPREFECT_API_KEY = 'k'\n")
    assert find_target({"PREFECT_API_URL": URL}, tmp_path) == PrefectTarget(URL, "Bearer k")


@pytest.mark.parametrize(
    ("environment", "auth"),
    [
        ({}, None),
        ({"PREFECT_API_KEY": "k"}, "Bearer k"),
        ({"PREFECT_API_KEY": ""}, None),
        ({"PREFECT_API_AUTH_STRING": "a:b"}, "Basic YTpi"),
        ({"PREFECT_API_AUTH_STRING": "ü:ß"}, "Basic w7w6w58="),
        ({"PREFECT_API_KEY": "", "PREFECT_API_AUTH_STRING": "a:b"}, "Basic YTpi"),
    ],
    ids=str,
)
def test_credentials_become_one_header(tmp_path: Path, environment: dict[str, str], auth: str | None) -> None:
    assert find_target({"PREFECT_API_URL": URL, **environment}, tmp_path).auth == auth


# --- Which versions.


@pytest.mark.parametrize(
    ("needed", "version", "status"),
    [
        ("fastapi>=0.139,<0.151", "0.138.9", "fail"),
        ("fastapi>=0.139,<0.151", "0.139.0", "ok"),
        ("fastapi>=0.139,<0.151", "0.150.9", "ok"),
        ("fastapi>=0.139,<0.151", "0.151.0rc1", "fail"),
        ("fastapi>=0.139,<0.151", "0.155.0", "fail"),
        ("fastapi>=0.139,<0.151", "1.0", "fail"),
        ("prefect>=3.8.8,<3.9", "3.8.7", "fail"),
        ("prefect>=3.8.8,<3.9", "3.8.8", "ok"),
        ("prefect>=3.8.8,<3.9", "3.8.8+local", "ok"),
        ("prefect>=3.8.8,<3.9", "3.9.0", "fail"),
        ("prefect>=3.8.8,<3.9", "2.20.1", "fail"),
        ("prefect>=3.8.8,<3.9", "from-git", "warn"),
        ("prefect>=3.8.8,<3.9", "", "warn"),
        ("rich", "1", "ok"),
    ],
)
def test_each_version_is_judged_with_what_mends_it(needed: str, version: str, status: str) -> None:
    requirement = Requirement(needed)
    found = check_versions([requirement], {requirement.name: version})
    check = next((one for one in found if one.name == requirement.name), found[-1])
    assert check.status == status
    assert bool(check.advice) is (status != "ok")
    assert status == "ok" or f'pip install "{requirement.name}{requirement.specifier}"' in check.advice


def test_what_is_missing_is_told_with_what_is_needed() -> None:
    (check, rest) = check_versions([Requirement("rich>=13")], {})
    assert check.status == "fail"
    assert ">=13" in check.detail
    assert rest.detail == "0 met"


def test_a_python_that_is_too_old_is_told_with_what_is_needed() -> None:
    check = check_python("3.9.1", ">=3.11")
    assert "3.9.1" in check.detail
    assert ">=3.11" in check.advice


# --- Previews.


def flow() -> GeneratedFlow:
    step = StepSpec(
        id="one",
        service="asana",
        operation="create_task",
        connection="asana-default",
        arguments={"name": Constant(value="x"), "projects": Constant(value=["1"])},
    )
    spec = WorkflowSpec(name="by-hand", request="x", trigger=TriggerSpec(type="manual"), steps=(step,))
    return generate(spec, load_catalogue())


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise ValueError('too early')\n", "ValueError: too early"),
        ("import nothing_of_this_name\n", "ModuleNotFoundError"),
        ("def broken(:\n", "SyntaxError"),
        ("x = 1\n", "KeyError"),
        ("import sys\nsys.exit(3)\n", "exit code 3"),
        ("import os\nos._exit(9)\n", "exit code 9"),
        ("raise ValueError('password=hunter2hunter2')\n", "password="),
    ],
    ids=["raises", "import", "syntax", "no flow", "exit", "hard exit", "secret"],
)
def test_a_file_that_cannot_run_is_a_result_and_no_exception(source: str, said: str) -> None:
    broken = flow().model_copy(update={"source": source})
    result = asyncio.run(run_preview(broken, target=PrefectTarget("http://127.0.0.1:9/api")))
    assert not result.succeeded
    assert result.error is not None
    assert said in result.error
    assert "hunter2" not in result.error
    assert result.calls == ()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to look at a process")
def test_a_preview_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "child"
    source = (
        "import pathlib, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"pathlib.Path({str(mark)!r}).write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    hanging = flow().model_copy(update={"source": source})
    target = PrefectTarget("http://127.0.0.1:9/api")
    # Long enough for a busy machine to start the file at all.
    result = asyncio.run(run_preview(hanging, target=target, timeout_s=6))
    assert result.error == "The flow did not end within 6 s."
    state = Path(f"/proc/{mark.read_text()}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("name", ["../evil.py", "/tmp/evil.py", "a/b.py", ""])
def test_a_preview_writes_only_into_its_own_folder(name: str) -> None:
    with pytest.raises(UsageError):
        asyncio.run(run_preview(flow().model_copy(update={"file_name": name})))


@pytest.mark.parametrize(
    "parameters", [{"x": object()}, {"x": {1, 2}}, {"x": b"bytes"}], ids=["object", "set", "bytes"]
)
def test_parameters_nobody_could_send_are_refused(parameters: JSONDict) -> None:
    with pytest.raises(UsageError, match="no JSON"):
        asyncio.run(run_preview(flow(), parameters))


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "PREFECT_API_KEY", "PYTHONPATH", "LD_PRELOAD", "HTTP_PROXY", "SSH_AUTH_SOCK"],
)
@pytest.mark.parametrize("make", ["preview", "proof"])
def test_no_variable_of_ours_goes_along(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, make: str
) -> None:
    monkeypatch.setenv(name, "ours-only")
    made = (
        preview_environment(None, tmp_path, "http://127.0.0.1:9")
        if make == "preview"
        else proof_environment(tmp_path, {})
    )
    assert name not in made
    assert "ours-only" not in made.values()


@given(output=st.text(max_size=200), code=st.integers(-15, 255))
@settings(max_examples=100, deadline=None)
def test_whatever_a_process_says_becomes_one_short_line(output: str, code: int) -> None:
    told = last_error(output, code)
    assert told
    assert len(told) <= 500
    assert len(told.split("\n")) == 1


# --- Proofs.


def run_of(version: str, *, backwards: bool = False, **more: Any) -> JSONDict:
    base = {"error": None, "message": "", "result": 1, "effects": [], "seconds": 1.0}
    return {"version": version, "backwards": backwards, **base, **more}


@pytest.mark.parametrize(
    ("change", "equal"),
    [
        ({"result": 1}, True),
        ({"result": 1.0}, True),
        ({"result": None}, False),
        ({"result": [1]}, False),
        ({"result": {"a": 1}}, False),
        ({"error": "KeyError"}, False),
        ({"message": "said otherwise"}, False),
        ({"seconds": 99.0}, True),
        ({"effects": [["PUT", "/a"]]}, False),
        ({"effects": ["plain"]}, False),
    ],
    ids=str,
)
def test_only_result_exception_and_effects_decide(change: JSONDict, *, equal: bool) -> None:
    proof = judge(
        [
            run_of("original"),
            run_of("original"),
            run_of("rewritten", **change),
            run_of("rewritten", backwards=True),
        ]
    )
    assert proof.equal is equal
    assert proof.n == 2
    assert bool(proof.reason)


@pytest.mark.parametrize(
    "change", [{"result": 2}, {"error": "KeyError", "result": None}, {"effects": [["PUT", "/a"]]}], ids=str
)
def test_an_original_that_differs_from_itself_is_no_measure(change: JSONDict) -> None:
    runs = [
        run_of("original"),
        run_of("original", **change),
        run_of("rewritten"),
        run_of("rewritten", backwards=True),
    ]
    with pytest.raises(ProofError, match="does not do the same twice"):
        judge(runs)


@given(order=st.permutations([["a", 1], ["b", 1], ["a", 2], ["c", 1]]))
@settings(max_examples=40, deadline=None)
def test_effects_may_change_places_only_between_resources(order: list[list[Any]]) -> None:
    before = [["a", 1], ["b", 1], ["a", 2], ["c", 1]]
    runs = [run_of("original", effects=before)] * 2 + [run_of("rewritten", effects=order)]
    kept = order.index(["a", 1]) < order.index(["a", 2])
    assert judge([*runs, run_of("rewritten", backwards=True, effects=before)]).equal is kept


@pytest.mark.parametrize("repeats", [1, 0, -1])
def test_one_run_shows_nothing(repeats: int) -> None:
    with pytest.raises(UsageError, match="at least 2 repeats"):
        asyncio.run(prove("", "", function="f", repeats=repeats))


def test_parameters_of_a_proof_must_be_json() -> None:
    with pytest.raises(UsageError, match="must be JSON"):
        asyncio.run(prove("", "", function="f", parameters={"x": object()}))


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("/no/such/python", "cannot be started"),
        ("/bin/false", "could not be run"),
        ("/bin/true", "could not be run"),
    ],
)
def test_an_interpreter_that_is_none_is_no_proof(python: str, said: str) -> None:
    with pytest.raises(ProofError, match=said):
        asyncio.run(prove("", "", function="f", python=python))


class Thing:
    """A result JSON does not know."""


def test_a_result_is_compared_without_its_address_in_memory() -> None:
    assert _shown(Thing()) == _shown(Thing())
    assert _shown({1}) != _shown({2})
    assert _shown(1) != _shown("1")


def test_a_version_is_loaded_under_a_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text("NUMBER = 1\n")
    first = load(tmp_path / "flow.py", "proof_test_1")
    (tmp_path / "flow.py").write_text("NUMBER = 22\n")
    os.utime(tmp_path / "flow.py", (1, 1))
    second = load(tmp_path / "flow.py", "proof_test_2")
    assert (first.NUMBER, second.NUMBER) == (1, 22)
    for name in ("proof_test_1", "proof_test_2"):
        assert sys.modules.pop(name)


def test_asyncio_is_given_back_even_when_the_flow_fails() -> None:
    module = ModuleType("flow")
    module.asyncio = asyncio  # type: ignore[attr-defined]
    module.other = 1  # type: ignore[attr-defined]

    def fail() -> None:
        with replaced_asyncio(module, ReverseAsyncio()):
            assert isinstance(module.asyncio, ReverseAsyncio)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert module.asyncio is asyncio
    assert module.other == 1


@pytest.mark.parametrize("use", ["gather", "tasks"])
def test_what_is_started_together_runs_the_last_first_and_answers_in_order(use: str) -> None:
    told: list[int] = []
    turned: Any = ReverseAsyncio()

    async def work(number: int) -> int:
        told.append(number)
        await turned.sleep(0)
        return number * 10

    async def flow_body() -> list[int]:
        if use == "gather":
            return list(await turned.gather(*(work(number) for number in range(3))))
        started = [turned.create_task(work(number)) for number in range(3)]
        return [await one for one in started]

    assert asyncio.run(flow_body()) == [0, 10, 20]
    assert told == [2, 1, 0]


def test_an_exception_of_what_was_started_together_is_the_flow_s_own() -> None:
    turned: Any = ReverseAsyncio()

    async def fail(number: int) -> None:
        raise ValueError(number)

    async def flow_body(*, kept: bool) -> Any:
        return await turned.gather(fail(1), fail(2), return_exceptions=kept)

    with pytest.raises(ValueError, match="1"):
        asyncio.run(flow_body(kept=False))
    answers: list[Callable[[], None]] = asyncio.run(flow_body(kept=True))
    assert [str(one) for one in answers] == ["1", "2"]
