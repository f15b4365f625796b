"""What the recorded GraphQL types refuse: a contract that takes everything proves nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from contract_cases import told
from recorded_graphql import Document, root_of, wrong_call
from recording_command import WrongPlanError
from recording_graphql import Types, operation, written

TYPES = """
export type Query = {
    __typename?: 'Query';
    rows: RowConnection;
    me?: Maybe<Person>;
};
export type QueryRowsArgs = {
    first?: InputMaybe<Scalars['Int']['input']>;
    ids?: InputMaybe<Array<Scalars['ID']['input']>>;
    team: Scalars['String']['input'];
};
type RowConnection = Node & {
  nodes: Array<Row>;
};
type Row = {
  id: Scalars["ID"];
};
"""


def sent(query: str, **variables: Any) -> bytes:
    return json.dumps({"query": query, "variables": variables}).encode()


def found(case: str, body: bytes) -> list[str]:
    return list(wrong_call(told(case)[1]["graphql"], body))


TEXT = "mutation ($input: IssueCreateInput!) { issueCreate(input: $input) { success issue { id } } }"


def test_a_call_of_the_right_names_and_types_is_taken() -> None:
    assert found("linear.create_issue", sent(TEXT, input={"title": "a", "teamId": "t"})) == []


@pytest.mark.parametrize(
    ("query", "variables", "wrong"),
    [
        (TEXT, {"input": {"title": "a"}}, "needs teamId"),
        (TEXT, {"input": {"title": 1, "teamId": "t"}}, "is String"),
        (TEXT, {"input": {"teamId": "t", "headline": "a"}}, "has no headline"),
        (TEXT, {"input": {"teamId": "t", "labelIds": [1]}}, "is String"),
        (TEXT, {}, "is missing"),
        (TEXT, {"input": {"teamId": "t"}, "other": 1}, "is not declared"),
        (TEXT.replace("issueCreate", "issueMake"), {"input": {"teamId": "t"}}, "not the mutation"),
        (TEXT.replace("mutation", "query"), {"input": {"teamId": "t"}}, "not the mutation"),
        (TEXT.replace("{ id }", "{ ident }"), {"input": {"teamId": "t"}}, "no field ident"),
        (TEXT.replace("(input:", "(data:"), {"input": {"teamId": "t"}}, "no argument data"),
        (TEXT.replace("Input!)", "Input)"), {"input": {"teamId": "t"}}, "need not"),
        (TEXT.replace("IssueCreateInput!", "IssueUpdateInput!"), {"input": {}}, "is IssueCreateInput!"),
        ("mutation { issueCreate { success } }", {}, "needs the argument input"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else "-",
)
def test_another_name_or_type_is_refused(query: str, variables: dict[str, Any], wrong: str) -> None:
    assert any(wrong in one for one in found("linear.create_issue", sent(query, **variables)))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"query": 1}', b'{"query": "query {"}', b'{"query": ""}'])
def test_what_is_no_document_asks_for_nothing(body: bytes) -> None:
    assert root_of(body) is None


def test_a_document_is_read_with_its_variables_and_parts() -> None:
    read = Document("query Name ($a: [ID!]!, $b: Int) { rows(ids: $a, first: $b) { nodes { id } cursor } }")
    assert (read.kind, read.variables) == ("query", {"$a": "[ID!]!", "$b": "Int"})
    assert read.fields[0].arguments == {"ids": "$a", "first": "$b"}
    assert [one.name for one in read.fields[0].fields] == ["nodes", "cursor"]


@pytest.mark.parametrize(
    ("typescript", "graphql"),
    [
        ("Scalars['String']['input']", "String!"),
        ('Scalars["Int"]', "Int!"),
        ("Maybe<Scalars['Int']['output']>", "Int"),
        ("InputMaybe<Array<Scalars['ID']['input']>>", "[ID!]"),
        ("Array<InputMaybe<Row>>", "[Row]!"),
        ("IssueCreateInput", "IssueCreateInput!"),
    ],
)
def test_a_type_of_the_sdk_is_one_of_graphql(typescript: str, graphql: str) -> None:
    assert written(typescript) == graphql


def test_arguments_and_answer_are_those_of_the_types() -> None:
    asked = {"kind": "query", "field": "rows", "arguments": "QueryRowsArgs", "answer": ["nodes>id"]}
    fact = operation(asked, Types(TYPES), {"path": "/graphql"})
    assert fact["graphql"]["arguments"] == {"first": "Int", "ids": "[ID!]", "team": "String!"}
    assert fact["graphql"]["answer"] == {"nodes": {"id": {}}}
    rows = fact["responses"]["200"]["shape"]["properties"]["data"]["properties"]["rows"]
    assert rows["properties"]["nodes"]["type"] == "array"


@pytest.mark.parametrize(
    "change", [{"answer": ["nodes>title"]}, {"arguments": "QueryOtherArgs"}, {"answer": ["edges>node"]}]
)
def test_a_plan_that_the_types_do_not_bear_out_is_refused(change: dict[str, Any]) -> None:
    asked = {"kind": "query", "field": "rows", "arguments": "QueryRowsArgs", "answer": ["nodes>id"]} | change
    with pytest.raises(WrongPlanError):
        operation(asked, Types(TYPES), {"path": "/graphql"})
