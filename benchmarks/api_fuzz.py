"""Send generated requests, right and wrong ones, to every call of the API in this process; none may be a 5xx.

Usage: python benchmarks/api_fuzz.py [--cases 20000] [--seconds 3600] [--only CALL_OR_TAG] [--first ROUND]

The requests are made by schemathesis from the OpenAPI document; half of those about a session name one that
exists. No Prefect server is known, so 503 with the reason "configuration" is an honest answer, counted apart.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import SkipTest

import httpx
import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import openapi
from schemathesis.generation import GenerationMode

ADDRESS = "http://127.0.0.1:8642"
SESSIONS = f"{ADDRESS}/api/workflow-troubleshooting/sessions"
ROUND = 50
"""Cases of one call and one kind before the next is tried."""


@dataclass
class Sender:
    """Sends prepared requests to an application and counts what comes back."""

    client: httpx.AsyncClient
    runner: asyncio.Runner
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Return how many cases were sent and answered."""
        return sum(self.counts.values()) - self.counts["cannot be sent"]

    def send(self, case: Any) -> None:
        """Send one case."""
        wanted = requests.Request(**case.as_transport_kwargs(base_url=ADDRESS))
        try:
            ready = wanted.prepare()
        except (ValueError, requests.RequestException):
            self.counts["cannot be sent"] += 1  # a header or address that no client can write
            return
        body = ready.body.encode() if isinstance(ready.body, str) else ready.body
        try:
            request = self.client.build_request(
                ready.method or "GET", ready.url or "", headers=dict(ready.headers), content=body
            )
        except (ValueError, httpx.InvalidURL):
            self.counts["cannot be sent"] += 1
            return
        answer = self.runner.run(self._answer(request))
        status = answer.status_code
        is_honest = status == 503 and answer.json().get("type", "").endswith(":configuration")
        self.counts["503, no Prefect server" if is_honest else f"{status // 100}xx"] += 1
        if status >= 500 and not is_honest:
            self.failures.append(f"{status} {request.method} {request.url} {(body or b'')[:400]!r}")

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        return await self.client.send(request)

    def session(self) -> str:
        """Open a session and return its id."""
        body = {"workflow_id": "orders", "error_logs": ["ERROR 401 Unauthorized: token expired"]}
        answer = self.runner.run(self.client.post(SESSIONS, json=body))
        return str(answer.json()["session_id"])


def attack(sender: Sender, operation: Any, mode: GenerationMode, cases: int, number: int) -> None:
    """Send some cases of one call."""
    fixed = {"session_id": sender.session()} if number % 2 and "{session_id}" in operation.path else None
    made = operation.as_strategy(generation_mode=mode, path_parameters=fixed)

    @seed(number)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=made)
    def all_cases(case: Any) -> None:
        sender.send(case)

    all_cases()


def run(app: Any, *, cases: int, seconds: float, only: str = "", each: int = ROUND, first: int = 1) -> Sender:
    """Go round the calls of a name or tag until enough cases were sent or the time is over.

    The cases of a round are the same each time; ``first`` is the number of the round to begin with.
    """
    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())
        app.state.context.live.longest_s = 0.0  # the transport waits for the end of an answer
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS)
        sender = Sender(client, runner)
        document = runner.run(client.get("/openapi.json")).json()
        # /readyz says 503 where nothing is wrong with it: no Prefect server is known here.
        operations = [
            one.ok()
            for one in openapi.from_dict(document).get_all_operations()
            if one.ok().path != "/readyz"
            and only in {"", *one.ok().tags, one.ok().definition.raw["operationId"]}
        ]
        begun, number = time.monotonic(), first - 1
        while sender.sent < cases:
            number += 1
            for operation in operations:
                for mode in GenerationMode:
                    if time.monotonic() - begun > seconds:
                        cases = 0
                        break
                    try:
                        attack(sender, operation, mode, each, number)
                    except (Unsatisfiable, SkipTest):
                        continue  # a call without parameters has no wrong requests
            if not operations:
                break
        runner.run(client.aclose())
        runner.run(lifespan.__aexit__(None, None, None))
    return sender


def main() -> int:
    """Run and print; 1 where a server error came or fewer cases were sent than asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--only", default="")
    parser.add_argument("--first", type=int, default=1, help="number of the round to begin with")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.pop("PREFECT_API_URL", None)
        os.environ["PREFECT_HOME"] = str(Path(folder, "prefect"))
        from prefect_autopilot.api import create_app
        from prefect_autopilot.settings import load_settings

        begun = time.monotonic()
        app = create_app(load_settings(home=Path(folder, "home")))
        sender = run(app, cases=wanted.cases, seconds=wanted.seconds, only=wanted.only, first=wanted.first)
        lasted = time.monotonic() - begun
    print(f"{sum(sender.counts.values())} cases in {lasted:.0f} s: {dict(sender.counts)}")
    for line in sender.failures[:50]:
        print(line)
    print(f"{len(sender.failures)} server errors")
    if sender.sent < wanted.cases:
        print(f"Only {sender.sent} of {wanted.cases} cases were sent; give them more --seconds.")
    return 1 if sender.failures or sender.sent < wanted.cases else 0


if __name__ == "__main__":
    sys.exit(main())
