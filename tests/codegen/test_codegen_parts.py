"""The small parts of the generator: names, literals, layout, the last check, shapes of events and samples."""

from __future__ import annotations

import ast
import builtins
import keyword
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.codegen import event_name, nodes, read_condition, shape_of
from prefect_autopilot.codegen.conditions import Check, sample_for, satisfy
from prefect_autopilot.codegen.events import Amount, Shape, sample_event, trigger_of, write
from prefect_autopilot.codegen.gate import check_source, node_kinds
from prefect_autopilot.codegen.names import flow_name, identifier, module_name, slug, step_title
from prefect_autopilot.codegen.printer import quoted, render
from prefect_autopilot.errors import UsageError
from prefect_autopilot.services import Catalogue, load_catalogue

# --- Names.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Create Task", "create_task"),
        ("  many   blanks ", "many_blanks"),
        ("UPPER-case.dotted", "upper_case_dotted"),
        ("Größe", "grosse"),
        ("naïve café", "naive_cafe"),
        ("ﬁle", "file"),
        ("１２", "12"),
        ("日本", ""),
        ("__init__", "init"),
        ("🚀", ""),
        ("", ""),
        ("a\x00b", "a_b"),
        ("ſtop", "stop"),
    ],
)
def test_a_slug_is_plain_words(text: str, expected: str) -> None:
    assert slug(text) == expected


@given(text=st.text(max_size=80))
@settings(max_examples=100, deadline=None)
def test_a_slug_is_its_own_slug(text: str) -> None:
    once = slug(text)
    assert slug(once) == once
    assert once == "" or (once.replace("_", "a").isalnum() and once.isascii() and once == once.lower())


@given(text=st.text(max_size=80), taken=st.sets(st.sampled_from(["value", "value_2", "name", "x"])))
@settings(max_examples=100, deadline=None)
def test_any_text_becomes_a_name_that_is_free(text: str, taken: set[str]) -> None:
    name = identifier(text, taken)
    assert name.isidentifier()
    assert name not in taken
    assert not keyword.iskeyword(name)
    assert not keyword.issoftkeyword(name)
    assert not hasattr(builtins, name)
    assert name not in sys.stdlib_module_names


@pytest.mark.parametrize(
    ("text", "taken", "name"),
    [
        ("name", {"name"}, "name_2"),
        ("name", {"name", "name_2", "name_3"}, "name_4"),
        ("if", set(), "if_value"),
        ("match", set(), "match_value"),
        ("if", {"if_value"}, "if_value_2"),
        ("None", set(), "none"),
        ("print", set(), "print_value"),
        ("json", set(), "json_value"),
        ("flow", set(), "flow_value"),
        ("7 days", set(), "value_7_days"),
        ("", set(), "value"),
        ("", {"value"}, "value_2"),
        ("x" * 90, set(), "x" * 48),
        ("x" * 47 + " y", set(), "x" * 47),
    ],
)
def test_a_taken_or_reserved_name_is_changed_as_little_as_possible(
    text: str, taken: set[str], name: str
) -> None:
    assert identifier(text, taken) == name


@pytest.mark.parametrize(
    ("name", "services", "stem"),
    [
        ("new-deal", ["hubspot"], "new_deal"),
        ("hubspot", ["hubspot"], "hubspot_flow"),
        ("hubspot-api", ["hubspot"], "hubspot_api_flow"),
        ("hubspot-api", ["slack"], "hubspot_api"),
        ("python-hubspot", ["hubspot"], "python_hubspot_flow"),
        ("google-sheets", ["google_sheets"], "google_sheets_flow"),
        ("one", [], "one_flow"),
        ("prefect-aws", [], "prefect_aws_flow"),
    ],
)
def test_a_module_hides_no_package_of_its_services(name: str, services: list[str], stem: str) -> None:
    assert module_name(name, services) == stem


@given(name=st.from_regex(r"[a-z][a-z0-9-]{2,62}", fullmatch=True))
@settings(max_examples=60, deadline=None)
def test_no_module_name_is_one_python_has(name: str) -> None:
    stem = module_name(name, ["stripe"])
    assert stem.isidentifier()
    assert "_" in stem
    assert stem not in sys.stdlib_module_names
    assert not stem.startswith("prefect_autopilot.")


@pytest.mark.parametrize(
    ("operation", "verbs", "title"),
    [
        ("create_task", (), "Create Asana task"),
        ("createTask", (), "Create Asana task"),
        ("list", (), "List Asana"),
        ("history", (), "Asana history"),
        ("shout_out", (), "Asana shout out"),
        ("shout_out", ("shout",), "Shout Asana out"),
        ("GET_users", (), "Get Asana users"),
    ],
)
def test_a_step_is_titled_with_its_verb_first(operation: str, verbs: tuple[str, ...], title: str) -> None:
    assert step_title(operation, verbs, "Asana") == title


def test_a_refused_flow_name_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="choose another") as raised:
        flow_name("autopilot-watch")
    assert raised.value.permanent


@pytest.mark.parametrize(
    ("service", "event", "name"),
    [
        ("gmail", "new_email", "prefect-autopilot.gmail.new_email"),
        ("Google Sheets", "New Row!", "prefect-autopilot.google_sheets.new_row"),
        ("form", "a.b", "prefect-autopilot.form.a_b"),
    ],
)
def test_the_name_of_an_event_has_three_parts(service: str, event: str, name: str) -> None:
    assert event_name(service, event) == name
    assert event_name(service, event).count(".") == 2


# --- Literals and layout.


def show(expression: ast.expr) -> str:
    return render(ast.Module([ast.Expr(expression)], [])).removesuffix("\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", '"plain"'),
        ("it's", '"it\'s"'),
        ('a "b"', "'a \"b\"'"),
        ("'\"", '"\'\\""'),
        ("'''\"\"", '"\'\'\'\\"\\""'),
        ("", '""'),
        ("a\nb\tc", '"a\\nb\\tc"'),
        ("\\", '"\\\\"'),
        ("\x00\x7f", '"\\x00\\x7f"'),
        ("\u2028", '"\\u2028"'),
        ("\u202e", '"\\u202e"'),
        ("日本 🚀", '"日本 🚀"'),
        ("{x}", '"{x}"'),
    ],
)
def test_a_text_is_quoted_with_the_fewest_escapes(text: str, shown: str) -> None:
    assert quoted(text) == shown
    assert ast.literal_eval(quoted(text)) == text


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_back_as_it_was(text: str) -> None:
    shown = quoted(text)
    assert ast.literal_eval(shown) == text
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize("depth", [1, 20])
def test_a_literal_may_be_nested(depth: int) -> None:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    assert ast.literal_eval(show(nodes.literal(value)).replace("\n", "").replace(" ", "")) == value


def test_a_literal_nested_too_deep_is_refused_and_says_what_to_do() -> None:
    value: Any = "x"
    for _ in range(21):
        value = {"a": value}
    with pytest.raises(UsageError, match="make it flatter"):
        nodes.literal(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        ([1, float("-inf")], "finite"),
        (b"bytes", "bytes"),
        ({1, 2}, "set"),
        (lambda: 0, "function"),
        (1j, "complex"),
        ({"a": object()}, "object"),
    ],
    ids=["nan", "inf", "nested", "bytes", "set", "function", "complex", "object"],
)
def test_a_value_json_cannot_hold_is_refused_by_name(value: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        nodes.literal(value)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ([], "event"),
        (["a"], 'event["a"]'),
        (["a", "0", "b"], 'event["a"][0]["b"]'),
        (["00"], "event[0]"),
        (["-1"], 'event["-1"]'),
        (["²"], 'event["²"]'),
        (["a b"], 'event["a b"]'),
        (['"]; import os'], "event['\"]; import os']"),
    ],
)
def test_a_path_is_read_key_by_key(path: list[str], shown: str) -> None:
    assert show(nodes.item(nodes.name("event"), path)) == shown


def test_a_long_call_has_one_argument_a_line_and_a_comma_after_the_last() -> None:
    call = nodes.call(nodes.name("run"), **{name: ast.Constant("x" * 30) for name in ("one", "two", "three")})
    lines = show(call).splitlines()
    assert lines[0] == "run("
    assert lines[-1] == ")"
    assert [line[:4] for line in lines[1:-1]] == ["    "] * 3
    assert lines[-2].endswith(",")


@pytest.mark.parametrize("width", [70, 71, 72, 73, 74])
def test_a_line_is_split_only_where_it_is_wider_than_allowed(width: int) -> None:
    shown = show(nodes.call(nodes.name("run"), ast.Constant("x" * (width + 10))))
    assert (len(shown.splitlines()) == 1) is (len(f'run("{"x" * (width + 10)}")') <= 88)


def test_wide_characters_count_twice() -> None:
    assert len(show(nodes.call(nodes.name("run"), ast.Constant("日" * 40))).splitlines()) == 1
    assert len(show(nodes.call(nodes.name("run"), ast.Constant("日" * 41))).splitlines()) == 3


# --- The last check.


MEANT = ast.parse('def run(name):\n    call("a", name=name)\n')


def test_source_that_is_what_was_meant_passes() -> None:
    check_source('def run(name):\n    call( "a",name = name )\n', MEANT, MEANT)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def run(:\n", "cannot be written as Python"),
        ("def run(name):\n    return\n  return\n", "cannot be written as Python"),
        ('def run(name):\n    call("b", name=name)\n', "does not survive as a constant"),
        ('def run(name):\n    call("a", name=name)\nimport os\n', "does not survive as a constant"),
        ('def run(name):\n    call("a", name=other)\n', "does not survive as a constant"),
        ("return 1\n", "cannot be written as Python"),
        ("x = '\x00'\n", "cannot be written as Python"),
    ],
    ids=["syntax", "indent", "constant", "statement", "name", "outside", "null"],
)
def test_source_that_is_something_else_is_refused(source: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        check_source(source, MEANT, MEANT)
    assert "more simply" in raised.value.message


def test_a_text_that_became_code_is_refused() -> None:
    source = 'def run(name):\n    call("a", name=name)\n    call("a", name=name)\n'
    with pytest.raises(UsageError, match="would become code"):
        check_source(source, ast.parse(source), MEANT)


def test_kinds_of_nodes_tell_constants_apart_by_type() -> None:
    assert node_kinds(ast.parse("1")) != node_kinds(ast.parse("'1'"))
    assert node_kinds(ast.parse("'a'")) == node_kinds(ast.parse("'b'"))


# --- Shapes of events.


def test_every_event_of_the_packaged_catalogue_has_a_shape() -> None:
    for service in load_catalogue().services:
        for trigger in service.triggers:
            shape = shape_of(service, trigger.event)
            assert set(shape.named) == set(trigger.fields)
            assert set(shape.named) <= set(shape.sample)
            assert all(isinstance(shape.sample[one], str) for one in (*shape.text, *shape.sender))
            if shape.amount is not None:
                value = shape.sample[shape.amount.path]
                assert isinstance(value, str) is shape.amount.text


def test_a_sample_is_given_out_as_a_copy_each_time(catalogue: Catalogue) -> None:
    shape = shape_of(catalogue.get("gmail"), "new_email")
    first = sample_event(shape)
    first["labels"].clear()
    first["subject"] = "changed"
    assert sample_event(shape) != first


@pytest.mark.parametrize(
    ("service", "event", "found"),
    [
        ("gmail", "new_email", "new_email"),
        ("gmail", "New Email", "new_email"),
        ("gmail", None, "new_email"),
        ("gmail", "deleted", None),
        ("asana", None, None),
        ("asana", "x", None),
    ],
)
def test_an_event_is_found_by_name_or_when_it_is_the_only_one(
    catalogue: Catalogue, service: str, event: str | None, found: str | None
) -> None:
    trigger = trigger_of(catalogue.get(service), event)
    assert (trigger.event if trigger else None) == found


def test_no_service_has_no_event() -> None:
    assert trigger_of(None, "anything") is None
    assert shape_of(None) == Shape()


@pytest.mark.parametrize(
    ("paths", "sample"),
    [
        ([], {}),
        ([""], {}),
        (["amount"], {"amount": 750}),
        (["customer.email"], {"customer": {"email": "dana.reyes@example.com"}}),
        (["rows.1.id"], {"rows": [{}, {"id": "preview-1"}]}),
        (["a.b", "a.c"], {"a": {"b": "Preview b", "c": "Preview c"}}),
        (["a", "a.b"], {"a": "Preview a"}),
        (["orders.0", "orders.0.id"], {"orders": ["Preview 0"]}),
        (["odd key"], {"odd key": "Preview odd key"}),
        (["orderTotal"], {"orderTotal": "Preview ordertotal"}),
    ],
    ids=str,
)
def test_paths_nobody_knows_are_made_up(paths: list[str], sample: dict[str, Any]) -> None:
    assert sample_event(Shape(), paths) == sample


def test_a_value_is_written_deep_into_lists_and_objects() -> None:
    sample: dict[str, Any] = {"rows": [{"a": 1}, {"a": 2}], "b": {"c": 3}}
    write(sample, "rows.1.a", "x")
    write(sample, "b.c", "y")
    write(sample, "rows.0", "z")
    assert sample == {"rows": ["z", {"a": "x"}], "b": {"c": "y"}}


CHARGE = Shape(
    sample={"amount": 1000, "currency": "usd", "status": "open", "tags": ["a"], "text": "hello"},
    is_known=True,
    text=("text",),
    labels=("tags",),
    amount=Amount(path="amount", scale=100, currency="currency"),
)


@pytest.mark.parametrize(
    ("check", "path", "value"),
    [
        (Check(paths=("tags",), operator="includes", value="b"), "tags", ["a", "b"]),
        (Check(paths=("tags",), operator="includes", value="a"), "tags", ["a"]),
        (Check(paths=("tags",), operator="includes", value="a", negated=True), "tags", []),
        (Check(paths=("status",), operator="equals", value="paid"), "status", "paid"),
        (Check(paths=("status",), operator="equals", value="open", negated=True), "status", "not open"),
        (Check(paths=("text",), operator="mentions", value="HELLO".casefold()), "text", "hello"),
        (Check(paths=("text",), operator="mentions", value="bye"), "text", "hello bye"),
        (Check(paths=("text",), operator="mentions", value="ell", negated=True), "text", "ho"),
        (Check(paths=("amount",), operator="over", value=5), "amount", 6),
        (Check(paths=("amount",), operator="from", value=5, scale=100), "amount", 600),
        (Check(paths=("amount",), operator="under", value=5), "amount", 4),
        (Check(paths=("amount",), operator="to", value=0.5), "amount", -0.5),
        (Check(paths=("amount",), operator="over", value=5, number_from_text=True), "amount", "6.00"),
        (Check(paths=("tags",), operator="present", negated=True), "tags", []),
        (Check(paths=("tags",), operator="present"), "tags", ["a"]),
    ],
    ids=lambda value: f"{value.operator} {value.negated}" if isinstance(value, Check) else "",
)
def test_a_sample_is_changed_just_enough(check: Check, path: str, value: object) -> None:
    sample = sample_event(CHARGE)
    before = dict(sample)
    satisfy(sample, (check,))
    assert sample[path] == value
    assert {key: one for key, one in sample.items() if key != path} == {
        key: one for key, one in before.items() if key != path
    }


def test_a_sample_has_the_fields_its_checks_read() -> None:
    check = Check(paths=("customer.tags",), operator="includes", value="vip")
    assert sample_for(Shape(), (), (check,))["customer"]["tags"][-1] == "vip"


@pytest.mark.parametrize(
    "said",
    [
        "over",
        "over $",
        "over lots",
        "over -5",
        "amount",
        "amount amount over 5",
        "price is nice",
        "over $5 and nonsense",
        "over 5 apples",
        "colour over 5",
        "status",
        "status is",
        "status is three whole words",
        "labelled",
        "labelled a and labelled",
        "from",
        "from nobody",
        "contains",
        "not",
        "and",
        " and ",
        "unless",
    ],
)
def test_half_a_condition_is_none(said: str) -> None:
    assert read_condition(said, CHARGE) is None


@pytest.mark.parametrize(
    ("said", "operators"),
    [
        ("over 5", ["over"]),
        ("total over 5", ["over"]),
        ("above $5", ["equals", "over"]),
        ("value at least 5 usd", ["equals", "from"]),
        ("status is paid", ["is"]),
        ("tagged b", ["includes"]),
        ("over 5 and status is paid", ["over", "is"]),
        ("text contains hello", ["mentions"]),
        ("not under 5", ["from"]),
        ("not at most 5", ["over"]),
        ("not at least 5", ["under"]),
    ],
)
def test_a_whole_condition_is_read_into_its_checks(said: str, operators: list[str]) -> None:
    checks = read_condition(said, CHARGE)
    assert checks is not None
    assert [one.operator for one in checks] == operators


WORDS = ("over", "under", "$", "5", "status", "is", "not", "and", "or", "tagged", "a", '"', "text")


@given(said=st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join))
@settings(max_examples=150, deadline=None)
def test_what_is_read_can_always_be_met(said: str) -> None:
    checks = read_condition(said, CHARGE)
    if checks is not None:
        assert sample_for(CHARGE, (), checks)
