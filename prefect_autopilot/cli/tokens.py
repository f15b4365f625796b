"""``tokens``: make, list and revoke the access tokens of the REST API and the status page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from prefect_autopilot.cli.local import open_store, person
from prefect_autopilot.cli.output import JSONFlag, write_json, write_line, write_table
from prefect_autopilot.errors import UsageError

if TYPE_CHECKING:
    from prefect_autopilot.store import AccessToken

_MOST_DAYS = 3650


async def create(
    name: Annotated[str, Parameter(help="Who or what the token is for; acts are told by this name.")],
    /,
    *,
    scope: Annotated[
        Literal["viewer", "operator", "approver", "admin"],
        Parameter(help="viewer reads; operator starts work; approver lets remedies act; admin deletes too."),
    ] = "viewer",
    days: Annotated[int, Parameter(help="Days until it expires.")] = 90,
    as_json: JSONFlag = False,
) -> int:
    """Make an access token and show it, this once."""
    from prefect_autopilot.store import Scope

    if not 1 <= days <= _MOST_DAYS:
        raise UsageError(f"A token lasts from 1 to {_MOST_DAYS} days; choose --days.")
    async with open_store() as store:
        secret, token = await store.create_token(
            name, Scope(scope), timedelta(days=days), datetime.now(UTC), actor=person()
        )
    if as_json:
        write_json({"token": secret, **token.model_dump(mode="json")})
        return 0
    write_line(secret)
    write_line(f"Scope {token.scope}, until {token.expires_at:%Y-%m-%d}; it is not shown again.")
    return 0


async def list_tokens(*, as_json: JSONFlag = False) -> int:
    """List the access tokens, newest first; the tokens themselves are not known."""
    now = datetime.now(UTC)
    async with open_store() as store:
        found = await store.tokens()
    if as_json:
        write_json([{**one.model_dump(mode="json"), "state": _state(one, now)} for one in found])
        return 0
    rows = [
        (one.token_id, one.name, one.scope, _state(one, now), one.expires_at.strftime("%Y-%m-%d"))
        for one in found
    ]
    write_table("", ("id", "name", "scope", "state", "until"), rows)
    return 0


async def revoke(name: Annotated[str, Parameter(help="Name or id of the token.")], /) -> int:
    """End an access token and the browser sessions opened with it."""
    async with open_store() as store:
        await store.revoke_token(name, datetime.now(UTC), actor=person())
    write_line(f"{name} opens nothing any more.")
    return 0


def _state(token: AccessToken, now: datetime) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "active" if token.is_active(now) else "expired"
