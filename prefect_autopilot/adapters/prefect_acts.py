"""The few acts of the Prefect REST API that remedies need; what reads is in ``prefect_api``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any
from urllib.parse import quote

from prefect_autopilot.errors import ConflictError, PrefectError
from prefect_autopilot.models import JSONDict, RunRecord


class PrefectActs(ABC):
    """What changes something on the server; every act on a run reads it again right before."""

    @abstractmethod
    async def request(self, method: str, path: str, body: Any = None, *, once: bool = False) -> Any:
        """Send one call and return its JSON."""

    @abstractmethod
    async def run(self, run_id: str) -> RunRecord:
        """Return one flow run."""

    @abstractmethod
    async def _records(self, raws: list[JSONDict]) -> tuple[RunRecord, ...]:
        """Return runs as the API told them, with the names of their flows and deployments."""

    async def expect_state(self, run_id: str, state_id: str) -> None:
        """Read the run again; raises ``ConflictError`` when its state is not the expected one."""
        run = await self.run(run_id)
        if run.state.id != state_id:
            raise ConflictError(
                f"Run {run_id} is now {run.state.name}; somebody acted first, so nothing was done."
            )

    async def release_slots(self, name: str, slots: int, *, expected_active: int) -> None:
        """Give back slots of a global concurrency limit; ``ConflictError`` where others are in use by now."""
        limit = await self.request("GET", f"/v2/concurrency_limits/{quote(name, safe='')}")
        if limit["active_slots"] != expected_active or not limit["active"]:
            raise ConflictError(f"The slots of limit {name} have changed meanwhile; none was released.")
        await self.request("POST", "/v2/concurrency_limits/decrement", {"names": [name], "slots": slots})

    async def retry_run(self, run_id: str, *, expected_state_id: str, at: datetime, message: str) -> None:
        """Set the same run to AwaitingRetry at ``at``, so that it resumes at the failed task.

        1. Read the run again. 2. Stand down with ``ConflictError`` when its state is not the expected one:
        somebody acted first. 3. Propose the state without force, once. 4. ``ConflictError`` unless accepted.
        5. Where the answer is lost, the run itself tells whether it was carried out.
        """
        await self.expect_state(run_id, expected_state_id)
        state: JSONDict = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": message}
        state["state_details"] = {"scheduled_time": at.isoformat()}
        body = {"state": state, "force": False}
        try:
            answer = await self.request("POST", f"/flow_runs/{run_id}/set_state", body, once=True)
        except PrefectError as error:
            if error.status is None and (await self.run(run_id)).state.message == message:
                return
            raise
        if answer["status"] != "ACCEPT":
            reason = (answer.get("details") or {}).get("reason") or answer["status"]
            raise ConflictError(f"Prefect did not accept the retry of run {run_id}: {reason}")

    async def withdraw_retry(self, run_id: str, *, message: str) -> None:
        """Set a run whose retry has not begun back to failed; ``ConflictError`` where it has begun."""
        run = await self.run(run_id)
        if run.state.type != "SCHEDULED":
            raise ConflictError(f"Run {run_id} is {run.state.name} already; cancel it in Prefect instead.")
        state = {"type": "FAILED", "name": "Failed", "message": message}
        body = {"state": state, "force": False}
        answer = await self.request("POST", f"/flow_runs/{run_id}/set_state", body)
        if answer["status"] != "ACCEPT":
            reason = (answer.get("details") or {}).get("reason") or answer["status"]
            raise ConflictError(f"Prefect did not take the retry of run {run_id} back: {reason}")

    async def attach_markdown(self, run_id: str, *, key: str, markdown: str, description: str) -> str:
        """Attach a markdown artifact to a run and return its id; the same key makes a new version."""
        raw = await self.request(
            "POST",
            "/artifacts/",
            {
                "key": key,
                "type": "markdown",
                "data": markdown,
                "description": description,
                "flow_run_id": run_id,
            },
        )
        return str(raw["id"])

    async def start_run(
        self, deployment_id: str, *, parameters: JSONDict, idempotency_key: str | None = None
    ) -> RunRecord:
        """Create a run of a deployment; the same idempotency key returns the same run."""
        body = {
            "parameters": parameters,
            "state": {"type": "SCHEDULED", "name": "Scheduled"},
            "idempotency_key": idempotency_key,
        }
        raw = await self.request("POST", f"/deployments/{deployment_id}/create_flow_run", body)
        return (await self._records([raw]))[0]

    async def emit(
        self, event: str, *, resource_id: str, payload: JSONDict, occurred: datetime, event_id: str
    ) -> None:
        """Send one Prefect event."""
        await self.request(
            "POST",
            "/events",
            [
                {
                    "id": event_id,
                    "event": event,
                    "occurred": occurred.isoformat(),
                    "resource": {"prefect.resource.id": resource_id},
                    "payload": payload,
                }
            ],
        )
