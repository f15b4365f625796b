"""Plain text as the documents that some services want instead, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")


def atlassian_document(text: str) -> dict[str, Any]:
    """Return a text in the Atlassian Document Format, version 1: blank lines part its paragraphs."""
    paragraphs = _PARAGRAPH.split(text.replace("\r\n", "\n").strip("\n"))
    content = [{"type": "paragraph", "content": _lines(paragraph)} for paragraph in paragraphs]
    return {"type": "doc", "version": 1, "content": content}


def _lines(paragraph: str) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    for number, line in enumerate(paragraph.split("\n")):
        if number:
            nodes.append({"type": "hardBreak"})
        if line:  # a text node must not be empty
            nodes.append({"type": "text", "text": line})
    return nodes


def text_of(document: Any) -> str | None:
    """Return the text of an Atlassian document, None for what is none."""
    if not isinstance(document, Mapping) or document.get("type") != "doc" or document.get("version") != 1:
        return None
    blocks = document.get("content")
    if not isinstance(blocks, list):
        return None
    return "\n\n".join(_text(block) for block in blocks)


def _text(node: Any) -> str:
    if not isinstance(node, Mapping):
        return ""
    if node.get("type") == "hardBreak":
        return "\n"
    if node.get("type") == "text":
        return str(node.get("text", ""))
    inner = node.get("content")
    return "".join(map(_text, inner)) if isinstance(inner, list) else ""
