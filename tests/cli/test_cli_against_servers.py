"""Commands against servers that refuse, break or are somebody else: over real sockets, one sentence each."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.cli import main
from prefect_autopilot.deployments.operational import OPERATIONAL_FLOWS

RUN_ID = "12345678-1234-5678-1234-567812345678"
NOW = "2026-03-02T03:00:00+00:00"


class Server(http.server.ThreadingHTTPServer):
    """Answers every path as it is told and keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Callable[[str, str], tuple[int, str, bytes]] = lambda *_: (
            404,
            "application/json",
            b"{}",
        )
        self.asked: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.date: str | None = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api"


class Handler(http.server.BaseHTTPRequestHandler):
    """One request to a ``Server``."""

    server: Server
    protocol_version = "HTTP/1.0"

    def answer_it(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.asked.append((self.command, self.path))
        self.server.headers.append({key.lower(): value for key, value in self.headers.items()})
        status, kind, body = self.server.answer(self.command, self.path.removeprefix("/api"))
        self.send_response_only(status)
        if self.server.date is not None:
            self.send_header("Date", self.server.date or formatdate(usegmt=True))
        self.send_header("content-type", kind)
        if 300 <= status < 400:
            self.send_header("location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


for method in ("GET", "POST", "DELETE"):
    setattr(Handler, f"do_{method}", Handler.answer_it)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    for name in list(os.environ):
        if name.startswith("PREFECT_API_"):
            monkeypatch.delenv(name)
    return tmp_path / "home"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], home: Path) -> Callable[..., tuple[int, str, str]]:
    def command(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        shown = capsys.readouterr()
        assert not (home / "errors.log").exists(), (home / "errors.log").read_text()
        assert shown.err.count("\n") <= 1
        assert "Traceback" not in shown.out + shown.err
        return code, shown.out, shown.err

    return command


Run = Callable[..., tuple[int, str, str]]


def always(status: int, body: object = b"", kind: str = "application/json") -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda *_: (status, kind, content)


STRANGERS = {
    "a web page": always(200, b"<html>the UI</html>", "text/html"),
    "a number": always(200, 5),
    "null": always(200, None),
    "a list of numbers": always(200, [1]),
    "another object": always(200, {"hello": "world"}),
    "cut JSON": always(200, b'{"a": '),
    "brackets": always(200, b"[" * 50_000),
    "bytes": always(200, b"\xff\xfe"),
    "a redirect": always(302, b"", "text/html"),
}


@pytest.mark.parametrize("answer", STRANGERS.values(), ids=STRANGERS.keys())
@pytest.mark.parametrize("command", [["diagnose", "--last-failed"], ["diagnose", RUN_ID]], ids=" ".join)
def test_what_is_no_prefect_is_told_with_what_to_correct(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, answer: Any, command: list[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    server.answer = answer
    code, out, err = run(*command)
    assert (code, out) == (1, "")
    assert "no Prefect API" in err
    assert "must end in /api" in err


DAILY = "Every weekday at 9 post the open Jira issues to Slack #ops"


@pytest.mark.parametrize("stranger", ["a web page", "another object", "a redirect"])
@pytest.mark.parametrize(
    "command", [["generate", DAILY, "--deploy"], ["install"], ["uninstall"]], ids=" ".join
)
def test_nothing_is_written_to_what_is_no_prefect(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, home: Path, stranger: str, command: list[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    server.answer = STRANGERS[stranger]
    code, _, err = run(*command)
    assert code == 1
    assert "no Prefect API" in err
    assert not list(home.rglob("*.py"))


@pytest.mark.parametrize("answer", STRANGERS.values(), ids=STRANGERS.keys())
def test_doctor_says_of_what_is_no_prefect_that_it_is_none(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    server.answer = answer
    code, out, _ = run("doctor", "--json")
    found = {one["name"]: one for one in json.loads(out)["checks"]}
    assert code == 1
    assert found["Prefect API"]["status"] == "fail"
    assert "/api" in found["Prefect API"]["advice"]


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("command", [["diagnose", "--last-failed"], ["diagnose", RUN_ID]], ids=" ".join)
def test_refused_credentials_are_told_without_the_credentials(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, command: list[str], status: int
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_hunter2secret")
    server.answer = always(status, {})
    code, out, err = run(*command)
    assert (code, out) == (1, "")
    assert "refused our credentials" in err
    assert "PREFECT_API_KEY" in err
    assert "hunter2" not in err
    assert len(server.asked) == 1, "what is refused is not asked again"


@pytest.mark.parametrize(
    ("variables", "header"),
    [
        ({}, None),
        ({"PREFECT_API_KEY": "k"}, "Bearer k"),
        ({"PREFECT_API_AUTH_STRING": "a:b"}, "Basic YTpi"),
        ({"PREFECT_API_KEY": "k", "PREFECT_API_AUTH_STRING": "a:b"}, "Bearer k"),
    ],
    ids=str,
)
def test_the_server_is_asked_with_the_credentials_of_the_environment(
    run: Run,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    header: str | None,
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    server.answer = always(200, [])
    run("diagnose", "--last-failed")
    assert [one.get("authorization") for one in server.headers] == [header]


@pytest.mark.parametrize("status", [400, 409, 422, 500, 502, 504])
def test_an_error_of_the_server_is_told_with_its_status(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    server.answer = always(status, b"password=hunter2secret and many words " * 50, "text/plain")
    code, _, err = run("diagnose", "--last-failed")
    assert code == 1
    assert f"HTTP {status}" in err
    assert "hunter2" not in err
    assert len(err) < 500


def test_a_run_nobody_has_is_told_by_its_id(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    code, out, err = run("diagnose", RUN_ID)
    assert (code, out) == (1, "")
    assert f"no flow run named '{RUN_ID}'" in err


def test_no_failed_run_is_told_with_what_to_do(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    server.answer = always(200, [])
    code, out, err = run("diagnose", "--last-failed")
    assert (code, out) == (2, "")
    assert "No run failed in the last 7 days" in err


def raw_run(**fields: Any) -> dict[str, Any]:
    state = {"id": "s", "type": "FAILED", "name": "Failed", "timestamp": NOW}
    message = "Flow run encountered an exception: ConnectionRefusedError: password=hunter2secret"
    return {
        "id": RUN_ID,
        "name": "odd-owl",
        "flow_id": "f",
        "state_type": "FAILED",
        "state": state | {"message": message},
        "end_time": NOW,
        "created": NOW,
        "updated": NOW,
        "run_count": 1,
    } | fields


def prefect_with_a_failed_run(method: str, path: str) -> tuple[int, str, bytes]:
    answers: dict[str, object] = {
        f"/flow_runs/{RUN_ID}": raw_run(),
        "/flow_runs/filter": [raw_run()],
        "/flows/filter": [{"id": "f", "name": "nightly-orders"}],
        "/task_runs/filter": [],
        "/logs/filter": [],
        f"/flow_run_states/?flow_run_id={RUN_ID}": [raw_run()["state"]],
    }
    if path not in answers:
        return 404, "application/json", b"{}"
    return 200, "application/json", json.dumps(answers[path]).encode()


@pytest.mark.parametrize("command", [["diagnose", "--last-failed"], ["diagnose", RUN_ID]], ids=" ".join)
def test_a_failed_run_is_diagnosed_and_nothing_is_changed(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    server.answer = prefect_with_a_failed_run
    code, out, err = run(*command, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["run"]["id"] == RUN_ID
    assert told["run"]["flow_name"] == "nightly-orders"
    assert told["diagnosis"]["category"] != "unknown"
    assert told["page"].endswith(f"/runs/flow-run/{RUN_ID}")
    assert told["recommendations"]
    assert "hunter2" not in out
    assert {(method, path.rpartition("/")[2]) for method, path in server.asked if method == "POST"} == {
        ("POST", "filter")
    }


@pytest.mark.parametrize(
    ("allowed", "by_block"),
    [(True, False), (False, False), (True, True), (False, True)],
    ids=["file allows", "file does not", "block allows", "block does not"],
)
def test_a_service_the_failure_names_is_asked_where_the_policy_allows_and_its_answer_stands_beside_the_advice(
    run: Run,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    allowed: bool,  # noqa: FBT001  # a column
    by_block: bool,  # noqa: FBT001  # a column
) -> None:
    named = server.url.removesuffix("/api")
    failed = raw_run()
    failed["state"]["message"] = f"Server error '503 Service Unavailable' for url '{named}/orders?key=s3cret'"

    def answer(method: str, path: str) -> tuple[int, str, bytes]:
        if path == f"/flow_runs/{RUN_ID}":
            return 200, "application/json", json.dumps(failed).encode()
        if by_block and path.endswith("/autopilot-policy/block_documents/name/autopilot"):
            return 200, "application/json", json.dumps({"data": {"probe_hosts": hosts}}).encode()
        return prefect_with_a_failed_run(method, path)

    server.answer = answer
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    hosts = ["127.0.0.1"] if allowed else []
    policy = tmp_path / "policy.yaml"
    policy.write_text(f"probe_hosts: {hosts}\n")
    if not by_block:
        monkeypatch.setenv("PREFECT_AUTOPILOT_POLICY_FILE", str(policy))
    code, out, err = run("diagnose", RUN_ID)
    assert (code, err) == (0, "")
    assert f"{named}/runs/flow-run/{RUN_ID}" in out
    assert ("- Around the run: it answers now" in out) is allowed
    assert (("GET", "/") in server.asked) is allowed


def test_what_memory_a_run_has_is_told_with_the_page_of_its_pool(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = raw_run() | {"work_pool_name": "k8s eu"}
    failed["state"]["message"] = "Flow run encountered an exception: MemoryError"
    template = {"variables": {"properties": {"memory": {"default": "512Mi"}}}}

    def answer(method: str, path: str) -> tuple[int, str, bytes]:
        known = {
            f"/flow_runs/{RUN_ID}": failed,
            "/work_pools/k8s eu": {"type": "kubernetes", "base_job_template": template},
            "/work_pools/k8s%20eu": {"type": "kubernetes", "base_job_template": template},
        }
        if path in known:
            return 200, "application/json", json.dumps(known[path]).encode()
        return prefect_with_a_failed_run(method, path)

    server.answer = answer
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    code, out, err = run("diagnose", RUN_ID)
    assert (code, err) == (0, "")
    assert "job variable 'memory' is 512Mi: set it to 1024Mi" in out
    assert "/work-pools/work-pool/k8s%20eu" in out
    assert "what was seen besides:" in out
    assert run("diagnose", RUN_ID, "--propose-fix")[0] == 2


def test_a_run_of_our_own_is_never_the_last_failed_one(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)

    def own(method: str, path: str) -> tuple[int, str, bytes]:
        if path == "/flows/filter":
            return 200, "application/json", json.dumps([{"id": "f", "name": "autopilot-monitor"}]).encode()
        return prefect_with_a_failed_run(method, path)

    server.answer = own
    code, _, err = run("diagnose", "--last-failed")
    assert code == 2
    assert "No run failed" in err


@pytest.mark.parametrize(
    "url",
    [
        "http://[",
        "ftp://127.0.0.1/api",
        "nonsense",
        "127.0.0.1:4200/api",
        "http://",
        "http:///api",
        "http://127.0.0.1:99999/api",
        "http://127.0.0.1:port/api",
        "http://me:hunter2secret@[::1/api",
    ],
)
@pytest.mark.parametrize("command", [["diagnose", RUN_ID], ["install"], ["uninstall"]], ids=" ".join)
def test_an_address_that_is_none_is_told_without_repeating_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str], url: str
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", url)
    code, out, err = run(*command)
    assert (code, out) == (1, "")
    assert "PREFECT_API_URL" in err
    assert "hunter2" not in err


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_is_down_is_told_with_its_address(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    code, out, _ = run("doctor", "--json")
    check = next(one for one in json.loads(out)["checks"] if one["name"] == "Prefect API")
    assert code == 1
    assert check["status"] == "fail"
    assert url in check["detail"]
    assert check["advice"]


# --- Doctor.


def healthy(method: str, path: str) -> tuple[int, str, bytes]:
    answers: dict[str, object] = {
        "/admin/version": "3.8.8",
        "/work_pools/filter": [{"name": "autopilot"}],
        "/work_pools/autopilot/workers/filter": [{"name": "w", "status": "ONLINE"}],
        "/deployments/filter": [{"name": one.name} for one in OPERATIONAL_FLOWS],
        "/automations/filter": [{"name": "autopilot-troubleshoot", "enabled": True}],
    }
    return 200, "application/json", json.dumps(answers.get(path, {})).encode()


def checks(out: str) -> dict[str, dict[str, str]]:
    return {one["name"]: one for one in json.loads(out)["checks"]}


def test_a_sound_installation_ends_with_0(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    server.answer = healthy
    code, out, err = run("doctor", "--json")
    assert (code, err) == (0, "")
    found = checks(out)
    assert [name for name, one in found.items() if one["status"] != "ok"] == ["watcher"], (
        "none runs in a test"
    )
    assert "Prefect 3.8.8" in found["Prefect API"]["detail"]
    assert all(method == "GET" or path.endswith("/filter") for method, path in server.asked), (
        "doctor only looks"
    )


@pytest.mark.parametrize(
    ("skew_s", "status"), [(0, "ok"), (-3600, "warn"), (3600, "warn")], ids=["same", "behind", "ahead"]
)
def test_a_clock_that_differs_is_a_warning(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, skew_s: int, status: str
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    server.answer = healthy
    server.date = formatdate(time.time() + skew_s, usegmt=True)
    code, out, _ = run("doctor", "--json")
    assert code == 0, "a warning is no failure"
    assert checks(out)["clock"]["status"] == status


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_a_server_without_a_time_is_a_warning(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, date: str | None
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    server.answer = healthy
    server.date = date
    code, out, _ = run("doctor", "--json")
    assert (code, checks(out)["clock"]["status"]) == (0, "warn")


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/work_pools/filter", [], "installed"),
        ("/work_pools/autopilot/workers/filter", [], "worker"),
        ("/work_pools/autopilot/workers/filter", [{"status": "OFFLINE"}], "worker"),
        ("/deployments/filter", [], "deployments"),
        ("/automations/filter", [], "automation"),
        ("/automations/filter", [{"name": "autopilot-x", "enabled": False}], "automation"),
        ("/automations/filter", [{"name": "somebody-s", "enabled": True}], "automation"),
    ],
)
def test_what_is_not_installed_is_a_warning_with_its_command(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, path: str, body: object, name: str
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    server.answer = lambda method, asked: (
        (200, "application/json", json.dumps(body).encode()) if asked == path else healthy(method, asked)
    )
    code, out, _ = run("doctor", "--json")
    assert code == 0
    assert checks(out)[name]["status"] == "warn"
    assert "prefect" in checks(out)[name]["advice"]


@pytest.mark.parametrize(
    ("distribution", "version", "said"),
    [
        ("fastapi", "0.155.0", "does not start"),
        ("fastapi", "0.152.1", "422"),
        ("fastapi", "0.100.0", "0.139"),
        ("prefect", "3.7.0", "3.8.8"),
        ("prefect", "4.0.0", "3.9"),
        ("prefect", "2.19.0", "3.8.8"),
    ],
)
def test_versions_that_do_not_fit_are_told_with_the_command_that_mends_them(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    distribution: str,
    version: str,
    said: str,
) -> None:
    # A distribution of that version, found before the installed one.
    folder = tmp_path / "installed" / f"{distribution}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    code, out, _ = run("doctor", "--json")
    check = checks(out)[distribution]
    assert (code, check["status"]) == (1, "fail")
    assert version in check["detail"]
    assert said in check["detail"]
    assert f'pip install "{distribution}' in check["advice"]
    code, out, _ = run("version", "--json")
    assert (code, json.loads(out)[distribution]) == (0, version)


def test_both_kinds_of_credentials_at_once_are_a_warning(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    monkeypatch.setenv("PREFECT_API_KEY", "hunter2secret")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:hunter2secret")
    server.answer = healthy
    code, out, _ = run("doctor", "--json")
    assert (code, checks(out)["Prefect credentials"]["status"]) == (0, "warn")
    assert "hunter2" not in out


def test_doctor_speaks_to_people_too(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    server.answer = always(401, {})
    code, out, _ = run("doctor")
    assert code == 1
    assert "refused our credentials" in " ".join(out.split())
    assert "Prefect API: Set PREFECT_API_AUTH_STRING" in out


DEPLOYED = """import requests
from prefect import flow, task

@task
def read(k):
    return requests.get(f"https://a.test/{k}", timeout=5).json()

@flow
def main(day):
    requests.post("https://a.test/done", timeout=5)
    return read(day)
"""


@pytest.mark.parametrize("more", [[], ["--unproved"]], ids=["as it is", "unproved"])
def test_the_file_of_a_deployment_is_not_replaced_where_nothing_can_be_proved(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: list[str]
) -> None:
    (tmp_path / "main.py").write_text(DEPLOYED)
    deployment = {
        "id": RUN_ID,
        "name": "prod",
        "flow_id": "f",
        "path": str(tmp_path),
        "entrypoint": "main.py:main",
        "parameters": {"day": "monday"},
    }
    answers: dict[tuple[str, str], object] = {
        ("GET", "/deployments/name/main/prod"): deployment,
        ("GET", f"/deployments/{RUN_ID}"): deployment,
        ("GET", "/flows/f"): {"id": "f", "name": "main"},
        ("POST", "/flow_runs/filter"): [],
        ("PATCH", f"/deployments/{RUN_ID}"): {},
    }

    def answer(method: str, path: str) -> tuple[int, str, bytes]:
        found = answers.get((method, path))
        return (404, "application/json", b"{}") if found is None else (
            200, "application/json", json.dumps(found).encode()
        )  # fmt: skip

    server.answer = answer
    monkeypatch.setenv("PREFECT_API_URL", server.url)
    command = ["optimize", "--deployment", "main/prod", "--strategy", "reliability", "--write", *more]
    code, out, err = run(*command)
    written = (tmp_path / "main.py").read_text() != DEPLOYED
    assert (code == 0, written) == (bool(more), bool(more)), (out, err)
    assert ("may do harm" in err and "--unproved" in err) is not bool(more)
    assert ("was not proved" in out) is bool(more)
