"""A rewritten flow is watched: what got worse is put back, audited and told; what others changed stays."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefect_autopilot.adapters.files import digest
from prefect_autopilot.adapters.prefect_api import PrefectAPI
from prefect_autopilot.errors import ConflictError
from prefect_autopilot.journeys import aftermath, improve
from prefect_autopilot.journeys.desk import Desk
from prefect_autopilot.models import (
    AppliedRewrite,
    Diagnosis,
    IssueCategory,
    Severity,
    Strategy,
    TroubleshootingSession,
)
from prefect_autopilot.store import Store

SOURCE = """import requests
from prefect import flow, task


@task(retries=1, retry_delay_seconds=1)
def orders(day):
    return requests.get(f"https://a.test/orders/{day}", timeout=9).json()


@task(retries=1, retry_delay_seconds=1)
def customers(day):
    return requests.get(f"https://a.test/customers/{day}", timeout=9).json()


@flow
def report(day):
    first = orders(day)
    second = customers(day)
    return first, second
"""
START = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


class Server:
    """Runs of one flow that began at given times; deployments take a version."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.versions: list[Any] = []
        self.refuses = False

    def run(self, at: datetime, seconds: float, state: str = "COMPLETED") -> None:
        told = {"start_time": at.isoformat(), "total_run_time": seconds, "state_type": state}
        self.runs.append(told | {"id": f"run-{len(self.runs)}"})

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if request.method == "PATCH":
            self.versions.append(body["version"])
            return httpx.Response(422 if self.refuses else 204, json=None if not self.refuses else {})
        assert body["flows"] == {"name": {"any_": ["report"]}}
        after = body["flow_runs"].get("start_time", {}).get("after_")
        found = [run for run in self.runs if after is None or run["start_time"] >= after]
        return httpx.Response(200, json=found[-body["limit"] :])


class World:
    """A flow file with a past, a store, and a clock that stands."""

    def __init__(self, store: Store, path: Path) -> None:
        self.server, self.path, self.now = Server(), path, START
        api = PrefectAPI("http://test/api", transport=httpx.MockTransport(self.server))
        self.desk = Desk(api=api, store=store, holder="watcher", clock=lambda: self.now)
        path.write_text(SOURCE, encoding="utf-8")
        for hours in range(20):
            self.server.run(START - timedelta(hours=hours + 1), 4.0 + hours / 100)

    async def apply(self) -> AppliedRewrite:
        plan = improve.plan(self.path, Strategy.PERFORMANCE)
        made = await aftermath.apply_and_watch(
            self.desk,
            plan,
            self.path,
            SOURCE,
            by="ada",
            flow_name="report",
            deployment={"id": "dep-1", "version": "v7"},
        )
        assert made is not None
        return made

    def runs_after(self, count: int, seconds: float, state: str = "COMPLETED") -> None:
        for _ in range(count):
            self.now += timedelta(hours=1)
            self.server.run(self.now, seconds, state)

    async def looked_into(
        self, category: IssueCategory | None, service: str | None = "shop", confidence: float = 0.9
    ) -> None:
        """Give each failed run a session with this diagnosis, or one that is still without."""
        for run in self.server.runs:
            if run["state_type"] == "FAILED":
                await self.session("dep-1", run["id"], category, service, confidence)

    async def session(
        self,
        workflow: str,
        run: str,
        category: IssueCategory | None,
        service: str | None = "shop",
        confidence: float = 0.9,
        ago: timedelta = timedelta(),
    ) -> None:
        """Store a session that began now, or some time ago."""
        told = None
        if category is not None:
            told = Diagnosis(
                category=category,
                confidence=confidence,
                severity=Severity.HIGH,
                transient=True,
                remedy="none",
                service=service,
                root_cause="it did not answer",
            )
        made = TroubleshootingSession(
            session_id=f"{workflow}-{run}",
            workflow_id=workflow,
            flow_run_id=run,
            diagnosis=told,
            start_time=self.now - ago,
        )
        await self.desk.store.save_session(made, None)

    @staticmethod
    def spoil(rewrite: AppliedRewrite) -> None:
        Path(rewrite.backup).write_text("print('not the original')\n", encoding="utf-8")

    @staticmethod
    def lose(rewrite: AppliedRewrite) -> None:
        Path(rewrite.backup).unlink()

    @property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    async def acts(self) -> list[str]:
        return [entry.action for entry in await self.desk.store.audit_trail(str(self.path))]


@pytest.fixture
async def world(store: Store, tmp_path: Path) -> AsyncIterator[World]:
    made = World(store, tmp_path / "report.py")
    async with made.desk.api:
        yield made


@pytest.mark.anyio
async def test_a_rewrite_is_audited_before_it_is_written_and_gives_the_deployment_a_version(
    world: World,
) -> None:
    rewrite = await world.apply()
    assert ".submit(" in world.source
    assert rewrite.status == "watching"
    assert rewrite.rules == ("submit_calls",)
    assert rewrite.applied_by == "ada"
    assert len(rewrite.baseline.durations_s) == 20
    assert world.server.versions == [digest(world.source)[:12]]
    assert await world.acts() == ["flow.rewriting"]
    assert await world.desk.store.rewrites(open_only=True) == (rewrite,)


@pytest.mark.anyio
async def test_a_plan_without_edits_is_neither_written_nor_watched(world: World) -> None:
    await world.apply()
    again = improve.plan(world.path, Strategy.PERFORMANCE)
    made = await aftermath.apply_and_watch(
        world.desk, again, world.path, world.source, by="ada", flow_name="report"
    )
    assert made is None
    assert len(await world.desk.store.rewrites()) == 1


@pytest.mark.anyio
async def test_a_file_changed_since_the_plan_is_neither_written_nor_watched(world: World) -> None:
    plan = improve.plan(world.path, Strategy.PERFORMANCE)
    world.path.write_text(f"{SOURCE}\n# a note\n", encoding="utf-8")
    with pytest.raises(ConflictError):
        await aftermath.apply_and_watch(world.desk, plan, world.path, SOURCE, by="ada", flow_name="report")
    assert world.source.endswith("# a note\n")
    assert await world.desk.store.rewrites() == ()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("seconds", "state", "count", "told"),
    [(9.0, "COMPLETED", 6, "9.00 s in the median"), (1.0, "FAILED", 2, "2 of 2 runs failed")],
    ids=["slower", "failing"],
)
async def test_what_got_worse_is_put_back_by_itself(
    world: World, seconds: float, state: str, count: int, told: str
) -> None:
    await world.apply()
    world.runs_after(count, seconds, state)
    (ended,) = await aftermath.look_after(world.desk)
    assert ended.status == "reverted"
    assert told in ended.reason
    assert world.source == SOURCE
    assert world.server.versions[-1] == "v7"
    assert await world.acts() == ["flow.rewriting", "flow.reverting", "flow.reverted"]
    (notice,) = await world.desk.store.pending_notices(world.now, "any")
    assert "put back" in notice.notice.title
    assert told in notice.notice.text
    assert await aftermath.look_after(world.desk) == ()
    assert await world.desk.store.rewrites(open_only=True) == ()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("category", "service", "other", "reverted"),
    [
        pytest.param(
            IssueCategory.EXTERNAL_SERVICE, "shop", "shop", False, id="a service down for others too"
        ),
        pytest.param(IssueCategory.CONNECTIVITY, "shop", "shop", False, id="not reached by others either"),
        pytest.param(IssueCategory.PERMISSIONS, "shop", None, False, id="rights that were taken away"),
        pytest.param(None, "shop", None, False, id="not yet looked into"),
        pytest.param(IssueCategory.EXTERNAL_SERVICE, "shop", None, True, id="down for this flow alone"),
        pytest.param(IssueCategory.EXTERNAL_SERVICE, "shop", "bank", True, id="another service was down"),
        pytest.param(IssueCategory.TIMEOUT, None, None, True, id="out of time, nobody knows where"),
        pytest.param(IssueCategory.LOGIC, "shop", "shop", True, id="a fault in the code"),
        pytest.param(IssueCategory.DATA, "shop", "shop", True, id="wrong data"),
    ],
)
async def test_failures_of_an_outage_do_not_speak_against_a_rewrite(
    world: World, category: IssueCategory | None, service: str | None, other: str | None, *, reverted: bool
) -> None:
    await world.apply()
    rewritten = world.source
    world.runs_after(4, 1.0, "FAILED")
    await world.looked_into(category, service)
    if other:
        await world.session("dep-2", "elsewhere", category, other)
    ended = await aftermath.look_after(world.desk)
    assert [one.status for one in ended] == (["reverted"] if reverted else [])
    assert world.source == (SOURCE if reverted else rewritten)
    if not reverted:
        world.runs_after(20, 2.0)
        (kept,) = await aftermath.look_after(world.desk)
        assert kept.status == "kept"
        assert "4 more failed for a cause elsewhere" in kept.reason


@pytest.mark.anyio
@pytest.mark.parametrize(("confidence", "hours"), [(0.3, 0), (0.9, 2)], ids=["a guess", "others long before"])
async def test_what_is_not_sure_to_be_an_outage_speaks_against_a_rewrite(
    world: World, confidence: float, hours: int
) -> None:
    await world.apply()
    world.runs_after(4, 1.0, "FAILED")
    await world.looked_into(IssueCategory.EXTERNAL_SERVICE, confidence=confidence)
    await world.session("dep-2", "other", IssueCategory.EXTERNAL_SERVICE, ago=timedelta(hours=hours))
    (ended,) = await aftermath.look_after(world.desk)
    assert ended.status == "reverted"


@pytest.mark.anyio
async def test_what_is_not_worse_stays_and_after_twenty_runs_is_no_longer_watched(world: World) -> None:
    await world.apply()
    rewritten = world.source
    world.runs_after(19, 2.0)
    assert await aftermath.look_after(world.desk) == ()
    world.runs_after(1, 2.0)
    (ended,) = await aftermath.look_after(world.desk)
    assert (ended.status, world.source) == ("kept", rewritten)
    assert "2.00 s in the median, before 4.09 s" in ended.reason
    assert await world.desk.store.pending_notices(world.now, "any") == ()
    assert (await world.acts())[-1] == "flow.kept"


@pytest.mark.anyio
async def test_runs_from_before_the_rewrite_do_not_count(world: World) -> None:
    for hours in range(5):
        world.server.run(START - timedelta(minutes=hours + 1), 1.0, "FAILED")
    rewrite = await world.apply()
    assert rewrite.baseline.failures == 5
    assert await aftermath.look_after(world.desk) == ()


@pytest.mark.anyio
async def test_what_somebody_changed_meanwhile_is_left_and_told(world: World) -> None:
    await world.apply()
    world.path.write_text(f"{world.source}\n# mine\n", encoding="utf-8")
    world.runs_after(3, 1.0, "FAILED")
    (ended,) = await aftermath.look_after(world.desk)
    assert ended.status == "left"
    assert "somebody changed the file" in ended.reason
    assert world.source.endswith("# mine\n")
    (notice,) = await world.desk.store.pending_notices(world.now, "any")
    assert notice.notice.outcome == "proposal"


@pytest.mark.anyio
async def test_a_backup_that_was_changed_is_not_put_back(world: World) -> None:
    rewrite = await world.apply()
    rewritten = world.source
    world.spoil(rewrite)
    world.runs_after(3, 1.0, "FAILED")
    (ended,) = await aftermath.look_after(world.desk)
    assert (ended.status, world.source) == ("left", rewritten)
    assert "the backup" in ended.reason


@pytest.mark.anyio
async def test_a_missing_backup_is_told_and_the_file_stays(world: World) -> None:
    rewrite = await world.apply()
    rewritten = world.source
    world.lose(rewrite)
    world.runs_after(3, 1.0, "FAILED")
    (ended,) = await aftermath.look_after(world.desk)
    assert (ended.status, world.source) == ("left", rewritten)


@pytest.mark.anyio
async def test_nothing_is_put_back_while_everything_is_paused(world: World) -> None:
    await world.apply()
    rewritten = world.source
    world.runs_after(3, 1.0, "FAILED")
    await world.desk.store.pause_all("ada", world.now)
    assert await aftermath.look_after(world.desk) == ()
    assert world.source == rewritten
    await world.desk.store.resume_all("ada", world.now)
    (ended,) = await aftermath.look_after(world.desk)
    assert ended.status == "reverted"


@pytest.mark.anyio
@pytest.mark.parametrize("written", [False, True], ids=["before the file was put back", "after it"])
async def test_a_crash_while_putting_back_is_made_good(world: World, *, written: bool) -> None:
    rewrite = await world.apply()
    intent = rewrite.model_copy(update={"status": "reverting", "reason": "2 of 2 runs failed"})
    await world.desk.store.move_rewrite(intent, "watching")
    if written:
        world.path.write_text(SOURCE, encoding="utf-8")
    (ended,) = await aftermath.look_after(world.desk)
    assert (ended.status, world.source) == ("reverted", SOURCE)


@pytest.mark.anyio
async def test_a_server_that_takes_no_version_does_not_stop_the_rewrite(world: World) -> None:
    world.server.refuses = True
    await world.apply()
    assert ".submit(" in world.source
    assert await world.acts() == ["flow.rewriting", "flow.version not set"]


@pytest.mark.anyio
async def test_two_watchers_do_not_put_back_twice(world: World) -> None:
    rewrite = await world.apply()
    intent = rewrite.model_copy(update={"status": "reverting"})
    await world.desk.store.move_rewrite(intent, "watching")
    with pytest.raises(ConflictError):
        await world.desk.store.move_rewrite(intent, "watching")
    with pytest.raises(ConflictError):
        await world.desk.store.add_rewrite(rewrite)
