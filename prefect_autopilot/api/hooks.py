"""The door for webhooks: ``/hooks/{connection}``, authenticated by the signatures of the services."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from prefect_autopilot.adapters.catalogue import user_catalogue
from prefect_autopilot.api.context import Context, context_of
from prefect_autopilot.errors import AutopilotError, UsageError
from prefect_autopilot.journeys import hooks
from prefect_autopilot.models import Announcement

if TYPE_CHECKING:
    from fastapi import APIRouter

logger = logging.getLogger("prefect_autopilot.hooks")

MOST_PENDING = 500
OUTBOX_S = 5.0

PATH = "/hooks/{connection}"


def mount_hooks(router: APIRouter) -> None:
    """Put the door on ``router``; it is no call of the API, so it is not in its document."""
    router.add_api_route(PATH, receive_webhook, methods=["POST", "GET", "HEAD"], include_in_schema=False)


async def receive_webhook(connection: str, request: Request) -> Response:
    """Verify a webhook of a service, store its events and answer; they are sent to Prefect afterwards.

    The answer is 200 once the events are stored, and for a repetition, of which nothing is sent again.
    """
    context = context_of(request)
    now = context.clock()
    known = await context.connections.get(connection, now)
    service = user_catalogue(context.settings).get(known.service)
    try:
        body = await request.body()
    except ClientDisconnect as error:
        raise UsageError("The webhook ended before its body did; nothing was accepted.") from error
    received = await hooks.receive(
        hooks.Posted(
            method=request.method,
            url=str(request.url),
            query=dict(request.query_params),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
        ),
        service,
        connection,
        {name: secret.get_secret_value() for name, secret in known.credentials.items()},
        store=await context.store(),
        now=now,
        public_url=context.settings.public_url,
        remember=lambda secret: context.connections.remember(connection, secret),
    )
    if received.status == "accepted":
        context.begin(send_outbox(context))
    return _answer(received)


def _answer(received: hooks.Received) -> Response:
    answer = received.answer
    if answer is None:
        told = received.model_dump(exclude={"answer"}, exclude_none=True)
        if received.status == "duplicate":
            told["detail"] = "This delivery was accepted before; nothing was sent again."
        return JSONResponse(told)
    if answer.text is not None:
        return PlainTextResponse(answer.text, headers=answer.headers)
    if answer.content is not None:
        return JSONResponse(answer.content, headers=answer.headers)
    return Response(status_code=HTTPStatus.OK.value, headers=answer.headers)


async def send_outbox(context: Context) -> None:
    """Send the events that wait for Prefect; what it does not take stays and is tried again."""
    async with context.outbox_turn:
        try:
            store = await context.store()
            if not await store.pending_events(context.clock(), 1):
                return
            async with context.desk() as desk:

                async def send(told: Announcement, occurred: datetime) -> None:
                    await desk.api.emit(
                        told.event,
                        resource_id=told.resource,
                        payload=told.payload,
                        occurred=occurred,
                        event_id=str(told.event_id),
                    )

                await hooks.send_pending(store, send, context.clock(), limit=MOST_PENDING)
        except AutopilotError as error:
            logger.warning("Events of webhooks wait: %s", error.message)


async def keep_outbox(context: Context, stopping: asyncio.Event) -> None:
    """Send what waits, again and again until stopped."""
    while not stopping.is_set():
        await send_outbox(context)
        with suppress(TimeoutError):  # the time between two looks is over
            await asyncio.wait_for(stopping.wait(), OUTBOX_S)
