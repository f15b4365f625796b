"""What can be configured: by environment (``PREFECT_AUTOPILOT_…``), then by ``settings.toml`` in the home.

Which Prefect server is watched is Prefect's own setting (``PREFECT_API_URL``).
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from prefect_autopilot.errors import ConfigurationError

PREFIX = "PREFECT_AUTOPILOT_"
FILE_NAME = "settings.toml"
DEFAULT_HOME = Path("~/.prefect-autopilot")

_STORE_SCHEMES = ("sqlite://", "sqlite+aiosqlite://", "postgresql://", "postgres://", "postgresql+asyncpg://")
_INCIDENT_SCHEMES = ("pagerduty://", "opsgenie://")
_INCIDENT_URL = re.compile(r"(?:pagerduty|opsgenie)://[\w-]+(?:@[\w.-]+(?::\d+)?)?")


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("must be addresses or networks such as 10.0.0.5 or 10.0.0.0/24") from None
    return text


class Settings(BaseSettings):
    """Every setting with its default; ``load_settings`` is the way to get one."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True, env_ignore_empty=True
    )

    home: Annotated[Path, Field(description="Folder of our own files: database, settings.toml")] = (
        DEFAULT_HOME
    )
    store_url: Annotated[
        SecretStr,
        Field(
            description="Database: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME;"
            " default: autopilot.db in the home folder"
        ),
    ] = SecretStr("")
    flows_folder: Annotated[Path, Field(description="Where generated flows are written")] = Path("flows")
    work_pool: Annotated[str, Field(min_length=1, description="Work pool of our own deployments")] = (
        "autopilot"
    )
    mode: Annotated[
        Literal["propose", "approve", "auto"],
        Field(
            description="propose: say what would help; approve: ask by a form in the Prefect UI, too;"
            " auto: do what every check of the gate allows"
        ),
    ] = "propose"
    policy_file: Annotated[
        Path | None,
        Field(description="YAML or TOML file with the remedy policy; none: the block autopilot, if any"),
    ] = None
    poll_interval_s: Annotated[
        float,
        Field(
            ge=0.5,
            le=300,
            description="Seconds between two reads of the Prefect API; events ask for one at once",
        ),
    ] = 15
    lease_ttl_s: Annotated[
        float, Field(ge=3, le=600, description="Seconds after which a silent watcher loses its lease")
    ] = 30
    retention_days: Annotated[
        int, Field(ge=1, le=3650, description="Days that observed runs are kept in our database")
    ] = 90
    notify: Annotated[
        tuple[SecretStr, ...],
        Field(
            description="Addresses that every notice is sent to, as a JSON list: https://… takes our JSON,"
            " pagerduty://ROUTING_KEY and opsgenie://API_KEY keep incidents,"
            " ticket://CONNECTION?project=OPS opens tickets by a stored connection (Jira, GitHub, GitLab,"
            " Linear, ServiceNow, Trello),"
            " block://slack-webhook/ops is a Prefect block, everything else is Apprise's (chat, mail, phone)"
        ),
    ] = ()
    notify_webhook: Annotated[
        SecretStr | None, Field(description="URL that every notice is posted to as JSON")
    ] = None
    notify_apprise: Annotated[
        tuple[SecretStr, ...],
        Field(description="Apprise URLs that every notice is sent to, as a JSON list"),
    ] = ()
    notify_blocks: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")], ...],
        Field(description="Prefect blocks that every notice is sent through, slack-webhook/ops for one"),
    ] = ()
    notify_incidents: Annotated[
        tuple[SecretStr, ...],
        Field(
            description="Services that keep incidents, as a JSON list: pagerduty://ROUTING_KEY,"
            " opsgenie://API_KEY, opsgenie://API_KEY@api.eu.opsgenie.com"
        ),
    ] = ()
    notify_escalated: Annotated[
        tuple[SecretStr, ...],
        Field(
            description="Addresses as in NOTIFY that are told only what is escalated: grave alerts nobody"
            " acknowledged in time and failures that need a person, with how they end"
        ),
    ] = ()
    alert_escalate_minutes: Annotated[
        float, Field(ge=0, description="Minutes until a grave alert that nobody acknowledged is escalated")
    ] = 30
    alert_repeat_hours: Annotated[
        float, Field(ge=0.1, description="Hours until an alert that nobody acknowledged is told again")
    ] = 4
    alerts_per_hour: Annotated[
        int, Field(ge=1, description="Alerts told one by one in an hour; more come as a digest")
    ] = 20
    public_url: Annotated[
        str | None,
        Field(description="Address under which services reach /hooks through a proxy, https://hooks.example"),
    ] = None
    page_url: Annotated[
        str | None,
        Field(description="Address under which people reach the status page; reports and notices link to it"),
    ] = None
    api_host: Annotated[str, Field(min_length=1, description="Address the REST API listens on")] = "127.0.0.1"
    api_port: Annotated[int, Field(ge=1, le=65535, description="Port the REST API listens on")] = 8642
    api_hosts: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.:\[\]-]+$")], ...],
        Field(description="Names besides those of this machine that the API answers to, as a JSON list"),
    ] = ()
    api_trusted_proxies: Annotated[
        tuple[Annotated[str, AfterValidator(_network)], ...],
        Field(description="Addresses or networks whose X-Forwarded-For and -Proto are believed, a JSON list"),
    ] = ()
    api_prefect_auth: Annotated[
        Literal["off", "viewer", "operator", "approver", "admin"],
        Field(description="Scope of whoever shows credentials that the Prefect server takes; off: none"),
    ] = "off"
    ai_url: Annotated[
        str | None,
        Field(description="OpenAI-compatible address of a language model, http://localhost:11434/v1 for one"),
    ] = None
    ai_model: Annotated[
        str | None, Field(min_length=1, max_length=200, description="Name of the language model there")
    ] = None
    ai_key: Annotated[SecretStr | None, Field(description="Key for that address; none: it needs no key")] = (
        None
    )
    ai_key_block: Annotated[
        str | None,
        Field(pattern=r"^[a-z0-9-]+$", description="Prefect Secret block with that key, instead of ai_key"),
    ] = None
    ai_timeout_s: Annotated[
        float, Field(gt=0, le=600, description="Seconds a language model may take for one request, all tries")
    ] = 30
    ai_tokens: Annotated[
        int, Field(ge=500, le=1_000_000, description="Tokens one request may cost there, all tries together")
    ] = 20_000
    ai: Annotated[
        bool, Field(description="Let the language model read requests too; off: nothing is sent anywhere")
    ] = False

    @field_validator("home", "policy_file", "flows_folder")
    @classmethod
    def _expand(cls, path: Path | None) -> Path | None:
        return path.expanduser() if path is not None else None

    @field_validator("policy_file")
    @classmethod
    def _policy_exists(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError("must name a file that exists")
        return path

    @field_validator("notify", "notify_escalated")
    @classmethod
    def _addresses(cls, urls: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        # Never the value in the message, here as below: an address is a secret in itself.
        if not all(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://\S", url.get_secret_value()) for url in urls):
            raise ValueError("must hold addresses such as https://example.com/hook or ntfy://topic")
        _check_incidents(url for url in urls if url.get_secret_value().startswith(_INCIDENT_SCHEMES))
        return urls

    @field_validator("notify_webhook")
    @classmethod
    def _over_http(cls, url: SecretStr | None) -> SecretStr | None:
        # Never the value in the message: a webhook URL is a secret in itself.
        if url is not None and not url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url

    @field_validator("notify_incidents")
    @classmethod
    def _known_incident_service(cls, urls: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        _check_incidents(urls)
        return urls

    @field_validator("public_url", "page_url")
    @classmethod
    def _public(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an address such as https://hooks.example, without query")
        return url.rstrip("/")

    @field_validator("ai_url")
    @classmethod
    def _reachable_safely(cls, url: str | None) -> str | None:
        # Never the value in the message: an address may hold a password by mistake.
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an address such as http://localhost:11434/v1, without query")
        if parts.username or parts.password:
            raise ValueError("must hold no credentials; give the key as ai_key or ai_key_block")
        if parts.scheme == "http" and not _is_near(parts.hostname):
            raise ValueError("must begin with https:// unless it is on this machine or network")
        return url.rstrip("/")

    @field_validator("ai_key_block")
    @classmethod
    def _one_key(cls, block: str | None, info: ValidationInfo) -> str | None:
        if block is not None and info.data.get("ai_key") is not None:
            raise ValueError("must not be set together with ai_key")
        return block

    @field_validator("ai")
    @classmethod
    def _has_model(cls, on: bool, info: ValidationInfo) -> bool:  # noqa: FBT001  # pydantic's signature
        if on and not (info.data.get("ai_url") and info.data.get("ai_model")):
            raise ValueError(f"needs {PREFIX}AI_URL and {PREFIX}AI_MODEL; nothing is assumed")
        return on

    @field_validator("store_url")
    @classmethod
    def _known_database(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value() and not url.get_secret_value().startswith(_STORE_SCHEMES):
            raise ValueError("must begin with sqlite:// or postgresql://")
        return url

    @model_validator(mode="after")
    def _default_database(self) -> Self:
        if not self.store_url.get_secret_value():
            # Absolute, so that a change of the working folder does not open another database.
            url = f"sqlite+aiosqlite:///{(self.home / 'autopilot.db').absolute()}"
            object.__setattr__(self, "store_url", SecretStr(url))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic calls by these names
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, ``settings.toml`` of the home folder they name."""
        home = init_settings().get("home") or env_settings().get("home") or DEFAULT_HOME
        file = TomlConfigSettingsSource(settings_cls, toml_file=Path(home).expanduser() / FILE_NAME)
        return init_settings, env_settings, file


def _check_incidents(urls: Iterable[SecretStr]) -> None:
    if not all(_INCIDENT_URL.fullmatch(url.get_secret_value()) for url in urls):
        raise ValueError("must be pagerduty://ROUTING_KEY or opsgenie://API_KEY")


def _is_near(host: str) -> bool:
    """Tell whether a host is this machine or of a private network, where a key may travel without TLS."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan"))
    return address.is_private or address.is_loopback


def load_settings(**overrides: object) -> Settings:
    """Read the settings; ``overrides`` (command line options) win over environment and file.

    Raises ConfigurationError that names each wrong setting, never its value.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # checked by pydantic, that is the point
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from None
    except SettingsError as error:
        raise ConfigurationError(f"A setting cannot be read: {error}; lists are written as JSON.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{FILE_NAME} in the home folder is not valid TOML ({error}); correct or remove it."
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{FILE_NAME} in the home folder cannot be read: {error.strerror}; check its permissions."
        ) from None


def _explain(error: ValidationError) -> str:
    told = []
    for issue in error.errors(include_url=False, include_input=False):
        name = str(issue["loc"][0]) if issue["loc"] else "settings"
        known = name in Settings.model_fields
        reason = issue["msg"].removeprefix("Value error, ") if known else "there is no such setting"
        told.append(f"{PREFIX}{name.upper()}: {reason[:1].lower()}{reason[1:]}")
    return f"Settings are wrong; correct {'; '.join(told)}."
