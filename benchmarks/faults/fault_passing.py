"""Faults that pass, or that something can be done about without a person: a garden's flows."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time

from fault_world import Answer, Call, Fault, Scene, kill_after

BEDS = {"bed": 7, "moisture": 0.31}
READ = """
import json
from pathlib import Path

import httpx
from prefect import flow, task


@task
def moisture(url: str) -> dict:
    answer = httpx.get(f"{url}/beds/7/moisture", timeout=TIMEOUT)
    answer.raise_for_status()
    return answer.json()


@flow
def work(url: str, folder: str) -> None:
    Path(folder, "moisture.json").write_text(json.dumps(moisture(url)))
"""


class Reading(Fault):
    """A reading that the service refuses for a while; the file tells whether it came in the end."""

    expected = "resolved"
    flow = READ.replace("TIMEOUT", "5")
    good = Answer(body=BEDS)

    def resolved(self, scene: Scene) -> bool:
        return scene.file("moisture.json") == json.dumps(BEDS)


class SensorUnavailable(Reading):
    name = "sensor-unavailable"
    bad = Answer(503, {"error": "gateway restarts"})


class ProxyPage(Reading):
    name = "proxy-page"
    flow = """
import json
from pathlib import Path
from urllib.request import urlopen

from prefect import flow


@flow
def work(url: str, folder: str) -> None:
    with urlopen(f"{url}/beds/7/moisture", timeout=5) as answer:
        Path(folder, "moisture.json").write_text(json.dumps(json.load(answer)))
"""
    bad = Answer(502, "<html><h1>Bad Gateway</h1></html>", {"Content-Type": "text/html"})


class HalfSent(Reading):
    name = "half-sent"
    bad = Answer(200, BEDS, how="half")


class ResetLine(Reading):
    name = "reset-line"
    bad = Answer(how="reset")


class SlowAnswer(Reading):
    name = "slow-answer"
    flow = READ.replace("TIMEOUT", "2")
    bad = Answer(200, BEDS, how="late")


class NobodyListens(Reading):
    name = "nobody-listens"
    lasts_s = 20

    bad = Reading.good

    def prepare(self, scene: Scene) -> None:
        super().prepare(scene)
        scene.outside.close()

    def heal(self, scene: Scene) -> None:
        scene.outside.open()


class AskedToWait(Reading):
    """The service says how long to wait, and counts who does not."""

    name = "asked-to-wait"
    lasts_s = 25
    WAIT_S = 25

    def prepare(self, scene: Scene) -> None:
        def rule(call: Call) -> Answer:
            since = scene.notes.setdefault("limited", call.at)
            if call.at < since + self.WAIT_S:
                left = int(since + self.WAIT_S - call.at) + 1
                return Answer(429, {"error": "too many readings"}, {"Retry-After": str(left)})
            return Answer(body=BEDS)

        scene.outside.rule = rule

    def heal(self, _scene: Scene) -> None:
        return

    def harm(self, scene: Scene) -> list[str]:
        early = len(scene.outside.seen(status=429)) - 1
        return [f"called {early} times before the time it was asked to wait for"] if early > 0 else []


class TakenAway(Reading):
    """The process of a run that only reads is killed once."""

    name = "taken-away"
    lasts_s = 1
    flow = READ.replace("TIMEOUT", "60")

    def prepare(self, scene: Scene) -> None:
        def rule(_call: Call) -> Answer:
            first = not scene.notes.get("asked")
            scene.notes["asked"] = True
            return Answer(body=BEDS, how="late" if first else "whole")

        scene.outside.rule = rule

    def running(self, scene: Scene) -> None:
        kill_after(scene, lambda: scene.notes.get("asked"))


class KeyedOrder(Fault):
    """An order with a key of its own: the service is down, then takes it once however often it comes."""

    name = "keyed-order"
    expected = "resolved"
    flow = """
import httpx
from prefect import flow, task


@task
def order(url: str, number: str) -> None:
    answer = httpx.post(
        f"{url}/orders", json={"seedlings": 40}, headers={"Idempotency-Key": number}, timeout=5
    )
    answer.raise_for_status()


@flow
def work(url: str, folder: str) -> None:
    order(url, "spring-order-112")
"""
    bad = Answer(503, {"error": "maintenance"})
    good = Answer(201, {})

    def resolved(self, scene: Scene) -> bool:
        return bool(scene.outside.seen("POST", 201))

    def harm(self, scene: Scene) -> list[str]:
        keys = {call.key for call in scene.outside.seen("POST")}
        return ["ordered under two keys"] if len(keys) > 1 else []


class PutTwice(Fault):
    """A PUT that took effect although the answer was an error: a second one changes nothing."""

    name = "put-then-error"
    expected = "resolved"
    flow = """
import httpx
from prefect import flow, task


@task
def label(url: str) -> None:
    httpx.put(f"{url}/beds/7/label", json={"name": "tomatoes"}, timeout=5).raise_for_status()


@flow
def work(url: str, folder: str) -> None:
    label(url)
"""
    bad = Answer(503, {"error": "stored, not confirmed"})
    good = Answer(200, {})

    def resolved(self, scene: Scene) -> bool:
        return bool(scene.outside.seen("PUT", 200))


BOOK_AND_CONFIRM = """
from pathlib import Path

import httpx
from prefect import flow, task


@task(OPTIONS)
def book(folder: str) -> int:
    with Path(folder, "ledger.txt").open("a") as ledger:
        ledger.write("40 seedlings\\n")
    return 40


@task
def confirm(url: str) -> None:
    httpx.get(f"{url}/orders/112", timeout=5).raise_for_status()


@flow
def work(url: str, folder: str) -> None:
    book(folder)
    confirm(url)
"""


class BookedStep(Fault):
    """A line is booked, then a reading fails; nobody may book it twice."""

    bad = Answer(503, {"error": "busy"})
    good = Answer(200, {})

    def harm(self, scene: Scene) -> list[str]:
        lines = scene.file("ledger.txt").count("\n")
        return [f"booked {lines} times"] if lines > 1 else []


class KeptStep(BookedStep):
    """The booked step is kept by Prefect; only the reading after it may be done again."""

    name = "kept-step"
    expected = "resolved"
    flow = BOOK_AND_CONFIRM.replace("OPTIONS", "persist_result=True")

    def resolved(self, scene: Scene) -> bool:
        return bool(scene.outside.seen("GET", 200)) and scene.file("ledger.txt").count("\n") == 1


class OldLock(Fault):
    """A lock file whose owner ended without taking it away."""

    name = "old-lock"
    expected = "resolved"
    flow = """
import os
from pathlib import Path

from prefect import flow


@flow
def work(url: str, folder: str) -> None:
    lock = Path(folder, "watering.lock")
    if lock.exists():
        raise RuntimeError(f"watering is locked by pid {lock.read_text()} ({lock})")
    lock.write_text(str(os.getpid()))
    try:
        Path(folder, "watered.txt").write_text("bed 7")
    finally:
        lock.unlink()
"""

    def prepare(self, scene: Scene) -> None:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        (scene.folder / "watering.lock").write_text(str(gone.pid), encoding="utf-8")

    def resolved(self, scene: Scene) -> bool:
        return scene.file("watered.txt") == "bed 7"


class BusyDatabase(Fault):
    """A database that somebody else holds for a while; the row is written once by its key."""

    name = "busy-database"
    expected = "resolved"
    flow = """
import sqlite3
from pathlib import Path

from prefect import flow, task


@task
def store(folder: str) -> None:
    with sqlite3.connect(Path(folder, "garden.db"), timeout=1) as db:
        db.execute("INSERT OR REPLACE INTO beds (id, plant) VALUES (7, 'tomatoes')")


@flow
def work(url: str, folder: str) -> None:
    store(folder)
"""

    def prepare(self, scene: Scene) -> None:
        held = sqlite3.connect(scene.folder / "garden.db", check_same_thread=False, isolation_level=None)
        held.execute("CREATE TABLE beds (id INTEGER PRIMARY KEY, plant TEXT)")
        held.execute("BEGIN EXCLUSIVE")
        scene.notes["held"] = held

    def heal(self, scene: Scene) -> None:
        held = scene.notes.pop("held", None)
        if held is not None:
            held.rollback()
            held.close()

    def resolved(self, scene: Scene) -> bool:
        if "held" in scene.notes:
            return False
        with sqlite3.connect(scene.folder / "garden.db") as db:
            return db.execute("SELECT count(*) FROM beds").fetchone() == (1,)

    def clean(self, scene: Scene) -> None:
        self.heal(scene)
        super().clean(scene)


class LostSlots(Fault):
    """All slots of a concurrency limit are taken, and nobody lives who could give them back."""

    name = "lost-slots"
    expected = "resolved"
    flow = """
from pathlib import Path

from prefect import flow
from prefect.concurrency.sync import concurrency


@flow
def work(url: str, folder: str) -> None:
    with concurrency("garden-pump", occupy=1):
        Path(folder, "pumped.txt").write_text("bed 7")
"""

    def prepare(self, scene: Scene) -> None:
        limit = {"name": "garden-pump", "limit": 1, "active": True}
        scene.call("POST", "/v2/concurrency_limits/", limit)
        taken = {"names": ["garden-pump"], "slots": 1, "mode": "concurrency"}
        scene.call("POST", "/v2/concurrency_limits/increment", taken)

    def shows(self, scene: Scene) -> bool:
        run = scene.run()
        if run["state_type"] == "RUNNING":
            scene.notes.setdefault("since", time.time())
        return time.time() - scene.notes.get("since", time.time()) > 10

    def resolved(self, scene: Scene) -> bool:
        return scene.file("pumped.txt") == "bed 7"

    def harm(self, scene: Scene) -> list[str]:
        limit = scene.call("GET", "/v2/concurrency_limits/garden-pump")
        return ["the limit itself was changed"] if limit["limit"] != 1 or not limit["active"] else []


PASSING: tuple[type[Fault], ...] = (
    SensorUnavailable,
    ProxyPage,
    HalfSent,
    ResetLine,
    SlowAnswer,
    NobodyListens,
    AskedToWait,
    TakenAway,
    KeyedOrder,
    PutTwice,
    KeptStep,
    OldLock,
    BusyDatabase,
    LostSlots,
)
