"""Artifacts: text from outside stays in its place."""

from __future__ import annotations

import pytest

from prefect_autopilot.codegen import generate
from prefect_autopilot.codegen.markdown import (
    analysis_markdown,
    code_markdown,
    fenced,
    inline,
    preview_markdown,
)
from prefect_autopilot.models import (
    Analysis,
    PreviewResult,
    Question,
    ServiceCall,
    ServiceMatch,
    WorkflowSpec,
)
from prefect_autopilot.services import Catalogue

HOSTILE = [
    "```\n# Approved\n[click](http://evil.example)",
    "<script>alert(1)</script>",
    "| cell | break |",
    "![x](http://evil.example/p.png)",
    "**bold** _it_ ~~no~~ `code` @team http://evil.example",
    "\x1b[31mred\x07 \u202eturned",
    "````````",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_fence_cannot_be_closed_from_inside(text: str) -> None:
    first, *body, last = fenced(text, "python").split("\n")
    assert first == f"{last}python"
    assert not any(line.strip().startswith(last) for line in body)


@pytest.mark.parametrize("text", HOSTILE)
def test_inline_text_is_only_text(text: str) -> None:
    shown = inline(text)
    for sign in "<>|\n\x1b\u202e\x07":
        assert sign not in shown.replace("\\|", "")
    assert "](" not in shown.replace("\\]\\(", "")
    assert "http://" not in shown


def test_harmless_text_is_left_alone() -> None:
    assert inline("Which project, Alpha or Beta?") == "Which project, Alpha or Beta?"


def analysis(**changes: object) -> Analysis:
    return Analysis.model_validate({"text": "do it", "status": "clarify", "confidence": 0.5} | changes)


@pytest.mark.parametrize("text", HOSTILE)
def test_an_analysis_shows_hostile_words_as_words(text: str) -> None:
    shown = analysis_markdown(
        analysis(
            text=text,
            services=(ServiceMatch(service="asana", confidence=0.9, reason=text),),
            questions=(Question(id="q", text=text),),
            unsupported=(text,),
        )
    )
    outside = shown.replace(fenced(text), "")
    assert "<script" not in outside
    assert "http://" not in outside
    assert "### Questions" in shown


def test_an_analysis_names_only_services_that_are_used() -> None:
    shown = analysis_markdown(
        analysis(
            services=(
                ServiceMatch(service="asana", confidence=0.9),
                ServiceMatch(service="slack", confidence=0.9, role="excluded"),
            )
        )
    )
    assert "asana" in shown
    assert "slack" not in shown


def test_code_is_shown_whole_with_its_start(spec: object, catalogue: Catalogue) -> None:
    assert callable(spec)
    made: WorkflowSpec = spec()
    generated = generate(made, catalogue)
    shown = code_markdown(generated)
    assert generated.source.rstrip() in shown
    assert "gmail\\.new\\_email" in shown
    assert "asana\\-default" in shown


def test_a_preview_shows_each_call_and_the_error() -> None:
    call = ServiceCall(
        service="asana",
        operation="create_task",
        method="POST",
        path="/tasks",
        status=201,
        parameters={"name": "<b>x</b> | y"},
    )
    shown = preview_markdown(
        PreviewResult(succeeded=False, calls=(call,) * 60, error="boom", duration_s=1.25)
    )
    assert "failed after 1.2 s" in shown
    assert "10 more calls" in shown
    assert "<b>" not in shown
    assert "```\nboom\n```" in shown


def test_a_preview_without_calls_says_so() -> None:
    assert "No service was called" in preview_markdown(PreviewResult(succeeded=True, duration_s=0.1))
