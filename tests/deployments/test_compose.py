"""The compose file without an engine: what it names is there, and nothing secret stands in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from prefect_autopilot.cli.commands import build_app
from prefect_autopilot.settings import PREFIX, Settings

FOLDER = Path(__file__).parents[2] / "deployments" / "compose"
TEXT = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
IMAGE = (FOLDER / "Containerfile").read_text(encoding="utf-8")
KEYS = {
    *("image", "build", "environment", "volumes", "restart", "stop_grace_period", "security_opt", "cap_drop"),
    *("healthcheck", "command", "entrypoint", "ports", "depends_on", "secrets"),
}
OURS = sorted(name for name, one in SERVICES.items() if one["image"] == "prefect-autopilot")
COMMANDS = sorted(name for name in OURS if "entrypoint" not in SERVICES[name])


def test_everything_that_is_wanted_is_a_service() -> None:
    wanted = {"database", "redis", "server", "worker", "watcher", "api", "prometheus", "grafana"}
    assert wanted <= set(SERVICES)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_has_known_keys_and_an_image_without_a_registry(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= KEYS
    assert re.fullmatch(r"[a-z-]+(/[a-z-]+)?(:[\w.-]+)?", service["image"])
    assert not service["image"].endswith(":latest")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_waits_for_services_that_are_there(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        assert how["condition"] in {"service_healthy", "service_completed_successfully"}
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_port_is_open_to_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_is_mounted_is_a_file_here_or_a_named_volume(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (FOLDER / source).resolve().is_file(), source
            assert volume.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_of_ours_exists_with_its_options(name: str) -> None:
    command, bound, _ = build_app().parse_args(SERVICES[name]["command"], exit_on_error=False)
    assert callable(command)
    assert bound is not None


@pytest.mark.parametrize("name", sorted({*OURS} - {"server"}))
def test_a_variable_of_ours_is_a_setting_that_can_be_read(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path))
    for variable, value in SERVICES[name]["environment"].items():
        if variable.startswith(PREFIX):
            assert variable.removeprefix(PREFIX).lower() in Settings.model_fields
            monkeypatch.setenv(variable, re.sub(r"\$\{[^}]*\}", "x", value))
    assert Settings().store_url.get_secret_value().startswith("postgresql://")


def test_a_variable_of_prefect_is_one_of_its_settings() -> None:
    import prefect.settings

    used = {
        variable
        for name in OURS
        for variable in SERVICES[name]["environment"]
        if variable.startswith("PREFECT_") and not variable.startswith((PREFIX, "PREFECT_REDIS_"))
    }
    assert [one for one in sorted(used) if not hasattr(prefect.settings, one)] == []


def test_no_password_stands_in_the_file() -> None:
    for line in TEXT.splitlines():
        if re.search(r"PASSWORD:|://[^/\s]+@", line):
            assert "${" in line, line
            assert ":?" in line, "without a value nothing is started"


@pytest.mark.parametrize("name", OURS)
def test_what_acts_has_no_rights_it_does_not_need(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_the_image_runs_as_nobody_special_and_names_real_settings() -> None:
    assert re.search(r"^USER autopilot$", IMAGE, re.MULTILINE)
    names = re.findall(rf"{PREFIX}(\w+)=", IMAGE)
    assert names
    assert all(name.lower() in Settings.model_fields for name in names)
    assert "constraints.txt" in IMAGE
    assert "ADD " not in IMAGE


def test_prometheus_reads_the_api_with_a_token_and_our_rules() -> None:
    read = yaml.safe_load((FOLDER / "prometheus.yaml").read_text(encoding="utf-8"))
    [job] = read["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in SERVICES
    assert port in SERVICES[host]["command"]
    assert job["authorization"]["credentials_file"] == "/run/secrets/metrics_token"
    assert "metrics_token" in COMPOSE["secrets"]
    mounted = {volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]}
    assert set(read["rule_files"]) <= mounted


def test_grafana_reads_prometheus_and_finds_our_dashboard() -> None:
    source = yaml.safe_load((FOLDER / "grafana" / "provisioning.yaml").read_text(encoding="utf-8"))
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    boards = yaml.safe_load((FOLDER / "grafana" / "dashboards.yaml").read_text(encoding="utf-8"))
    folder = boards["providers"][0]["options"]["path"]
    assert any(volume.split(":")[1].startswith(folder) for volume in SERVICES["grafana"]["volumes"])
