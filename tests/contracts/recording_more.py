"""Record what further sources say of operations that are recorded already, and further operations from code.

    python tests/contracts/recording_more.py --root npm:n8n-nodes-base=FOLDER ... [--only ID]

The plans (``more_plan.toml``, ``paging_plan.toml``) name the sources of a service, and below each operation
what they say:

    [okta.operations.list_users]
    paging = [{ kind = "link", source = 0, literals = ["headers?.link"] }]   # how its pages follow
    query = { page = "integer" }; source = 0                                 # parameters it also takes
    fixed = { Notion-Version = "2022-06-28" }; source = 0                    # values that must be sent
    repeatable = { why = "...", source = 0, literals = ["..."] }             # why a POST does no harm twice
    raw = { source = 1, literals = ["..."] }                                 # the body is sent as it is
    wrapped = { field = "value", source = 0, literals = ["..."] }            # where an object holds the list
    first = { number = 0, source = 0, literals = ["query.page = 0"] }        # what its pages are counted from
    answer_fields = [{ at = "rows", type = "array", source = 0, literal = "..." }]  # what its answer holds
    credentials = ["api_key"]                                                # fields a header stands for

Every literal, name and value must stand in its source. An operation with a ``method`` is recorded as by
``recording.py``. Run it after the other recorders: they write a fixture anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recorded_documents import Fact, body_fact
from recording import Sources, add_to_answer, operation_in_code, operation_of, stated
from recording_command import arguments_of, carry_out

PLANS = [Path(__file__).parent / name for name in ("more_plan.toml", "paging_plan.toml")]


def supplement(fixture: Fact, plan: Mapping[str, Any], roots: Mapping[str, Path], today: str) -> Fact:
    """Return the fixture with what the plan's sources add; raises WrongPlanError for what they do not say."""
    sources = Sources(plan["sources"], roots, today)
    places = [_place(fixture, fact) for fact in sources.facts]
    for proof in stated(plan.get("auth", ()), sources):
        if (told := {**proof, "source": places[proof["source"]]}) not in fixture["auth"]:
            fixture["auth"].append(told)
    for url in stated(plan.get("servers", ()), sources):
        if url["url"] not in [server["url"] for server in fixture["servers"]]:
            fixture["servers"].append({**url, "source": places[url["source"]]})
    for name, asked in plan.get("operations", {}).items():
        if "method" in asked or "operation" in asked:
            fixture["operations"][name] = _new(asked, sources, places, fixture)
        _add(fixture["operations"][name], asked, sources, places)
    return fixture


def _place(fixture: Fact, source: Mapping[str, str]) -> int:
    """Return the place of a source among those of the fixture, put at their end where it is new."""
    for place, known in enumerate(fixture["sources"]):
        if (known["name"], known["file"], known["sha256"]) == (
            source["name"],
            source["file"],
            source["sha256"],
        ):
            return place
    fixture["sources"].append(source)
    return len(fixture["sources"]) - 1


def _new(asked: Mapping[str, Any], sources: Sources, places: Sequence[int], fixture: Fact) -> Fact:
    place = asked.get("source", 0)
    if "method" in asked:
        fact = operation_in_code(asked, sources, place)
    else:
        fact = operation_of(asked, sources, fixture["servers"], {"servers": fixture["servers"]})
    if "raw" in asked:
        for literal in asked["raw"]["literals"]:
            sources.place_of(asked["raw"]["source"], literal)
        fact["body"] = body_fact(["*/*"], {"type": "object", "properties": {}, "required": [], "open": True})
    for name in asked.get("credentials", ()):
        fact["body"]["required"].remove(name)
    return {**fact, "source": places[place], "server": asked.get("server", 0)}


def _add(fact: Fact, asked: Mapping[str, Any], sources: Sources, places: Sequence[int]) -> None:
    place = asked.get("source", 0)
    known = {one["name"]: one for one in fact["parameters"]}
    for name, kind in {} if "method" in asked else asked.get("query", {}).items():
        sources.place_of(place, name)
        if name not in known:
            fact["parameters"].append(
                {"name": name, "in": "query", "required": False, "type": kind, "fixed": None}
            )
    for name, value in asked.get("fixed", {}).items():
        sources.place_of(asked.get("fixed_names", place), name)
        sources.place_of(place, value)
        if name not in known:
            added = {"name": name, "in": "header", "required": True, "type": "string", "fixed": value}
            fact["parameters"].append(added)
        else:
            known[name]["fixed"] = value
    if "paging" in asked:
        fact["paging"] = [_proved(one, sources, places) for one in asked["paging"]]
    for more in asked.get("answer_fields", ()):
        add_to_answer(fact, more, sources, places[more["source"]])
    if "wrapped" in asked and "wrapped" not in fact:
        fact["wrapped"] = _proved(asked["wrapped"], sources, places)
        for answer in fact["responses"].values():
            answer["shape"] = {"type": "object", "properties": {asked["wrapped"]["field"]: answer["shape"]}}
    for key in {"first", "repeatable"} & asked.keys():
        fact[key] = _proved(asked[key], sources, places)


def _proved(told: Mapping[str, Any], sources: Sources, places: Sequence[int]) -> Fact:
    at = [sources.place_of(told["source"], literal, told.get("line")) for literal in told["literals"]]
    kept = {key: value for key, value in told.items() if key not in ("literals", "line")}
    return {**kept, "source": places[told["source"]], "at": ", ".join(dict.fromkeys(at))}


def known(service: str, folder: Path) -> Fact:
    """Return the fixture of a service so far, an empty one where there is none."""
    file = folder / f"{service}.json"
    if file.exists():
        return json.loads(file.read_text("utf-8"))  # type: ignore[no-any-return]
    return {"service": service, "sources": [], "servers": [], "auth": [], "operations": {}}


def main(arguments: Sequence[str]) -> int:
    """Add what the plan asks for to the fixtures; say what it claims without proof."""
    told = arguments_of(__doc__, PLANS).parse_args(arguments)
    return carry_out(told, lambda service, *asked: supplement(known(service, told.into), *asked))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
