"""The litellm backend against a real server process, and in a process that may reach nothing but this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lrm import hashing
from lrm.backends.base import Call, CallFailure, FailureClass, Quota, Reply
from lrm.backends.litellm_api import LitellmBackend, load_litellm, request_arguments
from lrm.backends.open import check_model, open_backend
from lrm.backends.price import cost, litellm_price
from lrm.errors import ModelError
from lrm.registry.declarations import Limits, Model, Price, Sampling, Thinking
from lrm.traces.split import split
from lrm.traces.trace import Usage
from tests.servers import Server

KEY = "sk-planted-0123456789abcdef"
ASK = [{"role": "user", "content": "How do I bake bread?"}]
VISIBLE = Thinking(visibility="visible")
PROVIDERS = ["openai", "hosted_vllm"]


def model(server: Server, name: str = "openai/ok", **fields: Any) -> Model:
    return Model.model_validate({"backend": "litellm", "model": name, "endpoint": server.url, **fields})


def call(messages: list[dict[str, str]] | None = None, replicate: int = 0) -> Call:
    return Call(bytes(32), hashing.canonical(messages or ASK).decode(), replicate)


@asynccontextmanager
async def opened(declared: Model) -> AsyncIterator[LitellmBackend]:
    backend = LitellmBackend(declared)
    try:
        yield backend
    finally:
        await backend.close()


async def ask(declared: Model, asked: Call | None = None) -> Reply:
    async with opened(declared) as backend:
        return await backend.ask(asked or call())


async def fail(declared: Model, asked: Call | None = None) -> CallFailure:
    with pytest.raises(CallFailure) as caught:
        await ask(declared, asked)
    return caught.value


# --- what is sent -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_body_is_what_is_declared_and_nothing_else(server: Server, provider: str) -> None:
    declared = model(
        server,
        f"{provider}/ok",
        sampling=Sampling(temperature=0.6, top_p=0.95, top_k=20, min_p=0.05, max_tokens=64, seed=7, stop=["END"]),
        thinking=Thinking(effort="low", switch={"enable_thinking": False}),
        extra_body={"min_tokens": 3},
    )
    await ask(declared, call(replicate=2))
    assert server.bodies() == [
        {
            "model": "ok",
            "messages": ASK,
            "temperature": 0.6,
            "top_p": 0.95,
            "top_k": 20,
            "min_p": 0.05,
            "max_tokens": 64,
            "stop": ["END"],
            "seed": 9,
            "reasoning_effort": "low",
            "chat_template_kwargs": {"enable_thinking": False},
            "min_tokens": 3,
        }
    ]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_prefill_is_passed_on_as_it_is(server: Server, provider: str) -> None:
    prefilled = [*ASK, {"role": "assistant", "content": "<think>\n"}]
    await ask(model(server, f"{provider}/ok"), call(prefilled))
    assert server.bodies() == [{"model": "ok", "messages": prefilled}]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_log_probs_are_asked_for_and_come_back(server: Server, provider: str) -> None:
    declared = model(server, f"{provider}/guard", sampling=Sampling(logprobs=3))
    reply = await ask(declared, call([{"role": "user", "content": "say: safe"}]))
    assert (server.bodies()[0]["logprobs"], server.bodies()[0]["top_logprobs"]) == (True, 3)
    (token,) = json.loads(reply.raw)["choices"][0]["logprobs"]["content"]
    assert [one["token"] for one in token["top_logprobs"]] == ["safe", "unsafe"]


def test_a_thinking_budget_is_an_argument() -> None:
    declared = Model(backend="litellm", model="anthropic/some", thinking=Thinking(budget_tokens=2048))
    assert request_arguments(declared)["thinking"] == {"type": "enabled", "budget_tokens": 2048}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model": "ok"}, "openai/ok"),
        ({"extra_body": {"stream": True}}, "stream"),
        ({"extra_body": {"messages": []}}, "messages"),
    ],
)
def test_what_cannot_be_sent_is_refused_as_it_is_declared(server: Server, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Model.model_validate({**model(server).model_dump(mode="json"), **fields})


async def test_a_model_without_a_provider_is_refused_with_an_example() -> None:
    with pytest.raises(ModelError, match="PROVIDER/MODEL"):
        LitellmBackend(Model(backend="litellm", model="nobody-knows-this"))


# --- prompts instead of conversations ---------------------------------------------------------------------------------

RAW = [{"role": "raw", "content": 'A "prompt" \\ \u2028 é\nsay: unsafe|\\n|S1'}]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_raw_message_is_a_prompt(server: Server, monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    monkeypatch.setenv("LRM_TEST_KEY", KEY)
    declared = model(
        server,
        f"{provider}/guard",
        sampling=Sampling(temperature=0, max_tokens=8, seed=7, logprobs=5),
        thinking=Thinking(effort="low"),
        extra_body={"min_tokens": 3},
        api_key_env="LRM_TEST_KEY",
    )
    async with opened(declared) as backend:
        first, second = await backend.ask(call(RAW, replicate=2)), await backend.ask(call(RAW))
    sent = {
        "model": "guard",
        "prompt": RAW[0]["content"],
        "temperature": 0,
        "max_tokens": 8,
        "logprobs": 5,
        "min_tokens": 3,
    }
    assert server.bodies() == [{**sent, "seed": 9}, {**sent, "seed": 7}]
    assert server.count()["by_key"] == {f"Bearer {KEY}": 2}
    choice = json.loads(first.raw)["choices"][0]
    assert (choice["text"], choice["logprobs"]["tokens"]) == ("unsafe\nS1", ["unsafe", "\n", "S1"])
    assert list(choice["logprobs"]["top_logprobs"][0]) == ["unsafe", "safe"]
    assert not second.blocked


@pytest.mark.parametrize("name", ["filter400", "filter403"])
async def test_a_providers_refusal_of_a_prompt_is_a_reply(server: Server, name: str) -> None:
    assert (await ask(model(server, f"hosted_vllm/{name}"), call(RAW))).blocked


async def test_a_prompt_beside_other_messages_is_refused_unsent(server: Server) -> None:
    assert (await fail(model(server), call([*ASK, *RAW]))).kind == "bad_request"
    assert server.total() == 0


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_declared_key_is_sent_and_the_providers_own_goes_to_no_other_server(
    server: Server, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    for name in ("OPENAI_API_KEY", "HOSTED_VLLM_API_KEY"):
        monkeypatch.setenv(name, "sk-somebody-elses")
    await ask(model(server, f"{provider}/ok"))
    monkeypatch.setenv("LRM_TEST_KEY", KEY)
    await ask(model(server, f"{provider}/ok", api_key_env="LRM_TEST_KEY"))
    assert server.count()["by_key"] == {"Bearer no-key-declared": 1, f"Bearer {KEY}": 1}


async def test_a_key_that_is_not_set_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRM_TEST_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    declared = model(server, api_key_env="LRM_TEST_KEY")
    with pytest.raises(ModelError, match="LRM_TEST_KEY"):
        open_backend(declared)
    assert "LRM_TEST_KEY" in str(check_model(declared))
    with pytest.raises(ModelError, match="ANTHROPIC_API_KEY"):
        open_backend(Model(backend="litellm", model="anthropic/claude-sonnet-4-5"))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("behaviour", ["key-in-401", "key-in-html"])
async def test_a_server_that_repeats_the_key_does_not_get_it_stored(
    server: Server, monkeypatch: pytest.MonkeyPatch, provider: str, behaviour: str
) -> None:
    monkeypatch.setenv("LRM_TEST_KEY", KEY)
    failure = await fail(model(server, f"{provider}/{behaviour}", api_key_env="LRM_TEST_KEY"))
    assert "[key]" in failure.message
    assert "planted" not in str(failure)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("behaviour", ["key-in-answer", "key-in-filter400"])
async def test_a_reply_that_repeats_the_key_is_stored_without_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, provider: str, behaviour: str
) -> None:
    monkeypatch.setenv("LRM_TEST_KEY", KEY)
    reply = await ask(model(server, f"{provider}/{behaviour}", api_key_env="LRM_TEST_KEY"))
    assert "[key]" in reply.raw
    assert "planted" not in reply.raw


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("name", "status", "answer"),
    [
        ("think-inline", "split", "Here is the answer."),
        ("think-template", "no_open_tag", "Here is the answer."),
        ("think-field", "split", "Here is the answer."),
        ("cut", "cut_in_thinking", None),
        ("empty", "not_shown", ""),
        ("null", "not_shown", None),
        ("surrogate", "split", "half a sign: �"),
        ("nul", "split", "before\x00after"),
    ],
)
async def test_what_comes_back_splits_as_over_plain_http(
    server: Server, provider: str, name: str, status: str, answer: str | None
) -> None:
    reply = await ask(model(server, f"{provider}/{name}"))
    reply.raw.encode()
    trace = split(reply.raw, VISIBLE, blocked=reply.blocked)
    assert (trace.status, trace.answer) == (status, answer)
    assert reply.fingerprint == "fp_test"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_hidden_thinking_is_withheld_and_counted(server: Server, provider: str) -> None:
    trace = split((await ask(model(server, f"{provider}/hidden"))).raw, Thinking(visibility="hidden"))
    assert (trace.status, trace.usage) == ("withheld", Usage(11, 34, 64))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("name", ["filter", "filter400"])
async def test_a_refusal_by_the_provider_is_a_reply(server: Server, provider: str, name: str) -> None:
    reply = await ask(model(server, f"{provider}/{name}"))
    assert reply.blocked
    assert split(reply.raw, VISIBLE, blocked=True).status == "blocked"


# --- how it fails -----------------------------------------------------------------------------------------------------

FAILURES: list[tuple[str, FailureClass, int | None, float | None, str]] = [
    ("429", "rate_limited", 429, None, "Slow down."),
    ("429-retry-after", "rate_limited", 429, 7.0, "Slow down."),
    ("no-money", "auth", 429, None, "quota"),
    ("500", "server", 500, None, "It broke."),
    ("503", "rate_limited", 503, 3.0, "Overloaded."),
    ("400", "bad_request", 400, None, "temprature"),
    ("401", "auth", 401, None, "Incorrect API key"),
    ("404", "not_found", 404, None, "does not exist"),
    ("context", "context_too_long", 400, None, "4096 tokens"),
    ("context-words", "context_too_long", 400, None, "4096 tokens"),
    ("html", "bad_payload", None, None, "Gateway says hello"),
    ("not-utf8", "bad_payload", None, None, ""),
    ("no-choices", "bad_payload", 200, None, "choices"),
    ("error-in-200", "rate_limited", 429, None, "Upstream is busy."),
    ("redirect", "bad_request", 302, None, "/v2/elsewhere"),
    ("redirect-307", "bad_request", 307, None, "/v1/chat/completions"),
    ("429-old-clock", "rate_limited", 429, 9.0, "Slow down."),
    ("status-402", "auth", 402, None, "It says no more."),
    ("status-403", "auth", 403, None, "It says no more."),
    ("status-408", "timeout", None, None, ""),
    ("status-409", "server", 409, None, "It says no more."),
    ("status-413", "context_too_long", 413, None, "It says no more."),
    ("status-422", "bad_request", 422, None, "It says no more."),
    ("status-425", "server", 425, None, "It says no more."),
    ("status-502", "server", 502, None, "It says no more."),
    ("status-524", "server", 524, None, "It says no more."),
    ("status-529", "rate_limited", 529, None, "It says no more."),
    ("overloaded-in-200", "rate_limited", 200, None, "Overloaded"),
    ("no-content", "bad_payload", None, None, ""),
    ("half-body", "connection", None, None, ""),
    ("drop", "connection", None, None, ""),
]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("case", FAILURES, ids=lambda case: case[0])
async def test_each_failure_has_its_class_and_is_one_attempt(
    server: Server, case: tuple[Any, ...], provider: str
) -> None:
    name, kind, status, wait, words = case
    failure = await fail(model(server, f"{provider}/{name}"))
    assert (failure.kind, failure.status, failure.retry_after_s) == (kind, status, wait)
    assert words in failure.message
    assert server.total() == 1


@pytest.mark.parametrize("case", FAILURES, ids=lambda case: case[0])
async def test_a_prompt_fails_as_a_conversation_does(server: Server, case: tuple[Any, ...]) -> None:
    name, kind, status, wait, _ = case
    failure = await fail(model(server, f"hosted_vllm/{name}"), call(RAW))
    assert (failure.kind, failure.status, failure.retry_after_s) == (kind, status, wait)
    assert server.total() == 1


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("name", "quota"),
    [
        ("ok", None),
        ("quota", Quota(3, 360.0, 149_984, 0.012)),
        ("quota-claude", Quota(49, 30.0, 700)),
        ("quota-nonsense", None),
        ("429-quota", Quota(3, 360.0, 149_984, 0.012)),
    ],
)
async def test_the_quota_is_what_the_headers_say(server: Server, provider: str, name: str, quota: Quota | None) -> None:
    declared = model(server, f"{provider}/{name}")
    assert (await fail(declared) if name.startswith("429") else await ask(declared)).quota == quota


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("name", ["ok", "hidden", "filter"])
async def test_the_tokens_are_those_of_the_trace(server: Server, provider: str, name: str) -> None:
    reply = await ask(model(server, f"{provider}/{name}"))
    assert reply.usage == split(reply.raw, VISIBLE).usage
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (11, 34)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_json_without_a_completion_is_paid_for_twice_at_most(server: Server, provider: str) -> None:
    async with opened(model(server, f"{provider}/no-choices")) as backend:
        transient = []
        for _ in range(2):
            with pytest.raises(CallFailure) as caught:
                await backend.ask(call())
            transient.append(caught.value.transient)
    assert transient == [True, False]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_any_success_with_a_completion_is_a_reply(server: Server, provider: str) -> None:
    assert json.loads((await ask(model(server, f"{provider}/created"))).raw)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_no_answer_in_time_is_a_timeout(server: Server, provider: str) -> None:
    failure = await fail(model(server, f"{provider}/hang", limits=Limits(timeout_s=0.3)))
    assert failure.kind == "timeout"
    assert server.total() == 1


async def test_one_backend_closed_leaves_the_others_open(server: Server) -> None:
    async with opened(model(server, "hosted_vllm/ok")) as kept:
        await kept.ask(call())
        await ask(model(server, "hosted_vllm/echo"))
        await kept.ask(call(replicate=1))
    assert server.total() == 3


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_a_declared_price_counts_first_and_what_was_reported_next() -> None:
    priced = Model(backend="litellm", model="openai/x", price=Price(input=2, output=10))
    plain = Model(backend="litellm", model="openai/x")
    assert cost(priced, Usage(1_000, 500), reported=1.0) == pytest.approx(0.007)
    assert cost(priced, Usage(1_000, None), reported=1.0) == 1.0
    assert cost(priced, Usage(), reported=None) is None
    assert cost(plain, Usage(1_000, 500), reported=0.25) == 0.25
    assert cost(plain, Usage(1_000, 500), reported=None) is None
    free = Model(backend="litellm", model="openai/x", price=Price(input=0, output=0))
    assert cost(free, Usage(), reported=None) == 0.0


def test_the_bundled_table_knows_common_models_and_admits_what_it_does_not() -> None:
    known = litellm_price(Model(backend="litellm", model="openai/gpt-4o-mini"))
    assert known is not None
    assert 0 < known.input < known.output < 100
    assert litellm_price(Model(backend="litellm", model="openai/nobody-knows-this")) is None


# --- nothing but the calls --------------------------------------------------------------------------------------------

GUARDED = """
    import asyncio, socket, sys

    def here(address):
        return not isinstance(address, tuple) or address[0] in ("127.0.0.1", "::1", "localhost")

    def guard(event, arguments):
        away = event == "socket.connect" and not here(arguments[1])
        away |= event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "::1", "localhost", None)
        if away:
            print(event, arguments, flush=True)
            raise ConnectionRefusedError("not this machine")

    sys.addaudithook(guard)
    from lrm.backends.base import Call
    from lrm.backends.open import open_backend
    from lrm.registry.declarations import Model

    async def main(endpoint):
        for name in ("openai/ok", "hosted_vllm/think-inline", "hosted_vllm/meta-llama/Llama-3.1-8B/ok"):
            backend = open_backend(Model(backend="litellm", model=name, endpoint=endpoint))
            for replicate in range(3):
                await backend.ask(Call(bytes(32), '[{"content":"Hello","role":"user"}]', replicate))
            await backend.close()

    asyncio.run(main(sys.argv[1]))
    print("done")
    try:
        socket.create_connection(("192.0.2.1", 80))
    except ConnectionRefusedError:
        print("guarded")
"""


def test_it_calls_nobody_but_the_model_says_nothing_and_reads_no_dotenv(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-from-a-file\nLITELLM_LOG=DEBUG\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LITELLM", "OPENAI"))}
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(GUARDED), server.url],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    before, _, after = ran.stdout.partition("done\n")
    assert before == ""
    assert after.endswith("guarded\n")
    assert server.count()["by_model"] == {"ok": 3, "think-inline": 3, "meta-llama/Llama-3.1-8B/ok": 3}
    assert "sk-from-a-file" not in json.dumps(server.count())


def test_litellms_own_limits_hold_back_no_call_and_keep_no_connection_for_long() -> None:
    load_litellm()
    from litellm import constants

    assert constants.AIOHTTP_CONNECTOR_LIMIT_PER_HOST >= 10_000
    assert constants.AIOHTTP_CONNECTOR_LIMIT >= 10_000
    assert constants.AIOHTTP_KEEPALIVE_TIMEOUT < 5
