"""Record what a source says of a service's operations: names, paths and types, nothing else.

    python tests/contracts/recording.py --plan tests/contracts/plan_*.toml --root NAME=FOLDER [--only ID]
    python tests/contracts/recording.py --mark
    python tests/contracts/recording.py --report

A plan says which operation of which document an operation of the catalogue is; what is recorded comes from
the document alone. ``--root`` tells where the files of a source lie, by the name the plan gives it.

Afterwards, or with ``--mark`` alone, every operation of the catalogue that is recorded is marked as
confirmed, and no other.

A plan in TOML, one table a service:

    [asana]
    sources = [
      { name = "github:Asana/openapi", version = "fc9f8dc", file = "defs/asana_oas.yaml" },
      { name = "npm:n8n-nodes-base", version = "2.41.2", file = "dist/credentials/X.js", kind = "code" },
      { name = "github:NangoHQ/nango", version = "2f4c0af671", file = "packages/providers/providers.yaml",
        kind = "provider", provider = "asana" },  # base address and authentication from the table
    ]
    servers = [{ url = "https://…", source = 1, literals = ["api.x.com"], line = 31 }]  # for the document's
    auth = [{ type = "apiKey", in = "header", name = "X-Key", source = 1, literals = ["X-Key"] }]
    credential_parameters = ["token"]  # parameters of operations that carry the credential
    [asana.operations]
    create_task = "createTask"              # an operationId, a discovery method id, or "METHOD path"
    get_task = { source = 0, operation = "GET /tasks/{task_gid}" }
    list_notes = { operation = "listNotes", answer = [{ at = "next", type = "string", source = 1 }] }
    add_note = { source = 1, method = "POST", path = "/notes/{id}", line = 80, query = { x = "string" },
                 body = { text = "string" }, required = ["text"], content = "application/json" }  # from code

What code states is proved by literals that must stand in the file (near ``line`` where one is named); a
server or auth entry of the plan without ``literals`` must stand there with its ``url``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recorded_documents import Document, Fact, body_fact, open_document
from recorded_providers import Provider
from recording_command import WrongPlanError, arguments_of, carry_out, mark, report, source_fact

NEARBY = 3
"""Lines around the one a plan names in which a literal may stand."""


class Sources:
    """The files a service is recorded from."""

    def __init__(self, listed: Sequence[Mapping[str, str]], roots: Mapping[str, Path], today: str) -> None:
        self.files = [roots[one["name"]] / one["file"] for one in listed]
        self.facts = [
            source_fact(one["name"], one["version"], one["file"], file.read_bytes(), today)
            for one, file in zip(listed, self.files, strict=True)
        ]

    def document(self, place: int) -> Document:
        """Return a reader of the document at this place of the list."""
        return open_document(self.files[place])

    def teller(self, place: int, listed: Mapping[str, str]) -> Document | Provider | None:
        """Return what reads servers and authentication from this source; nothing does from code."""
        kind = listed.get("kind", "document")
        if kind == "provider":
            return Provider(self.files[place], listed["provider"])
        return self.document(place) if kind == "document" else None

    def place_of(self, place: int, literal: str, line: int | None = None) -> str:
        """Return ``file:line`` where a literal stands in a source; raises WrongPlanError elsewhere."""
        lines = self.files[place].read_text("utf-8", errors="replace").splitlines()
        first, last = (0, len(lines)) if line is None else (max(0, line - 1 - NEARBY), line + NEARBY)
        for number, text in enumerate(lines[first:last], first + 1):
            if literal in text:
                return f"{self.facts[place]['file']}:{number}"
        msg = f"{literal!r} does not stand in {self.facts[place]['file']} (line {line})"
        raise WrongPlanError(msg)


def record(service: str, plan: Mapping[str, Any], roots: Mapping[str, Path], today: str) -> Fact:
    """Return the fixture of a service."""
    sources = Sources(plan["sources"], roots, today)
    servers = stated(plan.get("servers", ()), sources)
    auth = stated(plan.get("auth", ()), sources)
    for place, listed in enumerate(plan["sources"]):
        told = sources.teller(place, listed)
        if told is None:
            continue
        if "servers" not in plan:
            servers += [{**fact, "source": place} for fact in _reachable(told.servers(), plan)]
        shift = len(auth)
        for fact in told.auth():
            companions = {"with": [shift + number for number in fact["with"]]} if "with" in fact else {}
            auth.append({**fact, "source": place, **companions})
    operations = {}
    for name, told in plan["operations"].items():
        asked = {"operation": told} if isinstance(told, str) else told
        operations[name] = operation_of(asked, sources, servers, plan)
    return {
        "service": service,
        "sources": sources.facts,
        "servers": servers,
        "auth": auth,
        "operations": operations,
    }


def _reachable(servers: Sequence[Fact], plan: Mapping[str, Any]) -> list[Fact]:
    """Return the addresses with a host, without what has a safer twin; a person's own host is a slot."""
    if plan.get("self_hosted"):
        paths = [re.sub(r"^(\w+:)?//[^/]+", "", one["url"]) for one in servers] or [""]
        return [{"url": "https://{host}" + path, "at": "servers"} for path in dict.fromkeys(paths)]
    urls = {one["url"] for one in servers}
    safe = [one for one in servers if one["url"].replace("http://", "https://") not in urls - {one["url"]}]
    return [one for one in safe if "://" in one["url"]]


def stated(facts: Sequence[Mapping[str, Any]], sources: Sources) -> list[Fact]:
    """Return facts a plan states, each proved by the literals that stand in its source."""
    found = []
    for fact in facts:
        kept = {key: value for key, value in fact.items() if key not in ("literals", "line")}
        place = kept.setdefault("source", 0)
        literals = fact.get("literals") or [fact["url"]]
        kept["at"] = ", ".join(
            dict.fromkeys(sources.place_of(place, one, fact.get("line")) for one in literals)
        )
        if kept.get("type") == "oauth2":
            kept = {"token_url": None, "refresh_url": None, **kept}
        if kept.get("type") == "apiKey":
            kept = {"prefix": None, **kept}
        found.append(kept)
    return found


def operation_of(
    asked: Mapping[str, Any], sources: Sources, servers: list[Fact], plan: Mapping[str, Any]
) -> Fact:
    """Return an operation of the plan as its source describes it; adds to ``servers`` those of its own."""
    place = asked.get("source", 0)
    if "method" in asked:
        return operation_in_code(asked, sources, place)
    fact = sources.document(place).operation(asked["operation"])
    for more in asked.get("answer", ()):
        add_to_answer(fact, more, sources, more["source"])
    own = [url for url in fact.pop("servers") if "://" in url]
    if "servers" in plan or plan.get("self_hosted"):
        own = []  # the plan's servers stand for those of the document
    for url in own:
        if url not in [server["url"] for server in servers]:
            servers.append({"url": url, "source": place, "at": f"{fact['at']} servers"})
    first = next((n for n, one in enumerate(servers) if one["source"] == place), 0)
    fact["server"] = next(
        (n for n, one in enumerate(servers) if one["url"] in own), asked.get("server", first)
    )
    for parameter in fact["parameters"]:
        if parameter["name"] in plan.get("credential_parameters", ()):
            parameter["credential"] = True
    return {"source": place, **fact}


def add_to_answer(fact: Fact, more: Mapping[str, Any], sources: Sources, place: int) -> None:
    """Add a field of the answer that another source reads (``response_metadata.next_cursor``).

    ``place`` is that of the source in the fixture.
    """
    *outer, name = more["at"].split(".")
    at = sources.place_of(more["source"], more.get("literal", more["at"]), more.get("line"))
    for answer in fact["responses"].values():
        shape = answer["shape"]
        for step in outer:
            shape = shape.setdefault("properties", {}).setdefault(step, {"type": "object"})
            shape["type"] = "object"
        shape["type"] = "object"
        told = {"type": more["type"], "source": place, "at": at}
        shape.setdefault("properties", {}).setdefault(name, told)


def operation_in_code(asked: Mapping[str, Any], sources: Sources, place: int) -> Fact:
    """Return an operation read from code; every literal of it must stand there."""
    line = asked.get("line")
    literals = asked.get("literals") or [
        part for part in re.split(r"\{[^}]*\}", asked["path"]) if part != "/"
    ]
    at = [sources.place_of(place, literal, line) for literal in literals if literal]
    parameters = [
        {"name": name, "in": "path", "required": True, "type": "string", "fixed": None}
        for name in re.findall(r"\{([^}]*)\}", asked["path"])
    ]
    for where in ("query", "header"):
        for name, kind in asked.get(where, {}).items():
            sources.place_of(place, name)
            needed = name in asked.get("required", ())
            parameters.append({"name": name, "in": where, "required": needed, "type": kind, "fixed": None})
    body: Fact = {"content": [], "root": "none"}
    if "body" in asked:
        for name in asked["body"]:
            sources.place_of(place, name)
        shape = {
            "type": asked.get("root", "object"),
            "properties": {
                n: {"type": kind} if isinstance(kind, str) else kind for n, kind in asked["body"].items()
            },
            "required": sorted(n for n in asked.get("required", ()) if n in asked["body"]),
            "open": True,
        }
        body = body_fact([asked.get("content", "application/json")], shape)
    return {
        "source": place,
        "at": ", ".join(dict.fromkeys(at)),
        "method": asked["method"],
        "path": asked["path"],
        "server": asked.get("server", 0),
        "parameters": parameters,
        "open": True,
        "body": body,
        "responses": {"200": {"content": "application/json", "shape": asked.get("answer", {"type": "any"})}},
    }


def main(arguments: Sequence[str]) -> int:
    """Record what the plans ask for, or print the table."""
    parser = arguments_of(__doc__, [])
    parser.add_argument("--mark", action="store_true", help="mark what is recorded in the catalogue")
    parser.add_argument("--report", action="store_true")
    told = parser.parse_args(arguments)
    if told.report:
        sys.stdout.write(report(told.into) + "\n")
        return 0
    if told.mark and not told.plan:
        mark(told.into, told.catalog)
    return carry_out(told, record)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
