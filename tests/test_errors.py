"""The error tree: one base to catch, exit codes, what may be tried again, and facts that survive pickling."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_autopilot import errors
from prefect_autopilot.errors import (
    AutopilotError,
    ConfigurationError,
    ConflictError,
    DeliveryError,
    InvalidFlowError,
    LanguageModelError,
    OutputError,
    PrefectError,
    ProofError,
    ServiceError,
    SignatureError,
    StoreError,
    UnknownNameError,
    UsageError,
)

FACTS: dict[str, Any] = {
    "service": "asana",
    "operation": "create_task",
    "effect": "unsafe",
    "permanent": False,
    "status": 503,
    "retry_after_s": 7.5,
    "content_type": "application/json",
    "request_id": "req-1",
    "connection": "asana-default",
    "body_head": '{"error": "busy"}',
}
MAKERS: dict[str, Callable[[], AutopilotError]] = {
    "AutopilotError": lambda: AutopilotError("Something is off."),
    "UsageError": lambda: UsageError("Give a path."),
    "UnknownNameError": lambda: UnknownNameError("service", "asanaa", ("asana",)),
    "InvalidFlowError": lambda: InvalidFlowError("This is not Python."),
    "OutputError": lambda: OutputError("The disk is full.", permanent=False),
    "ConfigurationError": lambda: ConfigurationError("Set a database."),
    "ConflictError": lambda: ConflictError("Somebody was first."),
    "PrefectError": lambda: PrefectError("The server is busy.", permanent=False, status=503),
    "StoreError": lambda: StoreError("The database is locked.", permanent=False),
    "ServiceError": lambda: ServiceError("Asana is busy", **FACTS),
    "LanguageModelError": lambda: LanguageModelError("The model is silent."),
    "DeliveryError": lambda: DeliveryError("The channel refused."),
    "SignatureError": lambda: SignatureError("The webhook is unsigned.", reason="missing"),
    "ProofError": lambda: ProofError("Not equal."),
}
EACH = pytest.mark.parametrize("name", sorted(MAKERS))


def tree(cls: type[AutopilotError]) -> Iterator[type[AutopilotError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from tree(child)


def test_every_error_of_the_module_is_in_the_table_above_and_in_the_tree() -> None:
    defined = {
        name
        for name, found in inspect.getmembers(errors, inspect.isclass)
        if found.__module__ == errors.__name__
    }
    assert defined == set(MAKERS)
    assert defined <= {cls.__name__ for cls in tree(AutopilotError)}


def test_the_drawn_tree_is_the_real_one() -> None:
    assert errors.__doc__ is not None
    for name in MAKERS:
        assert name in errors.__doc__


@EACH
def test_one_except_catches_everything_we_raise_on_purpose(name: str) -> None:
    error = MAKERS[name]()
    with pytest.raises(AutopilotError) as caught:
        raise error
    assert type(caught.value).__name__ == name


@EACH
def test_what_a_person_reads_is_the_message(name: str) -> None:
    error = MAKERS[name]()
    assert str(error) == error.message == error.args[0]
    assert error.message


@EACH
def test_an_error_says_what_it_is_for(name: str) -> None:
    assert (type(MAKERS[name]()).__doc__ or "").strip()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("AutopilotError", 1),
        ("UsageError", 2),
        ("UnknownNameError", 1),
        ("InvalidFlowError", 1),
        ("ConfigurationError", 1),
        ("ConflictError", 1),
        ("PrefectError", 1),
        ("StoreError", 1),
        ("ServiceError", 1),
        ("DeliveryError", 1),
        ("ProofError", 1),
    ],
)
def test_the_command_line_ends_with_two_only_for_wrong_words(name: str, code: int) -> None:
    assert MAKERS[name]().exit_code == code


@pytest.mark.parametrize(
    ("child", "parent"),
    [(UnknownNameError, UsageError), (InvalidFlowError, UsageError)],
    ids=["unknown name", "invalid flow"],
)
def test_wrong_names_and_files_are_wrong_usage(
    child: type[AutopilotError], parent: type[AutopilotError]
) -> None:
    assert issubclass(child, parent)


@pytest.mark.parametrize(
    "name", sorted(MAKERS.keys() - {"UsageError", "UnknownNameError", "InvalidFlowError"})
)
def test_trouble_elsewhere_is_not_the_callers_fault(name: str) -> None:
    assert not isinstance(MAKERS[name](), UsageError)


@pytest.mark.parametrize("cls", [ConfigurationError, ConflictError, StoreError, DeliveryError, ProofError])
def test_an_error_is_final_unless_whoever_knows_the_other_side_says_otherwise(
    cls: type[AutopilotError],
) -> None:
    assert cls("x").permanent
    assert not cls("x", permanent=False).permanent


@pytest.mark.parametrize("cls", [PrefectError, ServiceError])
def test_who_speaks_of_another_side_must_say_whether_it_is_final(cls: Any) -> None:
    with pytest.raises(TypeError, match="permanent"):
        cls("x", **{key: value for key, value in FACTS.items() if key != "permanent" and cls is ServiceError})


def test_whether_it_is_final_cannot_be_passed_by_position() -> None:
    with pytest.raises(TypeError):
        AutopilotError("x", False)  # type: ignore[misc]  # noqa: FBT003  # that is the point


@pytest.mark.parametrize("status", [None, 401, 503])
def test_a_prefect_error_keeps_the_status(status: int | None) -> None:
    assert PrefectError("x", permanent=True, status=status).status == status


@pytest.mark.parametrize(
    ("nearest", "hint"),
    [
        ((), "; prefect-autopilot services list lists those there are."),
        (("asana",), "; did you mean asana?"),
        (("a", "b"), "; did you mean a or b?"),
    ],
    ids=["nothing near", "one", "two"],
)
def test_an_unknown_name_offers_the_nearest(nearest: tuple[str, ...], hint: str) -> None:
    error = UnknownNameError("service", "asanaa", nearest)
    assert error.message == f"There is no service named 'asanaa'{hint}"
    assert (error.kind, error.name, error.nearest) == ("service", "asanaa", nearest)
    assert error.permanent


def test_a_hostile_name_is_quoted_and_cannot_break_the_line() -> None:
    message = UnknownNameError("service", "x'\n\x1b[31m").message
    assert "\n" not in message
    assert "\x1b" not in message


FACT_WORDS = [
    "service=asana",
    "operation=create_task",
    "connection=asana-default",
    "effect=unsafe",
    "status=503",
    "retry_after_s=7.5",
    "content_type=application/json",
    "request_id=req-1",
]


@pytest.mark.parametrize("word", FACT_WORDS)
def test_a_service_error_tells_diagnosis_each_fact_in_its_text(word: str) -> None:
    text = str(ServiceError("Asana is busy", **FACTS))
    assert text.startswith("Asana is busy [service=asana ")
    assert word in text.partition("[")[2].partition("]")[0].split()


def test_the_body_stands_behind_the_facts_and_quoted() -> None:
    text = str(ServiceError("Asana is busy", **FACTS))
    assert text.endswith("""] body='{"error": "busy"}'""")


def test_facts_nobody_knows_are_not_in_the_text() -> None:
    error = ServiceError("no answer", service="asana", operation="list", effect="safe", permanent=False)
    assert str(error) == "no answer [service=asana operation=list effect=safe]"
    assert (error.status, error.retry_after_s, error.connection, error.request_id) == (None,) * 4


def test_a_status_or_pause_of_zero_is_known_and_told() -> None:
    zero = FACTS | {"retry_after_s": 0.0, "status": 0}
    text = str(ServiceError("busy", **zero))
    assert "retry_after_s=0.0" in text
    assert "status=0" in text


def test_a_body_with_line_ends_stays_on_one_line() -> None:
    assert "\n" not in str(ServiceError("busy", **FACTS | {"body_head": "a\nb\r\nc"}))


@pytest.mark.parametrize(
    "field",
    ["reason", "service", "operation", "effect", "status", "retry_after_s", "connection", "request_id"],
)
def test_code_reads_the_facts_as_attributes(field: str) -> None:
    error = ServiceError("Asana is busy", **FACTS)
    assert getattr(error, field) == ({"reason": "Asana is busy"} | FACTS)[field]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_service_error_survives_the_pickling_of_a_run(protocol: int) -> None:
    before = ServiceError("Asana is busy", **FACTS)
    after = pickle.loads(pickle.dumps(before, protocol))
    assert type(after) is ServiceError
    assert str(after) == str(before)
    assert after.__dict__ == before.__dict__


class NarrowerError(ServiceError):
    """A service error of a kind."""


def test_a_narrower_service_error_stays_narrower() -> None:
    after = pickle.loads(pickle.dumps(NarrowerError("busy", **FACTS)))
    assert type(after) is NarrowerError
    assert after.status == 503


@EACH
def test_every_error_survives_pickling_with_its_message_and_whether_it_is_final(name: str) -> None:
    # Prefect stores the exception of a failed run; one that cannot be read back hides the cause.
    before = MAKERS[name]()
    after = pickle.loads(pickle.dumps(before))
    assert type(after) is type(before)
    assert (str(after), after.permanent) == (str(before), before.permanent)
    assert after.__dict__ == before.__dict__


@given(st.text(), st.none() | st.integers(100, 599), st.none() | st.floats(0, 1e6), st.text(max_size=200))
def test_no_text_from_outside_breaks_pickling_or_the_reason(
    reason: str, status: int | None, retry_after_s: float | None, body: str
) -> None:
    facts = FACTS | {"status": status, "retry_after_s": retry_after_s, "body_head": body}
    before = ServiceError(reason, **facts)
    after = pickle.loads(pickle.dumps(before))
    assert (after.reason, after.status, after.retry_after_s) == (reason, status, retry_after_s)
    assert str(after) == str(before)
    assert str(after).startswith(f"{reason} [service=asana ")


def test_an_unknown_name_of_a_kind_that_no_command_lists_is_only_named() -> None:
    assert UnknownNameError("moon", "europa").message == "There is no moon named 'europa'."
