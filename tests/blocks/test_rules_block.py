"""Rules as a block: checked when it is made, read by name, applied by the same command as a file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from prefect_autopilot.blocks import BLOCKS, MonitoringRules
from prefect_autopilot.cli import main
from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.journeys.rules import rules_in_block

GOOD = "rules:\n- {rule_id: slow, metric_name: response_time, condition: '>', threshold: 600}\n"


def test_the_block_is_registered_with_the_others() -> None:
    assert MonitoringRules in BLOCKS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: [{metric_name: eror_rate, condition: '>', threshold: 1}]", "error_rate"),
        ("rules: [{metric_name: error_rate, condition: above, threshold: 1}]", "condition"),
        ("rules: [", "YAML"),
        ("", "list"),
    ],
)
def test_rules_that_could_not_be_applied_are_no_block(text: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        MonitoringRules(rules=text)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_rules_of_a_block_are_applied_by_its_name(
    prefect_harness: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_AUTOPILOT_HOME", str(tmp_path))

    async def store_it() -> Any:
        await MonitoringRules(rules=GOOD).asave("ops", overwrite=True)
        with pytest.raises(UnknownNameError, match="nobody"):
            await rules_in_block("nobody")
        return await rules_in_block("ops")

    (rule,) = asyncio.run(store_it())
    assert (rule.rule_id, rule.threshold) == ("slow", 600)
    assert main(["rules", "apply", "--block", "ops"]) == 0
    assert main(["rules", "list"]) == 0
    assert "slow" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["rules.yaml", "--block", "ops"]], ids=["neither", "both"])
def test_rules_come_from_one_place(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "apply", *arguments]) == 2
    assert "either a YAML file" in capsys.readouterr().err
