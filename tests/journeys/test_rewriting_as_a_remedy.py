"""A rewriting of the flow's own source: proposed, proved after a yes, put back where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefect_autopilot.errors import ConflictError, ProofError
from prefect_autopilot.journeys import leased, proposals, resolve
from prefect_autopilot.journeys.desk import Desk, prove
from prefect_autopilot.journeys.lasting import planned_for
from prefect_autopilot.models import (
    OptimizationPlan,
    Proof,
    RemedyPolicy,
    ResolutionStatus,
    TroubleshootingSession,
)

TOO_MANY = "psycopg.OperationalError: FATAL: sorry, too many clients already"
BUG = "KeyError: 'total'"
FANS_OUT = """
import httpx
from prefect import flow, task

@task(retries=2, retry_delay_seconds=[2, 4])
def fetch(number: int) -> dict:
    response = httpx.get(f"https://api.shop.test/orders/{number}", timeout=10)
    response.raise_for_status()
    return response.json()

@flow
def orders(numbers: list[int]) -> list[dict]:
    return fetch.map(numbers).result()
"""
NAMED = RemedyPolicy(mode="auto", remedies={"apply_rewrite": "auto"})


class Proofs:
    """Stands for the proof, which runs a flow for a minute; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[OptimizationPlan, str, str, dict[str, Any]]] = []
        self.equal = True
        self.error: ProofError | None = None

    async def __call__(
        self, plan: OptimizationPlan, original: str, function: str, parameters: dict[str, Any], path: Path
    ) -> Proof:
        assert path.name == "orders.py", "the modules of its project are found beside it"
        self.asked.append((plan, original, function, parameters))
        if self.error is not None:
            raise self.error
        return Proof(equal=self.equal, n=3, before_s=2, after_s=2, reason="the results differ")


@pytest.fixture
def proofs() -> Proofs:
    return Proofs()


@pytest.fixture
def desk(make_desk: Callable[..., Desk], prefect: Any, proofs: Proofs) -> Desk:
    prefect.deploy(FANS_OUT)
    return make_desk(policy=NAMED, prove=proofs)


async def taken(desk: Desk, prefect: Any, error: str = TOO_MANY, times: int = 3) -> TroubleshootingSession:
    """Let the run fail so many times, and go as far as now allows after each."""
    for _ in range(times):
        prefect.fail("run-1", error=error)
        prefect.runs["run-1"]["parameters"] = {"numbers": [1, 2]}
        session = await resolve.take_up(desk, await desk.api.run("run-1"))
        session = session or await desk.store.session_for_run("run-1")
        assert session is not None
        for _ in range(2):
            desk.clock.forward(40)  # type: ignore[attr-defined]
            session = await resolve.advance(desk, session.session_id)
    return session


async def say_yes(desk: Desk, session: TroubleshootingSession) -> TroubleshootingSession:
    await proposals.approve(desk.store, session.session_id, by="person:ada", clock=desk.clock)
    desk.clock.forward(300)  # type: ignore[attr-defined]  # so long after the remedy before
    return await resolve.advance(desk, session.session_id)


def source(prefect: Any) -> str:
    text: str = (prefect.folder / "orders.py").read_text(encoding="utf-8")
    return text


async def test_even_in_mode_auto_a_person_is_asked_and_nothing_is_run_or_written_before(
    desk: Desk, prefect: Any, proofs: Proofs
) -> None:
    session = await taken(desk, prefect)
    assert session.resolution_status is ResolutionStatus.MANUAL
    assert session.decision is not None
    assert (session.decision.remedy.kind, session.decision.mode) == ("apply_rewrite", "approve")
    assert "bound_fan_out, line" in session.decision.reason
    assert (proofs.asked, len(prefect.retries), source(prefect)) == ([], 2, FANS_OUT)


async def test_what_passes_by_itself_is_retried_first(desk: Desk, prefect: Any) -> None:
    session = await taken(desk, prefect, times=1)
    assert [attempt.remedy.kind for attempt in session.attempts] == ["retry_run"]


async def test_after_a_yes_it_is_proved_written_and_the_run_retried(
    desk: Desk, prefect: Any, proofs: Proofs
) -> None:
    session = await say_yes(desk, await taken(desk, prefect))
    ((plan, original, function, parameters),) = proofs.asked
    assert (original, function, parameters) == (FANS_OUT, "orders", {"numbers": [1, 2]})
    assert source(prefect) == plan.source != FANS_OUT
    assert "max_workers" in source(prefect)
    assert len(prefect.retries) == 3
    assert "was rewritten" in prefect.retries[-1]["state"]["message"]
    prefect.finish("run-1")
    for _ in range(3):
        desk.clock.forward(40)  # type: ignore[attr-defined]
        session = await resolve.advance(desk, session.session_id)
    assert session.resolution_status is ResolutionStatus.AUTO_RESOLVED
    (rewrite,) = await desk.store.rewrites()
    assert rewrite.status == "watching", "its next runs are compared"
    assert source(prefect) == plan.source


async def test_where_the_run_fails_again_the_file_is_as_it_had_been(desk: Desk, prefect: Any) -> None:
    session = await say_yes(desk, await taken(desk, prefect))
    desk.clock.forward(20)  # type: ignore[attr-defined]
    prefect.fail("run-1", error=TOO_MANY)
    for _ in range(3):
        desk.clock.forward(40)  # type: ignore[attr-defined]
        session = await resolve.advance(desk, session.session_id)
    assert source(prefect) == FANS_OUT
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert [rewrite.status for rewrite in await desk.store.rewrites()] == ["reverted"]


async def test_a_person_takes_it_back_with_the_retry(desk: Desk, prefect: Any) -> None:
    session = await say_yes(desk, await taken(desk, prefect))
    await proposals.undo(desk, session.session_id, by="person:ada")
    assert source(prefect) == FANS_OUT
    assert prefect.runs["run-1"]["state_type"] == "FAILED"


async def test_what_somebody_wrote_since_stays(desk: Desk, prefect: Any) -> None:
    session = await say_yes(desk, await taken(desk, prefect))
    theirs = source(prefect) + "\n# theirs\n"
    prefect.deploy(theirs)
    with pytest.raises(ConflictError, match="somebody changed the file"):
        await proposals.undo(desk, session.session_id, by="person:ada")
    assert source(prefect) == theirs


@pytest.mark.parametrize("case", ["other results", "no proof", "changed meanwhile"])
async def test_without_proof_nothing_is_written_and_a_person_is_told(
    desk: Desk, prefect: Any, proofs: Proofs, case: str
) -> None:
    session = await taken(desk, prefect)
    before = FANS_OUT
    if case == "other results":
        proofs.equal = False
    elif case == "no proof":
        proofs.error = ProofError("The versions could not be run.")
    else:
        hold = desk.store.must_hold

        async def meanwhile(*args: Any) -> None:
            prefect.deploy(FANS_OUT + "\n# theirs\n")
            await hold(*args)

        desk.store.must_hold = meanwhile  # type: ignore[method-assign]
        before = FANS_OUT + "\n# theirs\n"
    session = await say_yes(desk, session)
    assert session.resolution_status is ResolutionStatus.ESCALATED
    assert (source(prefect), len(prefect.retries)) == (before, 2)
    assert await desk.store.rewrites() == ()


WRITES = FANS_OUT.replace("httpx.get(", "httpx.post(")
BOUNDED = FANS_OUT.replace(
    "@flow\n",
    "from prefect.task_runners import ThreadPoolTaskRunner\n\n@flow(task_runner=ThreadPoolTaskRunner(4))\n",
)


@pytest.mark.parametrize(
    ("text", "error", "policy"),
    [
        (WRITES, TOO_MANY, NAMED),
        (BOUNDED, TOO_MANY, NAMED),
        ("no flow at all", TOO_MANY, NAMED),
        (FANS_OUT, BUG, NAMED),
        (FANS_OUT, TOO_MANY, RemedyPolicy(mode="auto")),
    ],
    ids=["it writes", "bounded already", "no flow", "another cause", "not named"],
)
async def test_no_rewriting_is_proposed_where_it_could_not_be_proved_or_would_not_help(
    make_desk: Callable[..., Desk], prefect: Any, proofs: Proofs, text: str, error: str, policy: RemedyPolicy
) -> None:
    prefect.deploy(text)
    session = await taken(make_desk(policy=policy, prove=proofs), prefect, error)
    assert session.decision is not None
    assert session.decision.remedy.kind != "apply_rewrite"
    assert source(prefect) == text


async def test_what_is_in_git_is_left_to_review(desk: Desk, prefect: Any) -> None:
    for words in (["init", "-q"], ["add", "orders.py"]):
        git = await asyncio.create_subprocess_exec("git", "-C", str(prefect.folder), *words)
        assert await git.wait() == 0
    session = await taken(desk, prefect)
    assert session.decision is not None
    assert session.decision.remedy.kind != "apply_rewrite"


async def test_an_act_that_takes_long_keeps_its_lease(
    desk: Desk, prefect: Any, proofs: Proofs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leased, "LEASE_TTL_S", 0.03)
    session = await taken(desk, prefect)
    renewed: list[bool] = []
    often = asyncio.Event()
    renew, prove = desk.store.renew_lease, proofs.__call__

    async def counted(*args: Any) -> bool:
        renewed.append(await renew(*args))
        if len(renewed) == 2:
            often.set()
        return renewed[-1]

    async def slowly(*args: Any) -> Proof:
        await often.wait()
        return await prove(*args)

    monkeypatch.setattr(desk.store, "renew_lease", counted)
    object.__setattr__(desk, "prove", slowly)
    session = await say_yes(desk, session)
    assert renewed[:2] == [True, True]
    assert len(prefect.retries) == 3


def test_a_rewriting_is_never_done_unattended() -> None:
    for told in ({"mode": "auto"}, NAMED.model_dump(mode="json")):
        assert RemedyPolicy.model_validate(told).mode_for("apply_rewrite", frozenset({"x"})) != "auto"
    own = {"deployments": [{"match": ["x"], "remedies": {"apply_rewrite": "auto"}}]}
    assert RemedyPolicy.model_validate(own).mode_for("apply_rewrite", frozenset({"x"})) == "approve"


async def test_a_flow_that_writes_is_not_run_for_a_proof(tmp_path: Path) -> None:
    written = tmp_path / "paid.txt"
    source = FANS_OUT.replace(
        "    return fetch.map(numbers).result()",
        f"    Path({str(written)!r}).write_text('paid')\n    return fetch.map(numbers).result()",
    ).replace("import httpx\n", "from pathlib import Path\n\nimport httpx\n")
    file = tmp_path / "orders.py"
    file.write_text(source)
    planned = planned_for(file).model_copy(update={"changed": True})
    with pytest.raises(ProofError, match="really write"):
        await prove(planned, source, "orders", {"numbers": [1]}, file)
    assert not written.exists()
