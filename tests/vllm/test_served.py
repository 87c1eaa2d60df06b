"""`lrm serve` for real: with an adapter and a parser of thinking, asked by its declaration, and stopped by Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from lrm.backends.base import Reply
from lrm.backends.http import HttpBackend
from lrm.engines.ports import check_port, free_port
from lrm.registry.models import Model, Thinking
from lrm.traces.split import split
from tests import tiny_model
from tests.vllm.engines import call, choice
from tests.vllm.processes import alive, told

CLOSE_SOON = 4.0
"""Added to the end of thinking's logit, so that random weights come to it within a few tokens."""
DECLARED = """
backend = "vllm"
model = "{tiny}"
dtype = "float32"
[vllm]
adapter = "./mine"
max_model_len = 512
max_num_seqs = 8
enforce_eager = true
reasoning_parser = "deepseek_r1"
"""


def serve(folder: Path, port: int, *words: str) -> subprocess.Popen[str]:
    """Start `lrm serve` of the model `tiny` in a folder."""
    program = [
        sys.executable,
        "-c",
        "from lrm_cli.main import main; main()",
        "serve",
        "tiny",
        "--port",
        str(port),
        *words,
    ]
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), str(root / "cli"), str(root / "tui")])
    return subprocess.Popen(
        program, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path, "VLLM_API_KEY": "a key of the test"},
    )  # fmt: skip


def printed(running: subprocess.Popen[str]) -> Any:
    """Return the JSON that it prints when it can be asked."""
    assert running.stdout is not None
    text = ""
    while not text.endswith("}\n") or text.count("{") != text.count("}"):
        line = running.stdout.readline()
        assert line, running.communicate()
        text += line
    return json.loads(text)


async def asked(declared: dict[str, Any], tokens: dict[str, int]) -> list[Reply]:
    """Return the replies of a model that is declared as `lrm serve` says."""
    model = Model.model_validate(
        {
            **declared, "sampling": {"temperature": 0.8, "max_tokens": 60},
            "extra_body": {"logit_bias": {str(tokens["</think>"]): CLOSE_SOON}},
        }
    )  # fmt: skip
    backend = HttpBackend(model)
    try:
        return list(await asyncio.gather(*(backend.ask(call(f"What is {number} + 2?")) for number in range(8))))
    finally:
        await backend.close()


def test_it_serves_says_how_to_declare_it_and_leaves_nothing(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "registry" / "models").mkdir(parents=True)
    (tmp_path / "registry" / "models" / "tiny.toml").write_text(DECLARED.format(tiny=tiny))
    tiny_model.make_adapter(tmp_path / "registry" / "models" / "mine")
    port = free_port()
    running = serve(tmp_path, port, "--json", "--log", "server.log", "-v")
    try:
        said = printed(running)
        assert said["endpoint"] == f"http://127.0.0.1:{port}/v1"
        assert said["model"] == "mine"
        assert said["declare"]["api_key_env"] == "VLLM_API_KEY"
        tokens = json.loads((tiny / "tokenizer.json").read_text(encoding="utf-8"))
        added = {one["content"]: one["id"] for one in tokens["added_tokens"]}
        os.environ["VLLM_API_KEY"] = "a key of the test"
        try:
            replies = asyncio.run(asked(said["declare"], added))
        finally:
            del os.environ["VLLM_API_KEY"]
        processes = told(f"--port={port}")
        assert len(processes) >= 3
    except BaseException:
        running.kill()
        raise
    finally:
        running.send_signal(signal.SIGINT)
        _, talk = running.communicate(timeout=120)
    assert running.returncode == 0, talk
    assert not alive(processes)
    check_port("127.0.0.1", port)
    assert "a key of the test" not in talk + (tmp_path / "server.log").read_text()
    # -v shows what vLLM prints, and --log keeps it.
    assert "Application startup complete" in talk
    assert "Application startup complete" in (tmp_path / "server.log").read_text()
    # The parser has set thinking apart, and the splitter reads that.
    traces = [split(reply.raw, Thinking(visibility="visible")) for reply in replies]
    reasoned = [(choice(reply)["message"], trace) for reply, trace in zip(replies, traces, strict=True)]
    reasoned = [(message, trace) for message, trace in reasoned if message["reasoning"]]
    assert len(reasoned) > len(replies) // 2
    for message, trace in reasoned:
        assert trace.thinking == message["reasoning"]
        assert "</think>" not in message["reasoning"]
        assert trace.status == ("split" if message["content"] else "cut_in_thinking"), message
    assert "split" in {trace.status for _, trace in reasoned}
