"""What every page is made with: its frame, sealed forms, and refusals as a page where a browser asks."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Coroutine
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from prefect_autopilot.api import page_views as views
from prefect_autopilot.api.access import SIGN_IN, Principal, check_seal, principal_of, require
from prefect_autopilot.api.context import context_of
from prefect_autopilot.api.errors import status_of
from prefect_autopilot.errors import AutopilotError
from prefect_autopilot.redaction import redact
from prefect_autopilot.store import Scope, Store

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

PAGES = (
    ("/", "Overview"),
    ("/ui/describe", "Describe an automation"),
    ("/ui/rules", "Rules"),
    ("/ui/connections", "Connections"),
)
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'"
)
LIVE_POLICY = f"{POLICY}; script-src 'self'; connect-src 'self'"
"""Of pages that keep themselves up to date: a script, from here, that asks nobody but us."""
SCRIPTS = ("live", "typing")
"""What a page may be shown with; each is a file of its own."""
# Without a referrer at all, browsers send the origin "null" with a form, which is nobody's.
PAGE_HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
MOST_FIELDS = 60

Answer = Callable[..., Coroutine[Any, Any, Response]]


async def form_of(request: Request, scope: Scope) -> dict[str, str]:
    """Return the fields of a form of this session; raises HTTPException where it is not, or may not."""
    fields = await fields_of(request)
    check_seal(principal_of(request), fields.get("seal", ""))
    await require(request, scope)
    return fields


async def fields_of(request: Request) -> dict[str, str]:
    """Return the fields of a form; raises HTTPException where it cannot be read."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        detail = "A form is sent as application/x-www-form-urlencoded."
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE.value, detail)
    try:
        body = (await request.body()).decode("utf-8", "replace")
        found = parse_qs(body, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except (ClientDisconnect, ValueError):
        detail = "The form cannot be read; load the page again."
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY.value, detail) from None
    # Browsers end the lines of a text field with CR LF.
    return {name: values[0].replace("\r\n", "\n").replace("\x00", "\ufffd") for name, values in found.items()}


def back(request: Request, path: str) -> RedirectResponse:
    """Return the browser to a page after an act, so that loading it again repeats nothing."""
    return RedirectResponse(request.scope.get("root_path", "") + path, HTTPStatus.SEE_OTHER.value)


def rendered(request: Request, template: str, status: HTTPStatus = HTTPStatus.OK, **shown: Any) -> Response:
    """Return a page of a template."""
    principal = principal_of(request)
    root = request.scope.get("root_path", "")
    scripts = [name for name in SCRIPTS if name in shown]
    text = (
        environment()
        .get_template(template)
        .render(
            principal=None if request.url.path.endswith(SIGN_IN) else principal,
            pages=PAGES,
            here=request.url.path.removeprefix(root) or "/",
            root=root,
            now=context_of(request).clock(),
            may=lambda scope: may(principal, scope),
            scripts=scripts,
            **shown,
        )
    )
    policy = {"Content-Security-Policy": LIVE_POLICY} if scripts else {}
    return HTMLResponse(text, status.value, headers=PAGE_HEADERS | policy)


async def live_of(store: Store, **about: str) -> dict[str, Any]:
    """Return what the script of a page listens to: changes from now on, of everything or of one subject."""
    return {"query": f"?{urlencode(about)}" if about else "", "after": await store.position()}


def may(principal: Principal, scope: str) -> bool:
    """Tell whether somebody may press what needs a scope."""
    return principal.scope.covers(Scope(scope))


def for_people(answer: Answer) -> Answer:
    """Return a page's function that shows what it refuses as a page where a browser asks."""

    @functools.wraps(answer)
    async def told(*arguments: Any, **named: Any) -> Response:
        try:
            return await answer(*arguments, **named)
        except (AutopilotError, HTTPException, TimeoutError) as error:
            request: Request = named["request"]
            if "text/html" not in request.headers.get("accept", ""):
                raise
            status, said = _refusal(error)
            return rendered(request, "page_refused.html.j2", status, said=said)

    return told


def _refusal(error: AutopilotError | HTTPException | TimeoutError) -> tuple[HTTPStatus, str]:
    if isinstance(error, HTTPException):
        return HTTPStatus(error.status_code), redact(str(error.detail))
    if isinstance(error, AutopilotError):
        return status_of(error), redact(error.message)
    return HTTPStatus.SERVICE_UNAVAILABLE, "The work took too long and was given up; try again later."


def no_page(request: Request) -> Response:
    """Return the page that says that there is none at an address."""
    said = "Nothing is at this address; the overview leads to all there is."
    return rendered(
        request, "page_refused.html.j2", HTTPStatus.NOT_FOUND, said=said, heading="There is no such page"
    )


def _coded(text: str) -> Markup:
    """Return a text for people in which what stands between backticks is shown as code."""
    from markupsafe import Markup, escape

    told = str(escape(views.plain(redact(str(text)))))
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", told))  # noqa: S704 - it was escaped above


def _service(ident: str) -> str:
    """Return what a service of the catalogue is called, other texts as they are."""
    from prefect_autopilot.adapters.catalogue import user_catalogue

    catalogue = user_catalogue()
    return catalogue.get(ident).name if ident in catalogue else ident


@cache
def environment() -> Environment:
    """Return the templates; every value is escaped."""
    from jinja2 import DictLoader, Environment, StrictUndefined

    folder = files("prefect_autopilot.api")
    texts = {
        file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".j2")
    }
    made = Environment(loader=DictLoader(texts), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    made.filters["plain"] = views.plain
    made.filters["told"] = lambda text: views.plain(redact(str(text)))
    made.filters["coded"] = _coded
    made.filters["service"] = _service
    made.filters["segment"] = lambda text: quote(str(text), safe="")
    return made
