"""``generate --interactive``: open questions one by one, then preview, then deployment, each on a word."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from prefect_autopilot.cli.output import write_line
from prefect_autopilot.errors import UsageError

if TYPE_CHECKING:
    from prefect_autopilot.models import (
        Analysis,
        GeneratedFlow,
        JSONDict,
        PreviewResult,
        Question,
        RequestContext,
    )

_ROUNDS = 8
_YES = frozenset({"y", "yes", "ok", "sure"})
_NO = frozenset({"", "n", "no"})
_ASKED_AGAIN = 2


def settle(request: str, context: RequestContext) -> tuple[Analysis, RequestContext]:
    """Ask what is open until the request is understood; what cannot be settled is returned as it is.

    Raises UsageError when the answers end or lead nowhere.
    """
    from prefect_autopilot.journeys import automate
    from prefect_autopilot.journeys.answers import answered

    analysis = automate.understand(request, context)
    asked: dict[str, int] = {}
    for _ in range(_ROUNDS):
        question = next(iter(analysis.questions), None)
        if analysis.status != "clarify" or question is None:
            break
        asked[question.id] = asked.get(question.id, 0) + 1
        if asked[question.id] > _ASKED_AGAIN:
            raise UsageError(f"That was not understood; say the whole request anew. {question.text}")
        said = ask(question)
        request, context = answered(request, context, question, said)
        analysis = automate.understand(request, context)
    return analysis, context


def ask(question: Question) -> str:
    """Show a question with numbered choices and return the choice or the words that were typed."""
    write_line(question.text)
    for number, option in enumerate(question.options, 1):
        write_line(f"  {number}. {option}")
    said = _read("> ")
    if not said:
        raise UsageError("Nothing was answered, so nothing was created.")
    if said.isdecimal() and 1 <= int(said) <= len(question.options):
        return question.options[int(said) - 1]
    return said


def confirm(text: str) -> bool:
    """Ask for yes or no; no answer is no."""
    while True:
        said = _read(f"{text} [y/N] ").casefold()
        if said in _YES:
            return True
        if said in _NO:
            return False
        write_line("Answer y or n.")


def may_deploy(preview: PreviewResult | None) -> bool:
    """Ask whether to deploy what was previewed; what failed is not deployed and nobody is asked."""
    if preview is None or not preview.succeeded:
        return False
    return confirm("Deploy it? Its trigger is live afterwards.")


def open_values(flow: GeneratedFlow, given: JSONDict) -> JSONDict:
    """Ask for the parameters that nobody will be there to fill in; what is JSON is read as JSON."""
    from prefect_autopilot.journeys import automate

    known = dict(given)
    for one in automate.needed_values(flow):
        if known.get(one.name) is not None:
            continue
        write_line(one.description or one.name)
        said = _read(f"{one.name}: ")
        if not said:
            raise UsageError(f"{one.name} has no value, so nothing was deployed.")
        try:
            known[one.name] = said if one.type == "str" else json.loads(said)
        except ValueError:
            raise UsageError(f"{said!r} is no {one.type}; nothing was deployed.") from None
    return known


async def keep_choices(before: RequestContext, after: RequestContext) -> None:
    """Remember the services that were chosen for a kind, and say so."""
    from prefect_autopilot.journeys.answers import newly_chosen
    from prefect_autopilot.journeys.memory import remember

    for kind, service in newly_chosen(before, after).items():
        await remember(kind, service, user=after.user_id)
        write_line(f"Remembered: by {kind} you mean {service} (prefect-autopilot forget {kind}).")


def _read(prompt: str) -> str:
    sys.stdout.write(prompt)
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        raise UsageError("The answers ended before the request was clear; nothing was created.")
    return line.strip()
