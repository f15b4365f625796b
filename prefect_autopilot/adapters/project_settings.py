"""``[tool.prefect-autopilot]`` of the nearest pyproject.toml, and the owner's price table."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from prefect_autopilot.errors import ConfigurationError
from prefect_autopilot.models import JSONDict, OptimizerSettings, PriceTable

_Model = TypeVar("_Model", bound=BaseModel)
_FILE = "pyproject.toml"
_TABLE = "prefect-autopilot"


def read_settings(path: Path) -> tuple[OptimizerSettings, Path | None]:
    """Return the settings that hold for a file or folder and the folder they stand in, None without any.

    The nearest pyproject.toml upwards counts, whether it has the table or not. Raises ConfigurationError.
    """
    start = path.resolve()
    for folder in (start, *start.parents):
        file = folder / _FILE
        if file.is_file():
            found = _read(file).get("tool", {}).get(_TABLE)
            if found is None:
                return OptimizerSettings(), None
            return _checked(OptimizerSettings, found, f"{file}, [tool.{_TABLE}]"), folder
    return OptimizerSettings(), None


def is_excluded(path: Path, settings: OptimizerSettings, folder: Path | None) -> bool:
    """Tell whether a pattern of the settings leaves a file alone; patterns are relative to ``folder``."""
    if folder is None:
        return False
    place = path.resolve()
    if not place.is_relative_to(folder):
        return False
    relative = place.relative_to(folder)
    return any(
        one.match(pattern) for pattern in settings.exclude for one in (relative, *relative.parents[:-1])
    )


def read_prices(path: Path) -> PriceTable:
    """Return the price table of a TOML file; raises ConfigurationError where it is none."""
    return _checked(PriceTable, _read(path), str(path))


def _read(path: Path) -> JSONDict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}.") from error


def _checked(kind: type[_Model], found: object, place: str) -> _Model:
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        near = difflib.get_close_matches(key, kind.model_fields, n=1)
        hint = f"; did you mean {near[0]}?" if first["type"] == "extra_forbidden" and near else "."
        raise ConfigurationError(f"{place}: {key or 'the table'}: {first['msg']}{hint}") from error
