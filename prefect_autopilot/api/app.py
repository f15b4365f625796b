"""The application: calls, problem details, guard and life cycle put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING

from prefect_autopilot.api.access import Door
from prefect_autopilot.api.context import Context
from prefect_autopilot.api.errors import LastResort, install
from prefect_autopilot.api.guard import Guard
from prefect_autopilot.api.hooks import keep_outbox, mount_hooks
from prefect_autopilot.api.page import mount_page
from prefect_autopilot.api.pages import mount_pages
from prefect_autopilot.api.replies import Replies
from prefect_autopilot.api.routes import describe, mount
from prefect_autopilot.api.system import product_version

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.routing import BaseRoute

DESCRIPTION = (
    "Plain English to Prefect flows; runs watched, failures diagnosed, resolved and verified; flows"
    " rewritten. Errors are problem details (RFC 9457). Calls carry a bearer token with a scope."
)


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Return calls and pages; they know no context, and reading their signatures takes most of the time."""
    from fastapi import APIRouter

    router = APIRouter()
    mount(router)
    mount_hooks(router)
    mount_pages(router)
    mount_page(router)
    return tuple(router.routes)


def build(context: Context, hosts: Iterable[str] = (), *, locked: bool = False) -> FastAPI:
    """Return the application of a context; a locked one answers nobody without a token."""
    from fastapi import FastAPI

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with context.lifespan():
            stopping = asyncio.Event()
            context.begin(keep_outbox(context, stopping))
            try:
                yield
            finally:
                stopping.set()

    app = FastAPI(
        title="prefect-autopilot",
        version=product_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.context = context
    app.router.routes.extend(_routes())
    describe(app)
    install(app)
    # The last one added is the outermost.
    app.add_middleware(Replies)
    app.add_middleware(Door, context=context, locked=locked)
    app.add_middleware(Guard, hosts=tuple(hosts))
    app.add_middleware(LastResort)
    if proxies := context.settings.api_trusted_proxies:
        from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(proxies))
    return app
