"""What ``doctor`` looks at outside the installation: home, store, Prefect server, what is deployed there."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_autopilot.adapters.versions import Check
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.models import JSONDict
from prefect_autopilot.models.names import OWN_PREFIX, WORK_POOL

if TYPE_CHECKING:
    import httpx

    from prefect_autopilot.adapters.prefect_api import PrefectAPI
    from prefect_autopilot.adapters.prefect_target import PrefectTarget

INSTALL = "Run: prefect-autopilot install"
MOST_SKEW_S = 5.0
"""Beyond this, time windows of the reconcile and Retry-After waits go visibly wrong."""


def check_home(home: Path) -> Check:
    """Check that files can be created below ``home``."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"probe")
            probe.flush()
    except OSError as error:
        advice = "Make it writable or set PREFECT_AUTOPILOT_HOME to a folder that is."
        return Check("home", "fail", f"{home}: {error.strerror}", advice)
    return Check("home", "ok", str(home))


def check_permissions(home: Path) -> Check:
    """Warn where others on this machine can read our files: they may hold secrets."""
    names = ("", "settings.toml", "autopilot.db", "errors.log")
    known = [home / name if name else home for name in names]
    open_to_others = [one for one in known if one.exists() and one.stat().st_mode & 0o077]
    if os.name == "posix" and open_to_others:
        told = ", ".join(str(one) for one in open_to_others)
        advice = f"Run: chmod go-rwx {' '.join(shlex.quote(str(one)) for one in open_to_others)}"
        return Check("permissions", "warn", f"others can reach {told}", advice)
    return Check("permissions", "ok", "only you can reach our files")


def check_watcher(holder: tuple[str, datetime] | None, now: datetime) -> Check:
    """Tell whether a watcher is alive: it renews its lease several times before that runs out."""
    if holder is None:
        advice = "Run: prefect-autopilot watch (not needed where the scheduled flows are enough)."
        return Check("watcher", "warn", "none is alive", advice)
    name, until = holder
    return Check("watcher", "ok", f"{name}, alive for {(until - now).total_seconds():.0f} s more at least")


def check_credentials(environment: Mapping[str, str]) -> Check | None:
    """Warn when both kinds of Prefect credentials are set: the key silently wins."""
    if environment.get("PREFECT_API_KEY") and environment.get("PREFECT_API_AUTH_STRING"):
        return Check(
            "Prefect credentials",
            "warn",
            "PREFECT_API_KEY and PREFECT_API_AUTH_STRING are both set; Prefect sends only the key",
            "Unset PREFECT_API_KEY for a self-hosted server (unset PREFECT_API_KEY).",
        )
    return None


async def check_server(
    target: PrefectTarget, *, now: datetime | None = None, transport: httpx.AsyncBaseTransport | None = None
) -> tuple[Check, ...]:
    """Check that the API answers and accepts our credentials, and that its clock agrees with ours."""
    import httpx

    headers = {"Authorization": target.auth} if target.auth else {}
    try:
        async with httpx.AsyncClient(transport=transport, headers=headers, timeout=10) as http:
            answer = await http.get(f"{target.url.rstrip('/')}/admin/version")
            if answer.is_error:
                return (_refused(target, answer.status_code),)
            # Reads one name; a null is what Prefect's own client sends for a filter that is not set.
            nulls = {"flows": None, "limit": 1}
            probe = await http.post(f"{target.url.rstrip('/')}/flows/filter", json=nulls)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        detail = f"{target.url} cannot be reached ({type(error).__name__})"
        return (Check("Prefect API", "fail", detail, "Start the server, or correct PREFECT_API_URL."),)
    try:
        version = answer.json()
    except (ValueError, RecursionError):
        version = None
    if not isinstance(version, str):
        advice = "PREFECT_API_URL must end in /api."
        return (Check("Prefect API", "fail", f"{target.url} answers, but not as Prefect does", advice),)
    return (
        _supported(target, version),
        check_nulls(probe.status_code),
        check_clock(answer.headers.get("Date"), now or datetime.now(UTC)),
    )


def _supported(target: PrefectTarget, version: str) -> Check:
    """Compare the version of the server with the ones we have been tested with."""
    found = f"{target.url}, Prefect {version}"
    if re.match(r"3\.8\.(?:[89]|\d\d)", version):
        return Check("Prefect API", "ok", found)
    advice = "Run a server of Prefect 3.8.8 up to 3.9 (not 3.9), or name another one in PREFECT_API_URL."
    return Check("Prefect API", "fail", f"{found}, which is not supported", advice)


def _refused(target: PrefectTarget, status: int) -> Check:
    if status in {401, 403}:
        advice = (
            "Set PREFECT_API_AUTH_STRING to the server's auth string and unset PREFECT_API_KEY, "
            "which takes precedence."
        )
        return Check("Prefect API", "fail", f"{target.url} refused our credentials (HTTP {status})", advice)
    advice = "PREFECT_API_URL must end in /api; the server's log says more."
    return Check("Prefect API", "fail", f"{target.url} answered HTTP {status}", advice)


def check_nulls(status: int) -> Check:
    """Tell from the answer to a null field whether the server runs a FastAPI that Prefect cannot use."""
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        detail = "the server answers 422 to null fields, which Prefect's own client sends"
        advice = "Install fastapi>=0.139,<0.151 where the server runs, and start it again."
        return Check("server FastAPI", "fail", detail, advice)
    if status != HTTPStatus.OK:
        advice = "Its log says more; fastapi>=0.139,<0.151 works where the server runs."
        return Check("server FastAPI", "warn", f"a null field was answered with HTTP {status}", advice)
    return Check("server FastAPI", "ok", "null fields are taken")


def check_clock(date: str | None, now: datetime) -> Check:
    """Compare our clock with the Date header of the server; the header is exact to one second."""
    try:
        server = parsedate_to_datetime(date or "")
    except ValueError:
        return Check("clock", "warn", "the server sent no Date header", "Compare the two clocks by hand.")
    skew = abs((now - server).total_seconds())
    if skew > MOST_SKEW_S:
        return Check("clock", "warn", f"{skew:.0f} s apart from the server", "Synchronise both with NTP.")
    return Check("clock", "ok", f"within {MOST_SKEW_S:.0f} s of the server")


async def check_installed(api: PrefectAPI) -> tuple[Check, ...]:
    """Check work pool, worker, deployments and automation on the server."""
    try:
        pools = await api.request(
            "POST", "/work_pools/filter", {"work_pools": {"name": {"any_": [WORK_POOL]}}}
        )
        if not pools:
            return (Check("installed", "warn", f"the work pool {WORK_POOL} does not exist", INSTALL),)
        workers = await api.request("POST", f"/work_pools/{WORK_POOL}/workers/filter", {})
        deployments = await api.request(
            "POST", "/deployments/filter", {"deployments": {"name": {"like_": OWN_PREFIX}}}
        )
        automations = await api.request("POST", "/automations/filter", {})
    except AutopilotError as error:
        return (Check("installed", "fail", error.message, "See the Prefect API line above."),)
    return _judge_installed(workers or [], deployments or [], automations or [])


def _judge_installed(
    workers: Sequence[JSONDict], deployments: Sequence[JSONDict], automations: Sequence[JSONDict]
) -> tuple[Check, ...]:
    active = [
        one for one in automations if str(one.get("name", "")).startswith(OWN_PREFIX) and one.get("enabled")
    ]
    online = [one for one in workers if one.get("status") == "ONLINE"]
    start = f"Run: prefect worker start --pool {WORK_POOL}"
    from prefect_autopilot.deployments.operational import OPERATIONAL_FLOWS

    ours = {one.name for one in OPERATIONAL_FLOWS}
    missing = sorted(ours - {str(one.get("name")) for one in deployments})
    wired = [one for one in automations if str(one.get("name", "")).startswith(OWN_PREFIX)]
    advice = "Enable it in the Prefect UI, or run: prefect automation resume NAME" if wired else INSTALL
    return (
        Check("deployments", "warn", f"missing: {', '.join(missing)}", INSTALL)
        if missing
        else Check("deployments", "ok", f"all {len(ours)} named {OWN_PREFIX}… are there"),
        _count("automation", len(active), f"enabled and named {OWN_PREFIX}…", advice),
        _count("worker", len(online), f"online in the work pool {WORK_POOL}", start),
    )


def _count(name: str, number: int, what: str, advice: str) -> Check:
    if number:
        return Check(name, "ok", f"{number} {what}")
    return Check(name, "warn", f"none {what}", advice)
