"""An engine in a process of its own: calls side by side, each by its seed, and what is counted of them."""

from __future__ import annotations

import asyncio

import pytest

from lrm.backends.base import CallFailure
from lrm.backends.seeds import seed_of
from lrm.engines.process import ProcessEngine
from tests.vllm.engines import CONTEXT, Declares, call, choice, payload, sent, text


async def test_the_same_calls_give_the_same_bytes_in_another_order_and_one_by_one(
    engine: ProcessEngine, declares: Declares
) -> None:
    backend = engine.backend(declares())
    calls = [call(f"What is {number} + 2?", replicate=replicate) for number in range(12) for replicate in range(3)]
    together = await asyncio.gather(*(backend.ask(one) for one in calls))
    backwards = await asyncio.gather(*(backend.ask(one) for one in reversed(calls)))
    assert [text(one) for one in together] == [text(one) for one in reversed(backwards)]
    alone = await backend.ask(calls[7])
    assert choice(alone)["token_ids"] == choice(together[7])["token_ids"]
    assert len({text(one) for one in together}) == len(calls)


async def test_a_call_is_drawn_by_the_seed_of_its_id_and_says_so(engine: ProcessEngine, declares: Declares) -> None:
    declared = declares()
    one = call()
    reply = await engine.backend(declared).ask(one)
    assert sent(reply)["seed"] == seed_of(declared, one)
    assert sent(reply)["max_tokens"] == 24
    fixed = declares(sampling={"seed": 7})
    assert sent(await engine.backend(fixed).ask(call(replicate=2)))["seed"] == 9
    theirs = await engine.backend(declares(extra_body={"seed": 5})).ask(one)
    assert sent(theirs)["seed"] == 5
    assert text(theirs) != text(reply)


async def test_tokens_are_kept_and_counted(engine: ProcessEngine, declares: Declares) -> None:
    reply = await engine.backend(declares()).ask(call())
    whole, one = payload(reply), choice(reply)
    assert whole["object"] == "chat.completion"
    assert whole["id"] == call().id.hex()
    assert whole["model"] == declares().model
    assert len(one["token_ids"]) == whole["usage"]["completion_tokens"] == reply.usage.output_tokens
    assert len(whole["prompt_token_ids"]) == whole["usage"]["prompt_tokens"] == reply.usage.input_tokens
    assert whole["usage"]["total_tokens"] == whole["usage"]["prompt_tokens"] + whole["usage"]["completion_tokens"]
    assert "created" not in whole


async def test_a_reply_ends_by_length_by_a_stop_string_or_by_itself(engine: ProcessEngine, declares: Declares) -> None:
    cut = choice(await engine.backend(declares(sampling={"max_tokens": 3})).ask(call()))
    assert (cut["finish_reason"], len(cut["token_ids"])) == ("length", 3)
    spelled = {"structured_outputs": {"regex": "abcd[0-9]{200}"}}
    stopped = choice(await engine.backend(declares(sampling={"stop": ["cd"]}, extra_body=spelled)).ask(call()))
    assert (stopped["finish_reason"], stopped["stop_reason"], stopped["message"]["content"]) == ("stop", "cd", "ab")
    ended = choice(await engine.backend(declares(extra_body={"structured_outputs": {"regex": "yes"}})).ask(call()))
    assert (ended["finish_reason"], ended["stop_reason"], ended["message"]["content"]) == ("stop", None, "yes")


async def test_what_does_not_fit_fails_alone(engine: ProcessEngine, declares: Declares) -> None:
    backend = engine.backend(declares())
    fits, long, full = await asyncio.gather(
        backend.ask(call()),
        backend.ask(call("What is 3 + 4? " * 200)),
        # The prompt fits, and the 24 tokens that are declared do not fit behind it.
        backend.ask(call("1" * (CONTEXT - 30), raw=False)),
        return_exceptions=True,
    )
    assert not isinstance(fits, BaseException)
    for failure in (long, full):
        assert isinstance(failure, CallFailure)
        assert failure.kind == "context_too_long"
        assert not failure.transient
    assert "max_tokens = 24" in str(full)
    assert str(CONTEXT) in str(full)


async def test_without_a_declared_length_a_reply_may_fill_the_context(
    engine: ProcessEngine, declares: Declares
) -> None:
    backend = engine.backend(declares(sampling={"max_tokens": None}, extra_body={"ignore_eos": True}))
    for one in (call("1" * (CONTEXT - 40)), call("1" * (CONTEXT - 40), raw=True)):
        whole = payload(await backend.ask(one))
        assert whole["usage"]["total_tokens"] == CONTEXT
        assert whole["choices"][0]["finish_reason"] == "length"


async def test_log_probabilities_come_with_their_alternatives(engine: ProcessEngine, declares: Declares) -> None:
    backend = engine.backend(declares(sampling={"logprobs": 3, "max_tokens": 5, "temperature": 0.0}))
    for one in (call(), call("What is", raw=True)):
        drawn = choice(await backend.ask(one))
        entries = drawn["logprobs"]["content"]
        assert len(entries) == 5
        for entry in entries:
            assert len(entry["top_logprobs"]) == 3
            # Without temperature the token that is drawn is the most likely one.
            assert entry["logprob"] == max(other["logprob"] for other in entry["top_logprobs"])
            assert entry["logprob"] < 0
    none = choice(await engine.backend(declares(sampling={"logprobs": 0, "max_tokens": 2})).ask(call()))
    assert [len(entry["top_logprobs"]) for entry in none["logprobs"]["content"]] == [0, 0]
    assert "logprobs" not in choice(await engine.backend(declares()).ask(call()))


async def test_prompts_that_begin_alike_share_the_cache(engine: ProcessEngine, declares: Declares) -> None:
    backend = engine.backend(declares())
    start = "What is 3 + 4? " * 8
    await backend.ask(call(start + "first"))
    before = engine.load.cached_tokens
    await backend.ask(call(start + "second"))
    assert engine.load.cached_tokens >= before + 32


async def test_an_abandoned_call_leaves_the_batch_and_the_others_go_on(
    engine: ProcessEngine, declares: Declares
) -> None:
    long = engine.backend(declares(sampling={"max_tokens": 450}, extra_body={"ignore_eos": True}))
    given_up = asyncio.ensure_future(long.ask(call("give this one up")))
    kept = asyncio.ensure_future(long.ask(call("keep this one")))
    await engine.backend(declares(sampling={"max_tokens": 1})).ask(call("a short one, after which both are under way"))
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert len(choice(await kept)["token_ids"]) == 450
    assert engine.died is None


async def test_a_call_that_takes_too_long_is_a_timeout(engine: ProcessEngine, declares: Declares) -> None:
    backend = engine.backend(declares(sampling={"max_tokens": 450}, limits={"timeout_s": 0.001}))
    with pytest.raises(CallFailure) as caught:
        await backend.ask(call())
    assert caught.value.kind == "timeout"


async def test_an_engine_says_where_it_runs_and_what_it_did(engine: ProcessEngine, declares: Declares) -> None:
    backend = engine.backend(declares(sampling={"max_tokens": 400}, extra_body={"ignore_eos": True}))
    assert engine.device is not None
    assert engine.device.vllm
    assert engine.load_s > 0
    before = engine.load
    reply = await backend.ask(call())
    # More, where calls of other tests that were given up are told of only now.
    assert engine.load.output_tokens >= before.output_tokens + 400
    assert engine.load.prompt_tokens >= before.prompt_tokens + (reply.usage.input_tokens or 0)
    while engine.load.running is None:  # it tells once a second
        await backend.ask(call())
    assert engine.load.cache is not None
