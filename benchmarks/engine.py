"""vLLM through lrm against bare vLLM, the gain of ordering calls by their text, and what Ray adds.

    make bench-engine                                 in the environment of `make install-vllm`
    python benchmarks/engine.py [--calls 600] [--tokens 64] [--runs 3] [--hidden 256] [--layers 6]

The model is made here, with random weights. Both sides are vLLM's asynchronous engine in processes of its own, with the same
arguments, asked the same calls with the same sampling, so many in flight; «bare» renders the chat template and generates, and keeps
nothing. Seconds are those in which calls were under way, so loading does not count. Ordering is measured with a cache so small that it
cannot hold every prompt: calls of 96 long system prompts, in the plan's order and by their text.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from measuring import Run, publish, python, run

IN_FLIGHT = 128
SEQUENCES = 64
CONTEXT = 1024
ENV = {
    "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR",
    "PYTHONPATH": ":".join(str(Path(__file__).parents[1] / name) for name in ("", "cli", "tui")),
}  # fmt: skip

MAKE = """
import sys
from pathlib import Path
from tests import tiny_model
folder, hidden, layers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
tiny_model.make(folder)
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM
small = Qwen2Config.from_pretrained(folder)
config = Qwen2Config(vocab_size=small.vocab_size, hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
    num_attention_heads=hidden // 64, num_key_value_heads=hidden // 64, max_position_embeddings=2048, tie_word_embeddings=True,
    eos_token_id=small.eos_token_id, bos_token_id=None, pad_token_id=small.pad_token_id)
torch.manual_seed(0)
model = Qwen2ForCausalLM(config)
model.generation_config.eos_token_id = config.eos_token_id
model.save_pretrained(folder)
print(sum(p.numel() for p in model.parameters()))
"""

BARE = """
import asyncio, json, sys, time
def main():
    from vllm import SamplingParams
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.renderers import ChatParams
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.async_llm import AsyncLLM
    given = json.loads(sys.argv[1])
    rows = [json.loads(line)["text"] for line in open(given["rows"], encoding="utf-8")]
    async def go():
        engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**given["arguments"]))
        chat = ChatParams(chat_template_kwargs={"add_generation_prompt": True, "continue_final_message": False})
        from vllm.renderers import TokenizeParams
        tokenizing = TokenizeParams(max_total_tokens=given["arguments"]["max_model_len"], add_special_tokens=False)
        left = iter(enumerate(rows))
        made = 0
        async def worker():
            nonlocal made
            for number, text in left:
                said = [{"role": "user", "content": text}]
                _, (prompt,) = await engine.renderer.render_chat_async([said], chat, tokenizing)
                sampling = SamplingParams(temperature=0.7, max_tokens=given["tokens"], ignore_eos=True, seed=number,
                    output_kind=RequestOutputKind.FINAL_ONLY, skip_special_tokens=False)
                async for output in engine.generate(prompt, sampling, str(number)):
                    pass
                made += len(output.outputs[0].token_ids)
        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(given["in_flight"])))
        print(json.dumps({"seconds": time.perf_counter() - began, "tokens": made}))
        engine.shutdown()
    asyncio.run(go())
if __name__ == "__main__":
    main()
"""

FILL = """
import json, sys
__file__ = "fill"
given = json.loads(sys.argv[1])
if not given["by_text"]:
    from lrm.run import asking, feed
    asking.copy_todo = lambda connection, **_: feed.copy_todo(connection)
from pathlib import Path
from lrm.registry.layers import Registry, packaged
from lrm.run.executors import Local, OnRay
from lrm.run.fill import fill
from lrm.spec.resolve import resolve
from lrm.store.catalog import Catalog
if __name__ == "__main__":
    spec = Path(given["spec"])
    catalog = Catalog(spec.with_suffix(".duckdb"))
    outcome = fill(resolve(spec, Registry([packaged()])), catalog, executor=OnRay(None) if given["ray"] else Local())
    assert (outcome.failed, outcome.left) == (0, 0), outcome
    with catalog.reading() as connection:
        row = connection.execute(
            "SELECT sum(busy_s), sum(output_tokens), sum(prompt_tokens), sum(cached_tokens) FROM lrm.engines"
        ).fetchall()[0]
    again = fill(resolve(spec, Registry([packaged()])), catalog)
    assert again.plan.nothing_to_do and again.run is None
    print(json.dumps(dict(zip(("seconds", "tokens", "prompt_tokens", "cached_tokens"), row, strict=True))))
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every side is given."""

    folder: Path
    checkpoint: Path
    tokens: int

    def arguments(self, **more: Any) -> dict[str, Any]:
        """Return the arguments of the engine, by vLLM's names."""
        return {
            "model": str(self.checkpoint), "dtype": "float32", "max_model_len": CONTEXT, "max_num_seqs": SEQUENCES,
            "max_num_batched_tokens": 8192, "enforce_eager": True, "block_size": 32, "enable_chunked_prefill": False, **more,
        }  # fmt: skip

    def rows(self, name: str, texts: list[str]) -> Path:
        """Write prompts as a file of rows."""
        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"id": f"p{n}", "text": text}) + "\n" for n, text in enumerate(texts)))
        return path

    def bare(self, rows: Path) -> tuple[dict[str, float], Run]:
        """Generate by vLLM alone."""
        given = {"rows": str(rows), "tokens": self.tokens, "in_flight": IN_FLIGHT, "arguments": self.arguments()}
        return measured(self.folder, BARE, given)

    def fill(
        self, rows: Path, name: str, *, ray: bool = False, by_text: bool = True, **more: Any
    ) -> tuple[dict[str, float], Run]:
        """Generate by a fill into a new catalog."""
        spec = self.folder / f"{name}.toml"
        spec.write_text(f"""
[models.made]
backend = "vllm"
model = {json.dumps(str(self.checkpoint))}
dtype = "float32"
thinking = {{ visibility = "visible", opened_by_template = true }}
sampling = {{ temperature = 0.7, max_tokens = {self.tokens} }}
extra_body = {{ ignore_eos = true }}
limits = {{ max_in_flight = {IN_FLIGHT} }}
[models.made.vllm]
max_model_len = {CONTEXT}
max_num_seqs = {SEQUENCES}
max_num_batched_tokens = 8192
enforce_eager = true
block_size = 32
chunked_prefill = false
arguments = {{ {", ".join(f"{key} = {json.dumps(value)}" for key, value in more.items())} }}

[prompt_sets.rows]
expect = "safe"
file = {json.dumps(rows.name)}

[matrix]
models = ["made"]
prompt_sets = ["rows"]
attacks = ["none"]
""")
        return measured(self.folder, FILL, {"spec": str(spec), "ray": ray, "by_text": by_text})


def measured(folder: Path, code: str, given: Mapping[str, Any]) -> tuple[dict[str, float], Run]:
    """Run code from a file, as vLLM's own processes want it, and return what it printed and what it took."""
    script = folder / "side.py"
    script.write_text(code)
    done = run([sys.executable, str(script), json.dumps(given)], env=ENV, cwd=folder, watch=lambda *_: None)
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures, done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--only", choices=("bare", "order", "ray"), action="append")
    options = parser.parse_args()
    wanted = options.only or ["bare", "order", "ray"]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        bench = Bench(folder, folder / "checkpoint", options.tokens)
        size = python(MAKE, str(bench.checkpoint), str(options.hidden), str(options.layers), env=ENV)
        parameters = int(size.stdout.strip().splitlines()[-1])
        print(f"{parameters:,} parameters, {options.calls} calls of {options.tokens} tokens, {IN_FLIGHT} in flight")
        rows = bench.rows("rows", [f"What is {n} + {n + 1}? Think first." for n in range(options.calls)])
        sides: dict[str, list[tuple[dict[str, float], Run]]] = {}
        for number in range(options.runs):
            if "bare" in wanted or "ray" in wanted:
                sides.setdefault("lrm", []).append(bench.fill(rows, f"lrm-{number}"))
            if "bare" in wanted:
                sides.setdefault("bare vLLM", []).append(bench.bare(rows))
            if "ray" in wanted:
                sides.setdefault("lrm on Ray", []).append(bench.fill(rows, f"ray-{number}", ray=True))
        figures: dict[str, Any] = {"parameters": parameters, "calls": options.calls, "tokens": options.tokens}
        for name, runs in sides.items():
            figures[name] = shown(name, runs, options.calls)
        if "bare vLLM" in figures:
            figures["ratio to bare"] = figures["lrm"]["calls_per_s"] / figures["bare vLLM"]["calls_per_s"]
            print(f"through lrm / bare: {figures['ratio to bare']:.3f}")
        if "lrm on Ray" in figures:
            figures["ratio of Ray"] = figures["lrm on Ray"]["calls_per_s"] / figures["lrm"]["calls_per_s"]
            print(f"on Ray / here: {figures['ratio of Ray']:.3f}")
        if "order" in wanted:
            figures["order"] = ordered(bench, options.calls)
        publish("engine", figures)


def ordered(bench: Bench, calls: int) -> dict[str, Any]:
    """Return what ordering by text is good for where prompts share long beginnings and the cache is small."""
    systems = [
        f"You are assistant number {n}. " + f"Rule {n}: answer in few words, and stay polite. " * 10 for n in range(24)
    ]
    texts = [f"{systems[n % len(systems)]}What is {n} + 1?" for n in range(calls)]
    rows = bench.rows("prefixes", texts)
    small = {"num_gpu_blocks_override": 16 * SEQUENCES}
    found: dict[str, Any] = {}
    for name, by_text in (("in the plan's order", False), ("by text", True)):
        figures, run = bench.fill(rows, f"order-{by_text}", by_text=by_text, **small)
        found[name] = shown(name, [(figures, run)], calls)
    found["gain"] = found["by text"]["calls_per_s"] / found["in the plan's order"]["calls_per_s"]
    print(f"by text / in the plan's order: {found['gain']:.2f}")
    return found


def shown(name: str, runs: list[tuple[dict[str, float], Run]], calls: int) -> dict[str, float]:
    """Print and return the figures of one side: medians over its runs."""
    seconds = statistics.median(figures["seconds"] for figures, _ in runs)
    tokens = statistics.median(figures["tokens"] for figures, _ in runs)
    peak = max(run.peak_mb for _, run in runs)
    print(f"{name:<22} {calls / seconds:>8.1f} calls/s {tokens / seconds:>9,.0f} tokens/s {peak:>7,.0f} MB", flush=True)
    return {"calls_per_s": calls / seconds, "tokens_per_s": tokens / seconds, "peak_mb": peak}


if __name__ == "__main__":
    main()
