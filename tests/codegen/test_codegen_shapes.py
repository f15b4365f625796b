"""Every shape a workflow can have: what starts it, what a step is given, when and how often it runs."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import pytest

from prefect_autopilot.codegen import generate
from prefect_autopilot.errors import UsageError
from prefect_autopilot.models import (
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
from prefect_autopilot.services import Catalogue

MakeSpec = Callable[..., WorkflowSpec]
MAIL = TriggerSpec(type="email", service="gmail", event="new_email")
CHARGE = TriggerSpec(type="app_event", service="stripe", event="charge_succeeded")
HOOK = TriggerSpec(type="webhook")
BY_HAND = TriggerSpec(type="manual")


def task(step_id: str = "task", **changes: object) -> StepSpec:
    fields: dict[str, object] = {
        "id": step_id,
        "service": "asana",
        "operation": "create_task",
        "connection": "asana-default",
        "arguments": {"name": Constant(value="x")},
    }
    return StepSpec.model_validate(fields | changes)


def comment(step_id: str = "comment", **changes: object) -> StepSpec:
    fields: dict[str, object] = {
        "operation": "add_comment",
        "arguments": {"task_gid": FromStep(step="task", path="data.gid"), "text": Constant(value="done")},
    }
    return task(step_id, **(fields | changes))


def projects(step_id: str = "projects", **changes: object) -> StepSpec:
    return task(step_id, **({"operation": "list_projects", "arguments": {}} | changes))


def named(value: object) -> StepSpec:
    return task(arguments={"name": value})


@pytest.fixture(scope="module")
def make(spec: MakeSpec, catalogue: Catalogue) -> Callable[..., GeneratedFlow]:
    """Return a maker of flows: steps and trigger in, everything else as it is."""

    def generated(*steps: StepSpec, trigger: TriggerSpec = BY_HAND, **changes: object) -> GeneratedFlow:
        return generate(spec(trigger=trigger, steps=steps or (task(),), **changes), catalogue)

    return generated


MakeFlow = Callable[..., GeneratedFlow]


def body(flow: GeneratedFlow) -> str:
    """Return the statements of the flow, without its docstring."""
    tree = ast.parse(flow.source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    return "\n".join(ast.unparse(one) for one in function.body[1:])


def signature(flow: GeneratedFlow) -> str:
    tree = ast.parse(flow.source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    return ast.unparse(function.args)


def imports(flow: GeneratedFlow) -> list[str]:
    return [
        ast.unparse(one)
        for one in ast.parse(flow.source).body
        if isinstance(one, ast.Import | ast.ImportFrom)
    ]


# --- What starts it.


@pytest.mark.parametrize(
    ("trigger", "event"),
    [
        (BY_HAND, None),
        (TriggerSpec(type="schedule", cron="0 9 * * *"), None),
        (HOOK, "prefect-autopilot.webhook.gmail_important_to_asana"),
        (TriggerSpec(type="form"), "prefect-autopilot.form.gmail_important_to_asana"),
        (TriggerSpec(type="chat"), "prefect-autopilot.chat.gmail_important_to_asana"),
        (TriggerSpec(type="other"), "prefect-autopilot.other.gmail_important_to_asana"),
        (TriggerSpec(type="email"), "prefect-autopilot.email.gmail_important_to_asana"),
        (MAIL, "prefect-autopilot.gmail.new_email"),
        (TriggerSpec(type="app_event", service="gmail"), "prefect-autopilot.gmail.new_email"),
        (TriggerSpec(type="app_event", service="gmail", event="New E-Mail"), None),
        (
            TriggerSpec(type="app_event", service="gmail", event="NEW EMAIL"),
            "prefect-autopilot.gmail.new_email",
        ),
        (TriggerSpec(type="webhook", service="stripe"), "prefect-autopilot.stripe.charge_succeeded"),
        (
            TriggerSpec(type="app_event", service="asana", event="task_done"),
            "prefect-autopilot.asana.task_done",
        ),
    ],
    ids=lambda value: (
        " ".join(filter(None, (value.type, value.service, value.event)))
        if isinstance(value, TriggerSpec)
        else None
    ),
)
def test_each_kind_of_start_has_its_event_or_none(
    make: MakeFlow, trigger: TriggerSpec, event: str | None
) -> None:
    flow = make(trigger=trigger)
    if trigger.event == "New E-Mail":
        # An event the catalogue does not know keeps its own name.
        event = "prefect-autopilot.gmail.new_e_mail"
    assert flow.deployment.event == event
    assert ("event: dict[str, Any]" in signature(flow)) is (event is not None)


@pytest.mark.parametrize(
    "start",
    [
        {"cron": "*/5 * * * *"},
        {"cron": "0 9 1-7 * MON"},
        {"cron": "0 0 L * *"},
        {"cron": "0 9 * * 1#2"},
        {"rrule": "FREQ=MONTHLY;BYDAY=-1FR"},
        {"interval_s": 1},
        {"interval_s": 86_400, "anchor": "2026-03-02T09:00:00"},
        {"cron": "0 9 * * *", "timezone": "America/Argentina/Buenos_Aires"},
    ],
    ids=str,
)
def test_a_schedule_reaches_the_deployment_unchanged(make: MakeFlow, start: dict[str, Any]) -> None:
    deployment = make(trigger=TriggerSpec(type="schedule", **start)).deployment
    given = {key: getattr(deployment, key) for key in ("cron", "rrule", "interval_s", "anchor", "timezone")}
    assert given == dict.fromkeys(given) | start
    assert deployment.event is None


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ({"type": "schedule", "cron": "0 9 * *"}, "five fields"),
        ({"type": "schedule", "cron": ""}, "five fields"),
        ({"type": "schedule", "cron": "0  9 * * *"}, "five fields"),
        ({"type": "schedule", "cron": "@daily"}, "five fields"),
        ({"type": "schedule", "cron": "0 9 * * *; rm"}, "five fields"),
        ({"type": "schedule", "cron": "0\n9 * * *"}, "five fields"),
        ({"type": "schedule", "interval_s": -5}, "positive"),
        ({"type": "schedule", "rrule": "FREQ=DAILY", "cron": "0 9 * * *"}, "exactly one"),
        ({"type": "schedule", "cron": "0 9 * * *", "timezone": ""}, "zone"),
        ({"type": "schedule", "cron": "0 9 * * *", "timezone": "europe/berlin"}, "Europe/Berlin"),
        ({"type": "app_event", "service": "asana"}, "Which event of Asana"),
        ({"type": "app_event", "service": "gmail", "event": "new_email", "filter": "shiny"}, "shiny"),
        ({"type": "manual", "filter": "important"}, "important"),
        ({"type": "schedule", "cron": "0 9 * * *", "filter": "it rains"}, "it rains"),
    ],
    ids=str,
)
def test_a_start_that_is_not_clear_is_asked_about(make: MakeFlow, trigger: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        make(trigger=TriggerSpec.model_validate(trigger))
    assert raised.value.exit_code == 2


def test_the_question_for_an_event_names_those_there_are(make: MakeFlow, catalogue: Catalogue) -> None:
    assert [one.event for one in catalogue.get("stripe").triggers] == ["charge_succeeded"]
    with pytest.raises(UsageError, match="Which event of Asana starts the flow"):
        make(trigger=TriggerSpec(type="app_event", service="asana"))


def test_a_filter_of_blanks_is_no_filter(make: MakeFlow) -> None:
    flow = make(trigger=MAIL.model_copy(update={"filter": "   "}))
    assert "Completed" not in flow.source
    assert "-> None" in flow.source


# --- What a step is given.


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Constant(value="it's"), 'name="it\'s"'),
        (Constant(value='say "hi"'), "name='say \"hi\"'"),
        (Constant(value=None), "name=None"),
        (Constant(value=True), "name=True"),
        (Constant(value=0), "name=0"),
        (Constant(value=-3), "name=-3"),
        (Constant(value=1e300), "name=1e300"),
        (Constant(value=-0.0), "name=-0.0"),
        (Constant(value=[]), "name=[]"),
        (Constant(value={}), "name={}"),
        (Constant(value={"a": [1, {"b": None}]}), 'name={"a": [1, {"b": None}]}'),
        (Constant(value=(1, 2)), "name=[1, 2]"),
        (Constant(value={1: "x"}), 'name={"1": "x"}'),
        (FromTrigger(path="subject"), 'name=event["subject"]'),
        (FromTrigger(path="labels.0"), 'name=event["labels"][0]'),
        (FromTrigger(path=""), "name=json.dumps(event, indent=2)"),
        (FromParameter(name="title"), "name=title"),
        (Text(parts=()), 'name=""'),
        (Text(parts=(Constant(value="only words"),)), 'name="only words"'),
        (Text(parts=(Constant(value=1), Constant(value=None))), 'name="1None"'),
        (Text(parts=(FromParameter(name="title"),)), "name=title"),
        (
            Text(parts=(Constant(value="{a} "), FromParameter(name="title"), Constant(value=" %s"))),
            'name=f"{{a}} {title} %s"',
        ),
        (Text(parts=(FromTrigger(path="subject"),)), 'name=event["subject"]'),
        (
            Text(parts=(FromTrigger(path="from"), Constant(value=": "), FromTrigger(path="subject"))),
            'name=f"{from_text}: {subject}"',
        ),
        (
            Text(parts=(FromTrigger(path="subject"), FromTrigger(path="subject"))),
            'name=f"{subject}{subject}"',
        ),
        (Text(parts=(FromTrigger(path=""),)), "name=str(event)"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_each_kind_of_argument_is_read_where_it_stands(make: MakeFlow, value: object, shown: str) -> None:
    flow = make(named(value), trigger=MAIL, parameters=(ParameterSpec(name="title", required=True),))
    assert shown in flow.source


def test_what_an_f_string_holds_is_read_once(make: MakeFlow) -> None:
    text = Text(parts=(FromTrigger(path="subject"), Constant(value=" / "), FromTrigger(path="subject")))
    flow = make(task(arguments={"name": text, "notes": text}), trigger=MAIL)
    assert body(flow).count("event['subject']") == 1


def test_two_values_with_one_last_word_get_two_names(make: MakeFlow) -> None:
    text = Text(parts=(FromTrigger(path="customer.name"), FromTrigger(path="shop.name")))
    flow = make(named(text), trigger=HOOK)
    assert "name = event['customer']['name']" in body(flow)
    assert "name_2 = event['shop']['name']" in body(flow)


def test_a_whole_answer_is_json_only_where_text_is_wanted(make: MakeFlow) -> None:
    given = {"name": FromStep(step="projects"), "custom_fields": FromStep(step="projects")}
    flow = make(projects(), task(arguments=given))
    assert "name=json.dumps(projects, indent=2)" in flow.source
    assert "custom_fields=projects" in flow.source
    assert imports(flow)[0] == "import json"


def test_json_is_imported_only_where_it_is_used(make: MakeFlow) -> None:
    assert "import json" not in imports(make(named(FromTrigger(path="subject")), trigger=MAIL))


def test_any_is_imported_only_where_it_is_used(make: MakeFlow) -> None:
    assert imports(make()) == [
        "from prefect import flow",
        "from prefect_autopilot.tasks import call_service",
    ]
    assert "from typing import Any" in imports(make(parameters=(ParameterSpec(name="rows", type="list"),)))


def test_a_parameter_name_python_does_not_take_is_passed_in_a_mapping(make: MakeFlow) -> None:
    given = {"name": Constant(value="x"), "due-on": Constant(value="2026-03-06")}
    assert '**{"due-on": "2026-03-06"}' in make(task(arguments=given)).source


def test_a_result_nobody_uses_gets_no_name(make: MakeFlow) -> None:
    assert " = call_service" not in make(task(), projects()).source


def test_a_result_is_named_after_what_it_is(make: MakeFlow) -> None:
    flow = make(
        task(),
        comment(),
        projects(),
        named(FromStep(step="projects", path="0.name")).model_copy(update={"id": "other"}),
    )
    assert "task = call_service" in flow.source
    assert "projects = call_service" in flow.source


def test_two_results_of_one_kind_get_two_names(make: MakeFlow) -> None:
    second = comment("second", arguments={"task_gid": FromStep(step="again", path="data.gid")})
    flow = make(task(), task("again"), comment(), second)
    assert "task_2 = call_service" in flow.source
    assert "task_gid=task['data']['gid']" in body(flow)
    assert "task_gid=task_2['data']['gid']" in body(flow)


def test_equal_calls_are_told_apart_in_the_ui(make: MakeFlow) -> None:
    flow = make(task(), task("again"), task("third"))
    assert [name in flow.source for name in ('"Create Asana task"', '"Create Asana task (2)"', "(3)")] == [
        True
    ] * 3


@pytest.mark.parametrize(
    ("parameter", "shown"),
    [
        (ParameterSpec(name="a", required=True), "a: str"),
        (ParameterSpec(name="a", type="int", required=True), "a: int"),
        (ParameterSpec(name="a", type="float", required=True), "a: float"),
        (ParameterSpec(name="a", type="bool", required=True), "a: bool"),
        (ParameterSpec(name="a", type="list", required=True), "a: list[Any]"),
        (ParameterSpec(name="a", type="dict", required=True), "a: dict[str, Any]"),
        (ParameterSpec(name="a"), "a: str | None=None"),
        (ParameterSpec(name="a", default=""), "a: str=''"),
        (ParameterSpec(name="a", type="int", default=0), "a: int=0"),
        (ParameterSpec(name="a", type="bool", default=False), "a: bool=False"),
        (ParameterSpec(name="a", type="list", default=[1]), "a: list[Any] | None=None"),
        (ParameterSpec(name="a", type="dict", default={}), "a: dict[str, Any] | None=None"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_type_of_parameter_has_its_annotation(
    make: MakeFlow, parameter: ParameterSpec, shown: str
) -> None:
    assert signature(make(parameters=(parameter,))) == shown


def test_required_parameters_come_first_and_the_rest_keep_their_order(make: MakeFlow) -> None:
    parameters = (
        ParameterSpec(name="late", default="x"),
        ParameterSpec(name="first", required=True),
        ParameterSpec(name="later", default="y"),
        ParameterSpec(name="second", required=True),
    )
    assert signature(make(parameters=parameters)) == "first: str, second: str, late: str='x', later: str='y'"


def test_a_list_as_a_default_is_not_shared_between_runs(make: MakeFlow) -> None:
    flow = make(parameters=(ParameterSpec(name="rows", type="list", default=["a"]),))
    tree = ast.parse(flow.source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    assert [ast.unparse(one) for one in function.args.defaults] == ["None"]
    assert "if rows is None:\n    rows = ['a']" in body(flow)


def test_defaults_reach_the_deployment_and_openings_do_not(make: MakeFlow) -> None:
    parameters = (
        ParameterSpec(name="channel", default="#ops"),
        ParameterSpec(name="limit", type="int", default=0),
        ParameterSpec(name="owner", required=True),
        ParameterSpec(name="note"),
    )
    assert make(parameters=parameters).deployment.parameters == {"channel": "#ops", "limit": 0}


def test_descriptions_are_the_help_of_the_form(make: MakeFlow) -> None:
    flow = make(parameters=(ParameterSpec(name="channel", description="Where\n  it is told"),))
    assert "        channel: Where it is told" in flow.source


# --- When a step runs.


def test_steps_with_one_condition_share_one_test(make: MakeFlow) -> None:
    said = 'subject contains "invoice"'
    flow = make(task(condition=said), comment(condition=said), trigger=MAIL)
    assert body(flow).count("if ") == 1


def test_steps_with_different_conditions_of_one_form_are_tested_apart(make: MakeFlow) -> None:
    flow = make(
        task(condition='subject contains "invoice"'),
        task("two", condition='subject contains "refund"'),
        trigger=MAIL,
    )
    assert body(flow).count("if ") == 2
    assert "'invoice' in event['subject'].casefold()" in body(flow)
    assert "'refund' in event['subject'].casefold()" in body(flow)


def test_a_condition_between_two_plain_steps_covers_only_its_own(make: MakeFlow) -> None:
    flow = make(task(), task("two", condition='subject contains "x"'), task("three"), trigger=MAIL)
    lines = [line for line in body(flow).splitlines() if "call_service" in line or line.startswith("if ")]
    assert [line.startswith(("if ", "call_service")) for line in lines] == [True, True, False, True]


@pytest.mark.parametrize(
    ("said", "test"),
    [
        ("important", "if 'IMPORTANT' in event['labels']:"),
        ("not important", "if 'IMPORTANT' not in event['labels']:"),
        ("from @acme.com", "if '@acme.com' in event['from'].casefold():"),
        ('subject contains "INVOICE"', "if 'invoice' in event['subject'].casefold():"),
        ('subject is "Ready"', "if event['subject'].casefold() == 'ready':"),
        ('not subject is "Ready"', "if event['subject'].casefold() != 'ready':"),
        ("important and starred", "if 'IMPORTANT' in event['labels'] and 'STARRED' in event['labels']:"),
        ("labelled Kunden", "if 'Kunden' in event['labels']:"),
    ],
)
def test_a_condition_is_written_as_a_person_would(make: MakeFlow, said: str, test: str) -> None:
    flow = make(task(condition=said), trigger=MAIL)
    assert test in body(flow)


@pytest.mark.parametrize(
    ("said", "test"),
    [
        ("over $500", "event['amount'] / 100 > 500"),
        ("at least $500", "event['amount'] / 100 >= 500"),
        ("under $4.50", "event['amount'] / 100 < 4.5"),
        ("at most 10", "event['amount'] / 100 <= 10"),
        ("more than €2k", "event['amount'] / 100 > 2000"),
        ("failed", "event['status'] == 'failed'"),
        ("not failed", "event['status'] != 'failed'"),
    ],
)
def test_a_guard_is_the_opposite_of_its_condition(make: MakeFlow, said: str, test: str) -> None:
    step = body(make(task(condition=said), trigger=CHARGE))
    guard = body(make(task(), trigger=CHARGE.model_copy(update={"filter": said})))
    opposite = {">": "<=", ">=": "<", "<": ">=", "<=": ">", "==": "!=", "!=": "=="}
    left, operator, right = test.rsplit(" ", 2)
    assert test in step
    assert f"if {left} {opposite[operator]} {right}:" in guard
    assert "return Completed(name='Skipped'" in guard


def test_a_guarded_flow_returns_a_state_on_every_way_out(make: MakeFlow) -> None:
    flow = make(trigger=MAIL.model_copy(update={"filter": "important"}))
    tree = ast.parse(flow.source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    assert isinstance(function.body[-1], ast.Return)
    assert ast.unparse(function.returns or ast.Constant(None)) == "State[Any]"
    assert "from prefect.states import Completed" in imports(flow)


def test_two_guards_are_two_ways_out(make: MakeFlow) -> None:
    flow = make(trigger=MAIL.model_copy(update={"filter": "important and from @acme.com"}))
    assert body(flow).count("return Completed(name='Skipped'") == 2


# --- How often a step runs.


def test_a_step_that_lists_stands_for_its_rows(make: MakeFlow) -> None:
    flow = make(
        projects(), task(for_each="projects", arguments={"name": FromStep(step="projects", path="name")})
    )
    assert "for project in projects['data']:" in body(flow)
    assert "name=project['name']" in body(flow)


def test_neighbours_in_one_loop_share_it(make: MakeFlow) -> None:
    flow = make(projects(), task(for_each="projects"), comment(for_each="projects"))
    assert body(flow).count("for ") == 1
    assert "task_gid=task['data']['gid']" in body(flow)


def test_a_result_of_a_loop_is_not_seen_after_it(make: MakeFlow) -> None:
    with pytest.raises(UsageError, match="'task'"):
        make(projects(), task(for_each="projects"), comment())


def test_a_list_of_the_event_is_gone_through(make: MakeFlow) -> None:
    flow = make(
        task(for_each="line_items", arguments={"name": FromTrigger(path="line_items.title")}), trigger=HOOK
    )
    assert "for line_item in event['line_items']:" in body(flow)
    assert "name=line_item['title']" in body(flow)
    assert flow.sample_event == {"line_items": [{"title": "Preview title"}]}


@pytest.mark.parametrize("source", ["rows", "event.rows", "trigger.rows"])
def test_a_list_of_the_event_is_named_in_any_of_three_ways(make: MakeFlow, source: str) -> None:
    flow = make(task(for_each=source), trigger=HOOK)
    assert "for row in event['rows']:" in body(flow)
    assert isinstance(flow.sample_event["rows"], list)


def test_a_loop_over_the_event_makes_it_a_parameter(make: MakeFlow) -> None:
    flow = make(task(for_each="event.rows"))
    assert signature(flow) == "event: dict[str, Any]"
    assert flow.deployment.event is None


def test_the_item_of_a_loop_may_be_given_whole(make: MakeFlow) -> None:
    flow = make(task(for_each="labels", arguments={"name": FromTrigger(path="labels")}), trigger=MAIL)
    assert "for label in event['labels']:" in body(flow)
    assert "name=label" in body(flow)


@pytest.mark.parametrize(
    ("for_each", "trigger", "said"),
    [
        ("projets", MAIL, "no field 'projets'"),
        ("event", HOOK, "as a whole is no list"),
        ("trigger", MAIL, "as a whole is no list"),
        ("subject", MAIL, "'subject' of the event is no list"),
        ("event.from", MAIL, "'from' of the event is no list"),
        ("task", MAIL, "'task'"),
        ("later", HOOK, "'later'"),
    ],
)
def test_a_loop_over_nothing_that_is_a_list_is_asked_about(
    make: MakeFlow, for_each: str, trigger: TriggerSpec, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        make(task(for_each=for_each), projects("later"), trigger=trigger)


def test_a_loop_over_a_result_that_may_be_missing_is_refused(make: MakeFlow) -> None:
    with pytest.raises(UsageError, match="runs only on a condition"):
        make(projects(condition="important"), task(for_each="projects"), trigger=MAIL)


def test_the_condition_of_a_loop_is_tested_once_before_it(make: MakeFlow) -> None:
    flow = make(projects(), task(for_each="projects", condition="important"), trigger=MAIL)
    text = body(flow)
    assert text.index("if 'IMPORTANT'") < text.index("for project in")
    assert "    for project in" in text


# --- What it is called.


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("mail-to-task", "mail_to_task"),
        ("weekly", "weekly_flow"),
        ("asana", "asana_flow"),
        ("asana-python", "asana_python_flow"),
        ("py-asana", "py_asana_flow"),
        ("prefect", "prefect_flow_flow"),
        ("prefect-asana", "prefect_asana_flow"),
        ("class", "class_flow"),
        ("print", "print_flow"),
        ("asyncio", "asyncio_flow"),
        ("call-service", "call_service_flow"),
        ("a--b", "a_b"),
        ("abc-", "abc_flow"),
        ("x" * 63, f"{'x' * 48}_flow"),
    ],
)
def test_a_flow_name_becomes_a_safe_function_and_file(make: MakeFlow, name: str, function: str) -> None:
    flow = make(name=name)
    assert flow.function == function
    assert flow.file_name == f"{function}.py"
    assert flow.deployment.flow_name == name
    assert f'name="{name}"' in flow.source


@pytest.mark.parametrize("name", ["autopilot", "autopilot-x", "autopilot-troubleshoot"])
def test_our_own_names_cannot_be_taken(make: MakeFlow, name: str) -> None:
    # Flows of this name would be excluded from everything the product watches.
    with pytest.raises(UsageError, match="reserved"):
        make(name=name)


@pytest.mark.parametrize("name", ["autopilots", "my-autopilot-x"])
def test_names_like_ours_can(make: MakeFlow, name: str) -> None:
    assert make(name=name).deployment.name == name


def test_a_parameter_may_not_take_the_name_of_the_function(make: MakeFlow) -> None:
    flow = make(name="mail-to-task", parameters=(ParameterSpec(name="mail to task"),))
    assert signature(flow) == "mail_to_task_2: str | None=None"


def test_parameters_with_one_slug_get_two_names(make: MakeFlow) -> None:
    flow = make(parameters=(ParameterSpec(name="due date"), ParameterSpec(name="due-date")))
    assert signature(flow) == "due_date: str | None=None, due_date_2: str | None=None"


def test_the_start_by_hand_gives_every_required_value(make: MakeFlow) -> None:
    parameters = (
        ParameterSpec(name="who", required=True, default="ann"),
        ParameterSpec(name="many", type="int", required=True),
        ParameterSpec(name="open"),
    )
    main = make(trigger=HOOK, parameters=parameters).source.partition('if __name__ == "__main__":\n')[2]
    assert main.strip() == 'gmail_important_to_asana(event={}, who="ann", many=1)'


def test_the_first_line_says_what_the_flow_does(make: MakeFlow) -> None:
    assert make(task(), comment()).source.startswith('"""Create Asana task, then add Asana comment.\n')
    many = make(*(task(f"step-{number}") for number in range(9))).source
    assert many.startswith('"""Create Asana task and 8 more steps.\n')
