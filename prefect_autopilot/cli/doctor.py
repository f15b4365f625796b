"""``doctor`` and ``version``: is everything there, does it fit together, what mends it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect_autopilot.cli.output import JSONFlag, write_json, write_line, write_table
from prefect_autopilot.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from prefect_autopilot.adapters.versions import Check


async def doctor(*, as_json: JSONFlag = False) -> int:
    """Check versions, home, store, Prefect server and deployments; exit with 1 when one fails."""
    checks = await examine()
    failed = [check for check in checks if check.status == "fail"]
    if as_json:
        from dataclasses import asdict

        write_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        write_table("", ("check", "state", "found"), [(one.name, one.status, one.detail) for one in checks])
        for check in checks:
            if check.status != "ok":
                write_line(f"{check.name}: {check.advice}")
    return 1 if failed else 0


async def examine() -> tuple[Check, ...]:
    """Make every check that the ones before it allow."""
    from prefect_autopilot.adapters.versions import check_installation
    from prefect_autopilot.cli.checks import check_credentials

    checks = [*check_installation(), *await _examine_storage()]
    if warning := check_credentials(os.environ):
        checks.append(warning)
    return (*checks, *await _examine_server())


async def _examine_storage() -> tuple[Check, ...]:
    from prefect_autopilot.adapters.versions import Check
    from prefect_autopilot.cli.checks import check_home, check_permissions, check_watcher
    from prefect_autopilot.settings import load_settings
    from prefect_autopilot.store import WATCHER_LEASE, Store

    try:
        settings = load_settings()
    except ConfigurationError as error:
        return (Check("settings", "fail", "cannot be used", error.message),)
    home = check_home(settings.home)
    if home.status == "fail":
        return (home,)
    try:
        async with Store.open(settings.store_url.get_secret_value()) as store:
            if faults := await store.faults():
                advice = "Restore a backup (prefect-autopilot restore) or move the database away."
                return home, Check("store", "fail", "; ".join(faults), advice)
            now = datetime.now(UTC)
            watcher = check_watcher(await store.lease_holder(WATCHER_LEASE, now), now)
            whole = Check("store", "ok", "opened, whole, at the newest schema")
            return home, check_permissions(settings.home), whole, watcher
    except StoreError as error:
        return home, Check("store", "fail", "cannot be opened", error.message)


async def _examine_server() -> tuple[Check, ...]:
    from prefect_autopilot.adapters.prefect_api import PrefectAPI
    from prefect_autopilot.adapters.versions import Check
    from prefect_autopilot.cli.checks import check_installed, check_server
    from prefect_autopilot.journeys.desk import prefect_target

    try:
        target = prefect_target()
    except ConfigurationError as error:
        return (Check("Prefect API", "fail", "no server is known", error.message),)
    checks = await check_server(target)
    if checks[0].status != "ok":
        return checks
    async with PrefectAPI(target.url, auth=target.auth, tries=2) as api:
        return (*checks, *await check_installed(api))


def version(*, as_json: JSONFlag = False) -> int:
    """Print the versions of prefect-autopilot, Prefect and Python."""
    import platform

    from prefect_autopilot.adapters.versions import installed

    names = ("prefect-autopilot", "prefect", "fastapi")
    versions = {**installed(names), "python": platform.python_version()}
    if as_json:
        write_json(versions)
    else:
        for name, number in versions.items():
            write_line(f"{name} {number or 'is not installed'}")
    return 0
