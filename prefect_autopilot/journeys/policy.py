"""Where the remedy policy comes from: a file, else the block ``autopilot``, else the safe default."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml
from pydantic import ValidationError

from prefect_autopilot.errors import ConfigurationError
from prefect_autopilot.models import Mode, RemedyPolicy


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
    try:
        return RemedyPolicy.model_validate({"mode": mode} | given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"The policy file {path} is wrong at {place}: {first['msg']}.") from error
