"""What only the person can say, the weightiest first, at most three."""

from __future__ import annotations

from prefect_autopilot.intelligence.data import table
from prefect_autopilot.intelligence.kinds import Slot
from prefect_autopilot.models import Question
from prefect_autopilot.services import Catalogue

MAX_QUESTIONS = 3
_QUOTED = 60


def slot_question(slot: Slot, words: str, catalogue: Catalogue) -> Question:
    """Ask which service a kind means, offering the connected or likely ones."""
    names = [catalogue.get(option).name for option in slot.options]
    offered = f" For example {_listed(names)}." if names else ""
    return Question(
        id=f"service_{slot.kind}",
        text=f"Which {slot.label} do you mean by {_quoted(words)}?{offered}",
        options=slot.options,
    )


def choice_question(services: tuple[str, ...], kind: str | None, catalogue: Catalogue) -> Question:
    """Ask which of several named alternatives to use."""
    names = [catalogue.get(service).name for service in services]
    what = table("kinds")[kind]["label"] if kind in table("kinds") else "service"
    return Question(
        id="choice_" + "_".join(services),
        text=f"Which {what} should it be: {_listed(names)}?",
        options=services,
    )


def merged(questions: list[Question]) -> tuple[Question, ...]:
    """Keep one question of each id; beyond three, ask the remaining kinds in the third."""
    unique = list({question.id: question for question in questions}.values())
    if len(unique) <= MAX_QUESTIONS:
        return tuple(unique)
    rest = unique[MAX_QUESTIONS - 1 :]
    joined = Question(
        id="more",
        text=" ".join(question.text for question in rest),
        options=tuple(dict.fromkeys(option for question in rest for option in question.options)),
    )
    return (*unique[: MAX_QUESTIONS - 1], joined)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _quoted(words: str) -> str:
    return '"' + " ".join(words.split())[:_QUOTED] + '"'
