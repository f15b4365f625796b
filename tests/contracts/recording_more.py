"""Record what further sources say of operations that are recorded already, and further operations from code.

    python tests/contracts/recording_more.py --root npm:n8n-nodes-base=FOLDER ... [--only ID]

The plan (``more_plan.toml``) names the sources of a service, and below each operation what they say:

    [okta.operations.list_users]
    paging = [{ kind = "link", source = 0, literals = ["headers?.link"] }]   # how its pages follow
    query = { page = "integer" }; source = 0                                 # parameters it also takes
    fixed = { Notion-Version = "2022-06-28" }; source = 0                    # values that must be sent
    repeatable = { why = "...", source = 0, literals = ["..."] }             # why a POST does no harm twice

Every literal, name and value must stand in its source. An operation with a ``method`` is recorded as by
``recording.py``. Run it after the other recorders: they write a fixture anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recorded_documents import Fact
from recording import CATALOG, RECORDED, Sources, WrongPlanError, _from_code, _operation, _stated, mark, write

PLAN = Path(__file__).parent / "more_plan.toml"


def supplement(fixture: Fact, plan: Mapping[str, Any], roots: Mapping[str, Path], today: str) -> Fact:
    """Return the fixture with what the plan's sources add; raises WrongPlanError for what they do not say."""
    sources = Sources(plan["sources"], roots, today)
    places = [_place(fixture, fact) for fact in sources.facts]
    fixture["auth"] += [
        {**one, "source": places[one["source"]]} for one in _stated(plan.get("auth", ()), sources)
    ]
    for url in _stated(plan.get("servers", ()), sources):
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
        fact = _from_code(asked, sources, place)
    else:
        fact = _operation(asked, sources, fixture["servers"], {"servers": fixture["servers"]})
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
    if "repeatable" in asked:
        fact["repeatable"] = _proved(asked["repeatable"], sources, places)


def _proved(told: Mapping[str, Any], sources: Sources, places: Sequence[int]) -> Fact:
    at = [sources.place_of(told["source"], literal, told.get("line")) for literal in told["literals"]]
    kept = {key: value for key, value in told.items() if key not in ("literals", "line")}
    return {**kept, "source": places[told["source"]], "at": ", ".join(dict.fromkeys(at))}


def main(arguments: Sequence[str]) -> int:
    """Add what the plan asks for to the fixtures; say what it claims without proof."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", type=Path, default=PLAN)
    parser.add_argument("--root", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--only", nargs="*", help="ids of the services to record")
    parser.add_argument("--into", type=Path, default=RECORDED)
    told = parser.parse_args(arguments)
    roots = {name: Path(folder) for name, _, folder in (root.partition("=") for root in told.root)}
    today, failed = datetime.now(UTC).date().isoformat(), 0
    for service, plan in tomllib.loads(told.plan.read_text("utf-8")).items():
        if told.only and service not in told.only:
            continue
        file = told.into / f"{service}.json"
        empty = {"service": service, "sources": [], "servers": [], "auth": [], "operations": {}}
        fixture = json.loads(file.read_text("utf-8")) if file.exists() else empty
        try:
            write(supplement(fixture, plan, roots, today), told.into)
        except (WrongPlanError, LookupError, OSError) as error:
            failed += 1
            sys.stderr.write(f"{service}: {type(error).__name__}: {error}\n")
    if told.into == RECORDED:
        mark(RECORDED, CATALOG)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
