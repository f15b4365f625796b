"""Branches on what an earlier step answered, "else", and the rows of a list, in the generated source."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import pytest

from prefect_autopilot.codegen import generate
from prefect_autopilot.codegen.printer import render
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import (
    Argument,
    Constant,
    FromParameter,
    FromStep,
    FromTrigger,
    GeneratedFlow,
    ParameterSpec,
    StepSpec,
    Text,
    TriggerSpec,
    WorkflowSpec,
)
from prefect_autopilot.models.conditions import opposite
from prefect_autopilot.services import load_catalogue

LISTED = StepSpec(id="found", service="hubspot", operation="list_contacts", connection="hubspot-default")
ASKED = StepSpec(
    id="asked",
    service="openai",
    operation="chat",
    connection="openai-default",
    arguments={
        "model": Constant(value="small"),
        "messages": Text(parts=(Constant(value="Is it so?"),), form="messages"),
    },
)
STRIPE = TriggerSpec(type="app_event", service="stripe", event="new_payment")


def told(channel: str, condition: str | None = None, **more: Any) -> StepSpec:
    arguments: dict[str, Argument] = {
        "channel": Constant(value=channel), "text": Constant(value="hello")
    }  # fmt: skip
    return StepSpec(
        id=f"told_{channel.strip('#')}",
        service="slack",
        operation="post_message",
        connection="slack-default",
        arguments=arguments,
        condition=condition,
        **more,
    )


def flow_of(*steps: StepSpec, trigger: TriggerSpec | None = None, parameters: Any = ()) -> GeneratedFlow:
    spec = WorkflowSpec(
        name="two-branches",
        request="whatever",
        trigger=trigger or TriggerSpec(type="manual"),
        steps=steps,
        parameters=parameters,
    )
    return generate(spec, load_catalogue())


def calls_of(generated: GeneratedFlow, answers: Mapping[str, Any], **given: Any) -> list[str]:
    """Run the function of the source; return the channels that were told."""
    told_to: list[str] = []

    class Service:
        def with_options(self, *, name: str) -> Any:
            assert name

            def call(_: str, operation: str, **arguments: Any) -> Any:
                if operation == "post_message":
                    told_to.append(arguments["channel"])
                return answers.get(operation)

            return call

    tree = ast.parse(generated.source)
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    space: dict[str, Any] = {
        "Any": Any, "call_service": Service(), "flow": lambda **_: lambda function: function
    }  # fmt: skip
    exec(compile(tree, "flow.py", "exec", dont_inherit=True), space)
    space[generated.function](**given)
    return told_to


def answer(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}}]}


@pytest.mark.parametrize(
    ("rows", "expected"), [([], ["#new"]), ([{"id": "1"}], ["#known"])], ids=["none found", "one found"]
)
def test_what_runs_depends_on_what_was_found(rows: list[Any], expected: list[str]) -> None:
    generated = flow_of(LISTED, told("#new", "found finds nothing"), told("#known", "found finds something"))
    assert calls_of(generated, {"list_contacts": rows}) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Yes.", ["#yes"]),
        ("  yes, it is", ["#yes"]),
        ("YES", ["#yes"]),
        ("No", ["#no"]),
        ("I cannot say yes", ["#no"]),
        ("", ["#no"]),
    ],
)
def test_what_runs_depends_on_a_yes(said: str, expected: list[str]) -> None:
    generated = flow_of(ASKED, told("#yes", "asked says yes"), told("#no", "asked says no"))
    assert calls_of(generated, {"chat": answer(said)}) == expected


def test_opposite_conditions_are_one_if_with_an_else() -> None:
    source = flow_of(
        LISTED, told("#new", "found finds nothing"), told("#known", "found finds something")
    ).source
    assert source.count("if not contacts:") == 1
    assert source.count("    else:\n") == 1
    assert "if contacts:" not in source


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (50_100, "usd", ["#big"]),
        (50_000, "usd", ["#small"]),
        (90_000, "eur", ["#small"]),
    ],
    ids=["over", "not over", "in another currency"],
)
def test_else_is_the_opposite_of_all_parts_of_a_condition(
    amount: int, currency: str, expected: list[str]
) -> None:
    generated = flow_of(told("#big", "over $500"), told("#small", "not over $500"), trigger=STRIPE)
    event = {"amount": amount, "currency": currency}
    assert calls_of(generated, {}, event=event) == expected


def test_several_steps_of_one_branch_stand_together() -> None:
    generated = flow_of(
        told("#big", "over $500"),
        told("#boss", "over $500"),
        told("#small", "not over $500"),
        told("#low", "not over $500"),
        told("#all"),
        trigger=STRIPE,
    )
    assert generated.source.count("if event") == 1
    assert generated.source.count("else:") == 1
    cheap = {"amount": 100, "currency": "usd"}
    assert calls_of(generated, {}, event=cheap) == ["#small", "#low", "#all"]
    assert calls_of(generated, {}, event=cheap | {"amount": 90_000}) == ["#big", "#boss", "#all"]


def test_the_opposite_of_several_conditions_stands_only_right_behind_them() -> None:
    both = 'amount is over 500 and containing "gift"'
    near = flow_of(told("#a", both), told("#b", f"not ({both})"), trigger=STRIPE)
    assert "else:" in near.source
    with pytest.raises(UsageError, match="What does"):
        flow_of(told("#a", both), told("#c"), told("#b", f"not ({both})"), trigger=STRIPE)


def test_the_sample_takes_the_first_branch_and_the_test_expects_it() -> None:
    generated = flow_of(told("#big", "over $500"), told("#small", "not over $500"), trigger=STRIPE)
    assert generated.sample_event["amount"] > 50_000
    assert calls_of(generated, {}, event=generated.sample_event) == ["#big"]
    assert 'expected = ["slack.post_message"]' in generated.test_source
    assert "assert called == expected" in generated.test_source


def test_the_test_is_certain_only_of_what_no_answer_decides() -> None:
    generated = flow_of(LISTED, told("#new", "found finds nothing"), told("#all"))
    assert 'expected = ["hubspot.list_contacts", "slack.post_message"]' in generated.test_source
    assert "assert set(expected) <= set(called)" in generated.test_source


@pytest.mark.parametrize(
    ("steps", "match"),
    [
        ((told("#a", "found finds nothing"), LISTED), "has not run by then"),
        ((LISTED, told("#a", "found says yes")), "no text that could say yes or no"),
        ((told("#b"), told("#a", "told_b finds nothing")), "no list"),
        ((ASKED, told("#a", "asked finds something")), "no list"),
        ((LISTED, told("#a", "lost finds nothing")), "has not run by then"),
    ],
    ids=["later", "a list says nothing", "no list", "a text finds nothing", "unknown"],
)
def test_a_condition_on_an_answer_that_cannot_be_is_refused(steps: tuple[StepSpec, ...], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        flow_of(*steps)


def test_an_answer_of_a_branch_that_may_not_have_run_is_refused() -> None:
    listed = LISTED.model_copy(update={"condition": "over $500"})
    with pytest.raises(UsageError, match="runs only on a condition"):
        flow_of(listed, told("#a", "found finds nothing"), trigger=STRIPE)


ROWS = Text(
    parts=(FromStep(step="found", path="id"), FromStep(step="found", path="properties.email")), form="rows"
)


def table_of(values: Argument) -> GeneratedFlow:
    step = StepSpec(
        id="rows",
        service="google_sheets",
        operation="append_row",
        connection="google-sheets-default",
        arguments={"spreadsheet_id": FromParameter(name="sheet"), "values": values},
    )
    return flow_of(LISTED, step, parameters=(ParameterSpec(name="sheet", type="str", required=True),))


def test_rows_are_one_list_with_the_fields_of_each_item() -> None:
    source = table_of(ROWS).source
    assert 'values=[[contact["id"], contact["properties"]["email"]] for contact in contacts]' in " ".join(
        source.split()
    ).replace("[ [", "[[").replace(" ]", "]")
    assert "all_pages=True" in source


def test_long_rows_are_laid_out_with_one_cell_a_line() -> None:
    fields = ("id", "properties.email", "properties.firstname", "properties.lastname")
    long = Text(parts=tuple(FromStep(step="found", path=one) for one in fields), form="rows")
    lines = table_of(long).source.splitlines()
    start = lines.index("        values=[")
    assert lines[start + 1 : start + 3] == ["            [", '                contact["id"],']
    assert lines[start + 6 : start + 9] == [
        "            ]",
        "            for contact in contacts",
        "        ],",
    ]


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (Constant(value="x"),),
        (FromTrigger(path="id"),),
        (FromStep(step="found", path="id"), Constant(value="x")),
    ],
    ids=["none", "a constant", "the event", "mixed"],
)
def test_rows_of_anything_else_are_refused(parts: Any) -> None:
    with pytest.raises(UsageError, match="items of one list"):
        table_of(Text(parts=parts, form="rows"))


@pytest.mark.parametrize(
    "source",
    [
        "if a:\n    b = c\nelse:\n    b = d\n",
        "if a:\n    for x in y:\n        f(x)\nelse:\n    f(None)\n",
        "rows = [[one] for one in many]\n",
    ],
    ids=["else", "loop in a branch", "comprehension"],
)
def test_what_is_printed_reads_as_it_was(source: str) -> None:
    assert ast.dump(ast.parse(render(ast.parse(source)))) == ast.dump(ast.parse(source))


def test_what_both_branches_tell_of_the_event_is_read_once_before_them() -> None:
    over = "over $1000"
    text = Text(parts=(Constant(value="Paid: "), FromTrigger(path="amount"), FromTrigger(path="email")))
    steps = [
        told(channel, condition).model_copy(
            update={"arguments": {"channel": Constant(value=channel), "text": text}}
        )
        for channel, condition in (("#big", over), ("#small", opposite(over)))
    ]
    source = flow_of(*steps, trigger=STRIPE).source
    assert source.count('event["amount"]') == 1
    assert 'if currency == "usd" and amount > 1000:' in source or "amount > 1000:" in source
    assert "amount_2" not in source
    assert 'name="Post Slack message to #small"' in source
