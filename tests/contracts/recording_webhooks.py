"""Record how the code of vendors and connectors signs webhooks, with the lines it says so on.

    python tests/contracts/recording_webhooks.py --root npm:n8n-nodes-base=FOLDER ... [--only ID]

The plan (``webhook_plan.toml``) names for each service a source, the literals that must stand in it, and
what they say: the header, the digest, what is signed, how it is written. A ``page`` stands for a document
that only a browser shows; its facts carry no line.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recorded_documents import Fact
from recording import Sources
from recording_command import WrongPlanError, arguments_of

PLAN = Path(__file__).parent / "webhook_plan.toml"
RECORDED = Path(__file__).parent / "recorded_webhooks.json"
SOURCE = ("name", "version", "file", "literals", "page")


def fact_of(told: Mapping[str, Any], roots: Mapping[str, Path], today: str) -> Fact:
    """Return what a source says of one scheme; raises WrongPlanError for a literal that is not there."""
    scheme = {key: value for key, value in told.items() if key not in SOURCE}
    if "file" not in told:
        return {**scheme, "page": told["page"]}
    sources = Sources([{key: told[key] for key in SOURCE[:3]}], roots, today)
    at = [sources.place_of(0, literal) for literal in told["literals"]]
    return {**scheme, "at": list(dict.fromkeys(at)), "source": sources.facts[0]}


def main(arguments: Sequence[str]) -> int:
    """Record what the plan asks for, beside what was recorded before; say what it claims without proof."""
    parser = arguments_of(__doc__, [PLAN])
    parser.set_defaults(into=RECORDED)
    told = parser.parse_args(arguments)
    roots = {name: Path(folder) for name, _, folder in (root.partition("=") for root in told.root)}
    known = json.loads(told.into.read_text("utf-8")) if told.into.exists() else {}
    failed, today = 0, datetime.now(UTC).date().isoformat()
    plan = {key: value for one in told.plan for key, value in tomllib.loads(one.read_text("utf-8")).items()}
    for service in told.only or plan:
        try:
            known[service] = fact_of(plan[service], roots, today)
        except (LookupError, WrongPlanError, OSError) as error:
            failed += 1
            sys.stderr.write(f"{service}: {type(error).__name__}: {error}\n")
    kept = {service: fact for service, fact in known.items() if service in plan}
    told.into.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", "utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
