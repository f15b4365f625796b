"""Any sequence of calls from two processes' views answers as a model of a few dictionaries does."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from prefect_autopilot.errors import ConflictError, UnknownNameError
from prefect_autopilot.models import AskOwner, Notice, RefreshCredentials, RetryRun, TroubleshootingSession
from prefect_autopilot.store import Store

T = TypeVar("T")
START = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
FEW = settings(max_examples=8, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))

sides = st.integers(0, 1)
names = st.sampled_from(["watcher", "other"])
holders = st.sampled_from(["ann", "bob"])
keys = st.sampled_from(["run:1:1", "run:1:2", "run:2:1"])
runs = st.sampled_from(["run-1", "run-2"])
states = st.sampled_from(["state-1", "state-2"])
seconds = st.sampled_from([0, 1, 29, 30, 31, 3600])
REMEDIES = {
    "retry_run": lambda run: RetryRun(flow_run_id=run, delay_s=1),
    "refresh_credentials": lambda run: RefreshCredentials(flow_run_id=run, connection="slack-default"),
    "ask_owner": lambda run: AskOwner(flow_run_id=run, advice="look"),
}
outcomes = st.sampled_from(["applied", "failed", "skipped", "unknown"])


class TwoStores(RuleBasedStateMachine):
    """Two stores on one file, a clock that only this machine moves."""

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.now = START
        self.stores: list[Store] = []
        url = f"sqlite:///{Path(self.folder.name) / 'autopilot.db'}"
        for _ in range(2):
            self.stores.append(self.wait(self.stack.enter_async_context(Store.open(url))))

    def wait(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.wait(self.stack.aclose())
            self.runner.close()
            self.folder.cleanup()

    @rule(passed=seconds)
    def wait_a_while(self, passed: int) -> None:
        self.now += timedelta(seconds=passed)


class ClaimsAndLeases(TwoStores):
    """Claims are for ever; the token of a lease only grows, and only the newest one counts."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: dict[str, str] = {}
        self.leases: dict[str, tuple[str, int, datetime]] = {}
        self.tokens: list[tuple[str, int]] = [("watcher", 0)]

    def current(self, name: str) -> tuple[str, int, datetime]:
        return self.leases.get(name, ("", 0, datetime(1970, 1, 1, tzinfo=UTC)))

    @rule(side=sides, key=keys, holder=holders)
    def claim(self, side: int, key: str, holder: str) -> None:
        won = self.wait(self.stores[side].claim(key, holder, self.now))
        assert won is (key not in self.claims)
        self.claims.setdefault(key, holder)

    @rule(side=sides, key=keys)
    def ask_who_claimed(self, side: int, key: str) -> None:
        assert self.wait(self.stores[side].claimed_by(key)) == self.claims.get(key)

    @rule(side=sides, name=names, holder=holders)
    def acquire(self, side: int, name: str, holder: str) -> None:
        token = self.wait(self.stores[side].acquire_lease(name, holder, 30, self.now))
        was, last, until = self.current(name)
        if until <= self.now or was == holder:
            assert token == last + 1
            self.leases[name] = (holder, token, self.now + timedelta(seconds=30))
            self.tokens.append((name, token))
        else:
            assert token is None

    @rule(side=sides, data=st.data())
    def renew(self, side: int, data: st.DataObject) -> None:
        name, token = data.draw(st.sampled_from(self.tokens))
        holder, newest, until = self.current(name)
        held = token == newest and until > self.now
        assert self.wait(self.stores[side].renew_lease(name, token, 60, self.now)) is held
        if held:
            self.leases[name] = (holder, newest, self.now + timedelta(seconds=60))

    @rule(side=sides, data=st.data())
    def release(self, side: int, data: st.DataObject) -> None:
        name, token = data.draw(st.sampled_from(self.tokens))
        _, newest, _ = self.current(name)
        held = name in self.leases and token == newest
        assert self.wait(self.stores[side].release_lease(name, token)) is held
        if held:
            self.leases[name] = ("", newest, datetime(1970, 1, 1, tzinfo=UTC))

    @rule(side=sides, data=st.data())
    def act_under_a_lease(self, side: int, data: st.DataObject) -> None:
        name, token = data.draw(st.sampled_from(self.tokens))
        _, newest, until = self.current(name)
        remedy = RetryRun(flow_run_id=f"run-{self.now.timestamp()}-{name}-{token}", delay_s=0)
        call = self.stores[side].journal_intent(
            "s", remedy.flow_run_id, "st", 1, remedy, token, self.now, lease=name
        )
        before = self.wait(self.stores[side].attempts_for(remedy.flow_run_id))
        if token == newest and until > self.now:
            entry = self.wait(call)
            assert (entry is None) is (before == 1)
            return
        with pytest.raises(ConflictError, match="acquire it again"):
            self.wait(call)
        assert self.wait(self.stores[side].attempts_for(remedy.flow_run_id)) == before


class JournalOfRemedies(TwoStores):
    """At most one intent for a state, a run and a kind; at most one result for an intent."""

    def __init__(self) -> None:
        super().__init__()
        self.intents: dict[tuple[str, str, str], int] = {}
        self.made: dict[int, tuple[str, str, datetime]] = {}
        self.results: dict[int, str] = {}

    @rule(side=sides, run=runs, state=states, kind=st.sampled_from(sorted(REMEDIES)))
    def intend(self, side: int, run: str, state: str, kind: str) -> None:
        remedy = REMEDIES[kind](run)
        entry = self.wait(self.stores[side].journal_intent(f"s-{run}", run, state, 1, remedy, None, self.now))
        assert (entry is None) is ((run, state, kind) in self.intents)
        if entry is not None:
            assert entry not in self.made
            self.intents[run, state, kind] = entry
            self.made[entry] = (run, kind, self.now)

    @precondition(lambda self: self.made)
    @rule(side=sides, outcome=outcomes, data=st.data())
    def finish(self, side: int, outcome: Any, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(sorted(self.made)))
        call = self.stores[side].journal_result(entry, outcome, "told", self.now)
        if entry in self.results:
            with pytest.raises(ConflictError, match=self.results[entry]):
                self.wait(call)
        else:
            self.wait(call)
            self.results[entry] = outcome

    @rule(side=sides, outcome=outcomes)
    def finish_what_is_not_there(self, side: int, outcome: Any) -> None:
        with pytest.raises(UnknownNameError, match="10000"):
            self.wait(self.stores[side].journal_result(10_000, outcome, "", self.now))

    def counted(self) -> list[tuple[str, datetime]]:
        return [
            (run, at)
            for entry, (run, kind, at) in self.made.items()
            if kind != "ask_owner" and self.results.get(entry) != "skipped"
        ]

    @rule(side=sides, run=runs, back=seconds)
    def count(self, side: int, run: str, back: int) -> None:
        store, since = self.stores[side], self.now - timedelta(seconds=back)
        assert self.wait(store.attempts_for(run)) == sum(one == run for one, _ in self.counted())
        assert self.wait(store.remedies_since(since)) == sum(at >= since for _, at in self.counted())

    @rule(side=sides, run=runs)
    def read(self, side: int, run: str) -> None:
        entries = self.wait(self.stores[side].journal(f"s-{run}"))
        assert [one.id for one in entries] == sorted(
            entry for entry, (made_for, _, _) in self.made.items() if made_for == run
        )
        assert {one.id: one.outcome for one in entries if one.outcome} == {
            one.id: self.results[one.id] for one in entries if one.id in self.results
        }

    @invariant()
    def open_intents_are_those_without_a_result(self) -> None:
        if hasattr(self, "stores"):
            found = self.wait(self.stores[0].open_intents())
            assert [one.id for one in found] == sorted(set(self.made) - set(self.results))


class SessionsAndNotices(TwoStores):
    """A session is saved only on top of what was read; a notice waits until it is taken or given up."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[str, int] = {}
        self.queued: dict[str, datetime] = {}
        self.retry: dict[str, datetime | None] = {}
        self.done: set[str] = set()
        self.tries: dict[str, int] = {}

    @staticmethod
    def session(name: str, version: int) -> TroubleshootingSession:
        return TroubleshootingSession(
            session_id=name, workflow_id="w", start_time=START, trail=(f"version {version}",)
        )

    @rule(side=sides, name=st.sampled_from(["a", "b"]), version=st.none() | st.integers(1, 4))
    def save(self, side: int, name: str, version: int | None) -> None:
        call = self.stores[side].save_session(self.session(name, (version or 0) + 1), version)
        if self.sessions.get(name) != version:
            with pytest.raises(ConflictError, match="read it"):
                self.wait(call)
            return
        self.sessions[name] = self.wait(call)
        assert self.sessions[name] == (version or 0) + 1

    @rule(side=sides, name=st.sampled_from(["a", "b"]))
    def load(self, side: int, name: str) -> None:
        version = self.sessions.get(name)
        if version is None:
            assert self.wait(self.stores[side].session(name)) is None
            return
        session, stored = self.wait(self.stores[side].load_session(name))
        assert stored == version
        assert session.trail == (f"version {version}",)

    @rule(side=sides, name=st.sampled_from(["a", "b"]))
    def delete(self, side: int, name: str) -> None:
        gone = self.wait(self.stores[side].delete_session(name, "ann", self.now))
        assert gone is (name in self.sessions)
        self.sessions.pop(name, None)

    @rule(side=sides, name=st.sampled_from(["n1", "n2", "n3"]))
    def queue(self, side: int, name: str) -> None:
        notice = Notice(notice_id=name, outcome="info", title="t", text="x")
        assert self.wait(self.stores[side].queue_notice(notice, self.now)) is (name not in self.queued)
        self.queued.setdefault(name, self.now)

    def waiting(self) -> list[str]:
        fresh = self.now - timedelta(days=1)
        due = [
            name
            for name, at in self.queued.items()
            if name not in self.done
            and (at > fresh if name not in self.retry else (self.retry[name] or self.now) <= self.now)
        ]
        return sorted(due, key=lambda name: (self.queued[name], name))

    @rule(side=sides, pause=st.none() | seconds, arrives=st.booleans())
    def deliver(self, side: int, pause: int | None, arrives: bool) -> None:  # noqa: FBT001 - drawn
        store = self.stores[side]
        pending = self.wait(store.pending_notices(self.now, "webhook"))
        assert [one.notice.notice_id for one in pending] == self.waiting()
        assert [one.attempts for one in pending] == [self.tries.get(name, 0) for name in self.waiting()]
        for name in self.waiting()[:1]:
            self.tries[name] = self.tries.get(name, 0) + 1
            if arrives:
                self.wait(store.notice_delivered(name, "webhook", self.now))
                self.done.add(name)
                continue
            later = None if pause is None else self.now + timedelta(seconds=pause)
            self.wait(store.notice_failed(name, "webhook", "no", later, self.now))
            self.retry[name] = max(filter(None, (later, self.retry.get(name))), default=None)
            if later is None:
                self.done.add(name)

    @invariant()
    def every_deletion_is_in_the_audit_trail(self) -> None:
        if hasattr(self, "stores"):
            assert self.wait(self.stores[1].verify_audit()) is None


TestClaimsAndLeases = ClaimsAndLeases.TestCase
TestClaimsAndLeases.settings = FEW
TestJournalOfRemedies = JournalOfRemedies.TestCase
TestJournalOfRemedies.settings = FEW
TestSessionsAndNotices = SessionsAndNotices.TestCase
TestSessionsAndNotices.settings = FEW
