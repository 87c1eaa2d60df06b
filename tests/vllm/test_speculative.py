"""Speculative decoding: told to the engine as declared, in no id, and greedy replies are the same with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lrm.engines.process import ProcessEngine
from lrm.registry.identity import model_id
from lrm.registry.models import Model
from lrm.traces.split import first_choice, parse_payload
from tests.vllm import engines
from tests.vllm.engines import Declares, call

GREEDY = {"temperature": 0, "max_tokens": 48}
DRAFTED = {"speculative": {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 3}}


async def _tokens(engine: ProcessEngine, declared: Model) -> list[object]:
    backend = engine.backend(declared)
    replies = await asyncio.gather(*(backend.ask(call(f"What is {n} + {n}? What is {n} + {n}?")) for n in range(8)))
    choices = [first_choice(parse_payload(reply.raw) or {}) for reply in replies]
    return [choice and choice["token_ids"] for choice in choices]


async def test_greedy_replies_are_the_same(engine: ProcessEngine, declares: Declares, tmp_path: Path) -> None:
    plain, drafted = declares(sampling=GREEDY), declares(sampling=GREEDY, vllm=DRAFTED)
    assert model_id(plain) == model_id(drafted)
    async with engines.running(drafted, tmp_path / "log") as with_drafts:
        found = await _tokens(with_drafts, drafted)
    assert "ngram" in (tmp_path / "log").read_text(encoding="utf-8", errors="replace")
    assert found == await _tokens(engine, plain)
    assert all(found)
