"""The block `autopilot`, as a server keeps it, is the policy; edited in the UI it is another one."""

from __future__ import annotations

import asyncio

import pytest
from prefect.settings import PREFECT_API_URL

from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.blocks import AutopilotPolicy
from prefect_autopilot.journeys.policy import read_block
from prefect_autopilot.models import RemedyPolicy


@pytest.mark.usefixtures("prefect_harness")
def test_the_block_that_people_edit_is_the_policy_that_holds() -> None:
    async def work() -> list[RemedyPolicy | None]:
        async with PrefectAPI(str(PREFECT_API_URL.value())) as api:
            found = [await read_block(api, mode="auto")]
            hours = [{"start": "22:00", "end": "06:00"}]
            named = {"match": ["payroll"], "remedies": {"retry_run": "propose"}}
            block = AutopilotPolicy(mode="auto", quiet_hours=hours, deployments=[named], max_wait_s=60)
            await block.asave("autopilot", overwrite=True)
            found.append(await read_block(api, mode="propose"))
            block.mode = "propose"
            await block.asave("autopilot", overwrite=True)
            found.append(await read_block(api, mode="auto"))
            await AutopilotPolicy.adelete("autopilot")
            found.append(await read_block(api, mode="auto"))
            return found

    before, first, second, after = asyncio.run(work())
    assert (before, after) == (None, None)
    assert first is not None
    assert second is not None
    assert (first.mode, first.max_wait_s, len(first.quiet_hours)) == ("auto", 60, 1)
    assert first.mode_for("retry_run", frozenset({"payroll"})) == "propose"
    assert "min_confidence" not in first.model_fields_set, "its default is nobody's wish"
    assert second.mode == "propose"
