"""Write into the catalogue what operations answer, as far as the recorded sources describe it.

    python tests/contracts/recording_answers.py [--only ID]

What an entry says already stays. Words come from the name of the operation, fields from the recorded shape
of its answer: what tells a thing from others, where it is found, how it is called, how it stands.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recorded_documents import Fact
from recorded_shapes import shape_at
from recording_command import CATALOG, RECORDED

MOST = 6
KEYS = ("id", "gid", "uuid", "guid", "sid", "key", "ts", "iid", "number", "name_id", "arn", "messageid")
PLACES = ("url", "htmlurl", "permalinkurl", "permalink", "weburl", "webviewlink", "weblink", "link", "uri")
NAMES = ("name", "title", "subject", "summary", "displayname", "email", "filename", "text", "message")
STATES = ("status", "state", "type", "createdat", "created", "createdtime", "datecreated", "updatedat")
WANTED = (*KEYS, *PLACES, *NAMES, *STATES)
READING = ("get", "read", "retrieve", "show", "fetch", "describe", "check", "about", "lookup", "look")
LISTING = ("list", "search", "find", "query")
CHANGING = ("update", "set", "modify", "patch", "move", "close", "transition", "acknowledge")
MAKING = ("create", "add", "send", "post", "upload", "insert", "copy", "publish", "append", "put")


def fields_of(shape: Fact, thing: str, prefix: str = "", levels: int = 2) -> list[str]:
    """Return the paths of a shape that later steps mostly want, the nearest level that has any.

    A thing without a plain id is told by an id of its own name, ``order_id`` of an order.
    """
    inside = {name: one for name, one in shape.get("properties", {}).items() if "." not in name}
    plain = {re.sub(r"[^a-z]", "", name.lower()): name for name, one in inside.items() if _is_plain(one)}
    own = re.sub(r"[^a-z]", "", thing.removesuffix("s")) + "id"
    found = [plain[name] for name in (own, *WANTED) if name in plain]
    if not plain.keys() & set(KEYS) and own not in plain:
        found = [name for name in inside if name.endswith(("_id", "Id", "ID"))][:2] + found
    if found or not levels:
        return [prefix + name for name in dict.fromkeys(found)][:MOST]
    deeper = (fields_of(one, thing, f"{prefix}{name}.", levels - 1) for name, one in inside.items())
    return max(deeper, key=len, default=[])


def _is_plain(shape: Fact) -> bool:
    return shape["type"] in ("string", "integer", "number", "any")


def answer_of(name: str, told: Fact, entry: dict[str, Any]) -> dict[str, Any] | None:
    """Return what an operation answers by its recorded source; None where that does not say it."""
    answers = [answer["shape"] for _, answer in sorted(told["responses"].items())]
    shape = answers[0] if answers else {"type": "any"}
    if shape["type"] == "none":
        return {"what": "Nothing."}
    verb, _, thing = name.partition("_")
    place, thing = entry.get("list_at"), thing.replace("_", " ")
    if place:
        paged = entry.get("pagination", {}).get("kind", "none") != "none"
        rows = thing if verb in (*LISTING, *READING) and thing else "rows"
        fields = fields_of(_rows(shape, place), thing)
        return {
            "what": f"{'A page of' if paged else 'The'} {rows}.",
            **({"fields": fields} if fields else {}),
        }
    fields = fields_of(shape, thing)
    return {"what": _words(verb, thing), "fields": fields} if fields else None


def _words(verb: str, thing: str) -> str:
    if verb in (*READING, *LISTING) and thing not in ("", "me"):
        return f"The {thing.removeprefix('my ')}."
    if thing in ("", "me"):
        return "What the service tells of it."
    if verb in MAKING:
        return f"The {thing} as the service took it."
    if verb in CHANGING:
        return f"The {thing} after the change."
    return "What the service tells of it."


def _rows(shape: Fact, place: str) -> Fact:
    rows = shape_at(shape, place) or {}
    return rows.get("items", {})  # type: ignore[no-any-return]


def told_of(entry: str, recorded: Fact) -> str:
    """Return the text of an entry with what its operations answer, behind their sources."""
    known = {one["id"]: one for one in tomllib.loads(entry).get("operations", ())}
    lines: list[str] = []
    operation = None
    for line in entry.splitlines():
        if line.startswith("["):
            operation = "" if line == "[[operations]]" else None
        if operation == "" and line.startswith('id = "'):
            operation = line.split('"')[1]
        lines.append(line)
        if not (line.startswith("sources = ") and operation in recorded):
            continue
        told = known[operation]
        answer = None if "returns" in told else answer_of(operation, recorded[operation], told)
        if answer is not None:
            fields = json.dumps(answer.get("fields", []), ensure_ascii=False)
            more = f", fields = {fields}" if "fields" in answer else ""
            lines.append(f"returns = {{ what = {json.dumps(answer['what'])}{more} }}")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write what is not told yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*")
    only = parser.parse_args(arguments).only
    for file in sorted(Path(CATALOG).glob("*.toml")):
        fixture = RECORDED / f"{file.stem}.json"
        if fixture.exists() and (not only or file.stem in only):
            before = file.read_text("utf-8")
            after = told_of(before, json.loads(fixture.read_text("utf-8"))["operations"])
            if before != after:
                file.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
