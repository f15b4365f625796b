"""What a language model may propose for a fault in code: words, and replacements of lines in one file.

A patch is made here of replacements, so it can touch nothing but the file the traceback ends in. It must
compile, stay small, keep every signature, and bring no new import, effect or call that reaches out. Nothing
applies it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from pathlib import PurePath
from typing import NamedTuple

from pydantic import Field

from prefect_autopilot.effects import OperationEffects
from prefect_autopilot.effects.text import unified_diff
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import Diagnosis, Evidence, IssueCategory, JSONDict, SourceFile, Value
from prefect_autopilot.redaction import redact, redact_value
from prefect_autopilot.troubleshooting.patch_checks import same_but_mended

LONGEST_PATCH = 2_000
"""Characters: what an artifact shows in full."""

_MOST_SOURCE = 12_000
_MOST_TRACEBACK = 6_000
_AROUND = 60
_REACHING_OUT = frozenset(
    {
        *("eval", "exec", "compile", "__import__", "open", "input", "breakpoint", "getattr", "setattr"),
        *("globals", "locals", "vars", "delattr"),
        *("system", "popen", "Popen", "run", "call", "check_call", "check_output", "spawn", "fork", "execv"),
        *("remove", "unlink", "rmtree", "rmdir", "urlopen", "urlretrieve", "import_module", "connect"),
    }
)


class Replacement(Value):
    """Lines of the file, exactly as they stand there, and what stands there instead."""

    old: str = Field(min_length=1, max_length=4_000)
    new: str = Field(max_length=4_000)


class FixProposal(Value):
    """The whole answer of a language model; anything else in it is refused."""

    narrative: str = Field(min_length=20, max_length=1_800)
    replacements: tuple[Replacement, ...] = Field(default=(), max_length=8)


class TakenFix(NamedTuple):
    """What of a proposal may be shown: words, the patch, the changed file, and what was verified of it."""

    narrative: str
    patch: str = ""
    source: str = ""
    verified: tuple[str, ...] = ()


def is_code_fault(diagnosis: Diagnosis) -> bool:
    """Tell whether somebody has to change code for the next run to succeed."""
    return diagnosis.category is IssueCategory.LOGIC or diagnosis.remedy == "fix_code"


def fix_question(diagnosis: Diagnosis, evidence: Evidence, secrets: tuple[str, ...] = ()) -> str:
    """Return what is sent of a failure: diagnosis, traceback and source without secrets."""
    source = evidence.source
    told: JSONDict = {
        "diagnosis": diagnosis.root_cause,
        "exception": diagnosis.exception,
        "evidence": [line.text for line in diagnosis.evidence[:10]],
        "traceback": _traceback(evidence)[-_MOST_TRACEBACK:],
    }
    if source is not None and (line := fault_line(evidence)) is not None:
        told |= {"file": PurePath(source.path).name, "line": line, "source": _window(source.text, line)}
    return json.dumps(redact_value(told, secrets), ensure_ascii=False)


def fault_line(evidence: Evidence) -> int | None:
    """Return the last line of the flow's own file that the traceback goes through, None where it does not."""
    if evidence.source is None:
        return None
    name = re.escape(PurePath(evidence.source.path).name)
    found = re.findall(rf'File "(?:[^"\n]*[/\\])?{name}", line (\d{{1,7}})', _traceback(evidence))
    return int(found[-1]) if found else None


def take_fix(
    proposal: FixProposal, evidence: Evidence, operations: OperationEffects | None = None
) -> TakenFix:
    """Return what may be shown of a proposal; raises UsageError that says why it cannot be taken.

    ``operations`` tells what calls of catalogue services do.
    """
    narrative = redact(_printable(proposal.narrative))
    if not proposal.replacements:
        return TakenFix(narrative)
    source = evidence.source
    if source is None or fault_line(evidence) is None:
        raise UsageError("The traceback leads to no file that is here; leave the replacements out.")
    changed = source.text
    for one in proposal.replacements:
        if changed.count(one.old) != 1:
            raise UsageError("The old lines of a replacement must stand in the file exactly once.")
        changed = changed.replace(one.old, one.new)
    _check(source.text, changed)
    verified = same_but_mended(source.text, changed, operations)
    patch = unified_diff(source.text, changed, PurePath(source.path).name)
    if redact(patch) != patch:
        raise UsageError("The patch would show a secret of the file; leave the replacements out.")
    if len(patch) > LONGEST_PATCH:
        raise UsageError(f"The patch has more than {LONGEST_PATCH} characters; change less.")
    return TakenFix(narrative, patch, changed, verified)


def digest_of(source: SourceFile) -> str:
    """Return the SHA-256 of a source file."""
    return hashlib.sha256(source.text.encode("utf-8", "surrogatepass")).hexdigest()


def _check(before: str, after: str) -> None:
    if before == after:
        raise UsageError("The replacements change nothing.")
    if any(not sign.isprintable() and sign not in "\n\t\r" for sign in after if sign not in before):
        raise UsageError("The new lines hold control characters.")
    try:
        tree = ast.parse(after)
        compile(tree, "<proposed fix>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"The changed file does not compile ({redact(str(error))[:120]}).") from None
    try:
        own = ast.parse(before)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # Without a tree to compare with, what is new in the fix cannot be told.
        raise UsageError("The file does not compile as it is; leave the replacements out.") from None
    if new := sorted(_imported(tree) - _imported(own)):
        raise UsageError(f"The fix imports {', '.join(new)}, which the file does not; do without.")
    named = _called(tree) - _called(own)
    if new := sorted(name for name in named if name in _REACHING_OUT or name.startswith("__")):
        raise UsageError(f"The fix calls {', '.join(new)}, which the file does not; do without.")


def _imported(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
    return found


def _called(tree: ast.Module) -> set[str]:
    """Return every name that is read or called: an alias of a function reaches as far as its call."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def _traceback(evidence: Evidence) -> str:
    told = [log.message for log in evidence.logs if "Traceback (most recent call last)" in log.message]
    return told[-1] if told else evidence.run.state.message or ""


def _window(text: str, line: int) -> str:
    if len(text) <= _MOST_SOURCE:
        return text
    lines = text.splitlines(keepends=True)
    return "".join(lines[max(0, line - _AROUND) : line + _AROUND])[:_MOST_SOURCE]


def _printable(text: str) -> str:
    return "".join(sign for sign in text if sign.isprintable() or sign in "\n\t")
