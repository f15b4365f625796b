"""Plain text as Atlassian documents: valid ones, and the same text when read back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import JSONDict
from prefect_autopilot.services import build_request, check_parameters, find_operation, load_catalogue
from prefect_autopilot.services.rich_text import atlassian_document, text_of

JIRA = load_catalogue().get("jira")


def paragraph(*lines: str) -> JSONDict:
    nodes: list[JSONDict] = []
    for line in lines:
        nodes += [{"type": "hardBreak"}] if nodes else []
        nodes += [{"type": "text", "text": line}]
    return {"type": "paragraph", "content": nodes}


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("It burns", [paragraph("It burns")]),
        ("It burns\nbadly", [paragraph("It burns", "badly")]),
        ("One\n\nTwo", [paragraph("One"), paragraph("Two")]),
        ("One\r\n\r\n\r\nTwo\r\n", [paragraph("One"), paragraph("Two")]),
        ("One\n \t\nTwo", [paragraph("One"), paragraph("Two")]),
        ("", [{"type": "paragraph", "content": []}]),
        ("<b>&", [paragraph("<b>&")]),
        ('{"type": "doc"}', [paragraph('{"type": "doc"}')]),
    ],
    ids=[
        "line",
        "two lines",
        "paragraphs",
        "of windows",
        "white between",
        "empty",
        "signs",
        "like a document",
    ],
)
def test_a_text_is_a_document_of_its_paragraphs(text: str, content: list[Any]) -> None:
    assert atlassian_document(text) == {"type": "doc", "version": 1, "content": content}


@given(st.text())
def test_no_text_node_is_empty_and_nothing_is_lost(text: str) -> None:
    document = atlassian_document(text)

    for block in document["content"]:
        assert all(node.get("text") != "" for node in block["content"])
    assert "".join(str(text_of(document)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    "value",
    [
        None,
        "It burns",
        [],
        {},
        {"type": "doc"},
        {"type": "doc", "version": 2, "content": []},
        {"type": "doc", "version": 1},
        {"type": "doc", "version": 1, "content": "It burns"},
        {"type": "paragraph", "content": []},
    ],
)
def test_what_is_no_document_has_no_text(value: Any) -> None:
    assert text_of(value) is None


@pytest.mark.parametrize(
    "content",
    [[None], ["x"], [{}], [{"content": "x"}], [{"type": "hardBreak"}], [{"type": "text"}]],
)
def test_broken_documents_are_read_without_harm(content: list[Any]) -> None:
    assert str(text_of({"type": "doc", "version": 1, "content": content})).strip() == ""


def sent(operation_id: str, **parameters: Any) -> Any:
    operation = find_operation(JIRA, operation_id)
    return build_request(operation, check_parameters(JIRA, operation, parameters)).body


def test_a_comment_of_a_person_is_a_document_when_it_is_sent() -> None:
    body = sent("add_comment", issueIdOrKey="OPS-1", body="It burns")

    assert body == {"body": atlassian_document("It burns")}


def test_an_issue_is_described_in_words() -> None:
    fields = sent("create_issue", project="OPS", summary="S", description="One\n\nTwo")["fields"]

    assert fields["description"] == atlassian_document("One\n\nTwo")
    assert fields["summary"] == "S"


def test_a_change_that_does_not_describe_leaves_the_description_alone() -> None:
    assert sent("update_issue", issueIdOrKey="OPS-1", summary="S") == {"fields": {"summary": "S"}}


def test_a_document_in_place_of_a_text_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'body'.*string"):
        sent("add_comment", issueIdOrKey="OPS-1", body={"type": "doc"})
