"""A session as markdown for a Prefect artifact; foreign text can neither break out nor become markup."""

from __future__ import annotations

import re
from urllib.parse import quote

from prefect_autopilot.models import Diagnosis, RemedyDecision, TroubleshootingSession
from prefect_autopilot.models.editing import FaultProposal
from prefect_autopilot.troubleshooting.pages import object_pages
from prefect_autopilot.troubleshooting.text import clean

MAX_FOREIGN = 2000
TWICE = 2
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-!|<>~&$:@])")
_BACKTICKS = re.compile(r"`+")


def report(session: TroubleshootingSession, ui: str | None = None) -> str:
    """Return the session as markdown; with the address of Prefect's pages ``ui`` with links into them."""
    parts = [
        f"# Troubleshooting {plain(_subject(session))}",
        f"Status **{plain(session.resolution_status)}** at step {plain(session.current_step)}.",
    ]
    if said := recognised(session):
        parts.append(plain(said))
    if found := links(session, ui) if ui else {}:
        parts.append(" · ".join(f"[{plain(name)}]({address})" for name, address in found.items()))
    if session.diagnosis is not None:
        parts += _diagnosis(session.diagnosis)
    if session.recommendations:
        parts += ["## What to do", "\n".join(f"- {plain(line)}" for line in session.recommendations)]
    if session.facts:
        parts += ["## What was seen besides", "\n".join(f"- {plain(line)}" for line in session.facts)]
    if session.proposal is not None:
        parts += _proposal(session.proposal)
    if session.decision is not None:
        parts += _decision(session.decision)
    if session.attempts:
        parts += ["## Attempts", "\n".join(_attempts(session))]
    parts += ["## Trail", fenced("\n".join(session.trail))]
    return "\n\n".join(parts) + "\n"


def recognised(session: TroubleshootingSession) -> str:
    """Return what is known of this cause from before, in one line; empty where it is new."""
    known = session.recurrence
    if known is None or known.times < TWICE:
        return ""
    last = f", before on {known.last_at:%Y-%m-%d}" if known.last_at else ""
    seen = f"Known: seen {known.times} times on this workflow{last}"
    if known.good_again is not None:
        return f"{seen}; {known.good_again.told()}."
    if known.remedy is None:
        return f"{seen}; nothing has been seen to help yet."
    return f"{seen}; last fixed by {known.remedy.replace('_', ' ')}, {known.held} of {known.tried} held."


def links(session: TroubleshootingSession, ui: str) -> dict[str, str]:
    """Return the pages of Prefect that a person needs for a session, by what they show."""
    found = {}
    if session.flow_run_id:
        run = quote(session.flow_run_id, safe="")
        found["the run"] = f"{ui}/runs/flow-run/{run}"
        if session.diagnosis is not None and session.diagnosis.evidence:
            found["its log"] = f"{ui}/runs/flow-run/{run}?tab=Logs"
    if _UUID.fullmatch(session.workflow_id):
        found["its deployment"] = f"{ui}/deployments/deployment/{session.workflow_id}"
    return found | object_pages(session.objects, ui)


def _subject(session: TroubleshootingSession) -> str:
    """Return flow/deployment where the issue names them: an id tells a person nothing."""
    components = session.issues[0].affected_components if session.issues else ()
    return components[0] if components else session.workflow_id


def _diagnosis(diagnosis: Diagnosis) -> list[str]:
    rows = {
        "Category": diagnosis.category,
        "Severity": diagnosis.severity,
        "Confidence": f"{diagnosis.confidence:.2f}",
        "Passes by itself": "yes" if diagnosis.transient else "no",
        "First remedy": diagnosis.remedy,
        "Service": diagnosis.service or "not named",
        "Fingerprint": diagnosis.fingerprint,
    }
    table = "\n".join(
        ["| Fact | Value |", "|---|---|", *(f"| {name} | {plain(value)} |" for name, value in rows.items())]
    )
    parts = ["## Diagnosis", fenced(diagnosis.root_cause), table]
    if diagnosis.evidence:
        parts.append("### Evidence")
        parts += [f"{plain(line.where)}\n\n{fenced(line.text)}" for line in diagnosis.evidence]
    if diagnosis.alternatives:
        rejected = (f"- {plain(item.category)}: {plain(item.reason)}" for item in diagnosis.alternatives)
        parts += ["### Considered and rejected", "\n".join(rejected)]
    return parts


def _decision(decision: RemedyDecision) -> list[str]:
    checks = [
        f"| {plain(c.name)} | {'yes' if c.passed else 'no'} | {plain(c.reason)} |" for c in decision.checks
    ]
    head = ["| check | passed | found |", "|---|---|---|"]
    return [
        "## Decision",
        f"**{plain(decision.action)}** ({plain(decision.remedy.kind)}): {plain(decision.reason)}",
        "\n".join([*head, *checks]),
    ]


def _proposal(proposal: FaultProposal) -> list[str]:
    head = f"## What the language model {plain(proposal.model)} says"
    if proposal.reason:
        return [head, f"Nothing that can be used: {plain(proposal.reason)}"]
    parts = [head, fenced(proposal.narrative)]
    if proposal.patch:
        parts += [f"A patch for {plain(proposal.file)}, not applied.", fenced(proposal.patch)]
        parts += ["\n".join(f"- {plain(line)}" for line in told_of(proposal))]
    return parts


def told_of(proposal: FaultProposal) -> list[str]:
    """Return what was verified of a patch and what was not, a line each."""
    verified = [f"Verified: {line}." for line in proposal.verified]
    return [*verified, *(f"Not verified: {line}." for line in proposal.unverified)]


def _attempts(session: TroubleshootingSession) -> list[str]:
    lines = []
    for attempt in session.attempts:
        seen = attempt.verification
        outcome = f"{seen.outcome}: {seen.reason}" if seen else "not looked at yet"
        lines.append(f"{attempt.number}. {plain(attempt.remedy.kind)}: {plain(outcome)}")
    return lines


def plain(text: object) -> str:
    """Return ``text`` on one line with every character that means something in markdown or HTML escaped."""
    return (
        _SPECIAL.sub(r"\\\1", " ".join(clean(str(text)[:MAX_FOREIGN]).split()))
        .replace("\\<", "&lt;")
        .replace("\\>", "&gt;")
    )


def fenced(text: str) -> str:
    """Return ``text``, without terminal codes, in a code fence longer than any run of backticks in it."""
    cut = clean(text[:MAX_FOREIGN])
    longest = max((len(run) for run in _BACKTICKS.findall(cut)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{cut}\n{fence}"
