"""A service that a person imported is one like any other, wherever requests and flows are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_autopilot.adapters.catalogue import store_service
from prefect_autopilot.cli.batch_analyze import analyze_rows
from prefect_autopilot.journeys.improve import operation_effects
from prefect_autopilot.models import Operation, OperationEffect, Service
from prefect_autopilot.settings import load_settings


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path / "home"))
    add = Operation(id="add_widget", method="POST", path="/widgets", verbs=("add a widget",))
    read = Operation(id="list_widgets", method="GET", path="/widgets", effect=OperationEffect.SAFE)
    made = Service(id="acmeplex", name="Acmeplex", base_url="https://a.example", operations=(add, read))
    store_service(load_settings(), made)
    return made


def test_requests_read_row_by_row_find_it(imported: Service) -> None:
    (row,) = analyze_rows([{"id": 1, "text": "Every day at 9 list the widgets of Acmeplex"}])

    assert [one["service"] for one in row["services"]] == [imported.id]


def test_effects_of_its_operations_are_known(imported: Service) -> None:
    effects = operation_effects()

    assert effects[(imported.id, "add_widget")] is OperationEffect.UNSAFE
    assert effects[(imported.id, "list_widgets")] is OperationEffect.SAFE
    assert ("slack", "post_message") in effects
