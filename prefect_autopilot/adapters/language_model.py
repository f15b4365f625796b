"""A language model at any OpenAI-compatible address: asked in plain text, answered with one checked value.

The answer is data. No tools are offered, nothing it says is run, redirects are not followed, and an answer
that is too long, too late, too dear or of another form raises ``LanguageModelError``.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from prefect_autopilot.errors import LanguageModelError, UsageError
from prefect_autopilot.models import JSONDict
from prefect_autopilot.redaction import redact

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model

INSTALL = 'pip install "prefect-autopilot[ai]"'
MOST_TRIES = 3
LARGEST_ANSWER = 1_000_000
"""Bytes of one HTTP answer that are read."""

_MOST_ANSWER_TOKENS = 8_000
_LEAST_ANSWER_TOKENS = 64
_BYTES_PER_TOKEN = 3
"""Fewer than the four that English has, so that the estimate is rather too high than too low."""

_REASONS = {
    400: "the request was refused as wrong",
    401: "the key is missing or wrong",
    403: "the key may not use this model",
    404: "there is no such model or path",
    413: "the request is too long for it",
    429: "its rate limit or quota is reached",
}

Found = TypeVar("Found", bound=BaseModel)
Checked = TypeVar("Checked")


@dataclass(frozen=True)
class Address:
    """Where a model answers; ``key`` None: it needs none."""

    url: str
    model: str
    key: str | None = None


@dataclass(frozen=True)
class Limits:
    """What one question may take, all tries together."""

    timeout_s: float
    tokens: int
    tries: int = MOST_TRIES


@dataclass
class Spent:
    """What was used so far; filled in even where the answer was of no use."""

    requests: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Task(Generic[Found, Checked]):
    """A question with the form of its answer; ``check`` raises UsageError for an answer that will not do."""

    instructions: str
    question: str
    form: type[Found]
    check: Callable[[Found], Checked]


async def ask(
    address: Address, task: Task[Found, Checked], limits: Limits, spent: Spent, *, model: Model | None = None
) -> Checked:
    """Return the checked answer of the model; what ``spent`` holds counts towards ``limits``.

    ``model`` stands for the one at ``address``. Raises LanguageModelError in one sentence that says why there
    is no answer; ``permanent`` is False where asking again later may help.
    """
    if model is None:
        _load()  # takes a second or two the first time, which is no fault of the model
    try:
        async with asyncio.timeout(limits.timeout_s):
            if model is not None:
                return await _asked(model, task, limits, spent)
            async with _remote(address, limits.timeout_s) as remote:
                return await _asked(remote, task, limits, spent)
    except TimeoutError:
        raise LanguageModelError(
            f"The language model did not answer within {limits.timeout_s:g} s.", permanent=False
        ) from None


def _load() -> None:
    try:
        import httpx2  # noqa: F401  # each is imported here so that what is missing is told in one place
        import openai  # noqa: F401
        import pydantic_ai.models.openai
        import pydantic_ai.providers.openai_compatible  # noqa: F401
    except ImportError as error:
        raise LanguageModelError(f"The language model needs the extra: {INSTALL}.") from error


@asynccontextmanager
async def _remote(address: Address, timeout_s: float) -> AsyncIterator[Model]:
    import httpx2
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    async with httpx2.AsyncClient(
        follow_redirects=False,  # the request and the key are for this address only
        timeout=timeout_s,
        headers={"accept-encoding": "identity"},
        event_hooks={"response": [_bounded]},
    ) as http:
        # Without a key in hand, the library would take one of its environment and send it here.
        client = AsyncOpenAI(
            api_key=address.key or "none", base_url=address.url, http_client=http, max_retries=0
        )
        client.organization = client.project = None
        provider = OpenAICompatibleProvider("configured", openai_client=client)
        yield OpenAIChatModel(address.model, provider=provider)


async def _bounded(response: httpx2.Response) -> None:
    """Read no more than ``LARGEST_ANSWER`` bytes of an answer, whatever it says of its length."""
    import httpx2

    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("The answer is packed, though plain text was asked for.")

    class Bounded(httpx2.AsyncByteStream):
        def __init__(self, stream: httpx2.AsyncByteStream) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = LARGEST_ANSWER
            async for chunk in self._stream:
                left -= len(chunk)
                if left < 0:
                    raise httpx2.DecodingError("The answer is too long.")
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = Bounded(response.stream)


async def _asked(model: Model, task: Task[Found, Checked], limits: Limits, spent: Spent) -> Checked:
    from pydantic_ai.messages import ModelRequest, SystemPromptPart, UserPromptPart

    instructions = f"{task.instructions}\n\nJSON Schema of the answer:\n{_schema(task.form)}"
    messages: list[ModelMessage] = [
        ModelRequest(parts=[SystemPromptPart(instructions), UserPromptPart(task.question)])
    ]
    said = instructions + task.question
    problem = ""
    for _ in range(limits.tries):
        response = await _answer(model, messages, _room(said, limits, spent), spent, said)
        text = response.text or ""
        try:
            return task.check(_parsed(text, task.form))
        except UsageError as error:
            problem = redact(error.message)
        retry = f"That answer cannot be taken: {problem} Answer with the whole JSON object again."
        messages += [response, ModelRequest(parts=[UserPromptPart(retry)])]
        said += text + retry
    raise LanguageModelError(
        f"The language model gave no usable answer in {limits.tries} tries: {problem}", permanent=False
    )


def _room(said: str, limits: Limits, spent: Spent) -> int:
    """Return how many tokens an answer may have; raises where the question alone is beyond the budget."""
    needed = estimated_tokens(said)
    left = limits.tokens - spent.tokens - needed
    if left < _LEAST_ANSWER_TOKENS:
        raise LanguageModelError(
            f"The budget of {limits.tokens} tokens does not do: {spent.tokens} were spent, and the next"
            f" question has about {needed}."
        )
    return min(left, _MOST_ANSWER_TOKENS)


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has, rather too many than too few."""
    return len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN + 1


async def _answer(
    model: Model, messages: list[ModelMessage], room: int, spent: Spent, said: str
) -> ModelResponse:
    from pydantic_ai.direct import model_request
    from pydantic_ai.exceptions import AgentRunError, ModelHTTPError, UserError

    spent.requests += 1
    try:
        response = await model_request(model, messages, model_settings={"max_tokens": room}, instrument=False)
    except ModelHTTPError as error:
        raise _refused(error.status_code) from error
    except AgentRunError as error:
        reason = redact(" ".join(str(error).split()))[:200]
        raise LanguageModelError(
            f"The language model could not be asked: {reason}", permanent=False
        ) from error
    except (UserError, LookupError, AttributeError, TypeError, ValueError, RecursionError) as error:
        # The client trusts the form of an answer; an address that is no such API answers anything.
        raise LanguageModelError("The address answers something else than the OpenAI API does.") from error
    usage = response.usage
    counted = usage.input_tokens + usage.output_tokens
    spent.tokens += max(counted, 0) or estimated_tokens(said) + estimated_tokens(response.text or "")
    return response


def _refused(status: int) -> LanguageModelError:
    is_fault = status >= 500  # noqa: PLR2004 - the server's own errors
    reason = _REASONS.get(status, "its server failed" if is_fault else "it refused")
    return LanguageModelError(
        f"The language model answered with status {status}: {reason}.",
        permanent=not (is_fault or status in {408, 429}),
    )


def _schema(form: type[BaseModel]) -> str:
    return json.dumps(form.model_json_schema(), ensure_ascii=False, separators=(",", ":"))


def _parsed(text: str, form: type[Found]) -> Found:
    """Return the first JSON object of an answer in its form; raises UsageError that says what is wrong."""
    start = text.find("{")
    if start < 0:
        raise UsageError("There is no JSON object in it.")
    try:
        found, _ = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode(text, start)
        return form.model_validate(found)
    except ValidationError as error:
        raise UsageError(_told(error)) from None
    except (ValueError, RecursionError) as error:
        reason = re.sub(r"[^\w\s.,:()'-]", "", str(error))[:120]
        raise UsageError(f"It is no JSON ({reason}).") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _told(error: ValidationError) -> str:
    issues: list[JSONDict] = [dict(one) for one in error.errors(include_url=False, include_input=False)]
    told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in issues[:5]]
    return f"It has another form than the schema: {'; '.join(told)[:600]}."
