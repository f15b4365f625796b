"""``[tool.prefect-autopilot]``: the nearest pyproject.toml counts, a mistake in it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_autopilot.adapters.project_settings import is_excluded, read_prices, read_settings
from prefect_autopilot.errors import ConfigurationError
from prefect_autopilot.models import OptimizerSettings, Strategy


def project(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    (folder / "flows" / "deep").mkdir(parents=True)
    return folder / "flows" / "deep"


def test_settings_are_found_upwards_from_a_file_or_folder(tmp_path: Path) -> None:
    deep = project(
        tmp_path,
        '[tool.prefect-autopilot]\nstrategy = "hybrid"\ndisable = ["submit_calls"]\nexclude = ["old/*"]\n'
        'unsafe = true\nmax_workers = 8\nprices = "prices.toml"\n',
    )
    (deep / "flow.py").write_text("", encoding="utf-8")
    for start in (deep, deep / "flow.py"):
        settings, folder = read_settings(start)
        assert folder == tmp_path.resolve()
        assert settings == OptimizerSettings(
            strategy=Strategy.HYBRID,
            disable=frozenset({"submit_calls"}),
            exclude=("old/*",),
            unsafe=True,
            max_workers=8,
            prices="prices.toml",
        )


def test_the_nearest_file_counts_even_without_the_table(tmp_path: Path) -> None:
    deep = project(tmp_path, "[tool.prefect-autopilot]\nunsafe = true\n")
    (deep / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    assert read_settings(deep) == (OptimizerSettings(), None)


def test_an_empty_table_is_the_defaults_of_a_project(tmp_path: Path) -> None:
    deep = project(tmp_path, "[tool.prefect-autopilot]\n")
    assert read_settings(deep) == (OptimizerSettings(), tmp_path.resolve())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.prefect-autopilot]\nstrateyg = 'hybrid'\n", "did you mean strategy"),
        ("[tool.prefect-autopilot]\nstrategy = 'fast'\n", "strategy"),
        ("[tool.prefect-autopilot]\nmax_workers = 0\n", "max_workers"),
        ("[tool.prefect-autopilot]\nmax_workers = 1000\n", "max_workers"),
        ("[tool.prefect-autopilot]\ndisable = 'submit_calls'\n", "disable"),
        ("[tool]\nprefect-autopilot = 3\n", "the table"),
        ("[tool.prefect-autopilot\n", "is no TOML"),
    ],
    ids=["misspelt", "no strategy", "no worker", "too many workers", "no list", "no table", "no TOML"],
)
def test_a_mistake_names_the_file_and_the_key(tmp_path: Path, text: str, told: str) -> None:
    deep = project(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_settings(deep)
    assert "pyproject.toml" in caught.value.message
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("pattern", "excluded"),
    [
        ("flows/*", True),
        ("deep", True),
        ("flow.py", True),
        ("*.py", True),
        ("other/*", False),
        ("flow", False),
    ],
)
def test_files_are_excluded_by_pattern_of_file_or_folder(
    tmp_path: Path, pattern: str, *, excluded: bool
) -> None:
    deep = project(tmp_path, "")
    settings = OptimizerSettings(exclude=(pattern,))
    assert is_excluded(deep / "flow.py", settings, tmp_path.resolve()) is excluded
    assert not is_excluded(deep / "flow.py", settings, None)
    assert not is_excluded(tmp_path.parent / "flow.py", settings, tmp_path.resolve())


PRICES = """
currency = "EUR"
as_of = "2026-03-01"
worker = "large"
peak_memory_gb = 1.5

[[machines]]
name = "large"
cpus = 4
memory_gb = 16
price = 0.20

[[services]]
service = "sms-a"
job = "sms"
price = 75
connected = true
"""


def test_a_price_table_is_read(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(PRICES, encoding="utf-8")
    prices = read_prices(file)
    assert (prices.currency, prices.worker, prices.peak_memory_gb) == ("EUR", "large", 1.5)
    assert prices.machines[0].cpus == 4
    assert prices.services[0].connected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PRICES.replace('currency = "EUR"', ""), "currency"),
        (PRICES.replace("price = 75", "price = -1"), "price"),
        (PRICES.replace("cpus = 4", "cpus = 0"), "cpus"),
        ("currency = ", "is no TOML"),
    ],
    ids=["no currency", "negative", "no processor", "no TOML"],
)
def test_a_price_table_that_is_wrong_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=told):
        read_prices(file)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_prices(tmp_path / "none.toml")
