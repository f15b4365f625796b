"""Where the remedy policy comes from: a file, else the block ``autopilot``, else the safe default."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import ConfigurationError, UnknownNameError
from prefect_autopilot.models import Mode, RemedyPolicy
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Store

BLOCK = "autopilot"
"""Name of the block of type Autopilot Policy that holds where no file is named."""
_ROUTE = f"/block_types/slug/autopilot-policy/block_documents/name/{BLOCK}"
FIRST_AUTO = "policy:first-auto"
"""Cursor of when a policy first let something be done unattended here: the first days begin then."""


def read_policy(path: Path | None, *, mode: Mode) -> RemedyPolicy:
    """Read a policy from YAML or TOML; without a file everything but ``mode`` keeps its default.

    Fails closed: an invalid file raises ``ConfigurationError`` that says where, and nothing is ever done
    under a policy that was only half read. A file that says ``mode`` wins over the argument.
    """
    if path is None:
        return RemedyPolicy(mode=mode)
    try:
        text = path.read_text(encoding="utf-8")
        given = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The policy file {path} cannot be read: {error}.") from error
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"The policy file {path} is not valid: {error}.") from error
    if not isinstance(given, dict):
        raise ConfigurationError(f"The policy file {path} must hold a table of settings.")
    return _valid({"mode": mode} | given, f"The policy file {path}")


async def read_block(api: PrefectAPI, *, mode: Mode) -> RemedyPolicy | None:
    """Read the policy block of this name; None where the server has none.

    It says everything, its mode, too. Fails closed as ``read_policy`` does.
    """
    try:
        document = await api.request("GET", _ROUTE)
    except UnknownNameError:
        return None
    told = document.get("data") if isinstance(document, dict) else None
    if not isinstance(told, dict):
        raise ConfigurationError(f"The block {BLOCK} (Autopilot Policy) holds no settings; save it again.")
    return _valid(_said({"mode": mode} | told), f"The block {BLOCK} (Autopilot Policy)")


async def probe_hosts(api: PrefectAPI, settings: Settings) -> tuple[str, ...]:
    """Return the private hosts that the file or block lets be asked whether they answer.

    Raises ConfigurationError where either is wrong, PrefectError.
    """
    if settings.policy_file is not None:
        return read_policy(settings.policy_file, mode=settings.mode).probe_hosts
    found = await read_block(api, mode=settings.mode)
    return found.probe_hosts if found else ()


def _said(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a block says besides defaults: it is stored with all of its fields."""
    usual = RemedyPolicy().model_dump(mode="json")
    return {name: value for name, value in told.items() if name == "mode" or value != usual.get(name)}


def _valid(told: Mapping[str, Any], where: str) -> RemedyPolicy:
    try:
        return RemedyPolicy.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"{where} is wrong at {place}: {first['msg']}.") from error


async def policy_in_force(api: PrefectAPI, store: Store, settings: Settings, now: datetime) -> RemedyPolicy:
    """Return the policy that holds now: the file's, else the block's, else the default with the mode told.

    The first ``shadow_days`` of a file or block that lets something be done unattended only show what would
    have been done. Whoever tells ``--mode auto`` has decided otherwise. Raises ConfigurationError,
    PrefectError.
    """
    if settings.policy_file is not None:
        policy = read_policy(settings.policy_file, mode=settings.mode)
    else:
        found = await read_block(api, mode=settings.mode)
        if found is None:
            return RemedyPolicy(mode=settings.mode)
        policy = found
    settled = settings.mode == "auto" or policy.shadow_until is not None or not policy.shadow_days
    if settled or not policy.lets_act:
        return policy
    since = await store.cursor(FIRST_AUTO)
    if since is None:
        since = now
        await store.set_cursor(FIRST_AUTO, now)
    return policy.model_copy(update={"shadow_until": since + timedelta(days=policy.shadow_days)})
