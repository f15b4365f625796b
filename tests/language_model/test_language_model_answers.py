"""A model at an address: what is sent to it, and every way in which its answer may be of no use."""

from __future__ import annotations

import gzip
import json
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

from prefect_autopilot.adapters.language_model import (
    LARGEST_ANSWER,
    MOST_TRIES,
    Address,
    Limits,
    Spent,
    Task,
    ask,
    estimated_tokens,
)
from prefect_autopilot.errors import LanguageModelError, UsageError


class Colour(BaseModel):
    name: str
    strength: int = 1


def accepted(colour: Colour) -> str:
    if colour.name == "black":
        raise UsageError("Black is no colour.")
    return colour.name


TASK = Task(instructions="Name a colour.", question="Of the sky?", form=Colour, check=accepted)
LIMITS = Limits(timeout_s=20, tokens=5_000)
BLUE = {"name": "blue"}


async def asked(server: Any, *, key: str | None = None, limits: Limits = LIMITS) -> tuple[str, Spent]:
    spent = Spent()
    return await ask(Address(server.url, "small", key), TASK, limits, spent), spent


async def refused(server: Any, *, limits: Limits = LIMITS, key: str | None = None) -> LanguageModelError:
    with pytest.raises(LanguageModelError) as caught:
        await asked(server, limits=limits, key=key)
    return caught.value


# --- What is sent


@pytest.mark.anyio
async def test_a_good_answer_is_returned_checked(server: Any) -> None:
    server.says(BLUE)
    answer, spent = await asked(server)
    assert answer == "blue"
    assert spent.requests == 1


@pytest.mark.anyio
async def test_the_question_is_plain_text_without_tools(server: Any) -> None:
    server.says(BLUE)
    await asked(server)
    sent = server.received[0]
    assert sent["model"] == "small"
    assert [one["role"] for one in sent["messages"]] == ["system", "user"]
    assert "Name a colour." in sent["messages"][0]["content"]
    assert '"strength"' in sent["messages"][0]["content"]
    assert sent["messages"][1]["content"] == "Of the sky?"
    assert not {"tools", "tool_choice", "functions"} & set(sent)


@pytest.mark.anyio
async def test_the_key_goes_into_the_header_only(server: Any) -> None:
    server.says(BLUE)
    await asked(server, key="key-of-this-test")
    assert server.headers[0]["authorization"] == "Bearer key-of-this-test"
    assert b"key-of-this-test" not in json.dumps(server.received).encode()


@pytest.mark.anyio
async def test_keys_of_the_environment_stay_there(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "somebody-elses-key")
    monkeypatch.setenv("OPENAI_ORG_ID", "somebody-elses-organisation")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "somebody-elses-project")
    server.says(BLUE)
    await asked(server)
    assert b"somebody-elses" not in b"".join(server.raw)


@pytest.mark.anyio
async def test_an_answer_may_have_no_more_tokens_than_are_left(server: Any) -> None:
    server.says(BLUE)
    await asked(server, limits=Limits(timeout_s=20, tokens=1_000))
    sent = server.received[0]
    room = sent.get("max_completion_tokens", sent.get("max_tokens"))
    assert 0 < room < 1_000


# --- What is read


@pytest.mark.anyio
@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"name": "blue"}\n```',
        'Here it is:\n{"name": "blue"}\nI hope it helps.',
        '{"name": "blue"} {"name": "red"}',
        '{"name": "blue", "strength": 3}',
    ],
    ids=["fenced", "with prose", "twice", "whole"],
)
async def test_the_first_json_object_of_an_answer_counts(server: Any, text: str) -> None:
    server.says(text)
    assert (await asked(server))[0] == "blue"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("blue", "no JSON object"),
        ("", "no JSON object"),
        ('{"name": ', "no JSON"),
        ('{"name": 5}', "name"),
        ('{"name": "blue", "strength": NaN}', "no number"),
        ('{"name": "black"}', "Black is no colour"),
        ('{"a":' * 3_000, "no JSON"),
    ],
    ids=["word", "nothing", "cut off", "wrong type", "not a number", "checked", "deep"],
)
async def test_a_wrong_answer_is_told_and_may_be_corrected(server: Any, bad: str, told: str) -> None:
    server.says(bad, BLUE)
    answer, spent = await asked(server, limits=Limits(timeout_s=20, tokens=50_000))
    assert answer == "blue"
    assert spent.requests == 2
    assert told in server.received[1]["messages"][-1]["content"]


@pytest.mark.anyio
async def test_wrong_answers_end_after_a_few_tries(server: Any) -> None:
    server.says("no")
    error = await refused(server)
    assert len(server.received) == MOST_TRIES
    assert f"{MOST_TRIES} tries" in error.message


@pytest.mark.anyio
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"[1]",
        b'"text"',
        b"<html>Sign in</html>",
        b"\xff\xfe{",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": [5]}',
        b'{"choices": {"a": 1}}',
        b'{"choices": [{"message": "x"}]}',
        b'{"choices": [{"message": {"role": "assistant", "content": null}}]}',
        b'{"choices": [{"finish_reason": "stop", "message": {"content": {"a": 1}}}], "usage": {"x": "y"}}',
        b"[" * 100_000,
    ],
    ids=[
        "empty", "object", "null", "list", "text", "page", "binary", "no choices", "null choices",
        "number as choice", "choices as object", "text as message", "null content", "wrong content", "deep",
    ],
)  # fmt: skip
async def test_an_address_that_is_no_such_api_is_told(server: Any, reply: Any, body: bytes) -> None:
    server.does(reply(body=body))
    error = await refused(server)
    told = ("could not be asked", "something else than the OpenAI API", "no usable answer")
    assert any(one in error.message for one in told)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "told", "permanent"),
    [
        (400, "refused as wrong", True),
        (401, "key is missing or wrong", True),
        (403, "may not use", True),
        (404, "no such model or path", True),
        (429, "rate limit or quota", False),
        (500, "server failed", False),
        (503, "server failed", False),
        (418, "refused", True),
    ],
)
async def test_a_refusal_says_why_and_whether_later_may_help(
    server: Any,
    reply: Any,
    status: int,
    told: str,
    permanent: bool,  # noqa: FBT001 - a column of the table
) -> None:
    server.does(reply(status=status, body=b'{"error": {"message": "you sent key-of-this-test"}}'))
    error = await refused(server, key="key-of-this-test")
    assert str(status) in error.message
    assert told in error.message
    assert error.permanent is permanent
    assert "key-of-this-test" not in error.message
    assert len(server.received) == 1


@pytest.mark.anyio
async def test_a_redirect_is_not_followed(start_server: Callable[[], Any], reply: Any) -> None:
    first, second = start_server(), start_server()
    second.says(BLUE)
    first.does(reply(status=307, headers={"location": f"{second.url}/chat/completions"}))
    await refused(first, key="key-of-this-test")
    assert second.raw == []


@pytest.mark.anyio
@pytest.mark.parametrize("manner", ["waits", "drips"])
async def test_a_slow_answer_ends_at_the_time_limit(server: Any, reply: Any, manner: str) -> None:
    server.does(reply(text=json.dumps(BLUE), **{manner: True}))
    error = await refused(server, limits=Limits(timeout_s=0.5, tokens=5_000))
    assert "within 0.5 s" in error.message
    assert not error.permanent


@pytest.mark.anyio
async def test_a_refused_connection_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = Address(f"http://127.0.0.1:{port}/v1", "small")
    with pytest.raises(LanguageModelError, match="could not be asked") as caught:
        await ask(address, TASK, LIMITS, Spent())
    assert not caught.value.permanent


@pytest.mark.anyio
async def test_an_endless_answer_is_not_read_to_its_end(server: Any, reply: Any) -> None:
    server.does(reply(text="x" * (LARGEST_ANSWER + 1)))
    assert "could not be asked" in (await refused(server)).message


@pytest.mark.anyio
async def test_a_packed_answer_is_refused(server: Any, reply: Any) -> None:
    packed = gzip.compress(reply(text=json.dumps(BLUE)).content())
    server.does(reply(body=packed, headers={"content-encoding": "gzip"}))
    await refused(server)
    assert server.headers[0]["accept-encoding"] == "identity"


# --- What it may cost


@pytest.mark.anyio
async def test_a_question_beyond_the_budget_is_not_sent(server: Any) -> None:
    server.says(BLUE)
    error = await refused(server, limits=Limits(timeout_s=20, tokens=50))
    assert "budget of 50 tokens" in error.message
    assert server.raw == []


@pytest.mark.anyio
async def test_the_tokens_the_server_counted_are_counted(server: Any, reply: Any) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 23, "total_tokens": 123}
    server.does(reply(text=json.dumps(BLUE), usage=usage))
    _, spent = await asked(server)
    assert spent.tokens == 123


@pytest.mark.anyio
@pytest.mark.parametrize(
    "usage",
    [None, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}],
    ids=["not counted", "counted as nothing"],
)
async def test_tokens_nobody_counted_are_estimated(
    server: Any, reply: Any, usage: dict[str, int] | None
) -> None:
    server.does(reply(text=json.dumps(BLUE), usage=usage))
    _, spent = await asked(server)
    assert spent.tokens > estimated_tokens("Name a colour.")


@pytest.mark.anyio
async def test_no_further_try_is_made_beyond_the_budget(server: Any, reply: Any) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 4_900, "total_tokens": 5_000}
    server.does(reply(text="no", usage=usage))
    error = await refused(server)
    assert "budget of 5000 tokens" in error.message
    assert len(server.received) == 1


@pytest.mark.parametrize(("text", "least"), [("", 1), ("a" * 400, 100), ("日本語" * 100, 300)])
def test_tokens_are_rather_over_than_underestimated(text: str, least: int) -> None:
    assert estimated_tokens(text) >= least


# --- Models that stand for one


@pytest.mark.anyio
async def test_a_test_model_can_stand_for_the_address() -> None:
    model = TestModel(custom_output_text='{"name": "green"}')
    answer = await ask(Address("http://127.0.0.1:9/v1", "small"), TASK, LIMITS, Spent(), model=model)
    assert answer == "green"


@pytest.mark.anyio
async def test_a_function_model_sees_its_own_wrong_answers() -> None:
    seen: list[int] = []

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        assert not info.function_tools
        assert not info.output_tools
        seen.append(len(messages))
        text = '{"name": "black"}' if len(seen) == 1 else '{"name": "grey"}'
        return ModelResponse(parts=[TextPart(text)], usage=RequestUsage(input_tokens=3, output_tokens=4))

    spent = Spent()
    address = Address("http://127.0.0.1:9/v1", "small")
    assert await ask(address, TASK, LIMITS, spent, model=FunctionModel(answer)) == "grey"
    assert seen == [1, 3]
    assert (spent.requests, spent.tokens) == (2, 14)


@pytest.mark.anyio
@pytest.mark.parametrize("missing", ["openai", "httpx2", "pydantic_ai"])
async def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(LanguageModelError) as caught:
        await ask(Address("http://127.0.0.1:9/v1", "small"), TASK, LIMITS, Spent())
    assert 'pip install "prefect-autopilot[ai]"' in caught.value.message
    assert caught.value.permanent
