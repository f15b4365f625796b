"""Pages of a workflow, of rules, connections and descriptions: what they show, store and refuse."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import httpx
import pytest

from prefect_autopilot.api import page_automate, page_connections
from prefect_autopilot.errors import ProofError, UsageError
from prefect_autopilot.models import RunRecord, StateRecord
from prefect_autopilot.settings import Settings
from prefect_autopilot.store import Scope, Store

Client = httpx.AsyncClient
DEPLOYMENT = "5f0c7c52-4b53-4f5e-9d6a-0c4c8f0e1a11"
DAILY = "Every day at 9:00 post 'Hello team' to #general in Slack"
RULE = "rules:\n  - {rule_id: slow, metric_name: response_time, condition: '>', threshold: 1}\n"


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{re.escape(name)}" value="([^"]*)"', page)
    assert found is not None, name
    return html.unescape(found[1])


def runs_of(clock: Any, count: int = 40, **fields: Any) -> list[RunRecord]:
    found = []
    for number in range(count):
        at = clock.now - timedelta(hours=count - number)
        state = StateRecord(id=f"s{number}", type="COMPLETED", name="Completed", timestamp=at)
        told = {
            "id": f"run-{number}",
            "name": f"owl-{number}",
            "flow_name": "orders",
            "deployment_id": DEPLOYMENT,
            "deployment_name": "prod",
            "state": state,
            "start": at,
            "end": at + timedelta(seconds=60),
            "duration_s": 60.0 + number % 7,
        }
        found.append(RunRecord.model_validate(told | fields))
    return found


async def signed_in(api: Client, store: Store, clock: Any, scope: Scope) -> None:
    day = timedelta(days=1)
    secret, _ = await store.create_token(f"b-{scope}", scope, day, clock.now, actor="test")
    await api.post("/ui/sign-in", data={"token": secret})


# A workflow


@pytest.mark.parametrize("name", [DEPLOYMENT, "orders", "orders%2Fprod", "orders/prod"])
async def test_a_workflow_is_shown_by_any_of_its_names(
    api: Client, store: Store, clock: Any, name: str
) -> None:
    await store.upsert_runs(runs_of(clock))
    page = (await api.get(f"/ui/workflows/{name}")).text
    assert "<h1>orders/prod</h1>" in page
    assert "Healthy" in page
    assert "owl-39" in page
    assert "Failures within a week" in page
    assert "Such forecasts of durations were off by" in page
    assert f"/ui/improve/{DEPLOYMENT}" in page
    assert "http" not in page, "no Prefect server is known, so nothing leads there"


async def test_a_workflow_links_to_the_prefect_ui(
    api: Client, store: Store, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.test:4200/api")
    await store.upsert_runs(runs_of(clock, count=3))
    page = (await api.get(f"/ui/workflows/{DEPLOYMENT}")).text
    assert f'href="http://prefect.test:4200/deployments/deployment/{DEPLOYMENT}"' in page
    assert 'href="http://prefect.test:4200/runs/flow-run/run-2"' in page
    assert "Too few runs were seen to expect anything" in page


async def test_a_workflow_that_stalls_shows_its_alarm_in_words(api: Client, store: Store, clock: Any) -> None:
    runs = runs_of(clock)
    slow = [one.model_copy(update={"duration_s": 900.0}) for one in runs[-6:]]
    await store.upsert_runs([*runs[:-6], *slow])
    page = (await api.get(f"/ui/workflows/{DEPLOYMENT}")).text
    assert "Nothing unusual was found" not in page


@pytest.mark.parametrize("kind", ["durations", "success"])
async def test_a_chart_is_an_image_that_can_do_nothing(
    api: Client, store: Store, clock: Any, kind: str
) -> None:
    await store.upsert_runs(runs_of(clock, flow_name="<script>x</script>"))
    answer = await api.get(f"/ui/charts/{kind}.svg", params={"workflow": DEPLOYMENT})
    assert answer.headers["content-type"].startswith("image/svg+xml")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "<script" not in answer.text
    assert "private" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ui/workflows/none", 404),
        ("/ui/charts/durations.svg", 404),
        ("/ui/charts/durations.svg?workflow=none", 404),
        ("/ui/charts/other.svg?workflow=x", 422),
        ("/ui/improve/none", 422),
    ],
)
async def test_what_is_not_there_is_told(api: Client, path: str, status: int) -> None:
    assert (await api.get(path)).status_code == status


async def test_a_browser_gets_a_page_and_a_program_problem_details(api: Client) -> None:
    seen = await api.get("/ui/workflows/none", headers={"accept": "text/html,*/*"})
    assert seen.headers["content-type"].startswith("text/html")
    assert "That was not done" in seen.text
    told = await api.get("/ui/workflows/none")
    assert told.headers["content-type"] == "application/problem+json"


# What could be better


async def test_a_rewriting_is_drawn_before_and_after(api_with_prefect: Client) -> None:
    api, path = api_with_prefect, f"/ui/improve/{DEPLOYMENT}"
    page = (await api.post(path, data={"seal": field((await api.get(path)).text, "seal")})).text
    address = re.search(r'src="([^"]+timeline.svg[^"]*)"', page)
    assert address is not None
    picture = await api.get(html.unescape(address[1]))
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert picture.text.startswith("<svg")
    assert "before" in picture.text
    assert "script" not in picture.headers["content-security-policy"]
    assert (
        await api.get(f"{path}/timeline.svg?strategy=none")
    ).status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    unknown = "/ui/improve/00000000-0000-4000-8000-000000000000/timeline.svg"
    assert (await api.get(unknown)).status_code == HTTPStatus.NOT_FOUND


async def test_a_rewriting_is_shown_as_a_diff_and_written_only_on_a_word(
    api_with_prefect: Client, prefect: Any, store: Store
) -> None:
    api, path = api_with_prefect, f"/ui/improve/{DEPLOYMENT}"
    source = (prefect.folder / "orders.py").read_text(encoding="utf-8")
    page = (await api.get(path)).text
    assert "Proposed" not in page
    seal = field(page, "seal")
    page = (await api.post(path, data={"seal": seal, "strategy": "performance"})).text
    assert "<ins>" in page
    assert "<del>" in page
    assert (prefect.folder / "orders.py").read_text(encoding="utf-8") == source
    form = {"seal": seal, "strategy": "performance"}
    assert (await api.post(f"{path}/apply", data={**form, "after": "0" * 64})).status_code == 409
    assert (prefect.folder / "orders.py").read_text(encoding="utf-8") == source
    form["after"] = field(page, "after")
    prefect.proof, equal = ProofError("It may do harm."), prefect.proof
    answer = await api.post(f"{path}/apply", data=form)
    assert (answer.status_code, "could not be proved" in answer.text) == (409, True)
    assert (prefect.folder / "orders.py").read_text(encoding="utf-8") == source
    prefect.proof = equal
    answer = await api.post(f"{path}/apply", data=form)
    assert answer.status_code == 303
    assert (prefect.folder / "orders.py").read_text(encoding="utf-8") != source
    assert "flow.rewriting" in [entry.action for entry in await store.audit_trail()]


async def test_an_operator_writes_no_flow(
    api_with_prefect: Client, prefect: Any, store: Store, clock: Any
) -> None:
    api, path = api_with_prefect, f"/ui/improve/{DEPLOYMENT}"
    await signed_in(api, store, clock, Scope.OPERATOR)
    source = (prefect.folder / "orders.py").read_text(encoding="utf-8")
    seal = field((await api.get(path)).text, "seal")
    page = (await api.post(path, data={"seal": seal})).text
    assert "<ins>" in page
    assert "replace the file" not in page
    answer = await api.post(f"{path}/apply", data={"seal": seal, "strategy": "performance"})
    assert answer.status_code == 403
    assert (prefect.folder / "orders.py").read_text(encoding="utf-8") == source


@pytest.mark.parametrize("strategy", ["", "faster", "<b>"])
async def test_an_unknown_purpose_is_refused(api_with_prefect: Client, strategy: str) -> None:
    path = f"/ui/improve/{DEPLOYMENT}"
    seal = field((await api_with_prefect.get(path)).text, "seal")
    answer = await api_with_prefect.post(path, data={"seal": seal, "strategy": strategy})
    assert answer.status_code == 422


# Rules


async def test_rules_are_tried_out_and_then_stored(api: Client, store: Store, clock: Any) -> None:
    await store.upsert_runs(runs_of(clock))
    form = {"seal": field((await api.get("/ui/rules")).text, "seal"), "text": RULE}
    page = (await api.post("/ui/rules", data=form)).text
    assert re.search(r"slow for orders/prod: (?:1 time|\d+ times) in 40 runs", page)
    assert await store.rules() == (), "a dry run stores nothing"
    answer = await api.post("/ui/rules", data={**form, "store": "yes"})
    assert answer.status_code == 303
    assert [rule.rule_id for rule in await store.rules()] == ["slow"]
    assert "slow" in (await api.get("/ui/rules")).text


@pytest.mark.parametrize(
    "text",
    ["", "rules: [", "rules: 7", "- a", "rules:\n  - {metric_name: x}", "<script>", "&a [*a]"],
    ids=["empty", "no YAML", "no list", "list", "incomplete", "markup", "recursion"],
)
async def test_what_are_no_rules_is_told_and_not_stored(api: Client, store: Store, text: str) -> None:
    seal = field((await api.get("/ui/rules")).text, "seal")
    answer = await api.post("/ui/rules", data={"seal": seal, "text": text, "store": "yes"})
    assert answer.status_code == 200
    assert 'role="alert"' in answer.text
    assert "<script>" not in answer.text
    assert await store.rules() == ()


async def test_a_viewer_tries_rules_out_and_stores_none(api: Client, store: Store, clock: Any) -> None:
    await signed_in(api, store, clock, Scope.VIEWER)
    form = {"seal": field((await api.get("/ui/rules")).text, "seal"), "text": RULE}
    page = (await api.post("/ui/rules", data=form)).text
    assert "Store these rules" not in page
    assert (await api.post("/ui/rules", data={**form, "store": "yes"})).status_code == 403
    assert (await api.post("/ui/rules", data={**form, "seal": "x"})).status_code == 403
    assert await store.rules() == ()


# Connections


async def test_without_a_prefect_server_the_page_says_what_to_do(api: Client) -> None:
    page = (await api.get("/ui/connections")).text
    assert "PREFECT_API_URL" in page
    assert "<code>prefect-autopilot up</code>" in page
    assert "services connect" in page


@pytest.mark.parametrize("seal", ["", "0" * 64])
async def test_a_connection_is_not_called_without_a_seal(api: Client, store: Store, seal: str) -> None:
    answer = await api.post("/ui/connections/slack-default/check", data={"seal": seal})
    assert answer.status_code == 403
    assert await store.audit_trail() == ()


async def test_a_viewer_calls_no_service(api: Client, store: Store, clock: Any) -> None:
    await signed_in(api, store, clock, Scope.VIEWER)
    seal = field((await api.get("/ui/rules")).text, "seal")
    answer = await api.post("/ui/connections/slack-default/check", data={"seal": seal})
    assert answer.status_code == 403


def test_what_is_shown_of_a_connection_holds_no_secret() -> None:
    assert page_connections.Shown._fields == ("name", "service", "can_check")


# Descriptions


async def described(api: Client, path: str = "/ui/describe", **fields: str) -> httpx.Response:
    seal = field((await api.get("/ui/describe")).text, "seal")
    return await api.post(path, data={"seal": seal, **fields})


async def test_a_question_is_answered_with_a_click(api: Client) -> None:
    page = (await described(api, text="When a new lead arrives, send a message to the team chat")).text
    found = re.search(r'type="radio" name="(answer:[^"]+)" value="([^"]+)"', page)
    assert found is not None
    assert "> Slack</label>" in page, "a service is called by its name"
    before = page.count("<legend>")
    answered = (
        await described(api, text=field(page, "text"), context=field(page, "context"), **{found[1]: found[2]})
    ).text
    assert answered.count("<legend>") < before or found[2] in field(answered, "context")


async def test_the_test_beside_the_flow_is_shown(api: Client) -> None:
    page = (await described(api, text=DAILY)).text
    assert "The test beside it" in page
    assert "def test_" in page
    assert "Yes, deploy it" not in page, "what was never tried is not offered"


@pytest.mark.parametrize("context", ["{", "[]", '"x"', "7"], ids=["broken", "list", "text", "number"])
async def test_a_context_that_is_none_is_refused(api: Client, context: str) -> None:
    assert (await described(api, text=DAILY, context=context)).status_code == 422


@pytest.mark.parametrize(
    ("act", "scope"),
    [("preview", Scope.VIEWER), ("deploy", Scope.VIEWER), ("deploy", Scope.OPERATOR)],
    ids=["a viewer tries", "a viewer deploys", "an operator deploys"],
)
async def test_running_and_deploying_need_their_scope(
    api: Client, store: Store, clock: Any, act: str, scope: Scope
) -> None:
    await signed_in(api, store, clock, scope)
    assert (await described(api, f"/ui/describe/{act}", text=DAILY)).status_code == 403


@pytest.mark.parametrize("act", ["preview", "deploy"])
async def test_running_and_deploying_need_their_seal(api: Client, store: Store, act: str) -> None:
    answer = await api.post(f"/ui/describe/{act}", data={"seal": "0" * 64, "text": DAILY})
    assert answer.status_code == 403
    assert await store.audit_trail() == ()


async def test_lines_as_browsers_send_them_come_back_as_they_were_typed(api: Client) -> None:
    seal = field((await api.get("/ui/rules")).text, "seal")
    page = (await api.post("/ui/rules", data={"seal": seal, "text": RULE.replace("\n", "\r\n")})).text
    assert html.escape(RULE).replace("&#x27;", "&#39;") in page
    assert "\ufffd" not in page
    page = (await described(api, text=DAILY.replace(" post", "\r\npost"))).text
    assert "\ufffd" not in page
    assert "This can be automated" in page
    assert "Every day at 9:00 (schedule: cron 0 9 * * *" in page


@pytest.mark.parametrize("shown", ["", "0" * 64], ids=["nothing", "another"])
async def test_only_the_flow_that_was_shown_is_deployed(
    api: Client, settings: Settings, store: Store, shown: str
) -> None:
    answer = await described(api, "/ui/describe/deploy", text=DAILY, shown=shown)
    assert answer.status_code == HTTPStatus.CONFLICT
    assert await store.audit_trail() == ()
    assert not settings.flows_folder.joinpath("slack.py").exists()


@pytest.mark.parametrize("act", ["preview", "deploy"])
@pytest.mark.parametrize(
    "text", ["", "asdf qwer", "What is the weather?"], ids=["empty", "words", "question"]
)
async def test_what_is_no_flow_is_not_run_nor_deployed(
    api: Client, store: Store, act: str, text: str
) -> None:
    answer = await described(api, f"/ui/describe/{act}", text=text)
    assert answer.status_code == 200
    assert "@flow" not in answer.text
    assert await store.audit_trail() == ()


def test_a_value_that_is_no_number_is_refused() -> None:
    from prefect_autopilot.models import ParameterSpec

    number = ParameterSpec(name="limit", type="int", required=True)
    assert page_automate._value(number, "7") == 7
    with pytest.raises(UsageError, match="limit wants a int"):
        page_automate._value(number, "many")
