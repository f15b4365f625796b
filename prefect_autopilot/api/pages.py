"""``/docs``: the calls and their examples as one plain page, without scripts and without the network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from fastapi import APIRouter

STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem}"
    "pre{overflow:auto;max-height:24rem;padding:.5rem;border:1px solid}"
    "summary{cursor:pointer;padding:.25rem 0}code{font-weight:600}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}a{color:#9cf}}"
)
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'; base-uri 'none'"


def mount_pages(router: APIRouter) -> None:
    """Add the page of the calls."""
    router.add_api_route("/docs", _docs, methods=["GET"], include_in_schema=False, response_model=None)


async def _docs(request: Request) -> Response:
    body = "".join(_parts(request.app.openapi()))
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>prefect-autopilot API</title>'
        f"<style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})


def _parts(document: dict[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield f"<h1>{html.escape(info['title'])} {html.escape(info['version'])}</h1>"
    yield f'<p>{html.escape(info["description"])} <a href="openapi.json">OpenAPI document</a></p>'
    tag = ""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                yield f"<h2>{html.escape(tag)}</h2>"
            yield from _operation(method.upper(), path, operation)


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<details><summary><code>{method} {html.escape(path)}</code> {html.escape(operation['summary'])}"
    yield f"</summary><p>{html.escape(operation.get('description', ''))}</p>"
    for title, holder in (
        ("Request", operation.get("requestBody", {})),
        ("Answer", operation["responses"]["200"]),
    ):
        for content in holder.get("content", {}).values():
            if "example" in content:
                yield f"<h3>{title}</h3><pre>{html.escape(_shown(content['example']))}</pre>"
    yield "</details>"


def _shown(example: Any) -> str:
    return example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
