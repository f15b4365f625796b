"""Faults that no machine may decide alone, and runs that need nobody: a garden's flows."""

from __future__ import annotations

import time
from typing import ClassVar

from fault_passing import BOOK_AND_CONFIRM, READ, BookedStep
from fault_world import Answer, Call, Fault, Scene, kill_after

PAY = """
import httpx
from prefect import flow, task


@task
def pay(url: str) -> None:
    httpx.post(f"{url}/payments", json={"euros": 120}, timeout=5).raise_for_status()


@flow
def work(url: str, folder: str) -> None:
    pay(url)
"""


class OneStart(Fault):
    """What one start is enough for: any further one is for nothing, or worse."""

    again: ClassVar[str] = "started again for nothing"

    def harm(self, scene: Scene) -> list[str]:
        return [self.again] if scene.starts() > 1 else []


class Lasting(OneStart):
    """What a person must hear of, and what must not be tried again and again."""

    expected = "told"


class PaymentMadeThenFailure(Lasting):
    """The payment was made and the answer was an error: nobody knows without asking."""

    name = "paid-then-error"
    flow = PAY
    bad = Answer(500, {"error": "after the transfer"})
    good = Answer(201, {})

    def harm(self, scene: Scene) -> list[str]:
        paid = len(scene.outside.seen("POST"))
        return [f"paid {paid} times"] if paid > 1 else []


class PaymentMadeThenSilence(PaymentMadeThenFailure):
    name = "paid-then-silence"
    bad = Answer(201, {}, how="reset")


class BookedThenDown(BookedStep):
    """The booked line is not kept by Prefect: a retry would book it again."""

    name = "booked-then-down"
    expected = "told"
    flow = BOOK_AND_CONFIRM.replace("(OPTIONS)", "")


class LetterThenKilled(Lasting):
    """A letter has gone out when the process is killed."""

    name = "letter-then-killed"
    flow = """
import httpx
from prefect import flow, task


@task
def send(url: str) -> None:
    httpx.post(f"{url}/letters", json={"to": "members"}, timeout=60).raise_for_status()


@flow
def work(url: str, folder: str) -> None:
    send(url)
    httpx.get(f"{url}/members", timeout=60)
"""

    def prepare(self, scene: Scene) -> None:
        def rule(call: Call) -> Answer:
            late = call.method == "GET" and not scene.notes.get("killed")
            return Answer(202 if call.method == "POST" else 200, {}, how="late" if late else "whole")

        scene.outside.rule = rule

    def running(self, scene: Scene) -> None:
        kill_after(scene, lambda: scene.outside.seen("GET"))
        scene.notes["killed"] = True

    def harm(self, scene: Scene) -> list[str]:
        letters = len(scene.outside.seen("POST"))
        return [f"sent {letters} letters"] if letters > 1 else []


class RenamedColumn(Lasting):
    """The service has renamed a field: the code has to follow."""

    name = "renamed-field"
    flow = READ.replace("TIMEOUT", "5").replace(
        "return answer.json()", 'return {"m": answer.json()["moisture"]}'
    )
    bad = Answer(200, {"humidity": 0.31})


class WithdrawnKey(Lasting):
    name = "withdrawn-key"
    flow = READ.replace("TIMEOUT", "5")
    bad = Answer(401, {"error": "invalid_grant", "error_description": "the key was withdrawn"})


class Forbidden(Lasting):
    name = "forbidden"
    flow = READ.replace("TIMEOUT", "5")
    bad = Answer(403, {"error": "readings need the role botanist"})


class UsedUpQuota(Lasting):
    """All readings of the month are used up; the service says so, and the flow passes it on."""

    name = "used-up-quota"
    flow = READ.replace("TIMEOUT", "5").replace(
        "    answer.raise_for_status()\n",
        '    if answer.is_error:\n        raise RuntimeError(f"{answer.status_code}: {answer.text}")\n',
    )
    bad = Answer(429, {"error": "monthly quota exceeded"}, {"Retry-After": "1209600"})


class RefusedInput(Lasting):
    name = "refused-input"
    flow = PAY
    bad = Answer(422, {"error": "euros must be a string"})


class MissingModule(Lasting):
    name = "missing-module"
    begins = False
    flow = """
import greenhouse_tools
from prefect import flow


@flow
def work(url: str, folder: str) -> None:
    greenhouse_tools.open_window()
"""


class WrongSetting(Lasting):
    name = "missing-setting"
    flow = """
import os

from prefect import flow


@flow
def work(url: str, folder: str) -> None:
    print(os.environ["GARDEN_STATION"])
"""


class StoppedByPerson(OneStart):
    """Somebody cancels the run: that is a decision, not a fault."""

    name = "stopped-by-person"
    expected = "quiet"
    again = "a cancelled run was revived"
    flow = """
import time
from pathlib import Path

from prefect import flow


@flow
def work(url: str, folder: str) -> None:
    for _ in range(120):
        time.sleep(0.5)
    Path(folder, "done.txt").write_text("done")
"""

    def running(self, scene: Scene) -> None:
        time.sleep(2)
        state = {"type": "CANCELLING", "name": "Cancelling"}
        scene.call("POST", f"/flow_runs/{scene.run_id}/set_state", {"state": state, "force": False})

    def shows(self, scene: Scene) -> bool:
        return scene.run()["state_type"] in {"CANCELLING", "CANCELLED"}


class AlreadyDone(OneStart):
    """Somebody started the work again at once, and it is done."""

    name = "already-done"
    expected = "quiet"
    again = "done work was done again"
    lasts_s = 0
    flow = READ.replace("TIMEOUT", "5")
    bad = Answer(503)

    def failed(self, scene: Scene) -> None:
        scene.outside.rule = lambda _call: Answer(200, {"moisture": 0.31})
        parameters = scene.run()["parameters"]
        path = f"/deployments/{scene.deployment_id}/create_flow_run"
        scene.notes["second"] = scene.call("POST", path, {"parameters": parameters})["id"]


class SlowButAlive(Fault):
    """A run takes its time; it lives."""

    name = "slow-but-alive"
    expected = "quiet"
    flow = StoppedByPerson.flow

    def shows(self, scene: Scene) -> bool:
        return bool(scene.run()["state_type"] == "RUNNING")

    def harm(self, scene: Scene) -> list[str]:
        run = scene.run()
        bad = run["state_type"] in {"CRASHED", "CANCELLED", "CANCELLING", "FAILED"} or run["run_count"] > 1
        return ["a run that lived was ended or started again"] if bad else []


class LoudButGood(OneStart):
    """A run logs an error it has dealt with, and completes."""

    name = "loud-but-good"
    expected = "quiet"
    again = "a good run was started again"
    flow = """
from pathlib import Path

from prefect import flow, get_run_logger


@flow
def work(url: str, folder: str) -> None:
    get_run_logger().error("ConnectionError: sensor 3 did not answer, sensor 4 was taken")
    Path(folder, "done.txt").write_text("done")
"""

    def shows(self, scene: Scene) -> bool:
        return bool(scene.run()["state_type"] == "COMPLETED")


LASTING: tuple[type[Fault], ...] = (
    PaymentMadeThenFailure,
    PaymentMadeThenSilence,
    BookedThenDown,
    LetterThenKilled,
    RenamedColumn,
    WithdrawnKey,
    Forbidden,
    UsedUpQuota,
    RefusedInput,
    MissingModule,
    WrongSetting,
    StoppedByPerson,
    AlreadyDone,
    SlowButAlive,
    LoudButGood,
)
