"""Whole flows that stopped half way: which may be run again from the start, and which line forbids it."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_autopilot.effects import may_rerun
from prefect_autopilot.models import OperationEffect

HEAD = """
import csv, datetime, hashlib, json, os, shutil, sqlite3, tempfile, time, uuid
from pathlib import Path
import boto3, mystery, pandas as pd, psycopg2, requests
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.variables import Variable
from prefect_autopilot.tasks import call_service
"""
OPERATIONS = {
    ("gmail", "list_messages"): OperationEffect.SAFE,
    ("crm", "upsert_contact"): OperationEffect.IDEMPOTENT,
    ("slack", "post_message"): OperationEffect.UNSAFE,
}


def verdict_of(source: str) -> tuple[str, str]:
    text = f"{HEAD}\n{textwrap.dedent(source)}"
    verdict = may_rerun(text, "main", OPERATIONS)
    lines = text.splitlines()
    shown = [lines[int(one.split(":")[0].removeprefix("line ")) - 1].strip() for one in verdict.evidence]
    return verdict.level, "\n".join(shown)


SAFE = {
    "a report that is only logged": """
        @task(retries=2)
        def orders(day):
            return requests.get("https://shop.test/orders", params={"day": day}, timeout=9).json()

        @flow(log_prints=True)
        def main(day: str = "2026-01-02"):
            rows = orders(day)
            get_run_logger().info("%s orders", len(rows))
            return sum(row["total"] for row in rows)
        """,
    "two databases compared": """
        def rows_of(url, table):
            with psycopg2.connect(url) as connection, connection.cursor() as cursor:
                cursor.execute(f"SELECT id, name FROM {table} ORDER BY id")
                return cursor.fetchall()

        @task
        def rows(url, table):
            return rows_of(url, table)

        @flow
        def main():
            left, right = rows("a", "t"), rows("b", "t")
            return [pair for pair in zip(left, right) if pair[0] != pair[1]]
        """,
    "a fan-out of reads": """
        @task
        def size(key):
            return boto3.client("s3").head_object(Bucket="data", Key=key)["ContentLength"]

        @flow
        def main(keys=()):
            futures = size.map(keys)
            return max([future.result() for future in futures], default=0)
        """,
    "mail read through a connection": """
        @flow
        def main(query="is:unread"):
            found = call_service.with_options(name="Read mail")("gmail-default", "list_messages", q=query)
            return [one["subject"] for one in found]
        """,
    "a subflow that reads": """
        @flow
        def prices(day):
            return pd.read_csv(f"https://prices.test/{day}.csv")

        @flow
        def main(day="2026-01-02"):
            frame = prices(day)
            return frame.groupby("product").mean().to_dict()
        """,
    "a memory of the process": """
        SEEN = {}

        @flow
        def main(keys=()):
            for key in keys:
                SEEN[key] = requests.get(f"https://a.test/{key}", timeout=3).status_code
            return SEEN
        """,
    "clock and chance without a write": """
        @flow
        def main():
            started = time.perf_counter()
            answer = requests.get("https://a.test", headers={"X-Id": uuid.uuid4().hex}, timeout=3)
            return answer.status_code, time.perf_counter() - started
        """,
}


@pytest.mark.parametrize("source", SAFE.values(), ids=SAFE)
def test_flows_that_only_read_may_run_again(source: str) -> None:
    assert verdict_of(source)[0] == "safe"


IDEMPOTENT = {
    "a file replaced": (
        """
        @task
        def save(rows, day):
            path = Path("out") / f"{day}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="") as file:
                csv.writer(file).writerows(rows)

        @flow
        def main(day="2026-01-02"):
            save(requests.get("https://a.test", timeout=3).json(), day)
        """,
        'with path.open("w", newline="") as file:',
    ),
    "a day deleted and loaded by key": (
        """
        @task
        def load(rows, day):
            with psycopg2.connect("db") as connection, connection.cursor() as cursor:
                cursor.execute("DELETE FROM sales WHERE day = %s", (day,))
                cursor.executemany(
                    "INSERT INTO sales (id, n) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n",
                    rows,
                )

        @flow
        def main(day="2026-01-02"):
            load(requests.get("https://a.test", params={"day": day}, timeout=3).json(), day)
        """,
        'cursor.execute("DELETE FROM sales WHERE day = %s", (day,))',
    ),
    "objects put under their keys": (
        """
        @task
        def put(key, body):
            boto3.client("s3").put_object(Bucket="data", Key=key, Body=body)

        @flow
        def main(keys=()):
            for key in keys:
                put(key, requests.get(f"https://a.test/{key}", timeout=3).content)
        """,
        'boto3.client("s3").put_object(Bucket="data", Key=key, Body=body)',
    ),
    "a charge with a key from its order": (
        """
        @task
        def charge(order):
            key = hashlib.sha256(order["id"].encode()).hexdigest()
            requests.post("https://pay.test/charges", json=order, headers={"Idempotency-Key": key}, timeout=9)

        @flow
        def main(order):
            charge(order)
        """,
        'requests.post("https://pay.test/charges", json=order, headers={"Idempotency-Key": key}, timeout=9)',
    ),
    "a contact upserted": (
        """
        @flow
        def main(event):
            call_service.with_options(name="Keep")("crm-default", "upsert_contact", email=event["from"])
        """,
        'call_service.with_options(name="Keep")("crm-default", "upsert_contact", email=event["from"])',
    ),
    "a report as an artifact": (
        """
        @flow
        def main():
            create_markdown_artifact(key="report", markdown=requests.get("https://a.test", timeout=3).text)
        """,
        'create_markdown_artifact(key="report", markdown=requests.get("https://a.test", timeout=3).text)',
    ),
    "a table rebuilt": (
        """
        @task
        def rebuild():
            connection = sqlite3.connect("shop.db")
            connection.execute("DROP TABLE IF EXISTS totals")
            connection.execute("CREATE TABLE IF NOT EXISTS totals (day TEXT PRIMARY KEY, n INT)")
            connection.execute("INSERT OR REPLACE INTO totals SELECT day, COUNT(*) FROM orders GROUP BY day")
            connection.commit()

        @flow
        def main():
            rebuild()
        """,
        'connection.execute("DROP TABLE IF EXISTS totals")',
    ),
}


@pytest.mark.parametrize(("source", "line"), IDEMPOTENT.values(), ids=IDEMPOTENT)
def test_flows_whose_writes_leave_the_same_may_run_again(source: str, line: str) -> None:
    level, evidence = verdict_of(source)
    assert level == "idempotent"
    assert line in evidence


UNSAFE = {
    "a message in the last step": (
        """
        @task
        def orders():
            return requests.get("https://a.test", timeout=3).json()

        @flow
        def main():
            rows = orders()
            call_service.with_options(name="Tell")("slack-default", "post_message", text=str(len(rows)))
        """,
        'call_service.with_options(name="Tell")("slack-default", "post_message", text=str(len(rows)))',
    ),
    "rows inserted": (
        """
        @task
        def load(rows):
            pd.DataFrame(rows).to_sql("sales", "postgresql://db", if_exists="append")

        @flow
        def main():
            load([1])
        """,
        'pd.DataFrame(rows).to_sql("sales", "postgresql://db", if_exists="append")',
    ),
    "a log appended to": (
        """
        def note(text):
            with open("history.log", "a") as file:
                file.write(text)

        @flow
        def main(day="2026-01-02"):
            note(day)
            return requests.get("https://a.test", timeout=3).json()
        """,
        'with open("history.log", "a") as file:',
    ),
    "an input that is moved away": (
        """
        @task
        def archive(path):
            shutil.move(path, "done/")

        @flow
        def main(path="in.csv"):
            rows = pd.read_csv(path)
            archive(path)
            return len(rows)
        """,
        'shutil.move(path, "done/")',
    ),
    "a charge with a key made anew": (
        """
        @flow
        def main(order):
            key = str(uuid.uuid4())
            requests.post("https://pay.test", json=order, headers={"Idempotency-Key": key}, timeout=3)
        """,
        'requests.post("https://pay.test", json=order, headers={"Idempotency-Key": key}, timeout=3)',
    ),
    "a counter": (
        """
        @task
        def count():
            sqlite3.connect("n.db").execute("UPDATE counters SET n = n + 1 WHERE id = 1")

        @flow
        def main():
            count()
        """,
        'sqlite3.connect("n.db").execute("UPDATE counters SET n = n + 1 WHERE id = 1")',
    ),
    "a message in a branch": (
        """
        @flow
        def main(rows=()):
            if len(rows) > 9:
                requests.post("https://chat.test", json={"text": "many"}, timeout=3)
            else:
                Path("few.txt").write_text(str(rows))
        """,
        'requests.post("https://chat.test", json={"text": "many"}, timeout=3)',
    ),
    "a message when it fails": (
        """
        @flow
        def main():
            try:
                return requests.get("https://a.test", timeout=3).json()
            except requests.RequestException:
                requests.post("https://chat.test", json={"text": "down"}, timeout=3)
                raise
        """,
        'requests.post("https://chat.test", json={"text": "down"}, timeout=3)',
    ),
    "a message mapped": (
        """
        @task
        def tell(name):
            requests.post("https://chat.test", json={"to": name}, timeout=3)

        @flow
        def main(names=()):
            tell.map(names).wait()
        """,
        'requests.post("https://chat.test", json={"to": name}, timeout=3)',
    ),
    "an event": (
        """
        @flow
        def main():
            emit_event("orders.done", resource={"prefect.resource.id": "orders"})
        """,
        'emit_event("orders.done", resource={"prefect.resource.id": "orders"})',
    ),
    "deep in a subflow": (
        """
        class Mailer:
            def send(self, to):
                return requests.post("https://mail.test", json={"to": to}, timeout=3)

        @flow
        def remind(names):
            mailer = Mailer()
            for name in names:
                mailer.send(name)

        @flow
        def main(names=()):
            remind(names)
        """,
        'return requests.post("https://mail.test", json={"to": to}, timeout=3)',
    ),
    "unknown code beside it": (
        """
        @flow
        def main():
            mystery.prepare()
            requests.post("https://a.test", timeout=3)
        """,
        'requests.post("https://a.test", timeout=3)',
    ),
}


@pytest.mark.parametrize(("source", "line"), UNSAFE.values(), ids=UNSAFE)
def test_flows_with_a_write_that_adds_up_must_not_run_again(source: str, line: str) -> None:
    level, evidence = verdict_of(source)
    assert level == "unsafe"
    assert line in evidence


UNKNOWN = {
    "a library nobody knows": """
        @flow
        def main():
            mystery.sync()
        """,
    "a task from another file": """
        from shop.tasks import load

        @flow
        def main():
            load(1)
        """,
    "a shell": """
        @flow
        def main():
            os.system("make report")
        """,
    "a file named by the clock": """
        @flow
        def main():
            Path(f"report-{datetime.date.today()}.csv").write_text("a")
        """,
    "an object named by chance": """
        @task
        def put(body):
            key = f"in/{uuid.uuid4()}"
            boto3.client("s3").put_object(Bucket="data", Key=key, Body=body)

        @flow
        def main():
            put("a")
        """,
    "a file that is read and overwritten": """
        @flow
        def main():
            state = Path("state.json")
            count = json.loads(state.read_text())["n"]
            state.write_text(json.dumps({"n": count + 1}))
        """,
    "a variable that is read and overwritten": """
        @flow
        def main():
            last = Variable.get("cursor")
            rows = requests.get("https://a.test", params={"after": last}, timeout=3).json()
            Variable.set("cursor", rows[-1]["id"], overwrite=True)
            return rows
        """,
    "a put to what was read before": """
        @flow
        def main():
            stock = requests.get("https://a.test/stock", timeout=3).json()
            requests.put("https://a.test/stock", json={"n": stock["n"] - 1}, timeout=3)
        """,
    "a connection chosen by the caller": """
        @flow
        def main(connection, operation):
            call_service(connection, operation)
        """,
    "a hook on a task": """
        @task(on_completion=[print])
        def read():
            return requests.get("https://a.test", timeout=3).json()

        @flow
        def main():
            return read()
        """,
    "a decorated flow": """
        @mystery.traced
        @flow
        def main():
            return 1
        """,
}


@pytest.mark.parametrize("source", UNKNOWN.values(), ids=UNKNOWN)
def test_flows_that_cannot_be_judged_are_unknown_with_a_reason(source: str) -> None:
    level, evidence = verdict_of(source)
    assert level == "unknown"
    assert evidence


PAIRS = {
    "post or put": (
        'requests.post("https://a.test/1", timeout=3)',
        'requests.put("https://a.test/1", timeout=3)',
    ),
    "append or replace": ('open("a", "a").write("1")', 'open("a", "w").write("1")'),
    "insert or upsert": (
        'sqlite3.connect("d").execute("INSERT INTO t VALUES (1)")',
        'sqlite3.connect("d").execute("INSERT OR IGNORE INTO t VALUES (1)")',
    ),
    "remove or remove if there": ('Path("a").unlink()', 'Path("a").unlink(missing_ok=True)'),
    "make or make if missing": ('os.makedirs("a")', 'os.makedirs("a", exist_ok=True)'),
    "set or overwrite": ('Variable.set("a", 1)', 'Variable.set("a", 1, overwrite=True)'),
    "table made or made if missing": (
        'sqlite3.connect("d").execute("CREATE TABLE t (a INT)")',
        'sqlite3.connect("d").execute("CREATE TABLE IF NOT EXISTS t (a INT)")',
    ),
    "key by chance or from the run's input": (
        'requests.post("u", headers={"Idempotency-Key": uuid.uuid4().hex}, timeout=3)',
        'requests.post("u", headers={"Idempotency-Key": day}, timeout=3)',
    ),
    "message or upsert": (
        'call_service("slack-a", "post_message")',
        'call_service("crm-a", "upsert_contact")',
    ),
}


@pytest.mark.parametrize(("adding", "repeatable"), PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("placed", ["{0}", "if day:\n    {0}", "for _ in day:\n    {0}", "x = [{0}]"])
def test_one_word_decides_wherever_it_stands(adding: str, repeatable: str, placed: str) -> None:
    for call, level in ((adding, "unsafe"), (repeatable, "idempotent")):
        body = textwrap.indent(placed.format(call), "    ")
        assert verdict_of(f"@flow\ndef main(day='d'):\n{body}\n")[0] == level


RANK = ("safe", "idempotent", "unknown", "unsafe")
STEPS = {
    "requests.get('https://a.test', timeout=3)": "safe",
    "len(str(day))": "safe",
    "Path('out.txt').write_text('1')": "idempotent",
    "requests.delete('https://a.test/old', timeout=3)": "idempotent",
    "mystery.go()": "unknown",
    "requests.post('https://a.test', timeout=3)": "unsafe",
    "os.remove('a')": "unsafe",
}


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=6))
@settings(deadline=None, max_examples=60)
def test_a_flow_is_as_bad_as_its_worst_step_in_any_order(steps: list[str]) -> None:
    body = "\n".join(f"    {step}" for step in [*steps, "pass"])
    expected = max((STEPS[step] for step in steps), key=RANK.index, default="safe")
    assert verdict_of(f"@flow\ndef main(day='d'):\n{body}\n")[0] == expected


def test_the_evidence_names_each_line_once() -> None:
    source = """
        @task
        def tell(name):
            requests.post("https://chat.test", json=name, timeout=3)

        @flow
        def main():
            tell(1)
            tell(2)
        """
    assert verdict_of(source)[1].count("requests.post") == 1


def test_checking_that_a_file_is_there_is_not_reading_it() -> None:
    source = """
        @flow
        def main():
            path = Path("a.txt")
            if not path.exists():
                path.write_text("1")
        """
    assert verdict_of(source)[0] == "idempotent"
