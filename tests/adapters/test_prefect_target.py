from __future__ import annotations

import base64
from pathlib import Path

import pytest

from prefect_autopilot.adapters.prefect_target import find_target
from prefect_autopilot.errors import ConfigurationError

URL = "http://127.0.0.1:4200/api"


def write_profiles(home: Path, text: str) -> None:
    (home / "profiles.toml").write_text(text, encoding="utf-8")


def test_the_environment_names_the_server(tmp_path: Path) -> None:
    target = find_target({"PREFECT_API_URL": URL}, tmp_path)
    assert target.url == URL
    assert target.auth is None


def test_without_environment_the_active_profile_names_it(tmp_path: Path) -> None:
    write_profiles(tmp_path, f'active = "b"\n[profiles.a]\n[profiles.b]\nPREFECT_API_URL = "{URL}"\n')
    assert find_target({}, tmp_path).url == URL


def test_a_profile_named_by_the_environment_wins_over_the_active_one(tmp_path: Path) -> None:
    write_profiles(
        tmp_path,
        'active = "a"\n[profiles.a]\nPREFECT_API_URL = "http://a/api"\n'
        f'[profiles.b]\nPREFECT_API_URL = "{URL}"\n',
    )
    assert find_target({"PREFECT_PROFILE": "b"}, tmp_path).url == URL


def test_the_environment_wins_over_the_profile(tmp_path: Path) -> None:
    write_profiles(tmp_path, 'active = "a"\n[profiles.a]\nPREFECT_API_URL = "http://a/api"\n')
    assert find_target({"PREFECT_API_URL": URL}, tmp_path).url == URL


def test_an_empty_variable_is_as_good_as_none(tmp_path: Path) -> None:
    write_profiles(tmp_path, f'active = "a"\n[profiles.a]\nPREFECT_API_URL = "{URL}"\n')
    assert find_target({"PREFECT_API_URL": ""}, tmp_path).url == URL


def test_an_auth_string_becomes_a_basic_header(tmp_path: Path) -> None:
    target = find_target({"PREFECT_API_URL": URL, "PREFECT_API_AUTH_STRING": "admin:pass"}, tmp_path)
    assert target.auth == "Basic " + base64.b64encode(b"admin:pass").decode()


def test_an_api_key_takes_precedence_as_it_does_in_prefect(tmp_path: Path) -> None:
    known = {"PREFECT_API_URL": URL, "PREFECT_API_AUTH_STRING": "admin:pass", "PREFECT_API_KEY": "pnu_x"}
    assert find_target(known, tmp_path).auth == "Bearer pnu_x"


def test_no_server_anywhere_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="set PREFECT_API_URL"):
        find_target({}, tmp_path)


def test_profiles_that_are_not_toml_are_said_to_be_so(tmp_path: Path) -> None:
    write_profiles(tmp_path, "active = ")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        find_target({}, tmp_path)
