"""How far a flow had come when it failed, and what its source says of locks, names and limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prefect_autopilot.models import SourceFile
from prefect_autopilot.troubleshooting.execution import (
    before,
    executed,
    function_node,
    in_loop,
    own_frames,
    said_at_end,
)
from prefect_autopilot.troubleshooting.source_facts import (
    environment_read,
    imported_modules,
    limits_used,
    lock_facts,
    names_read,
    names_written,
    tags_of_tasks,
    uses_result_of,
)

BODY = """\
def main(rows):
    begin()
    for row in rows:
        read(row)
        write(row)
    try:
        risky()
        later()
    except ValueError:
        mend()
    finally:
        close()
    if rows:
        last()
    else:
        other()
    end()
"""


@pytest.mark.parametrize(
    ("line", "last", "also"),
    [
        (2, 2, set()),
        (4, 4, {5}),
        (7, 7, {9, 10, 12}),
        (8, 8, {9, 10, 12}),
        (10, 10, {12}),
        (14, 14, set()),
        (16, 16, set()),
        (17, 17, set()),
    ],
    ids=[
        "first",
        "in a loop",
        "in a try",
        "later in it",
        "in its handler",
        "in an if",
        "in an else",
        "at the end",
    ],
)
def test_all_up_to_the_failure_may_have_run_and_what_surrounds_it(
    line: int, last: int, also: set[int]
) -> None:
    assert executed(BODY, "main", line) == set(range(1, last + 1)) | also


@pytest.mark.parametrize(
    ("line", "expected"),
    [(2, {1}), (4, {1, 2, 3, 4, 5}), (7, set(range(1, 7))), (17, set(range(1, 17)))],
    ids=["nothing", "rows before in the loop", "what precedes a try", "everything else"],
)
def test_before_a_statement_is_what_precedes_it_and_earlier_rounds_of_its_loop(
    line: int, expected: set[int]
) -> None:
    assert before(BODY, "main", line) == expected


@pytest.mark.parametrize(
    ("text", "function", "line"),
    [
        (BODY, "main", 99),
        (BODY, "main", 1),
        (BODY, "absent", 2),
        ("def main(:\n", "main", 1),
        (BODY + BODY, "main", 2),
    ],
    ids=["behind the end", "the head", "no such function", "no Python", "two of that name"],
)
def test_an_unclear_place_is_no_place(text: str, function: str, line: int) -> None:
    assert executed(text, function, line) is None
    assert before(text, function, line) is None
    assert in_loop(text, function, line), "unclear counts as often"


@pytest.mark.parametrize(
    ("line", "many"), [(2, False), (4, True), (7, False), (14, False)], ids=["plain", "for", "try", "if"]
)
def test_only_loops_repeat(line: int, many: bool) -> None:  # noqa: FBT001  # a table's column
    assert in_loop(BODY, "main", line) is many


def test_a_comprehension_repeats() -> None:
    assert in_loop("def main(rows):\n    return [post(row) for row in rows]\n", "main", 2)


def test_a_function_is_found_wherever_it_stands() -> None:
    assert function_node("class A:\n    def run(self):\n        pass\n", "run") is not None
    assert function_node("x = 1\n", "run") is None


FLOW = """\
from prefect import flow

@flow
def main(folder):
    first()
    second(folder)
"""
TRACE = """Encountered exception during execution: RuntimeError('held by pid 42')
Traceback (most recent call last):
  File "/opt/prefect/flow_engine.py", line 763, in run_context
    yield self
  File "/srv/main.py", line {line}, in main
    {code}
RuntimeError: held by pid 42"""


def failing(evidence: Callable[..., Any], log: Callable[..., Any], line: int, code: str, **more: Any) -> Any:
    source = SourceFile(path="/srv/main.py", entrypoint="main.py:main", text=FLOW)
    return evidence("held", source=source, logs=(log(TRACE.format(line=line, code=code)),), **more)


def test_the_flows_own_calls_are_read_from_the_traceback(evidence: Any, log: Any) -> None:
    (frame,) = own_frames(failing(evidence, log, 6, "second(folder)"))
    assert (frame.function, frame.line) == ("main", 6)


@pytest.mark.parametrize(
    ("line", "code"),
    [(6, "second(other)"), (5, "second(folder)"), (60, "second(folder)")],
    ids=["another text", "another line", "behind the end"],
)
def test_a_file_that_changed_since_proves_nothing(evidence: Any, log: Any, line: int, code: str) -> None:
    assert own_frames(failing(evidence, log, line, code)) == ()


def test_without_source_or_traceback_there_are_no_frames(evidence: Any, log: Any) -> None:
    assert own_frames(evidence("failed")) == ()
    assert own_frames(failing(evidence, log, 6, "second(folder)").model_copy(update={"logs": ()})) == ()


def test_what_a_failure_says_is_its_message_and_the_last_line(evidence: Any, log: Any) -> None:
    said = said_at_end(failing(evidence, log, 6, "second(folder)"))
    assert said.splitlines() == ["held", "RuntimeError: held by pid 42"]


LOCKS = {
    "os.open": (
        "    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)\n"
        "    os.write(fd, str(os.getpid()).encode())\n"
    ),
    "open x": "    with open(path, 'x') as file:\n        file.write(str(os.getpid()))\n",
    "touch": "    path.touch(exist_ok=False)\n    path.write_text(str(os.getpid()))\n",
    "asked": (
        "    if path.exists():\n        raise RuntimeError('held')\n    path.write_text(str(os.getpid()))\n"
    ),
}


def locking(body: str, name: str = "ledger.lock") -> str:
    return (
        f"import os\nfrom pathlib import Path\ndef main(folder):\n    path = Path(folder) / '{name}'\n{body}"
    )


@pytest.mark.parametrize("how", LOCKS)
def test_the_usual_ways_to_take_a_lock_are_known(how: str) -> None:
    facts = lock_facts(locking(LOCKS[how]))
    assert facts is not None
    assert facts.names == ("ledger.lock",)
    assert facts.taken[0].function == "main"
    assert facts.taken[0].line == 5


@pytest.mark.parametrize(
    "text",
    [
        locking("    path.write_text(str(os.getpid()))\n"),
        locking("    open(path, 'w').write(str(os.getpid()))\n"),
        locking("    fd = os.open(path, os.O_CREAT | os.O_EXCL)\n"),
        locking(LOCKS["open x"], name="ledger.json"),
        locking("    path.touch(exist_ok=True)\n    os.getpid()\n"),
        "def main(:",
        "",
    ],
    ids=[
        "written over",
        "opened anew",
        "names no holder",
        "no lock's name",
        "touch of any",
        "no Python",
        "empty",
    ],
)
def test_what_is_no_lock_with_a_holder_is_none(text: str) -> None:
    assert lock_facts(text) is None


def test_an_error_after_the_lock_is_not_at_the_lock() -> None:
    body = (
        "    try:\n        fd = os.open(path, os.O_CREAT | os.O_EXCL)\n        pay(os.getpid())\n"
        "    except FileExistsError:\n        raise RuntimeError('held') from None\n"
    )
    facts = lock_facts(locking(body))
    assert facts is not None
    spans = {line for one in facts.taken for first, last in one.fails_at for line in range(first, last + 1)}
    assert spans == {6}, "the handler could be about the payment"


STORED = """\
from prefect.variables import Variable
from prefect.blocks.system import Secret

def token():
    return Variable.get("crm_token", default=None)

def reader():
    key = Secret.load("crm-key").get()
    return token(), key, {}.get("not stored"), Variable.get(key)

def writer(value):
    Variable.set("crm_token", value, overwrite=True)
    Secret(value=value).save("crm-key", overwrite=True)
    Variable.set(name="other", value=value)
"""


def test_what_is_read_of_prefect_is_found_also_behind_a_call() -> None:
    assert names_read(STORED, "reader") == {("variable", "crm_token"), ("block", "crm-key")}
    assert names_read(STORED, "writer") == frozenset()


def test_what_is_written_to_prefect_is_found() -> None:
    expected = {("variable", "crm_token"), ("variable", "other"), ("block", "crm-key")}
    assert names_written(STORED, "writer") == expected
    assert names_written(STORED, "reader") == frozenset()


@pytest.mark.parametrize("text", ["def reader(:", "", "x = 1"], ids=["broken", "empty", "no function"])
def test_a_source_that_says_nothing_reads_and_writes_nothing(text: str) -> None:
    assert names_read(text, "reader") == names_written(text, "reader") == frozenset()


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("concurrency('db')", {"db"}),
        ("concurrency(['db', 'api'], occupy=2)", {"db", "api"}),
        ("concurrency(names='db')", {"db"}),
        ("rate_limit('api')", {"api"}),
        ("sync.concurrency('db')", {"db"}),
        ("print('db')", set()),
        ("concurrency(name)", None),
        ("concurrency(f'{x}')", None),
        ("concurrency(['db', x])", None),
        ("concurrency()", None),
        ("concurrency(", None),
    ],
    ids=[
        "one",
        "several",
        "by keyword",
        "rate",
        "by module",
        "none",
        "variable",
        "f-string",
        "mixed",
        "no name",
        "broken",
    ],
)
def test_the_limits_a_file_names_are_all_known_or_none(call: str, expected: set[str] | None) -> None:
    assert limits_used(f"def main(x):\n    {call}\n") == expected


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ('@task(tags=["db", "slow"])\ndef a(): ...', {"db", "slow"}),
        ("@task(tags={'db'})\ndef a(): ...\n@prefect.task(tags=('api',))\ndef b(): ...", {"db", "api"}),
        ("a.with_options(tags=['db'])()", {"db"}),
        ("@task(tags=[NAME, f'db-{x}', 3])\ndef a(): ...", set()),
        ("@task(tags=TAGS)\ndef a(): ...", set()),
        ("@flow(tags=['db'])\ndef a(): ...", set()),
        ("with tags('db'): a()", set()),
        ("def broken(", set()),
    ],
    ids=[
        "list",
        "set and tuple",
        "options",
        "no constants",
        "a name",
        "of a flow",
        "of a block",
        "no source",
    ],
)
def test_only_tags_that_a_file_gives_its_tasks_as_constants_are_known(text: str, tags: set[str]) -> None:
    assert tags_of_tasks(text) == tags


def test_imported_modules_are_told_by_their_first_name() -> None:
    text = "import os.path, json\nfrom prefect.flows import flow\nfrom . import near\nfrom .near import x\n"
    assert imported_modules(text) == {"os", "json", "prefect", ""}
    assert imported_modules("import (") == frozenset()


USED = """\
def report(day):
    table = rates(day)
    other = load(day)
    waits = rates.submit(day)
    a = table["USD"]
    b = other["USD"]
    c = waits.result()["USD"]
    d = rates(day)["USD"]
"""


@pytest.mark.parametrize(
    ("line", "used"),
    [(5, True), (6, False), (7, True), (8, True), (3, False)],
    ids=["its variable", "another's", "its future", "the call itself", "another call"],
)
def test_a_line_uses_a_tasks_result_or_not(line: int, used: bool) -> None:  # noqa: FBT001  # a table's column
    assert uses_result_of(USED, "report", "rates", line) is used


def test_no_function_uses_nothing() -> None:
    assert not uses_result_of(USED, "absent", "rates", 5)
    assert not uses_result_of("def (", "report", "rates", 1)


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ('import os\nKEY = os.environ["CRM"]\ndef f():\n    pass', {"CRM"}),
        ('import os\ndef f():\n    return g()\ndef g():\n    return os.getenv("CRM", "x")', {"CRM"}),
        ('from os import environ\ndef f():\n    return environ.get("CRM")', {"CRM"}),
        ("import os\ndef f(name):\n    return os.environ[name], os.getenv(*name)", set()),
        ('import os\ndef f():\n    pass\ndef g():\n    return os.environ["CRM"]', set()),
        ("def f(:", set()),
    ],
    ids=["outside", "called", "imported", "no constant", "not reached", "no Python"],
)
def test_variables_of_the_environment_are_those_that_a_function_reads(code: str, read: set[str]) -> None:
    assert environment_read(code, "f") == read
