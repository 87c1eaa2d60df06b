"""A LoRA adapter over the weights, and a chat template in a file of its own."""

from __future__ import annotations

from pathlib import Path

from lrm.engines.process import ProcessEngine
from tests import tiny_model
from tests.vllm import engines
from tests.vllm.engines import Declares, call, choice, sent


async def test_an_adapter_changes_the_text_and_a_template_the_prompt(
    engine: ProcessEngine, declares: Declares, tmp_path: Path
) -> None:
    adapter = tiny_model.make_adapter(tmp_path / "adapter")
    template = tmp_path / "other.jinja"
    template.write_text(tiny_model.OTHER_TEMPLATE, encoding="utf-8")
    declared = declares(vllm={"adapter": str(adapter)}, chat_template=str(template), sampling={"temperature": 0.0})
    prompt = call("What is 3 + 4?", raw=True)
    async with engines.running(declared, tmp_path / "engine.log") as adapted:
        backend = adapted.backend(declared)
        theirs = await backend.ask(prompt)
        written = await backend.ask(call("What is 3 + 4?"))
    plain = await engine.backend(declares(sampling={"temperature": 0.0})).ask(prompt)
    assert sent(written)["prompt"] == "[user] What is 3 + 4?\n[assistant] <think>\n"
    assert sent(plain)["prompt"] == sent(theirs)["prompt"]
    assert choice(plain)["token_ids"] != choice(theirs)["token_ids"]
