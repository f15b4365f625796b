"""Which Prefect server we talk to, found as Prefect finds it but without importing it."""

from __future__ import annotations

import base64
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from prefect_autopilot.errors import ConfigurationError


@dataclass(frozen=True)
class PrefectTarget:
    """An API address and the Authorization header to send, None where the server asks for none."""

    url: str
    auth: str | None = None
    ui: str | None = None
    """Where its pages are, as PREFECT_UI_URL says; None where nothing was said."""


def find_target(environment: Mapping[str, str], home: Path) -> PrefectTarget:
    """Return the server of the environment, else of the active profile below ``home``.

    As in Prefect, an API key takes precedence over the auth string. Raises ``ConfigurationError`` when no
    server is named anywhere.
    """
    known = _profile(environment, home) | {key: value for key, value in environment.items() if value}
    url = known.get("PREFECT_API_URL")
    if not url:
        raise ConfigurationError(
            "No Prefect server is known; set PREFECT_API_URL, or start one with `prefect-autopilot up`."
        )
    _check_address(url)
    ui = known.get("PREFECT_UI_URL")
    if key := known.get("PREFECT_API_KEY"):
        return PrefectTarget(url, f"Bearer {key}", ui)
    if text := known.get("PREFECT_API_AUTH_STRING"):
        return PrefectTarget(url, "Basic " + base64.b64encode(text.encode()).decode(), ui)
    return PrefectTarget(url, ui=ui)


def pages_of(url: str) -> str:
    """Return where the pages of the server with this API address are; credentials in it are left out.

    Prefect serves both under one address; those of Prefect Cloud are under a host of their own.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    path = parts.path.rstrip("/")
    if host == "api.prefect.cloud":
        path = path.removeprefix("/api").replace("/accounts/", "/account/")
        path = path.replace("/workspaces/", "/workspace/")
        return f"{parts.scheme}://app.prefect.cloud{path}"
    return f"{parts.scheme}://{host}{path.removesuffix('/api')}"


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port above 65535
        good = False
    if not good:
        # Without the address: a password may stand in it.
        raise ConfigurationError(
            "PREFECT_API_URL is no address; write it as http://127.0.0.1:4200/api, with http or https."
        )


def _profile(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    path = Path(environment.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(f"Prefect's profiles at {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"Prefect's profiles at {path} are not UTF-8; correct the file.") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"Prefect's profiles at {path} are not valid TOML: {error}.") from error
    name = environment.get("PREFECT_PROFILE") or document.get("active")
    profiles = document.get("profiles", {})
    settings = profiles.get(str(name), {}) if isinstance(profiles, dict) else None
    if not isinstance(settings, dict):
        raise ConfigurationError(
            f"Prefect's profiles at {path} hold no tables [profiles.NAME]; correct the file."
        )
    return {key: str(value) for key, value in settings.items()}
