"""How the pod or container of a failed run ended is asked where it ran, and decides what is diagnosed."""

from __future__ import annotations

import asyncio
import json
import re
import socket as sockets
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from prefect_autopilot.adapters import call_budget, container_ends, kernel_kills, kubernetes_pods
from prefect_autopilot.adapters.container_ends import Told
from prefect_autopilot.adapters.evidence import read_evidence
from prefect_autopilot.adapters.infrastructure import read_infrastructure
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.models import Diagnosis, Evidence, JSONDict, RunRecord, StateRecord
from prefect_autopilot.troubleshooting import diagnose, facts

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
EXITED = "Flow run infrastructure exited with non-zero status code 1."
CRASHED = {"id": "s1", "type": "CRASHED", "name": "Crashed", "timestamp": "2026-03-02T02:59:00Z"}
TOKEN = "eyJhbGciOi.c2VjcmV0LW9mLXRoZS1wb2Q.x-y_z"
BASE = "/api/v1/namespaces/flows"
ID = "ab" * 32
TRACEBACK = """Traceback (most recent call last):
  File "/app/flow.py", line 3, in <module>
    import pandas
ModuleNotFoundError: No module named 'pandas'
"""
Answers = dict[str, Any]


def run(pid: str | None = "flows:otter-x", **more: Any) -> RunRecord:
    state = StateRecord.model_validate(CRASHED | {"message": EXITED})
    fields = {"id": "r1", "run_count": 1, "state": state, "infrastructure_pid": pid, "work_pool": "pool"}
    return RunRecord.model_validate(fields | more)


def diagnosed(told: Told) -> Diagnosis:
    return diagnose(Evidence(run=run(), surroundings=told.lines, missing=told.missing, read_at=NOW))


def status(**state: Any) -> JSONDict:
    """Return the status of a pod whose container is in this state."""
    return {"phase": "Failed", "containerStatuses": [{"name": "prefect-job", "state": state}]}


def ended(code: int, reason: str = "Error", **more: Any) -> JSONDict:
    return status(terminated={"exitCode": code, "reason": reason, **more})


def waits(reason: str, message: str = "") -> JSONDict:
    return status(waiting={"reason": reason, "message": message})


def condition(kind: str, told: str, reason: str, message: str, base: JSONDict | None = None) -> JSONDict:
    entry = {"type": kind, "status": told, "reason": reason, "message": message}
    return {"phase": "Pending", **(base or {}), "conditions": [entry]}


def pod(of: JSONDict, name: str = "otter-x-1", created: str = "2026-03-02T02:58:00Z") -> JSONDict:
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": of}


def warning(reason: str, message: str, at: str = "2026-03-02T02:58:30Z") -> JSONDict:
    return {"reason": reason, "message": message, "lastTimestamp": at, "type": "Warning"}


class Asked:
    """Answers by path and remembers what was asked; what no test set is not found."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.get(request.url.path, 404)
        if isinstance(answer, int):
            return httpx.Response(answer, json={"message": "no"}, headers={"Location": "https://evil.test/"})
        return httpx.Response(200, **({"content": answer} if isinstance(answer, bytes) else {"json": answer}))

    @property
    def paths(self) -> list[str]:
        return [request.url.path for request in self.requests]


def cluster(*pods: JSONDict, events: tuple[JSONDict, ...] = (), log: bytes | int = 404) -> Asked:
    return Asked(
        {
            f"{BASE}/pods": {"items": list(pods)},
            f"{BASE}/events": {"items": list(events)},
            f"{BASE}/pods/otter-x-1/log": log,
        }
    )


async def ask(asked: Asked, kind: str = "kubernetes", of: RunRecord | None = None, **more: Any) -> Told:
    more.setdefault("silent", False)
    return await read_infrastructure(of or run(), kind, transport=httpx.MockTransport(asked), **more)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "account"
    folder.mkdir()
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "namespace").write_text("prefect")
    monkeypatch.setattr(kubernetes_pods, "SERVICE_ACCOUNT", folder)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    return folder


# Kubernetes: from the answers of its API to a diagnosis

UNSCHEDULABLE = condition(
    "PodScheduled", "False", "Unschedulable", "0/6 nodes are available: 6 Insufficient memory."
)
PREEMPTED = condition(
    "DisruptionTarget",
    "True",
    "PreemptionByScheduler",
    "default-scheduler: preempting to accommodate a higher priority pod",
    ended(143),
)
LOST = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi."
QUOTA = (
    'Error creating: pods "otter-x" is forbidden: exceeded quota: compute, requested: limits.cpu=2,'
    " used: limits.cpu=9, limited: limits.cpu=10"
)


@pytest.mark.parametrize(
    ("of", "events", "text", "category", "remedy"),
    [
        pytest.param(
            ended(137, "OOMKilled"),
            (),
            "terminated: OOMKilled, exit code 137 (SIGKILL)",
            "resource",
            "increase_memory",
            id="killed for its memory",
        ),
        pytest.param(
            ended(137),
            (),
            "terminated: exit code 137 (SIGKILL)",
            "resource",
            "retry_backoff",
            id="killed, nobody says by whom",
        ),
        pytest.param(
            ended(139),
            (),
            "terminated: exit code 139 (SIGSEGV)",
            "resource",
            "fix_code",
            id="it broke",
        ),
        pytest.param(
            ended(127),
            (),
            "terminated: exit code 127",
            "configuration",
            "install_dependency",
            id="no such program",
        ),
        pytest.param(
            ended(128, "StartError", message='exec: "prefect": executable file not found in $PATH: unknown'),
            (),
            'terminated: StartError, exit code 128: exec: "prefect": executable file not found',
            "configuration",
            "install_dependency",
            id="it could not be started",
        ),
        pytest.param(
            ended(1),
            (),
            "terminated with exit code 1",
            "logic",
            "fix_code",
            id="an exit code that says nothing",
        ),
        pytest.param(
            {"phase": "Failed", "reason": "Evicted", "message": LOST, **ended(137)},
            (),
            f"failed: Evicted: {LOST}",
            "resource",
            "rerun_on_other_infrastructure",
            id="evicted",
        ),
        pytest.param(
            {
                "reason": "DeadlineExceeded",
                "message": "Pod was active on the node longer than the specified deadline",
            },
            (),
            "failed: DeadlineExceeded: Pod was active on the node longer",
            "timeout",
            "raise_timeout",
            id="it took too long",
        ),
        pytest.param(
            PREEMPTED,
            (),
            "disrupted: evicted (PreemptionByScheduler): default-scheduler: preempting",
            "resource",
            "rerun_on_other_infrastructure",
            id="preempted, as its conditions say",
        ),
        pytest.param(
            ended(143),
            (warning("Preempted", "Preempted by pod 9f on node n1"),),
            "disrupted: Preempted: Preempted by pod 9f",
            "resource",
            "rerun_on_other_infrastructure",
            id="preempted, as its events say",
        ),
        pytest.param(
            waits("ImagePullBackOff", 'Back-off pulling image "registry.test/etl:9"'),
            (),
            'waiting: ImagePullBackOff: Back-off pulling image "registry.test/etl:9"',
            "configuration",
            "fix_configuration",
            id="no such image",
        ),
        pytest.param(
            waits("ImagePullBackOff", "Back-off pulling image"),
            (
                warning("Failed", "Error: ImagePullBackOff", at="2026-03-02T02:58:59Z"),
                warning(
                    "Failed", 'Failed to pull image "etl:9": toomanyrequests: reached your pull rate limit'
                ),
            ),
            'waiting: Failed to pull image "etl:9": toomanyrequests',
            "external_service",
            "wait_rate_limit",
            id="too many pulls, as its events say",
        ),
        pytest.param(
            waits("CreateContainerConfigError", 'secret "warehouse" not found'),
            (),
            'waiting: CreateContainerConfigError: secret "warehouse" not found',
            "configuration",
            "fix_configuration",
            id="no such secret",
        ),
        pytest.param(
            UNSCHEDULABLE,
            (),
            "waiting: Unschedulable: 0/6 nodes are available: 6 Insufficient memory.",
            "resource",
            "retry_backoff",
            id="no room on any node",
        ),
        pytest.param(
            waits("ContainerCreating"),
            (warning("FailedMount", 'MountVolume.SetUp failed for volume "key": secret "gcp" not found'),),
            'waiting: FailedMount: MountVolume.SetUp failed for volume "key": secret "gcp" not found',
            "configuration",
            "fix_configuration",
            id="a volume without its secret",
        ),
    ],
)
@pytest.mark.usefixtures("account")
async def test_what_the_pod_tells_decides(
    of: JSONDict, events: tuple[JSONDict, ...], text: str, category: str, remedy: str
) -> None:
    told = await ask(cluster(pod(of), events=events))
    assert told.lines[0].text.startswith(text)
    assert told.lines[0].where.startswith("container: ")
    assert told.missing == ()
    found = diagnosed(told)
    assert (found.category, found.remedy) == (category, remedy)


@pytest.mark.parametrize(
    ("of", "events", "texts"),
    [
        pytest.param(
            ended(137),
            (warning("FailedScheduling", "0/3 nodes are available"), warning("Unhealthy", "probe failed")),
            ["terminated: exit code 137 (SIGKILL)"],
            id="what the pod overcame before it began",
        ),
        pytest.param(
            UNSCHEDULABLE,
            (warning("FailedScheduling", "0/6 nodes are available: 6 Insufficient memory."),),
            ["waiting: Unschedulable: 0/6 nodes are available: 6 Insufficient memory."],
            id="what its conditions have said",
        ),
        pytest.param(
            waits("ContainerCreating"),
            (
                warning("FailedMount", "timed out", at="2026-03-02T02:58:40Z"),
                warning("FailedMount", "timed out before", at="2026-03-02T02:58:20Z"),
                warning("BackOff", "Back-off restarting failed container"),
            ),
            ["waiting: FailedMount: timed out", "waiting in ContainerCreating"],
            id="older words of one reason, and that it is tried again",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    {
                        "name": "istio-proxy",
                        "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                    },
                    {"name": "prefect-job", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}},
                ]
            },
            (),
            ["terminated with exit code 1"],
            id="what happened to a container beside it",
        ),
        pytest.param(
            {
                "initContainerStatuses": [{"state": {"terminated": {"exitCode": 0}}}],
                **waits("PodInitializing"),
            },
            (),
            ["waiting in PodInitializing"],
            id="an init container that did its work",
        ),
        pytest.param({"phase": "Unknown"}, (), ["phase Unknown"], id="nothing but its phase"),
    ],
)
@pytest.mark.usefixtures("account")
async def test_what_decides_nothing_is_left_out(
    of: JSONDict, events: tuple[JSONDict, ...], texts: list[str]
) -> None:
    assert [line.text for line in (await ask(cluster(pod(of), events=events))).lines] == texts


@pytest.mark.usefixtures("account")
async def test_a_container_that_is_started_again_and_again_is_judged_by_its_last_end() -> None:
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    last = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    looping = {"containerStatuses": [{"name": "prefect-job", "state": state, "lastState": last}]}
    silent = {"terminated": {"exitCode": 1}}
    once = {"containerStatuses": [{"name": "prefect-job", "state": state, "lastState": silent}]}
    asked = cluster(pod(once), log=TRACEBACK.encode())
    assert diagnosed(await ask(asked, silent=True)).pattern == "missing-module"
    assert asked.requests[-1].url.params["previous"] == "true"
    told = await ask(cluster(pod(looping)))
    assert told.lines[0].text == "terminated: OOMKilled, exit code 137 (SIGKILL)"
    assert diagnosed(told).pattern == "out-of-memory"


@pytest.mark.usefixtures("account")
async def test_the_newest_of_several_pods_counts_and_each_read_is_bounded_to_the_run() -> None:
    asked = cluster(
        pod(ended(137, "OOMKilled"), "otter-x-0", "2026-03-02T02:50:00Z"), pod(ended(143), "otter-x-1")
    )
    told = await ask(asked)
    assert told.lines[0].where == "container: pod otter-x-1"
    selectors = [
        request.url.params.get("labelSelector", request.url.params.get("fieldSelector"))
        for request in asked.requests
    ]
    assert selectors == ["prefect.io/flow-run-id=r1", "involvedObject.name=otter-x-1,type=Warning"]
    assert {request.method for request in asked.requests} == {"GET"}
    assert {request.url.host for request in asked.requests} == {"10.0.0.1"}


@pytest.mark.parametrize(
    ("pid", "variables", "namespace"),
    [
        ("flows:otter-x", {}, "flows"),
        ("6a1f-cluster:flows:otter-x", {"namespace": "other"}, "flows"),
        (None, {"namespace": "flows"}, "flows"),
        ("4711", {}, "prefect"),
        ("../../secrets:otter", {}, "prefect"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("account")
async def test_the_namespace_is_where_prefect_says_the_run_is(
    pid: str | None, variables: JSONDict, namespace: str
) -> None:
    asked = cluster()
    await ask(asked, of=run(pid, job_variables=variables))
    assert asked.paths[0] == f"/api/v1/namespaces/{namespace}/pods"


@pytest.mark.usefixtures("account")
async def test_of_a_job_that_could_make_no_pod_its_own_warnings_are_read() -> None:
    told = await ask(cluster(events=(warning("FailedCreate", QUOTA),)))
    assert told.lines[0].where == "container: event of job otter-x"
    assert (diagnosed(told).category, diagnosed(told).remedy) == ("resource", "reduce_concurrency")
    empty = await ask(cluster(events=(warning("BackoffLimitExceeded", "Job has reached its limit"),)))
    assert empty.lines == ()
    assert empty.missing == ("pod of the run (none in namespace flows has its label any more)",)


@pytest.mark.parametrize(
    ("of", "more", "paths", "pattern"),
    [
        pytest.param(ended(1), {"silent": True}, ["pods", "log"], "missing-module", id="a silent run"),
        pytest.param(ended(1), {}, ["pods", "events"], "exit-code-1", id="a run that shipped its log"),
        pytest.param(ended(137, "OOMKilled"), {"silent": True}, ["pods"], "out-of-memory", id="it is told"),
    ],
)
@pytest.mark.usefixtures("account")
async def test_the_output_of_a_pod_is_read_only_where_nothing_else_tells(
    of: JSONDict, more: JSONDict, paths: list[str], pattern: str
) -> None:
    asked = cluster(pod(of), log=TRACEBACK.encode())
    told = await ask(asked, **more)
    assert [path.rpartition("/")[2] for path in asked.paths] == paths
    assert diagnosed(told).pattern == pattern


@pytest.mark.usefixtures("account")
async def test_the_last_line_of_an_output_is_told_with_what_was_seen() -> None:
    told = await ask(cluster(pod(ended(1)), log=TRACEBACK.encode()), silent=True)
    evidence = Evidence(run=run(), surroundings=told.lines, read_at=NOW)
    said = "Around the run: ModuleNotFoundError: No module named 'pandas' (container: log of pod otter-x-1)."
    assert said in facts(diagnose(evidence), evidence)


@pytest.mark.usefixtures("account")
async def test_ends_of_one_cause_are_one_failure_and_others_are_not() -> None:
    found = [
        diagnosed(await ask(cluster(pod(of, name)))).fingerprint
        for of, name in (
            (ended(137, "OOMKilled"), "otter-x-1"),
            (ended(137, "OOMKilled"), "newt-y-2"),
            (waits("CreateContainerConfigError", 'secret "warehouse" not found'), "otter-x-1"),
        )
    ]
    assert found[0] == found[1] != found[2]


# What cannot be read


@pytest.mark.parametrize(
    ("path", "answer", "missing"),
    [
        ("pods", 403, "pods in namespace flows (HTTP 403: the service account needs the right to list pods"),
        ("pods", 401, "pods in namespace flows (HTTP 401: "),
        (
            "events",
            403,
            "events of pod otter-x-1 (HTTP 403: the service account needs the right to list events",
        ),
        ("events", 500, "events of pod otter-x-1 (HTTP 500)"),
        ("pods", 302, "pods in namespace flows (HTTP 302)"),
        ("pods", b"<html>", "pods in namespace flows (its answer is no JSON)"),
        ("pods", b"[" * 100_000, "pods in namespace flows (its answer is no JSON)"),
        ("pods", b" " * 5_000_000, "pods in namespace flows (ValueError: its answer has more than 4000000"),
        ("pods", {"items": []}, "pod of the run (none in namespace flows has its label any more)"),
        ("pods", {"items": "none"}, "pod of the run (none in namespace flows has its label any more)"),
        ("pods", [1], "pod of the run (none in namespace flows has its label any more)"),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.usefixtures("account")
async def test_what_the_cluster_does_not_tell_is_named(path: str, answer: Any, missing: str) -> None:
    asked = cluster(pod(ended(143)))
    asked.answers[f"{BASE}/{path}"] = answer
    told = await ask(asked)
    assert told.missing[0].startswith(missing)
    assert [line.text for line in told.lines] == (
        ["terminated: exit code 143 (SIGTERM)"] if path == "events" else []
    )
    assert len(asked.requests) <= 2
    assert {request.url.host for request in asked.requests} == {"10.0.0.1"}


@pytest.mark.usefixtures("account")
async def test_a_source_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_ends, "WITHIN_S", 0.05)

    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return httpx.Response(200, request=request)

    told = await read_infrastructure(run(), "kubernetes", silent=False, transport=httpx.MockTransport(never))
    assert told.missing == ("pods in namespace flows (no answer within 0.05 s)",)


@pytest.mark.parametrize(
    ("name", "content"),
    [("token", None), ("token", b"two\nlines"), ("token", "gehe\u00efm".encode()), ("namespace", None)],
    ids=str,
)
async def test_a_service_account_that_cannot_be_used_is_said_without_its_token(
    account: Path, name: str, content: bytes | None
) -> None:
    (account / name).unlink() if content is None else (account / name).write_bytes(content)
    asked = cluster()
    told = await ask(asked)
    assert told.missing[0].startswith("pod of the run (no usable service account: ")
    assert not asked.requests
    assert "gehe" not in str(told)


async def test_outside_of_a_cluster_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    asked = cluster()
    assert (await ask(asked)).missing == ("pod of the run (this process runs in no cluster)",)
    assert not asked.requests


@pytest.mark.parametrize("kind", ["ecs", "cloud-run", "vertex-ai"])
async def test_other_infrastructure_is_not_asked(kind: str) -> None:
    asked = cluster()
    assert await ask(asked, kind) == Told()
    assert not asked.requests


@pytest.mark.usefixtures("account")
async def test_secrets_in_what_a_pod_tells_are_removed_and_long_words_cut(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(0)
    leak = "postgres://etl:hunter2secret@db/x refused\n" * 500
    asked = cluster(pod(ended(1)), log=leak.encode())
    told = [await ask(asked, silent=True), await ask(cluster(pod(ended(3, "Error", message=leak))))]
    assert "hunter2secret" not in str(told)
    assert len(told[0].lines[-1].text.splitlines()) == container_ends.TAIL_LINES
    assert len(told[1].lines[0].text) == container_ends.LONGEST_TEXT
    assert asked.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in caplog.text + str(told)


# Docker


def container(code: int = 1, state: str = "exited", tty: bool = False, **more: Any) -> JSONDict:  # noqa: FBT001, FBT002
    return {
        "Name": "/sad-otter",
        "State": {"Status": state, "ExitCode": code, **more},
        "Config": {"Tty": tty, "Labels": {"io.prefect.flow-run-id": "r1"}, "Env": ["KEY=hunter2secret"]},
    }


def framed(text: str) -> bytes:
    pieces = re.findall(r".{1,40}", text, re.DOTALL)
    return b"".join(b"\2\0\0\0" + len(piece).to_bytes(4, "big") + piece.encode() for piece in pieces)


@asynccontextmanager
async def listening(asked: Asked, at: Path | ssl.SSLContext) -> AsyncIterator[int]:
    """Answer over a real socket: a Unix one at a path, or TLS on a port of this machine."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            target = head.split(" ")[1]
            headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
            answer = asked(httpx.Request("GET", f"http://source{target}", headers=headers))
            length = f"Content-Length: {len(answer.content)}\r\nConnection: close"
            writer.write(f"HTTP/1.1 {answer.status_code} X\r\n{length}\r\n\r\n".encode() + answer.content)
            await writer.drain()
            break
        writer.close()

    if isinstance(at, Path):
        server = await asyncio.start_unix_server(serve, at)
        port = 0
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=at)
        port = server.sockets[0].getsockname()[1]
    async with server:
        yield port


@pytest.fixture
def socket(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path_factory.mktemp("d") / "s"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    return path


@pytest.mark.parametrize(
    ("of", "text", "pattern"),
    [
        (container(137, OOMKilled=True), "exited: OOMKilled, exit code 137 (SIGKILL)", "out-of-memory"),
        (container(137), "exited: exit code 137 (SIGKILL)", "killed"),
        (container(1), "exited with exit code 1", "missing-module"),
        (container(1, tty=True), "exited with exit code 1", "exit-code-1"),
        (
            container(127, "created", Error='exec: "prefect": executable file not found in $PATH'),
            'created: exit code 127: exec: "prefect": executable file not found in $PATH',
            "missing-executable",
        ),
        (container(0, "running"), "running", "exit-code-1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_dockers_word_decides_and_then_the_output(
    socket: Path, of: JSONDict, text: str, pattern: str
) -> None:
    log = b"done" if of["Config"]["Tty"] else framed(TRACEBACK)
    asked = Asked({f"/containers/{ID}/json": of, f"/containers/{ID}/logs": log})
    async with listening(asked, socket):
        told = await read_infrastructure(run(f"http+docker://localhost:{ID}"), "docker", silent=True)
    assert (told.lines[0].text, told.lines[0].where) == (text, "container: container sad-otter")
    assert told.missing == ()
    assert diagnosed(told).pattern == pattern
    assert len(asked.requests) <= 2
    assert "hunter2secret" not in str(told)


async def test_without_a_told_container_the_newest_with_the_runs_label_is_found(socket: Path) -> None:
    listed = [{"Id": ID, "Created": 2}, {"Id": "cd" * 32, "Created": 1}]
    asked = Asked({"/containers/json": listed, f"/containers/{ID}/json": container(2)})
    async with listening(asked, socket):
        told = await read_infrastructure(run(None), "docker", silent=True)
    assert [line.text for line in told.lines] == ["exited with exit code 2"]
    assert json.loads(asked.requests[0].url.params["filters"]) == {"label": ["io.prefect.flow-run-id=r1"]}
    assert len(asked.requests) == 2


@pytest.mark.parametrize(
    ("answers", "pid", "missing"),
    [
        ({}, f"http+docker://localhost:{ID}", "container of the run (HTTP 404)"),
        (
            {f"/containers/{ID}/json": container() | {"Config": {}}},
            f"http+docker://localhost:{ID}",
            "container of the run (none on this machine has its label)",
        ),
        ({"/containers/json": []}, None, "container of the run (none on this machine has its label)"),
        ({"/containers/json": [{"Id": "../x"}]}, None, "container of the run (none on this machine"),
        ({"/containers/json": 500}, None, "containers of this machine (HTTP 500)"),
    ],
    ids=["removed", "of another run", "none", "no id", "fault"],
)
async def test_what_docker_does_not_tell_is_named(
    socket: Path, answers: Answers, pid: str | None, missing: str
) -> None:
    async with listening(Asked(answers), socket):
        told = await read_infrastructure(run(pid), "docker", silent=True)
    assert told.lines == ()
    assert told.missing[0].startswith(missing)


@pytest.mark.parametrize("address", ["tcp://10.0.0.9:2375", "unix:///nowhere/docker.sock"])
async def test_only_a_docker_of_this_machine_is_asked(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    asked = Asked({})
    told = await ask(asked, "docker")
    assert told.missing == ("container of the run (Docker has no socket on this machine)",)
    assert not asked.requests


async def test_a_socket_that_nobody_listens_at_is_named(socket: Path) -> None:
    with sockets.socket(sockets.AF_UNIX) as left:
        left.bind(str(socket))
    told = await read_infrastructure(run(None), "docker", silent=True)
    assert told.missing[0].startswith("containers of this machine (ConnectError")


# A process of this machine


ENDED = datetime.fromisoformat(CRASHED["timestamp"]).timestamp()
BOOTED = ENDED - 5000


def said(pid: int, seconds: float = 0.0) -> bytes:
    """Return the kernel's record of a process that it killed so long after the run ended."""
    at = ENDED - BOOTED + seconds
    text = f"Memory cgroup out of memory: Killed process {pid} (python3) total-vm:9kB, anon-rss:8kB"
    return f"3,812,{at * 1e6:.0f},-;{text}\n SUBSYSTEM=memory\n".encode()


@pytest.mark.parametrize(
    ("log", "message", "pattern"),
    [
        pytest.param(said(7) + said(4711), "status code: -9", "out-of-memory", id="killed"),
        pytest.param(said(4711, 100), "SIGKILL", "out-of-memory", id="clocks differ a little"),
        pytest.param(said(4712), "status code: -9", None, id="another process"),
        pytest.param(said(4711, -500), "status code: -9", None, id="an earlier process of this number"),
        pytest.param(said(4711), "status code: 1", None, id="it was not killed"),
        pytest.param(b"6,1,99,-;Out of memory\n\xff\xfe;;,,\n", "status code: -9", None, id="other words"),
    ],
)
def test_the_kernel_tells_which_process_it_killed_for_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: bytes, message: str, pattern: str | None
) -> None:
    monkeypatch.setattr(kernel_kills, "KERNEL_LOG", tmp_path / "kmsg")
    (tmp_path / "kmsg").write_bytes(log)
    state = StateRecord.model_validate(CRASHED | {"message": f"Process exited with {message}."})
    told = kernel_kills.read_kernel(run("4711", state=state), BOOTED)
    assert told.missing == ()
    assert [line.where for line in told.lines] == (["container: process 4711"] if pattern else [])
    if pattern:
        found = diagnosed(told)
        assert found.pattern == pattern
        assert "The process ended: OOMKilled by the kernel" in found.root_cause


async def test_a_log_of_the_kernel_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_kills, "KERNEL_LOG", tmp_path / "none")
    state = StateRecord.model_validate(CRASHED | {"message": "Process exited with status code: -9."})
    told = await read_infrastructure(run("4711", state=state), "process", silent=True)
    assert told.missing == ("kernel log of this machine (No such file or directory)",)


# With the rest of the evidence


def certified(folder: Path, host: str) -> ssl.SSLContext:
    """Write a CA of our own to the folder, and return TLS for a server that it vouches for."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("our CA", "cluster")]
    extensions: Iterator[tuple[x509.ExtensionType, ...]] = iter(
        (
            (x509.BasicConstraints(ca=True, path_length=None),),
            (x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]),),
        )
    )
    now, written = datetime.now(UTC), []
    for key, name, more in zip(keys, names, extensions, strict=True):
        built = x509.CertificateBuilder(names[0], name, key.public_key(), x509.random_serial_number())
        built = built.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        for extension in more:
            built = built.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        written.append(built.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    secret = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.crt").write_bytes(written[0])
    (folder / "server.pem").write_bytes(secret + written[1])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context


def observed(reason: str | None) -> JSONDict:
    resource = {"prefect.resource.name": "otter-x-1"} | ({"kubernetes.reason": reason} if reason else {})
    return {"event": "prefect.kubernetes.pod.evicted", "resource": resource}


FAILED_CHILD = {
    "id": "t9",
    "name": "load-0",
    "flow_run_run_count": 1,
    "state": CRASHED | {"state_details": {"child_flow_run_id": "c1"}},
}
SUB_FLOW = {"/task_runs/filter": [FAILED_CHILD], "/flow_runs/filter": [{"id": "c1", "state": CRASHED}]}


async def evidence_of(
    events: tuple[JSONDict, ...] = (), spent: int = 0, other: Answers | None = None, **more: Any
) -> Evidence:
    answers: Answers = {"/work_pools/pool": {"status": "READY", "type": "kubernetes"}}
    answers |= {"/events/filter": {"events": list(events)}, **(other or {})}

    def prefect(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers.get(request.url.path.removeprefix("/api"), []))

    async with PrefectAPI("http://prefect.test/api", transport=httpx.MockTransport(prefect), tries=1) as api:
        real = api.states

        async def costly(run_id: str) -> Any:
            call_budget.take(spent)
            return await real(run_id)

        api.states = costly  # type: ignore[method-assign]
        return await read_evidence(api, run(**more), now=NOW)


async def test_the_pod_is_asked_over_tls_of_the_clusters_own_ca(
    account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = cluster(pod(ended(137, "OOMKilled")))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with listening(asked, certified(account, "127.0.0.1")) as port:
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
        evidence = await evidence_of()
        certified(account, "127.0.0.1")
        refused = await evidence_of()
    found = diagnose(evidence)
    assert found.pattern == "out-of-memory"
    assert found.evidence[0].where == "container: pod otter-x-1"
    assert "OOMKilled, exit code 137" in " ".join(facts(found, evidence))
    assert [request.headers["authorization"] for request in asked.requests] == [f"Bearer {TOKEN}"]
    assert any("CERTIFICATE_VERIFY_FAILED" in missing for missing in refused.missing)
    assert TOKEN not in refused.model_dump_json()


@pytest.mark.parametrize(
    ("given", "asks"),
    [
        pytest.param({}, True, id="nobody told anything"),
        pytest.param({"events": (observed("Error"),)}, True, id="the observer told no reason"),
        pytest.param({"events": (observed("OOMKilled"),)}, False, id="the observer told the reason"),
        pytest.param({"state": CRASHED | {"type": "SCHEDULED"}}, False, id="nothing was begun"),
        pytest.param({"work_pool": None}, False, id="no work pool"),
        pytest.param({"other": SUB_FLOW}, False, id="a sub-flow failed before it"),
    ],
)
@pytest.mark.usefixtures("account")
async def test_the_source_is_asked_only_where_nobody_told_the_end(
    monkeypatch: pytest.MonkeyPatch, given: Answers, *, asks: bool
) -> None:
    asked = cluster(pod(ended(137)))
    way: Callable[..., httpx.AsyncBaseTransport] = lambda **_: httpx.MockTransport(asked)  # noqa: E731
    monkeypatch.setattr(kubernetes_pods, "_trusted", lambda: True)
    monkeypatch.setattr(httpx, "AsyncHTTPTransport", way)
    evidence = await evidence_of(**given)
    assert bool(asked.requests) is asks
    places = [line.where for line in evidence.surroundings if line.where.startswith("container: ")]
    assert len(places) == len(set(places)), "one end is told twice"


@pytest.mark.usefixtures("account")
async def test_it_is_not_asked_beyond_the_calls_of_one_diagnosis() -> None:
    evidence = await evidence_of(spent=7)
    assert "infrastructure of the run (left out: 14 calls were made for this run)" in evidence.missing
