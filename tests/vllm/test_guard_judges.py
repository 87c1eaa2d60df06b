"""Guard judges by an engine in a process: how they are shown a conversation, and the probability of their label."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from lrm.backends.base import Call, Reply
from lrm.engines.process import ProcessEngine
from lrm.judges.classifier import ALTERNATIVES, ClassifierAsking
from lrm.judges.judge import Ask
from lrm.judges.verdict import Verdict
from lrm.registry.judges import ClassifierJudge
from lrm.spec.matrix import Located
from tests import judging
from tests.vllm.engines import Declares, choice, sent

OFF: dict[str, Any] = {"switch": {"enable_thinking": False}}
CHAT: dict[str, Any] = {"format": "llama-guard-3", "transport": "chat"}
PROMPT: dict[str, Any] = {"format": "shieldgemma", "transport": "completion", "policy": "No harm."}
SAYS = {"llama-guard-3": {"safe": "safe", "unsafe\nS1": "unsafe"}, "shieldgemma": {"No": "safe", "Yes": "unsafe"}}
"""What a format's replies say; the tiny model is held to these. Its tokenizer has none of the words in one token."""


async def judged(engine: ProcessEngine, judge: ClassifierAsking) -> tuple[Verdict, Ask, Reply]:
    """Return the verdict on a response, with the question that was asked for it and its reply."""
    backend = engine.backend(judge.models[0])
    loop, asked = asyncio.get_running_loop(), []

    def answer(question: Ask) -> judging.Answer:
        call = Call(bytes(32), question.messages, question.replicate)
        reply = asyncio.run_coroutine_threadsafe(backend.ask(call), loop).result()
        asked.append((question, reply))
        return judging.heard(question, reply.raw)

    drive: Callable[..., Any] = judging.drive
    verdict, _ = await asyncio.to_thread(drive, judge, "answer", judging.subject(), answer)
    ((question, reply),) = asked
    return verdict, question, reply


def guard(declares: Declares, **fields: Any) -> ClassifierAsking:
    declared = {"kind": "classifier", "model": "guard", **fields}
    said = {"structured_outputs": {"choice": list(SAYS[fields["format"]])}}
    model = declares(sampling={"temperature": 0.0}, extra_body=said, thinking=OFF)
    spec = judging.SPEC
    return ClassifierAsking(
        Located("guard", ClassifierJudge.model_validate(declared), spec), Located("guard", model, spec)
    )


@pytest.mark.parametrize("fields", [CHAT, PROMPT], ids=["chat", "completion"])
async def test_a_label_has_its_probability_from_the_payload(
    engine: ProcessEngine, declares: Declares, fields: dict[str, Any]
) -> None:
    judge = guard(declares, **fields, threshold=0.5)
    verdict, _, reply = await judged(engine, judge)
    assert verdict.status == "ok", verdict.explanation
    assert verdict.detail is not None
    first = choice(reply)["logprobs"]["content"][0]
    assert len(first["top_logprobs"]) == ALTERNATIVES
    letters = {text[0].lower(): label for text, label in SAYS[fields["format"]].items()}
    masses = dict.fromkeys(letters.values(), 0.0)
    for option in first["top_logprobs"]:
        if (label := letters.get(option["token"].strip().lower())) is not None:
            masses[label] += math.exp(option["logprob"])
    expected = {label: mass / sum(masses.values()) for label, mass in masses.items()}
    assert verdict.detail["probabilities"] == pytest.approx(expected, abs=1e-6)
    assert verdict.score == pytest.approx(expected["unsafe"], abs=1e-6)


async def test_a_response_in_a_chat_is_not_gone_on_with(engine: ProcessEngine, declares: Declares) -> None:
    _, question, reply = await judged(engine, guard(declares, **CHAT))
    assert judging.conversation(question)[-1]["role"] == "assistant"
    prompt = sent(reply)["prompt"]
    assert prompt.endswith("An answer.<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert prompt.count("<|im_start|>") == len(judging.conversation(question)) + 1


async def test_a_prompt_that_a_guard_writes_is_completed_as_it_stands(
    engine: ProcessEngine, declares: Declares
) -> None:
    _, question, reply = await judged(engine, guard(declares, **PROMPT))
    assert sent(reply)["prompt"] == judging.prompt_of(question)
    assert choice(reply)["message"]["content"] in SAYS["shieldgemma"]
