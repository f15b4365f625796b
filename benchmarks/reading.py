"""Measure how requests are read: status, start, times by the moments they fire, services, what is lost.

python benchmarks/reading.py                 the figures, and every request that is read otherwise
python benchmarks/reading.py --file other.toml
python benchmarks/reading.py --time          also the time of one request, warm
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from prefect_autopilot.intelligence import analyze
from prefect_autopilot.models import Analysis, RequestContext, TriggerSpec
from prefect_autopilot.services import Catalogue, load_catalogue

REQUESTS = Path(__file__).with_name("reading_requests.toml")
FIRST = datetime(2027, 1, 1)  # noqa: DTZ001 - times are compared within one zone
LAST = FIRST + timedelta(days=400)
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--file", type=Path, default=REQUESTS)
    parser.add_argument("--time", action="store_true")
    chosen = parser.parse_args()
    catalogue = load_catalogue()
    rows = tomllib.loads(chosen.file.read_text(encoding="utf-8"))["requests"]
    tally: dict[str, list[bool]] = {}
    for row in rows:
        context = RequestContext(connected_services=tuple(row.get("connected", ())))
        analysis = analyze(row["text"], context, catalogue)
        verdicts = judged(row, analysis)
        for name, (right, _) in verdicts.items():
            tally.setdefault(name, []).append(right)
        tally.setdefault("all", []).append(all(right for right, _ in verdicts.values()))
        wrong = [f"{name}: {told}" for name, (right, told) in verdicts.items() if not right]
        if wrong:
            sys.stdout.write(f"{row['text']}\n" + "".join(f"    {line}\n" for line in wrong))
    for name, found in tally.items():
        sys.stdout.write(f"{name:12}{sum(found):>5} of {len(found)}\n")
    if chosen.time:
        timed([row["text"] for row in rows], catalogue)
    return 0


def judged(row: dict[str, Any], analysis: Analysis) -> dict[str, tuple[bool, str]]:
    """Return what is right of a reading, each with what was read."""
    trigger = analysis.trigger or TriggerSpec(type="other")
    used = {m.service for m in analysis.services if m.role == "used"}
    found: dict[str, tuple[bool, str]] = {}
    statuses = row.get("status", ["flow"])
    told = " ".join(q.text for q in analysis.questions)
    found["status"] = (analysis.status in statuses, f"{analysis.status} {told}")
    if "trigger" in row:
        found["trigger"] = (trigger.type in row["trigger"], trigger.type)
    if "service" in row:
        found["source"] = (trigger.service == row["service"], str(trigger.service))
    if "event" in row:
        found["event"] = (re.search(row["event"], trigger.event or "") is not None, str(trigger.event))
    if "fires" in row or "rule" in row:
        right = same_times(row, trigger)
        found["times"] = (right, str(trigger.cron or trigger.rrule or trigger.interval_s))
    if "zone" in row:
        found["zone"] = (trigger.timezone == row["zone"], str(trigger.timezone))
    if "uses" in row:
        found["services"] = (used == set(row["uses"]), str(sorted(used)))
    if "avoids" in row:
        found["avoided"] = (not used & set(row["avoids"]), str(sorted(used)))
    if "kept" in row:
        lost = [words for words in row["kept"] if words not in visible(analysis)]
        found["kept"] = (not lost, f"lost {lost}")
    return found


def visible(analysis: Analysis) -> str:
    """Return all that a reading says back: filter, conditions, waits, values, questions, what is not done."""
    said = [q.text for q in analysis.questions] + list(analysis.unsupported) + list(analysis.reasons)
    said += [analysis.trigger.filter or ""] if analysis.trigger else []
    for step in analysis.steps:
        said += [step.condition or "", f"wait {step.wait_s} s" if step.wait_s else ""]
        said += [str(argument.model_dump()) for argument in step.arguments.values()]
    return " ".join(said).lower()


def same_times(row: dict[str, Any], trigger: TriggerSpec) -> bool:
    """Tell whether a schedule fires when it should, over 400 days."""
    if "rule" in row:
        wanted = of_rule(row["rule"])
    else:
        wanted = {moment for cron in row["fires"] for moment in of_cron(cron)}
    skipped = set(row.get("skip", ()))
    wanted = {at for at in wanted if not {f"{at:%m-%d}", DAYS[at.weekday()]} & skipped}
    if trigger.cron:
        return of_cron(trigger.cron) == wanted
    return bool(trigger.rrule) and of_rule(str(trigger.rrule)) == wanted


def of_cron(cron: str) -> set[datetime]:
    """Return when a cron expression fires."""
    from prefect._vendor.croniter import croniter

    times = croniter(cron, FIRST - timedelta(seconds=1))
    found: set[datetime] = set()
    while (at := times.get_next(datetime)) < LAST:
        found.add(at)
    return found


def of_rule(rule: str) -> set[datetime]:
    """Return when a rule of RFC 5545 fires."""
    from dateutil.rrule import rrulestr

    return set(rrulestr(rule).between(FIRST, LAST - timedelta(seconds=1), inc=True))


def timed(texts: list[str], catalogue: Catalogue) -> None:
    """Print how long one request takes, warm."""
    seconds = []
    for text in texts * 3:
        started = time.perf_counter()
        analyze(text, RequestContext(), catalogue)
        seconds.append(time.perf_counter() - started)
    parts = statistics.quantiles(seconds, n=20)
    sys.stdout.write(
        f"milliseconds of a request, warm (n = {len(seconds)}):"
        f" median {statistics.median(seconds) * 1000:.1f}, p95 {parts[-1] * 1000:.1f},"
        f" longest {max(seconds) * 1000:.1f}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
