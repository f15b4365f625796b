"""Which words of a request nothing in the plan stands for: every other one is used, asked about or told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from prefect_autopilot.intelligence.branches import refers_back
from prefect_autopilot.intelligence.clauses import Clause, verbs
from prefect_autopilot.intelligence.data import words
from prefect_autopilot.intelligence.document import Token
from prefect_autopilot.intelligence.events import changes
from prefect_autopilot.intelligence.scene import Scene
from prefect_autopilot.intelligence.trigger import Start, clause_span
from prefect_autopilot.intelligence.trigger_types import start_words
from prefect_autopilot.intelligence.waits import find_waits
from prefect_autopilot.models import Argument, Constant, Question, Span, StepSpec, Text
from prefect_autopilot.services import Catalogue

_QUOTED = re.compile(r"'([^']{2,400})'|\"([^\"]{2,400})\"")
_SHORTEST_VALUE = 2
_NARROWS_ANYWHERE = re.compile(
    r"(?:whose|where|longer than|shorter than|bigger than|larger than|smaller than|older than|newer than|only"
    r"|but only|except)\b"
)
"""How words begin that make fewer events of one, in a clause that says what to do as well."""

_ONLY = re.compile(
    r"\s*(?:(?:and|but|please)\s+)*(?P<what>(?:only|except(?: for)?)\s+(?:the |those |ones? )*"
    r"\S.{1,80}?)[\s.!]*$"
)
_WHO = re.compile(r"\b(?:who|whose|where|which|about|regarding|mentioning|containing|titled|named)\b")
_TOLD_WHY = frozenset({"excluded", "mentioned", "background"})

_KEEPS = re.compile(
    r"(?:(?:but|and|or|please|then|just)\s+)*(?:only|unless|except|ignore|skip|exclude|omit|avoid|without|never"
    r"|don'?t|do not|not|max(?:imum)?|at most|no more|within|until|outside"
    r"|(?:when|while|if)\b(?! (?:the|an?|our|my) \S+$)|after \S+ (?:\w+)?"
    r"|keep only|limit|both (?:ways|directions)|two-way|bidirectional\w*|in both)\b"
)
_COMPARED = re.compile(
    r"(?:over|above|under|below|more|less|at least|at most|greater|larger|bigger|smaller|exceed|contain"
    r"|is|are)"
)
_MOST = 6
LEAVE_OUT = "leave it out"


class Coverage:
    """The characters of a cleaned request, each used or not."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.lower = scene.document.lower
        self.used = bytearray(len(self.lower))

    def mark(self, start: int, end: int) -> None:
        """Take characters as used."""
        self.used[start:end] = b"\1" * (end - start)

    def mark_text(self, said: str) -> None:
        """Take every place of a text as used, word by word where it stands nowhere as a whole."""
        plain = " ".join(said.lower().split())
        if len(plain) < _SHORTEST_VALUE:
            return
        found = [m.span() for m in re.finditer(re.escape(plain), self.lower)]
        for start, end in found:
            self.mark(start, end)

    def mark_words(self, start: int, end: int, known: frozenset[str] | set[str]) -> None:
        """Take the words of a part that are known as used, but none of grammar."""
        known = known - words("coverage", "filler")
        for token in self.scene.document.tokens:
            if start <= token.start < end and (token.text in known or stem(token.text) in known):
                self.mark(token.start, token.end)


def stem(word: str) -> str:
    """Return a word without its plural ending."""
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")


def left_over(
    scene: Scene,
    clauses: tuple[Clause, ...],
    start: Start,
    steps: tuple[StepSpec, ...],
    told: Iterable[str],
    catalogue: Catalogue,
) -> tuple[Span, ...]:
    """Return the words that no service, time, event, filter, step or value stands for, and ``told`` not.

    ``told`` are questions and remarks; what they quote was not passed over.
    """
    coverage = Coverage(scene)
    told = tuple(told)
    for part in scene.parts:
        coverage.mark(part.mention.start, part.mention.end)
    for clause in clauses:
        place, held = scene.clean(clause.start, clause.end), [p for p in scene.parts if clause.holds(p)]
        if held and all(part.role in _TOLD_WHY for part in held):
            coverage.mark(*place)  # "we moved away from …": the reason beside the service says so
        elif (held and not clause.lead) or refers_back(scene.words(clause.start, clause.end).strip()):
            coverage.mark_words(*place, verbs() | words("coverage", "found"))
    for begin, end, seconds, _ in find_waits(scene.document.lower):
        if seconds is not None and any(step.wait_s == seconds for step in steps):
            coverage.mark(begin, end)
    for text in told:
        coverage.mark_text(text)
        for found in _QUOTED.finditer(text):
            coverage.mark_text((found[1] or found[2]).removesuffix("…"))
    _mark_start(coverage, clauses, start, catalogue)
    for step in steps:
        _mark_step(coverage, clauses, step, catalogue)
    return tuple(span for clause in clauses for span in _groups(coverage, clause))


def narrowed(scene: Scene, clauses: tuple[Clause, ...], start: Start, catalogue: Catalogue) -> Start:
    """Add to the filter what else the clause of the event says of it ("from germany", "by dependabot")."""
    clause, spec = start.source.clause if start.source else None, start.spec
    if clause is None or spec is None or spec.service is None:
        return start
    coverage = Coverage(scene)
    for part in scene.parts:
        coverage.mark(part.mention.start, part.mention.end)
    _mark_start(coverage, (clause,), start, catalogue)
    found = [
        span
        for span in _groups(coverage, clause)
        if clause.lead or _NARROWS_ANYWHERE.match(span.text.lower())
    ]
    said = _joined(scene, spec.filter, found)
    for other in clauses:
        alone = not any(other.holds(part) for part in scene.parts)
        if alone and other.verb is None and (only := _ONLY.match(scene.words(other.start, other.end))):
            said.append(only["what"])
    filter_ = " and ".join(dict.fromkeys(said)) or None
    return replace(start, spec=spec.model_copy(update={"filter": filter_}))


def _joined(scene: Scene, filter_: str | None, more: list[Span]) -> list[str]:
    """Return the conditions of a filter and more of its words in order, a comparison with what it is of."""
    said = filter_.split(" and ") if filter_ else []
    text = scene.document.text.lower()
    places = [(text.find(one), one) for one in said]
    pieces = [(at, one) for at, one in places if at >= 0] + [(s.start, s.text.lower()) for s in more]
    out = [one for at, one in places if at < 0]
    end = -2
    for at, one in sorted(pieces):
        plain = " ".join(one.split())
        if out and 0 <= at - end <= 1 and _COMPARED.match(one) and not re.search(r"\d", out[-1]):
            out[-1] = f"{out[-1]} {plain}"
        else:
            out.append(plain)
        end = at + len(one)
    return out


def keep_questions(text: str, unused: Iterable[Span]) -> list[Question]:
    """Ask about left-over words that keep something out or set a limit: to pass them over does too much.

    How long nothing has happened ("nobody answers within 2 hours") was proposed to be looked at daily.
    """
    old = [found.span() for found in start_words("aging").finditer(text.lower())]
    return [
        Question(
            id=f"part_{span.start}_{span.end}",
            text=f"Nothing keeps to {span.text!r}: should it go on without?",
            options=(LEAVE_OUT,),
        )
        for span in unused
        if _KEEPS.match(span.text.lower()) and not any(a < span.end and span.start < b for a, b in old)
    ]


def unused_reason(unused: tuple[Span, ...]) -> tuple[str, ...]:
    """Tell what nothing stands for, in one sentence."""
    if not unused:
        return ()
    shown = ", ".join(repr(" ".join(span.text.split())) for span in unused[:_MOST])
    more = f" and {len(unused) - _MOST} more" if len(unused) > _MOST else ""
    return (f"Nothing in the plan stands for {shown}{more}.",)


def _mark_start(coverage: Coverage, clauses: tuple[Clause, ...], start: Start, catalogue: Catalogue) -> None:
    spec, scene = start.spec, coverage.scene
    if start.schedule:
        for place in start.schedule.spans:
            coverage.mark(*scene.clean(*place))
    if spec is None:
        return
    if spec.filter:
        for said in spec.filter.split(" and "):
            coverage.mark_text(said)
    clause = start.source.clause if start.source else start.untold
    if clause is None or clause not in clauses:
        return
    known = set(words("triggers.things", "known")) | set(re.findall(r"[a-z]+", (spec.event or "").lower()))
    service = catalogue.get(spec.service) if spec.service else None
    event = next((t for t in service.triggers if t.event == spec.event), None) if service else None
    phrases = (spec.event or "", *(event.phrases if event else ()))
    known |= {stem(word) for phrase in phrases for word in re.findall(r"[a-z]+", phrase.lower())}
    known |= set(service.kinds) if service else set()
    first, last = scene.clean(clause.start, clause.end)
    known |= set((clause.lead or "").split())
    who = _WHO.search(scene.document.lower, first, last)  # "someone who isn't a member": no event's thing
    place = (first, who.start() if who else last)
    coverage.mark_words(*place, known | words("coverage", "happens"))
    told = frozenset().union(*(changes(phrase.replace("_", " ")) for phrase in phrases)) or {"created"}
    happened = {t.text for t in scene.document.tokens if changes(t.text) and changes(t.text) <= told}
    coverage.mark_words(*place, happened)


def _mark_step(coverage: Coverage, clauses: tuple[Clause, ...], step: StepSpec, catalogue: Catalogue) -> None:
    for said in (step.condition or "").removeprefix("not ").split(" and "):
        coverage.mark_text(said)
    for value in _values(step.arguments.values()):
        coverage.mark_text(value)
        for part in re.split(r"[\s,]+", value):
            coverage.mark_text(part) if len(part) > _SHORTEST_VALUE and not part.isalpha() else None
    service = catalogue.get(step.service)
    operation = service.operation(step.operation)
    phrases = [service.name, *service.kinds, step.operation, step.summary]
    if operation:
        phrases += [*operation.verbs]
        phrases += [parameter.name for parameter in operation.parameters]
    known = {stem(w) for phrase in phrases for w in re.findall(r"[a-z]+", phrase.lower().replace("_", " "))}
    known |= words("triggers.things", "known") | verbs()
    known |= {w for value in _values(step.arguments.values()) for w in re.findall(r"[\w-]+", value.lower())}
    for clause in clauses:
        if step.span and clause_span(coverage.scene, clause) == step.span:
            coverage.mark_words(*coverage.scene.clean(clause.start, clause.end), known)


def _values(arguments: Iterable[Argument]) -> Iterable[str]:
    """Return every constant among arguments as text."""
    for argument in arguments:
        for part in argument.parts if isinstance(argument, Text) else (argument,):
            if isinstance(part, Constant):
                yield from _texts(part.value)


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
    else:
        yield str(value)


def _groups(coverage: Coverage, clause: Clause) -> Iterable[Span]:
    """Return the left-over words of a clause, those beside each other together."""
    document, filler = coverage.scene.document, words("coverage", "filler")
    begin, end = coverage.scene.clean(clause.start, clause.end)
    tokens = [t for t in document.tokens if begin <= t.start < end]
    free = [not any(coverage.used[t.start : t.end]) for t in tokens]
    runs: list[list[int]] = []
    for i, token in enumerate(tokens):
        if not free[i] or not _says(token, filler):
            continue
        between = range(runs[-1][-1] + 1, i) if runs else range(0)
        if runs and all(free[k] and tokens[k].text in filler for k in between):
            runs[-1].append(i)
        else:
            runs.append([i])
    for run in runs:
        first = run[0]
        while first and free[first - 1] and tokens[first - 1].text in words("coverage", "before"):
            first -= 1
        if any(tokens[i].text not in words("coverage", "alone") for i in run):
            yield document.span(tokens[first].start, tokens[run[-1]].end)


def _says(token: Token, filler: frozenset[str]) -> bool:
    """Tell whether a token is a word or number that says something."""
    return (
        token.text not in filler
        and (token.is_word or token.text.startswith("#"))
        and (len(token.text) > _SHORTEST_VALUE or token.text.isdigit())
    )
