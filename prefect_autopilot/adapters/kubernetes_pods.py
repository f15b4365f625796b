"""How the pod of a run ended, or why it does not begin, asked of the cluster that this process runs in.

With the service account of this process, whose token goes to the cluster's own API and nowhere else: no
redirect is followed, no proxy is used, and the certificate must be of the cluster's CA.

Facts: label, job's container and ``infrastructure_pid`` as prefect-kubernetes 0.7 writes them; PodStatus,
Event and its field selectors by the Kubernetes API reference.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx

from prefect_autopilot.adapters.container_ends import (
    DISRUPTED,
    FACT,
    POD,
    REASON,
    START,
    TAIL_BYTES,
    TAIL_LINES,
    UNREADABLE,
    WITHIN_S,
    Finding,
    Source,
    Told,
    at,
    ended,
    every,
    joined,
    lines_of,
    tail,
)
from prefect_autopilot.models import EvidenceLine, JSONDict, RunRecord
from prefect_autopilot.troubleshooting.evidence import CONTAINER

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token, the cluster's CA and its namespace."""
JOB_CONTAINER = "prefect-job"
"""How Prefect names the container of the run; others of the pod may be killed after it."""
NOT_YET = frozenset({"ContainerCreating", "PodInitializing", "CrashLoopBackOff"})
"""Reasons of waiting that hide the cause: it stands in the events or in the last state."""
ENDS_PODS = frozenset({"Evicted", "Preempted", "Preempting", "NodeNotReady", "NodeShutdown", "OOMKilling"})
"""Warnings that tell why a pod that had begun ended; what it had met before, it overcame."""
PULLS = frozenset({"ErrImagePull", "ImagePullBackOff"})
"""Reasons of waiting that the warnings explain: no such image, no right, too many pulls."""
REPEATS = frozenset({"BackOff", "BackoffLimitExceeded"})
"""Warnings that only count tries."""
MOST_PODS, MOST_EVENTS, MOST_TOLD = 50, 50, 5
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_TOKEN = re.compile(r"[\w.~+/=-]+", re.ASCII)


async def read_pod(run: RunRecord, transport: httpx.AsyncBaseTransport | None, *, silent: bool) -> Told:
    """Read the newest pod of a run, then its warnings or, of a ``silent`` run, the end of its output."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    if not host:
        return Told(missing=("pod of the run (this process runs in no cluster)",))
    try:
        token = (SERVICE_ACCOUNT / "token").read_text(encoding="ascii").strip()
        own = (SERVICE_ACCOUNT / "namespace").read_text(encoding="ascii").strip()
        if not _TOKEN.fullmatch(token):
            raise ValueError("no token")
        client = httpx.AsyncClient(
            base_url=_address(host, os.environ.get("KUBERNETES_SERVICE_PORT") or "443"),
            headers={"Authorization": f"Bearer {token}"},
            transport=transport or httpx.AsyncHTTPTransport(verify=_trusted()),
            timeout=WITHIN_S,
            trust_env=False,
        )
    except UNREADABLE as error:
        # Only its kind: the text of a decoding error holds what could not be decoded.
        return Told(missing=(f"pod of the run (no usable service account: {type(error).__name__})",))
    async with client:
        source = Source(client)
        lines = await _told_of(source, run, *_place(run, own), silent=silent)
    return Told(lines, tuple(source.missing))


def _address(host: str, port: str) -> str:
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=SERVICE_ACCOUNT / "ca.crt")


def _place(run: RunRecord, own: str) -> tuple[str, str]:
    """Return the namespace of a run and its job; the job is empty where nobody has told it.

    Prefect tells them as ``namespace:job``, until May 2025 with the cluster before them.
    """
    *_, namespace, job = ("", "", *(run.infrastructure_pid or "").split(":"))
    told = (namespace, str(run.job_variables.get("namespace") or ""), own)
    found = next((name for name in told if _NAME.fullmatch(name)), "default")
    return found, job if namespace and _NAME.fullmatch(job) else ""


async def _told_of(
    source: Source, run: RunRecord, namespace: str, job: str, *, silent: bool
) -> tuple[EvidenceLine, ...]:
    base, place = f"/api/v1/namespaces/{namespace}", f"in namespace {namespace}"
    raw = await source.read_json(
        f"pods {place}",
        f"{base}/pods",
        f"the service account needs the right to list pods {place}",
        labelSelector=f"prefect.io/flow-run-id={run.id}",
        limit=MOST_PODS,
    )
    if raw is None:
        return ()
    pod = max(every(raw, "items"), key=lambda one: str(at(one, "metadata", "creationTimestamp")), default={})
    name = str(at(pod, "metadata", "name") or job)
    where = f"pod {name}" if pod else f"job {name}"
    found = list(_of_pod(pod, f"{CONTAINER}{where}"))
    if pod and not found:
        found = [(FACT, f"phase {at(pod, 'status', 'phase')}", f"{CONTAINER}{where}")]
    decides = min((rank for rank, *_ in found), default=FACT)
    dead = [one for one in _own(pod) if _last(one) is not None]
    if silent and dead and decides == FACT:
        body = await source.read(
            f"log of {where}",
            f"{base}/pods/{name}/log",
            f"the service account needs the right to get pods/log {place}",
            container=str(dead[0].get("name")),
            previous=str(at(dead[0], "state", "terminated") is None).lower(),
            tailLines=TAIL_LINES,
            limitBytes=TAIL_BYTES,
        )
        return (*lines_of(found), *tail(body, where))
    if name and decides > DISRUPTED:
        events = await source.read_json(
            f"events of {where}",
            f"{base}/events",
            f"the service account needs the right to list events {place}",
            fieldSelector=f"involvedObject.name={name},type=Warning",
            limit=MOST_EVENTS,
        )
        found = [*_warned(every(events, "items"), where, found, begun=_begun(pod)), *found]
    if not found:
        source.missing.append(f"pod of the run (none {place} has its label any more)")
    return lines_of(found)


def _own(pod: JSONDict) -> list[JSONDict]:
    """Return the states of the run's own container; of all where none has the name that Prefect gives it."""
    told = list(every(pod, "status", "containerStatuses"))
    return [one for one in told if one.get("name") == JOB_CONTAINER] or told


def _last(status: JSONDict) -> Any:
    """Return the last end of a container, None where it has not ended yet."""
    return at(status, "state", "terminated") or at(status, "lastState", "terminated")


def _begun(pod: JSONDict) -> bool:
    return any(_last(one) is not None or at(one, "state", "running") is not None for one in _own(pod))


def _of_pod(pod: JSONDict, where: str) -> Iterator[Finding]:
    if reason := at(pod, "status", "reason"):
        yield POD, f"failed: {joined(reason, at(pod, 'status', 'message'))}", where
    for one in every(pod, "status", "conditions"):
        why, message, kind = one.get("reason"), one.get("message"), (one.get("type"), one.get("status"))
        if kind == ("DisruptionTarget", "True"):
            yield DISRUPTED, f"disrupted: {joined(f'evicted ({why})', message)}", where
        if kind == ("PodScheduled", "False"):
            yield START, f"waiting: {joined(why, message)}", where
    before = (
        one
        for one in every(pod, "status", "initContainerStatuses")
        if at(one, "state", "terminated", "exitCode") != 0
    )
    for status in (*before, *_own(pod)):
        waiting = at(status, "state", "waiting")
        if at(waiting, "reason") in NOT_YET:
            yield FACT, f"waiting in {at(waiting, 'reason')}", where
        elif waiting:
            rank = START if at(waiting, "reason") in PULLS else REASON
            yield rank, f"waiting: {joined(at(waiting, 'reason'), at(waiting, 'message'))}", where
        if (end := _last(status)) is not None:
            yield ended("terminated", end, where)


def _warned(
    events: Iterable[JSONDict], where: str, known: Iterable[Finding], *, begun: bool
) -> Iterator[Finding]:
    """Return the warnings that tell why a pod ended or does not begin: the newest of each kind, few."""
    said = "\n".join(text for _, text, _ in known)
    told: set[tuple[str, str]] = set()
    for event in sorted(events, key=_seen_at, reverse=True):
        reason, message = str(event.get("reason")), joined(event.get("message"))
        kind = (reason, message.partition(" ")[0])
        new = kind not in told and message not in said and reason not in REPEATS
        named = message.removeprefix("Error: ") in PULLS
        if new and not named and len(told) < MOST_TOLD and (not begun or reason in ENDS_PODS):
            told.add(kind)
            rank, word = (DISRUPTED, "disrupted") if begun else (START, "waiting")
            what = joined("" if reason == "Failed" else reason, message)
            yield rank, f"{word}: {what}", f"{CONTAINER}event of {where}"


def _seen_at(event: JSONDict) -> str:
    seen = event.get("lastTimestamp") or at(event, "series", "lastObservedTime") or event.get("eventTime")
    return str(seen or at(event, "metadata", "creationTimestamp"))
