"""What a request asks for and no step does: said so, or asked, and never dropped in silence."""

from __future__ import annotations

import re
from collections.abc import Iterable

from prefect_autopilot.intelligence.branches import refers_back
from prefect_autopilot.intelligence.clauses import Clause
from prefect_autopilot.intelligence.data import words
from prefect_autopilot.intelligence.deeds import deeds
from prefect_autopilot.intelligence.operations import destroys
from prefect_autopilot.intelligence.scene import Scene
from prefect_autopilot.intelligence.trigger import Start, clause_span
from prefect_autopilot.intelligence.waits import find_waits
from prefect_autopilot.models import Constant, FromParameter, Operation, Question, Span, StepSpec
from prefect_autopilot.services import Catalogue

_OTHERWISE = re.compile(
    r"(?:^|[,;.]\s*|\b(?:and|or)\s+)(?:otherwise|else|if not),?\s+(?P<what>[^.;\n]{3,120})"
)
_EVERYTHING = re.compile(
    r"\b(?:everything|(?:every|all|each|any)\b(?! (?:\w+day|day|night|week|weekend|month|quarter"
    r"|year|hour|minute|morning|afternoon|evening|other|\d+)s?\b))\b(?: [\w-]+){0,2}",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"\b(?:[\w-]+ ){0,2}[a-z]{3,}s (?:that|which|older|with|whose|not|without|marked|tagged)\b"
    r"(?: [\w-]+){0,4}",
    re.IGNORECASE,
)
_IDLE = re.compile(
    r"(?:just )?(?:do|does|does not do|don't do) (?:nothing|anything)\b|(?:ignore|skip|leave) (?:it|them)"
)
_APPROVAL = re.compile(
    r"\b(?:(?:ask|wait|request|requests|asks|get|needs?)\b[^.;\n]{0,60}?\b(?:approval|approve|sign-off)"
    r"|(?:after|once|until|unless|only if)\b[^.;\n]{0,40}?\bapprove[sd]?)\b"
)

_IMPERATIVE = re.compile(
    r"\s*(?:(?:and|then|also|please|just|finally|automatically)\s+)*(?P<verb>[a-z]+)\b(?! (?:of|for) )"
)
_WORKED_OUT = frozenset(
    {
        "compare",
        "merge",
        "filter",
        "deduplicate",
        "dedupe",
        "rank",
        "sort",
        "calculate",
        "compute",
        "aggregate",
    }
)
_MADE = _WORKED_OUT | frozenset(
    {"make", "create", "generate", "build", "turn", "convert", "transform", "set", "import"}
)
"""What a program works out itself; said to be missing, and no service to ask for."""
_SUPPOSED = re.compile(
    r"(?:and |but |so |then |only )?(?:if|unless|only if|in case)\b"
    r"(?!,? (?:not|so|else|you (?:can|could|like|want|don't mind)|(?:(?:that|it|this)(?:'s| is| were)? )?"
    r"(?:at all )?(?:possible|ok(?:ay)?|feasible|needed|necessary))\b)\s*"
)
_HAPPENS = re.compile(
    r"(?:and |but |so |then |only )?(?:if|unless|only if|in case|when\w*|once|as soon|every ?time|each time"
    r"|any ?time|upon|the moment)\b"
)
_OTHER_EVENT = re.compile(r"(?:and |but |then )?(?:when|whenever|every ?time|each time)\b")
_IF = re.compile(r"\s*(?:(?:but|and|or|please)\s+)*(?:not\s+|only\s+)?(?:if|unless)\b")
_UNLESS = re.compile(r"\s*(?:but )?unless\b")
_NO_ORDER = re.compile(r"\s*(?:please |we )?(?:(?:stop|quit|stopped) using|no longer use)\b")
_STOP = re.compile(r"[.;!?\n](?=\s|$)")
_WORDS = re.compile(r"[a-z]{2,}")
_OF_A_TIME = re.compile(
    r"\b(?:it(?:'s| is)|day|week|month|year|clock|is|opens|closes|starts|begins|ends|strikes|has passed)\b"
)
_NO_NOUN = re.compile(r"\b(?:the|an?|my|our|as possible)\b")
_A_CLAUSE = 2
LEAVE_OUT = "leave it out"


def missing_branch(scene: Scene, steps: tuple[StepSpec, ...]) -> Question | None:
    """Return the question for an "otherwise" that no step does, None where every one is done."""
    found = _OTHERWISE.search(scene.text)
    if found is None or _IDLE.match(found["what"]):
        return None
    place = scene.document.span(*scene.clean(*found.span("what")))
    if any(step.condition and step.span and _overlap(step.span, place) for step in steps):
        return None
    said = scene.cased(*found.span("what")).strip()
    return Question(
        id="otherwise",
        text=f'When exactly should {said!r} happen, and in which service? Say it as a sentence with "if".',
    )


def sweeping(steps: tuple[StepSpec, ...], catalogue: Catalogue) -> Question | None:
    """Return the question for a step on one thing that is to be done to many ("delete every record")."""
    for step in steps:
        operation = catalogue.get(step.service).operation(step.operation)
        said = step.span.text if step.span else ""
        method = step.arguments.get("method")
        by_hand = operation is None and isinstance(method, Constant) and method.value == "DELETE"
        destroying = by_hand or (operation is not None and destroys(operation))
        found = _EVERYTHING.search(said) if destroying or _lacks_its_thing(step, operation) else None
        found = found or (_FILTERED.search(said) if _lacks_its_thing(step, operation) else None)
        if found and step.for_each is None:
            name = catalogue.get(step.service).name
            return Question(
                id="everything",
                text=f"{_told(operation)} takes one at a"
                f" time: which ones in {name} do you mean by {found[0].strip()!r}, and how are they found?",
            )
    return None


def _lacks_its_thing(step: StepSpec, operation: Operation | None) -> bool:
    """Tell whether a step changes or takes away a thing whose id nothing gives."""
    if operation is None or not deeds(operation) & {"update", "delete"}:
        return False
    return any(
        p.location == "path" and p.required and isinstance(step.arguments.get(p.name), FromParameter)
        for p in operation.parameters[:3]
    )


def _told(operation: Operation | None) -> str:
    if operation is None:
        return "Deleting"
    return operation.verbs[0].capitalize() if operation.verbs else operation.id


def unread(
    scene: Scene, clauses: tuple[Clause, ...], steps: tuple[StepSpec, ...], start: Start
) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Return the orders and conditions that no step and no start stands for: to ask about, and to tell."""
    done = [step.span for step in steps if step.span]
    spec, untold = start.spec, _untold(scene, start)
    if spec and spec.span and (spec.service or spec.type not in {"manual", "app_event"}):
        done.append(spec.span)
    known = [spec.filter if spec else None, *(step.condition for step in steps)]
    conditions = " ".join(one for one in known if one).lower()
    asked: list[Span] = []
    told: list[Span] = []
    for clause in clauses:
        span = clause_span(scene, clause)
        if clause is untold:
            asked.append(span)
            continue
        if not span.text or any(_overlap(span, one) for one in done):
            continue
        said = scene.words(clause.start, clause.end)
        # A name that is only talked about does nothing about the condition it stands in.
        idle = "mentioned" if _IF.match(said) else ""
        if any(clause.holds(part) and part.role != idle for part in scene.parts):
            continue
        verb = None if clause.lead else _IMPERATIVE.match(said)
        if _NO_ORDER.match(said):
            continue
        supposed = _SUPPOSED.match(said.strip()) if clause.lead or _UNLESS.match(said) else None
        if supposed and refers_back(said.strip()):
            continue  # what an earlier step found
        if supposed and said.strip()[supposed.end() :][:20] not in conditions:
            asked.append(span)
        elif verb and verb["verb"] in words("verbs", "write") | words("verbs", "move") | _WORKED_OUT:
            (told if verb["verb"] in _MADE else asked).append(span)
    return tuple(asked), tuple(told)


def second_start(scene: Scene, clauses: tuple[Clause, ...], start: Start) -> list[Question]:
    """Ask about what another event is to start ("…, and when it is closed, archive it"): a flow has one."""
    origin = start.source.clause if start.source else start.untold
    if origin is None or origin.lead is None:
        return []
    for i, clause in enumerate(clauses):
        if clause is origin or not _OTHER_EVENT.match(clause.lead or ""):
            continue
        if not any(c.verb and c.lead is None and c.start > origin.start for c in clauses[:i]):
            continue
        stop = _STOP.search(scene.text, clause.start)
        part = scene.document.span(*scene.clean(clause.start, stop.start() if stop else len(scene.text)))
        return [
            Question(
                id=f"part_{part.start}_{part.end}",
                text=f"A flow has one start, and {part.text!r} has another: ask for it as a flow of its own?",
                options=(LEAVE_OUT,),
            )
        ]
    return []


def _untold(scene: Scene, start: Start) -> Clause | None:
    """Return what starts it and nothing looks at; beside the time of a schedule more may be said."""
    clause, spec = start.untold, start.spec
    if clause is None or spec is None or any(clause.holds(part) for part in scene.parts):
        return None
    if spec.type == "schedule":
        said = scene.words(clause.start, clause.end)
        time = spec.span.text.lower() if spec.span else ""
        rest = _NO_NOUN.sub(" ", said.replace(time, " ", 1).strip()[len(clause.lead or "") :])
        if time in said:
            rest = _OF_A_TIME.sub(" ", rest)
        return clause if len(_WORDS.findall(rest)) >= _A_CLAUSE else None
    return clause if spec.type in {"manual", "app_event"} and spec.service is None else None


def approval_question(scene: Scene) -> list[Question]:
    """Ask about an approval that is to come first: no flow waits for one, and none goes on without a word."""
    found = _APPROVAL.search(scene.document.lower)
    if found is None:
        return []
    part = scene.document.span(*found.span())
    return [
        Question(
            id=f"part_{part.start}_{part.end}",
            text=f"No flow waits for somebody's approval ({part.text!r}): should it go on without?",
            options=(LEAVE_OUT,),
        )
    ]


def wait_questions(scene: Scene) -> list[Question]:
    """Ask about waits that no run should hold out: they are a schedule of their own, or left out."""
    found = [(start, end) for start, end, seconds, _ in find_waits(scene.document.lower) if seconds is None]
    parts = [scene.document.span(*place) for place in found[:1]]
    return [
        Question(
            id=f"part_{part.start}_{part.end}",
            text=f"A run waits a day at most, and {part.text!r} is longer: should it go on at once, wait a"
            " day, or be a second flow on a schedule that looks for what is old enough?",
            options=(LEAVE_OUT, "wait 1 day"),
        )
        for part in parts
    ]


def time_questions(scene: Scene, start: Start) -> list[Question]:
    """Ask about what no schedule says ("except holidays", "until the end of june")."""
    places = start.schedule.unsaid if start.schedule else ()
    parts = [scene.document.span(*scene.clean(*place)) for place in places]
    return [
        Question(
            id=f"part_{part.start}_{part.end}",
            text=f"No schedule says {part.text.strip(' ,()')!r}: should it go on without?",
            options=(LEAVE_OUT,),
        )
        for part in dict.fromkeys(parts)
    ]


def part_questions(parts: Iterable[Span]) -> list[Question]:
    """Return a question for each part of the request that nothing stands for; its id tells the place."""
    return [
        Question(
            id=f"part_{part.start}_{part.end}",
            text=f"Nothing looks at {part.text!r}: which service or address tells it?"
            if _HAPPENS.match(part.text.lower())
            else f"No step does {part.text!r}: in which service should it happen?",
            options=(LEAVE_OUT,),
        )
        for part in parts
    ]


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def unwritten(scene: Scene) -> tuple[str, ...]:
    """Return what the request asks for that a generated flow does not do."""
    lower = scene.document.lower
    approval = _APPROVAL.search(lower)
    asked = [f"going on only after somebody's approval ({approval[0]!r})"] if approval else []
    return tuple(asked)
