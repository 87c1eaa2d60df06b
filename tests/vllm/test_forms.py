"""What may be declared of how a model is asked: checked when its backend is opened, before any call."""

from __future__ import annotations

from typing import Any

import pytest

from lrm.engines.process import ProcessEngine
from lrm.errors import ModelError
from tests.vllm.engines import Declares, call, choice


@pytest.mark.parametrize(
    ("more", "said", "hint"),
    [
        ({"extra_body": {"top_kk": 3}}, "`top_kk`", "`top_k`"),
        ({"extra_body": {"min_tokens": "many"}}, "`min_tokens`", ""),
        ({"extra_body": {"n": 4}}, "`n`", "vllm-server"),
        ({"extra_body": {"structured_outputs": {"regex": "a", "choice": ["a"]}}}, "structured outputs", ""),
        ({"sampling": {"max_tokens": 513}}, "513", ""),
    ],
)
async def test_what_vllm_does_not_know_is_said_at_once(
    engine: ProcessEngine, declares: Declares, more: dict[str, Any], said: str, hint: str
) -> None:
    with pytest.raises(ModelError) as caught:
        engine.backend(declares(**more))
    assert said in caught.value.message
    assert hint in (caught.value.hint or "")


async def test_fields_of_sampling_go_through(engine: ProcessEngine, declares: Declares) -> None:
    more = {"min_tokens": 20, "allowed_token_ids": [10, 11, 12], "bad_words": ["x"], "logit_bias": {"11": 100.0}}
    drawn = choice(await engine.backend(declares(sampling={"max_tokens": 20}, extra_body=more)).ask(call()))
    assert drawn["token_ids"] == [11] * 20


async def test_greedy_draws_the_same_whatever_the_seed(engine: ProcessEngine, declares: Declares) -> None:
    backend = engine.backend(declares(sampling={"temperature": 0.0}))
    first, second = choice(await backend.ask(call())), choice(await backend.ask(call(replicate=1)))
    assert first["token_ids"] == second["token_ids"]
