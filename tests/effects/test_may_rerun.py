"""Whether a flow that ran in part may run again."""

from __future__ import annotations

import textwrap

import pytest

from prefect_autopilot.effects import besides_services, flow_effects, function_effects, may_rerun
from prefect_autopilot.errors import UnknownNameError
from prefect_autopilot.models import OperationEffect

IMPORTS = """
import datetime, os, uuid
from pathlib import Path
import psycopg2, requests, mystery
from prefect import flow, task
from prefect.variables import Variable
from prefect_autopilot.tasks import call_service
"""


def source_of(flow_body: str, tasks: str = "") -> str:
    body = textwrap.indent(textwrap.dedent(flow_body), "    ")
    return f"{IMPORTS}\n{textwrap.dedent(tasks)}\n@flow\ndef main(day='2026-01-02'):\n{body}\n"


READ_TASK = "@task\ndef read(d):\n    return requests.get('https://a.test', params={'d': d}).json()\n"

CASES = {
    "reads only": ("return read(day)", "safe"),
    "computes only": ("return day.upper()", "safe"),
    "overwrites a file": ("Path('out.csv').write_text(str(read(day)))", "idempotent"),
    "puts": ("requests.put('https://a.test/r', json=read(day))", "idempotent"),
    "deletes rows": (
        "psycopg2.connect('db').cursor().execute('DELETE FROM t WHERE d = %s', (day,))",
        "idempotent",
    ),
    "posts": ("requests.post('https://a.test/r', json=read(day))", "unsafe"),
    "appends": ("with open('log.txt', 'a') as f:\n    f.write(day)", "unsafe"),
    "inserts": ("psycopg2.connect('db').cursor().execute('INSERT INTO t VALUES (1)')", "unsafe"),
    "removes": ("os.remove('out.csv')", "unsafe"),
    "calls what is not known": ("mystery.sync(read(day))", "unknown"),
    "unsafe beats unknown": ("mystery.sync(day)\nrequests.post('https://a.test/r')", "unsafe"),
    "file named by the clock": ("Path(f'out-{datetime.datetime.now()}.csv').write_text(day)", "unknown"),
    "file named by chance in a variable": (
        "n = uuid.uuid4().hex\nPath(f'{n}.csv').write_text(day)",
        "unknown",
    ),
    "reads and overwrites one file": ("p = Path('n.txt')\np.write_text(p.read_text() + day)", "unknown"),
    "counts a variable up": ("n = Variable.get('n')\nVariable.set('n', n + 1, overwrite=True)", "unknown"),
    "key from the parameters": (
        "requests.post('https://a.test', headers={'Idempotency-Key': day})",
        "idempotent",
    ),
}


@pytest.mark.parametrize(("body", "level"), CASES.values(), ids=CASES)
def test_the_verdict(body: str, level: str) -> None:
    verdict = may_rerun(source_of(body, READ_TASK), "main")
    assert verdict.level == level
    assert verdict.evidence or body == "return day.upper()"


def test_the_evidence_names_the_line_of_the_write_in_a_task() -> None:
    tasks = "@task\ndef push(d):\n    requests.post('https://a.test', json=d)\n"
    source = source_of("push(day)", tasks)
    line = source[: source.index("requests.post")].count("\n") + 1
    assert may_rerun(source, "main").evidence == (f"line {line}: requests.post",)


@pytest.mark.parametrize(
    ("effect", "level"),
    [
        (OperationEffect.SAFE, "safe"),
        (OperationEffect.IDEMPOTENT, "idempotent"),
        (OperationEffect.UNSAFE, "unsafe"),
    ],
)
def test_a_call_of_a_service_has_the_effect_of_its_operation(effect: OperationEffect, level: str) -> None:
    source = source_of("return call_service('slack-default', 'post_message', text=day)")
    assert may_rerun(source, "main", {("slack", "post_message"): effect}).level == level


def test_a_call_of_a_service_is_unknown_without_its_operation() -> None:
    source = source_of("return call_service('slack-default', 'post_message', text=day)")
    assert may_rerun(source, "main").level == "unknown"
    assert may_rerun(source, "main", {("sla", "post_message"): OperationEffect.SAFE}).level == "unknown"


def test_a_function_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean main"):
        may_rerun(source_of("return 1"), "mian")


def test_the_calls_of_a_flow_come_in_order_of_evaluation() -> None:
    tasks = READ_TASK + "\n@task\ndef save(d):\n    requests.post('https://a.test', json=d)\n"
    source = source_of(
        "a = read.submit(day)\nsave(read(day))\nread.map([1])\nPath('x').write_text('1')", tasks
    )
    calls = flow_effects(source, "main")
    told = [(one.function, one.how, one.effect.level.value) for one in calls]
    assert told == [
        ("read", "submit", "read"),
        ("read", "call", "read"),
        ("save", "call", "write"),
        ("read", "map", "read"),
        ("Path('x').write_text", "call", "write"),
    ]


def test_every_function_of_a_file_is_told_with_its_kind() -> None:
    effects = function_effects(source_of("return read(day)", READ_TASK))
    assert {name: one.kind for name, one in effects.items()} == {"read": "task", "main": "flow"}


@pytest.mark.parametrize(
    ("line", "other"),
    [
        pytest.param("call_service('slack-default', 'post_message', text=x)", "", id="a service"),
        pytest.param("call_service(x, y)", "", id="a service by a variable"),
        pytest.param("x.strip()", "", id="nothing"),
        pytest.param("requests.get('https://a.test')", "requests.get", id="HTTP besides"),
        pytest.param("open('/data/x', 'w').write(x)", "open", id="a file besides"),
        pytest.param("unheard_of(x)", "unheard_of", id="what nobody knows"),
    ],
)
def test_what_is_reached_besides_services_is_told(line: str, other: str) -> None:
    source = (
        "import requests\nfrom prefect import flow\nfrom prefect_autopilot.tasks import call_service\n"
        f"@flow\ndef main(x='', y=''):\n    {line}\n"
    )
    told = besides_services(source, "main")
    assert other in told
    assert bool(told) is bool(other)
