"""The http backend against a real server process: what is sent, what comes back, and every way in which it can fail."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lrm import hashing
from lrm.backends.base import Call, CallFailure, FailureClass, Quota, Reply, raw_prompt
from lrm.backends.failures import MESSAGE_CHARACTERS, redacted
from lrm.backends.http import HttpBackend, chat_url, completions_url, proxy_for
from lrm.backends.open import check_model, open_backend
from lrm.errors import ModelError
from lrm.registry.declarations import Limits, Model, Sampling, Thinking
from lrm.traces.split import split
from tests.servers import Server

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-planted-0123456789abcdef"
ASK = [{"role": "user", "content": "How do I bake bread?"}]
VISIBLE = Thinking(visibility="visible")


def raw(text: str) -> list[dict[str, str]]:
    return [{"role": "raw", "content": text}]


def model(server: Server, name: str = "ok", **fields: Any) -> Model:
    return Model.model_validate({"backend": "http", "model": name, "endpoint": server.url, **fields})


def call(messages: list[dict[str, str]] | None = None, replicate: int = 0) -> Call:
    return Call(bytes(32), hashing.canonical(messages or ASK).decode(), replicate)


@asynccontextmanager
async def opened(declared: Model) -> AsyncIterator[HttpBackend]:
    backend = HttpBackend(declared)
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


async def test_the_body_is_what_is_declared_and_nothing_else(server: Server) -> None:
    declared = model(
        server,
        sampling=Sampling(temperature=0.6, top_p=0.95, top_k=20, max_tokens=64, seed=7, stop=["END"]),
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
            "max_tokens": 64,
            "stop": ["END"],
            "seed": 9,
            "reasoning_effort": "low",
            "chat_template_kwargs": {"enable_thinking": False},
            "min_tokens": 3,
        }
    ]


async def test_what_is_not_declared_is_not_sent(server: Server) -> None:
    await ask(model(server))
    assert server.bodies() == [{"model": "ok", "messages": ASK}]


async def test_messages_go_out_byte_for_byte_as_they_were_hashed(server: Server) -> None:
    asked = call([{"role": "user", "content": '"quotes" \\ \n\t\x00 é 😀 \u2028 "messages":[]'}])
    await ask(model(server), asked)
    assert f'"messages":{asked.messages}' in server.count()["bodies"][0]


@pytest.mark.parametrize("text", ["<think>\n", 'a "} ] \\'])
async def test_a_prefill_asks_the_server_to_go_on_with_the_message(server: Server, text: str) -> None:
    prefilled = [*ASK, {"role": "assistant", "content": text}]
    await ask(model(server), call(prefilled))
    sent = server.bodies()[0]
    assert sent["messages"] == prefilled
    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == (True, False)


async def test_a_user_who_quotes_the_end_of_a_prefill_is_not_one(server: Server) -> None:
    await ask(model(server), call([{"role": "user", "content": '"role":"assistant"}]'}]))
    assert "continue_final_message" not in server.bodies()[0]


async def test_extra_body_counts_before_what_the_backend_would_add(server: Server) -> None:
    extra = {"seed": 1, "continue_final_message": False}
    declared = model(server, sampling=Sampling(seed=7), extra_body=extra)
    await ask(declared, call([*ASK, {"role": "assistant", "content": "Well"}]))
    raw = server.count()["bodies"][0]
    assert json.loads(raw).items() >= {**extra, "add_generation_prompt": False}.items()
    assert raw.count('"seed"') == raw.count('"continue_final_message"') == 1


async def test_a_long_prompt_is_sent_whole(server: Server) -> None:
    long = [{"role": "user", "content": "x" * (3 * 2**20)}]
    await ask(model(server), call(long))
    assert server.bodies()[0]["messages"] == long


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"extra_body": {"messages": []}}, "messages"),
        ({"extra_body": {"stream": True}}, "stream"),
        ({"extra_body": {"model": "other"}}, "model"),
        ({"thinking": Thinking(visibility="visible", budget_tokens=100)}, "budget_tokens"),
    ],
)
def test_what_cannot_be_sent_is_refused_as_it_is_declared(server: Server, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        model(server, **fields)


async def test_the_connections_hold_back_no_call_that_the_runner_lets_go(server: Server) -> None:
    async with opened(model(server, "slow", limits=Limits(max_in_flight=3))) as backend:
        await asyncio.gather(*(backend.ask(call(replicate=n)) for n in range(150)))
    counted = server.count()
    assert counted["total"] == 150
    assert counted["in_flight_max"] > 100  # aiohttp's own limit, where none is set


def test_chat_completions_are_found_under_the_endpoint() -> None:
    assert chat_url("http://h/v1") == chat_url("http://h/v1/") == "http://h/v1/chat/completions"
    assert chat_url("https://h/o?api-version=1") == "https://h/o/chat/completions?api-version=1"


def test_a_proxy_of_the_environment_is_for_other_machines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_for("http://api.example.org/v1") is None
    monkeypatch.setenv("http_proxy", "http://proxy.example.org:3128")
    monkeypatch.setenv("no_proxy", "inner.example.org")
    assert proxy_for("http://api.example.org/v1") == "http://proxy.example.org:3128"
    for host in ("127.0.0.1:8000", "localhost", "[::1]:8000", "inner.example.org"):
        assert proxy_for(f"http://{host}/v1") is None


# --- prompts instead of conversations ---------------------------------------------------------------------------------

TRICKY = ['<|im_start|>user\n\\ "', '","role":"raw"}]', '"},{"content":"', "", "\x00\u2028 é 😀"]


@pytest.mark.parametrize("text", TRICKY)
async def test_a_raw_message_is_a_prompt_sent_byte_for_byte_as_it_was_hashed(server: Server, text: str) -> None:
    declared = model(
        server,
        "guard",
        sampling=Sampling(temperature=0, top_k=4, max_tokens=8, seed=7, logprobs=5),
        thinking=Thinking(effort="low", switch={"enable_thinking": False}),
        extra_body={"add_special_tokens": False},
    )
    asked = call(raw(text), replicate=2)
    await ask(declared, asked)
    sent = {"temperature": 0.0, "top_k": 4, "max_tokens": 8, "logprobs": 5, "seed": 9, "add_special_tokens": False}
    assert server.bodies() == [{"model": "guard", "prompt": text, **sent}]
    assert f'"prompt":{raw_prompt(asked.messages)},' in server.count()["bodies"][0]


async def test_what_comes_back_for_a_prompt_is_kept_as_it_was_received(server: Server) -> None:
    reply = await ask(model(server, "guard"), call(raw("say: unsafe|\\n|S1 @length")))
    choice = json.loads(reply.raw)["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["logprobs"]) == ("unsafe\nS1", "length", None)
    assert not reply.blocked


async def test_log_probs_are_asked_for_in_each_forms_own_words(server: Server) -> None:
    declared = model(server, "guard", sampling=Sampling(logprobs=0))
    await ask(declared, call([{"role": "user", "content": "say: safe"}]))
    await ask(declared, call(raw("say: safe")))
    chat, prompt = server.bodies()
    assert (chat["logprobs"], chat["top_logprobs"]) == (True, 0)
    assert (prompt["logprobs"], "top_logprobs" in prompt) == (0, False)


@pytest.mark.parametrize("text", ['","role":"raw"}]', "raw", '"raw"}]'])
def test_no_content_makes_a_conversation_a_prompt(text: str) -> None:
    for role in ("user", "assistant"):
        assert raw_prompt(call([{"role": role, "content": text}]).messages) is None
    assert raw_prompt(call(raw(text)).messages) == hashing.canonical(text).decode()


async def test_a_prompt_beside_other_messages_is_refused_unsent(server: Server) -> None:
    assert (await fail(model(server), call([*ASK, *raw("A prompt.")]))).kind == "bad_request"
    assert server.total() == 0


@pytest.mark.parametrize(
    ("name", "kind"), [("429", "rate_limited"), ("context", "context_too_long"), ("drop", "connection")]
)
async def test_a_prompt_fails_as_a_conversation_does(server: Server, name: str, kind: str) -> None:
    assert (await fail(model(server, name), call(raw("A prompt.")))).kind == kind


def test_completions_are_found_under_the_endpoint() -> None:
    assert completions_url("https://h/v1/?api-version=1") == "https://h/v1/completions?api-version=1"


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_the_declared_key_is_sent_and_no_other(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-somebody-elses")
    await ask(model(server))
    monkeypatch.setenv("LRM_TEST_KEY", KEY)
    await ask(model(server, api_key_env="LRM_TEST_KEY"))
    assert server.count()["by_key"] == {"": 1, f"Bearer {KEY}": 1}


@pytest.mark.parametrize("value", [None, "", "  \n"])
async def test_a_declared_key_that_is_not_set_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("LRM_TEST_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("LRM_TEST_KEY", value)
    declared = model(server, api_key_env="LRM_TEST_KEY")
    with pytest.raises(ModelError, match="LRM_TEST_KEY"):
        open_backend(declared)
    assert "LRM_TEST_KEY" in str(check_model(declared))


@pytest.mark.parametrize("value", ["sk-planted\r\nX-Injected: 1", "sk-planted-“quoted”"])
async def test_a_key_that_no_header_may_hold_is_refused_unseen(
    server: Server, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("LRM_TEST_KEY", value)
    with pytest.raises(ModelError) as caught:
        HttpBackend(model(server, api_key_env="LRM_TEST_KEY"))
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("behaviour", ["key-in-401", "key-in-html", "key-in-200-error", "key-in-redirect"])
async def test_a_server_that_repeats_the_key_does_not_get_it_stored(
    server: Server, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    monkeypatch.setenv("LRM_TEST_KEY", KEY)
    failure = await fail(model(server, behaviour, api_key_env="LRM_TEST_KEY"))
    assert "[key]" in failure.message
    assert "planted" not in str(failure)


@pytest.mark.parametrize("behaviour", ["key-in-answer", "key-in-filter400"])
async def test_a_reply_that_repeats_the_key_is_stored_without_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    monkeypatch.setenv("LRM_TEST_KEY", KEY)
    reply = await ask(model(server, behaviour, api_key_env="LRM_TEST_KEY"))
    assert "[key]" in reply.raw
    assert "planted" not in reply.raw


def test_messages_lose_keys_of_every_make_and_are_cut_afterwards() -> None:
    text = (
        f"no {KEY}; Authorization: Bearer abc.def/ghi=; partly sk-ab**********yz; hf_AbCdEfGhIjKl; sk-proj-{'x' * 40}"
    )
    assert redacted(text, [KEY]) == "no [key]; Authorization: [key]; partly [key]; [key]; [key]"
    assert len(redacted("x" * 9_999, [])) == MESSAGE_CHARACTERS
    assert redacted("y" * (MESSAGE_CHARACTERS - 3) + KEY, [KEY]).endswith("y[k…")


# --- what comes back --------------------------------------------------------------------------------------------------


async def test_the_reply_is_the_payload_as_it_was_received(server: Server) -> None:
    first, second = await ask(model(server)), await ask(model(server))
    assert first == second
    assert json.loads(first.raw)["choices"][0]["message"]["content"].startswith("Answer ")
    assert (first.blocked, first.cost, first.fingerprint, first.sent) == (False, None, "fp_test", None)
    assert server.total() == 2


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
async def test_what_comes_back_is_kept_raw_and_splits(
    server: Server, name: str, status: str, answer: str | None
) -> None:
    reply = await ask(model(server, name))
    reply.raw.encode()
    trace = split(reply.raw, VISIBLE, blocked=reply.blocked)
    assert (trace.status, trace.answer) == (status, answer)


@pytest.mark.parametrize("name", ["filter", "filter400", "filter403", "filter-in-200"])
async def test_a_refusal_by_the_provider_is_a_reply(server: Server, name: str) -> None:
    reply = await ask(model(server, name))
    assert reply.blocked
    assert split(reply.raw, VISIBLE, blocked=True).status == "blocked"
    assert isinstance(json.loads(reply.raw), dict)


async def test_a_cost_that_the_provider_reports_is_kept(server: Server) -> None:
    assert (await ask(model(server, "cost"))).cost == 0.0125


# --- how it fails -----------------------------------------------------------------------------------------------------

FAILURES: list[tuple[str, FailureClass, int | None, float | None, str]] = [
    ("429", "rate_limited", 429, None, "HTTP 429: Slow down."),
    ("429-retry-after", "rate_limited", 429, 7.0, "HTTP 429: Slow down."),
    ("no-money", "auth", 429, None, "quota"),
    ("500", "server", 500, None, "HTTP 500: It broke."),
    ("503", "rate_limited", 503, 3.0, "Overloaded."),
    ("400", "bad_request", 400, None, "temprature"),
    ("401", "auth", 401, None, "Incorrect API key"),
    ("404", "not_found", 404, None, "does not exist"),
    ("context", "context_too_long", 400, None, "4096 tokens"),
    ("context-words", "context_too_long", 400, None, "4096 tokens"),
    ("redirect", "bad_request", 302, None, "/v2/elsewhere"),
    ("html", "bad_payload", 200, None, "Gateway says hello"),
    ("not-utf8", "bad_payload", 200, None, "UTF-8"),
    ("no-choices", "bad_payload", 200, None, "choices"),
    ("error-in-200", "rate_limited", 429, None, "Upstream is busy."),
    ("error-in-choice", "server", 502, None, "Provider broke off."),
    ("overloaded-in-200", "rate_limited", 200, None, "Overloaded"),
    ("no-content", "bad_payload", 204, None, "HTTP 204 without a body"),
    ("redirect-307", "bad_request", 307, None, "/v1/chat/completions"),
    ("429-old-clock", "rate_limited", 429, 9.0, "Slow down."),
    ("status-413", "context_too_long", 413, None, "It says no more."),
    ("status-524", "server", 524, None, "It says no more."),
    ("status-529", "rate_limited", 529, None, "It says no more."),
    ("bomb", "bad_payload", None, None, "64 MiB"),
    ("half-body", "connection", None, None, ""),
    ("drop", "connection", None, None, ""),
    ("not-http", "bad_payload", None, None, ""),
]


@pytest.mark.parametrize("case", FAILURES, ids=lambda case: case[0])
async def test_each_failure_has_its_class_and_is_one_attempt(server: Server, case: tuple[Any, ...]) -> None:
    name, kind, status, wait, words = case
    failure = await fail(model(server, name))
    assert (failure.kind, failure.status, failure.retry_after_s) == (kind, status, wait)
    assert words in failure.message
    assert len(failure.message) <= MESSAGE_CHARACTERS + 20
    assert server.total() == 1


async def test_no_answer_in_time_is_a_timeout_and_leaves_the_pool_usable(server: Server) -> None:
    async with opened(model(server, limits=Limits(max_in_flight=1, timeout_s=0.2))) as backend:
        with pytest.raises(CallFailure) as caught:
            await backend.ask(call([{"role": "user", "content": "behave: hang"}]))
        assert caught.value.kind == "timeout"
        assert not (await backend.ask(call())).blocked


async def test_nobody_listening_is_a_connection_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        declared = Model.model_validate(
            {"backend": "http", "model": "ok", "endpoint": f"http://127.0.0.1:{taken.getsockname()[1]}/v1"}
        )
        assert (await fail(declared)).kind == "connection"


async def test_what_failed_once_can_be_asked_again_over_the_same_pool(server: Server) -> None:
    async with opened(model(server, "drop-once")) as backend:
        with pytest.raises(CallFailure):
            await backend.ask(call())
        assert (await backend.ask(call())).raw
    assert server.total() == 2


async def test_a_reply_that_stops_on_the_way_is_a_timeout_that_says_so(server: Server) -> None:
    async with opened(model(server, limits=Limits(stall_s=0.2))) as backend:
        with pytest.raises(CallFailure) as caught:
            await backend.ask(call([{"role": "user", "content": "behave: stall"}]))
        assert caught.value.kind == "timeout"
        assert "stalled" in caught.value.message
        assert "40 bytes" in caught.value.message
        assert not (await backend.ask(call())).blocked


@pytest.mark.parametrize("name", ["drip-ok", "late-body"])
async def test_slow_is_not_stalled(server: Server, name: str) -> None:
    """The pieces come for longer than `stall_s` in all; and before the first byte of the body nothing has stalled."""
    reply = await ask(model(server, name, limits=Limits(stall_s=1.0)))
    assert json.loads(reply.raw)["choices"]


async def test_json_without_a_completion_is_paid_for_twice_at_most(server: Server) -> None:
    async with opened(model(server, "no-choices")) as backend:
        failures = []
        for asked in (call(), Call(bytes(31) + b"1", call().messages, 0), call(), call()):
            with pytest.raises(CallFailure) as caught:
                await backend.ask(asked)
            failures.append(caught.value)
    assert [failure.kind for failure in failures] == ["bad_payload"] * 4
    assert [failure.transient for failure in failures] == [True, True, False, False]


async def test_what_something_between_sends_is_asked_again_however_often(server: Server) -> None:
    async with opened(model(server, "html")) as backend:
        for _ in range(3):
            with pytest.raises(CallFailure) as caught:
                await backend.ask(call())
            assert caught.value.transient


async def test_a_body_beyond_all_bounds_is_not_fetched_again(server: Server) -> None:
    assert not (await fail(model(server, "bomb"))).transient


async def test_any_success_with_a_completion_is_a_reply(server: Server) -> None:
    assert json.loads((await ask(model(server, "created"))).raw)["choices"][0]["message"]["content"] == "Well."


# --- what a reply says beside -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ok", "cut", "hidden", "null", "filter", "nul"])
async def test_the_tokens_are_those_of_the_trace(server: Server, name: str) -> None:
    reply = await ask(model(server, name))
    assert reply.usage == split(reply.raw, VISIBLE).usage
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (11, 34)


@pytest.mark.parametrize(
    ("name", "quota"),
    [
        ("ok", None),
        ("quota", Quota(3, 360.0, 149_984, 0.012)),
        ("quota-claude", Quota(49, 30.0, 700)),
        ("quota-nonsense", None),
    ],
)
async def test_the_quota_is_what_the_headers_say(server: Server, name: str, quota: Quota | None) -> None:
    assert (await ask(model(server, name))).quota == quota


async def test_a_failure_says_the_quota_too(server: Server) -> None:
    assert (await fail(model(server, "429-quota"))).quota == Quota(3, 360.0, 149_984, 0.012)


def test_the_declarations_on_the_documentation_page_are_valid() -> None:
    page = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert [Model.model_validate(tomllib.loads(block)).backend for block in blocks] == ["http", "litellm", "http"]
