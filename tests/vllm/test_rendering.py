"""What an engine makes of messages: the template's text, the thinking switch, a begun reply, a whole prompt."""

from __future__ import annotations

import asyncio

from lrm.engines.process import ProcessEngine
from tests.tiny_model import WELL_FORMED
from tests.vllm.engines import Declares, call, choice, payload, sent, text


async def test_the_rendered_prompt_is_stored(engine: ProcessEngine, declares: Declares) -> None:
    reply = await engine.backend(declares()).ask(call("What is 3 + 4?"))
    assert sent(reply)["prompt"] == "<|im_start|>user\nWhat is 3 + 4?<|im_end|>\n<|im_start|>assistant\n<think>\n"


async def test_the_thinking_switch_and_effort_change_the_prompt(engine: ProcessEngine, declares: Declares) -> None:
    off = await engine.backend(declares(thinking={"switch": {"enable_thinking": False}})).ask(call())
    assert sent(off)["prompt"].endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    effort = await engine.backend(declares(thinking={"effort": "high"})).ask(call())
    assert sent(effort)["prompt"].endswith("<|im_start|>assistant\n<effort high><think>\n")
    # No call tells the template anything about another.
    plain = await engine.backend(declares()).ask(call())
    assert sent(plain)["prompt"].endswith("<|im_start|>assistant\n<think>\n")


async def test_a_begun_reply_is_continued(engine: ProcessEngine, declares: Declares) -> None:
    reply = await engine.backend(declares()).ask(call("Say it.", begun="<think>\nLet me"))
    assert sent(reply)["prompt"].endswith("<|im_start|>assistant\n<think>\nLet me")
    assert not text(reply).startswith("<think>")


async def test_a_whole_prompt_goes_in_as_it_stands(engine: ProcessEngine, declares: Declares) -> None:
    prompt = 'What is "3 + 4"?\n<|im_start|>assistant\n'
    reply = await engine.backend(declares(thinking={"switch": {"enable_thinking": False}})).ask(call(prompt, raw=True))
    assert sent(reply)["prompt"] == prompt
    assert choice(reply)["message"]["role"] == "assistant"


async def test_tags_and_special_tokens_stay_in_the_text(engine: ProcessEngine, declares: Declares) -> None:
    held = {"structured_outputs": {"regex": WELL_FORMED}}
    replies = await asyncio.gather(
        *(engine.backend(declares(extra_body=held)).ask(call(f"{number}?")) for number in range(4))
    )
    assert all("</think>\n" in text(reply) for reply in replies)
    bare = {**held, "skip_special_tokens": True}
    assert "</think>\n" in text(await engine.backend(declares(extra_body=bare)).ask(call()))


async def test_the_prompts_are_those_of_the_tokenizer(engine: ProcessEngine, declares: Declares) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(declares().model)
    reply = await engine.backend(declares()).ask(call("What is 3 + 4?"))
    assert payload(reply)["prompt_token_ids"] == tokenizer.encode(sent(reply)["prompt"], add_special_tokens=False)
