"""Settings: where they come from, which wins, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_autopilot.errors import ConfigurationError
from prefect_autopilot.settings import PREFIX, Settings, load_settings


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(f"{PREFIX}HOME", str(tmp_path / "home"))


def set_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "settings.toml").write_text(text)


def test_the_defaults_propose_and_stay_on_this_machine(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.mode == "propose"
    assert settings.api_host == "127.0.0.1"
    assert settings.notify_webhook is None
    assert settings.policy_file is None
    assert settings.store_url.get_secret_value() == f"sqlite+aiosqlite:///{tmp_path}/home/autopilot.db"


def test_without_a_home_it_is_a_hidden_folder_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(f"{PREFIX}HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings().home == tmp_path / ".prefect-autopilot"


def test_loading_settings_creates_nothing(tmp_path: Path) -> None:
    load_settings()
    assert list(tmp_path.iterdir()) == []


def test_every_setting_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_the_environment_wins_over_the_file_and_arguments_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_file(tmp_path, 'poll_interval_s = 20\napi_port = 9000\nmode = "auto"\n')
    monkeypatch.setenv(f"{PREFIX}API_PORT", "9001")
    monkeypatch.setenv(f"{PREFIX}MODE", "propose")
    settings = load_settings(mode="auto")
    assert (settings.poll_interval_s, settings.api_port, settings.mode) == (20, 9001, "auto")


def test_the_file_of_the_home_that_was_asked_for_is_read(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "settings.toml").write_text("retention_days = 7")
    set_file(tmp_path, "retention_days = 8")
    assert load_settings(home=other).retention_days == 7
    assert load_settings().retention_days == 8


def test_lists_come_from_file_or_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_file(tmp_path, 'notify_apprise = ["slack://a/b/c"]')
    assert [url.get_secret_value() for url in load_settings().notify_apprise] == ["slack://a/b/c"]
    monkeypatch.setenv(f"{PREFIX}NOTIFY_APPRISE", '["mailto://a", "json://b"]')
    assert [url.get_secret_value() for url in load_settings().notify_apprise] == ["mailto://a", "json://b"]


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}NOTIFY_WEBHOOK", "https://hooks.example.com/hunter2")
    monkeypatch.setenv(f"{PREFIX}STORE_URL", "postgresql://app:hunter2@db/x")
    settings = load_settings()
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()
    assert settings.store_url.get_secret_value() == "postgresql://app:hunter2@db/x"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("API_PORT", "99999", "less than or equal to 65535"),
        ("API_PORT", "http", "valid integer"),
        ("POLL_INTERVAL_S", "0", "greater than or equal to 0.5"),
        ("POLL_INTERVAL_S", "nan", ""),
        ("MODE", "yolo", "'propose', 'approve' or 'auto'"),
        ("RETENTION_DAYS", "-1", "greater than or equal to 1"),
        ("NOTIFY_WEBHOOK", "ftp://hunter2", "http:// or https://"),
        ("STORE_URL", "mysql://a:hunter2@b/c", "sqlite:// or postgresql://"),
        ("NOTIFY_APPRISE", "slack://hunter2", "JSON"),
        ("POLICY_FILE", "/no/such/hunter2.yaml", "must name a file that exists"),
    ],
    ids=lambda value: value[:16],
)
def test_a_wrong_value_is_named_in_one_sentence_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}{name}", value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    message = caught.value.message
    assert name.lower() in message.lower()
    assert said in message
    assert "hunter2" not in message
    assert "\n" not in message
    assert message.endswith(".")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "pydantic's own report would show the value"


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}API_PORT", "0")
    monkeypatch.setenv(f"{PREFIX}MODE", "x")
    with pytest.raises(ConfigurationError, match=r"MODE.*API_PORT"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("poll_interval = 3", "PREFECT_AUTOPILOT_POLL_INTERVAL: there is no such setting"),
        ("poll_interval_s = ", "not valid TOML"),
        ("mode = 7", "PREFECT_AUTOPILOT_MODE"),
    ],
    ids=["misspelt", "broken", "wrong-type"],
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str, said: str) -> None:
    set_file(tmp_path, text)
    with pytest.raises(ConfigurationError, match=said):
        load_settings()


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    set_file(tmp_path, "")
    (tmp_path / "home" / "settings.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"settings\.toml"):
        load_settings()


def test_an_empty_variable_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}NOTIFY_WEBHOOK", "")
    monkeypatch.setenv(f"{PREFIX}API_PORT", "")
    assert load_settings().notify_webhook is None
    assert load_settings().api_port == 8642


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().mode = "auto"  # type: ignore[misc]
