"""A server of vLLM's as far as it can be seen without one: its command line, what it says of itself, what is served."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from lrm.backends.http import body_head, raw_body_head
from lrm.backends.open import open_backend
from lrm.backends.pool import pool_of
from lrm.engines import flags, ports, serving
from lrm.engines.adapter import rank_of
from lrm.engines.checkpoint import Files
from lrm.engines.engine import Load
from lrm.engines.gpus import Gpus, Reading
from lrm.engines.metrics import load_of
from lrm.engines.settings import arguments_of
from lrm.errors import BusyError, ModelError
from lrm.registry.models import Model
from lrm.spec.matrix import Located

HERE = "http://127.0.0.1:8123/v1"


def vllm(**more: Any) -> Model:
    return Model(**{"backend": "vllm", "engine": "vllm-server", "model": "Org/Name", **more})


def command(model: Model, files: Files, monkeypatch: pytest.MonkeyPatch, *, cpu: bool = False) -> tuple[str, ...]:
    monkeypatch.setattr(flags, "on_cpu", lambda: cpu)
    return flags.command(arguments_of(model), files, name=model.model, host="127.0.0.1", port=8123)


def test_a_declaration_becomes_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    model = vllm(
        revision="a" * 40,
        dtype="bfloat16",
        chat_template="./t.jinja",
        vllm={
            "tensor_parallel": 2,
            "memory": 0.5,
            "enforce_eager": True,
            "prefix_caching": False,
            "speculative": {"method": "ngram", "num_speculative_tokens": 3},
            "reasoning_parser": "qwen3",
            "tokenizer": "./tok",
            "batch_invariant": True,
            "arguments": {"async_scheduling": False, "allowed_origins": ["a", "b"], "logprobs_mode": "-raw"},
        },
    )
    files = Files(Path("/m"), tokenizer=Path("/tok"), chat_template=Path("/t.jinja"))
    words = command(model, files, monkeypatch)
    assert words[1:4] == ("-P", "-m", "vllm.entrypoints.openai.api_server")
    assert {
        "--model=/m", "--tokenizer=/tok", "--chat-template=/t.jinja", "--served-model-name=Org/Name", "--dtype=bfloat16",
        "--tensor-parallel-size=2", "--gpu-memory-utilization=0.5", "--enforce-eager", "--no-enable-prefix-caching",
        "--reasoning-parser=qwen3", "--no-async-scheduling", "--logprobs-mode=-raw", "--host=127.0.0.1", "--port=8123",
    } <= set(words)  # fmt: skip
    speculative = next(word for word in words if word.startswith("--speculative-config="))
    assert json.loads(speculative.partition("=")[2]) == {"method": "ngram", "num_speculative_tokens": 3}
    at = words.index("--allowed-origins")
    assert words[at + 1 : at + 3] == ("a", "b")
    # What is loaded is in the folder; and no server is told to look at the Hub, or of what lrm keeps for itself.
    assert not [word for word in words if "revision" in word or "batch-invariant" in word or "api-key" in word]
    assert not [word for word in words if "lora" in word or "block-size" in word]


def test_on_a_cpu_two_settings_are_made_unless_they_are_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(Path("/m"))
    assert {"--block-size=32", "--no-enable-chunked-prefill"} <= set(command(vllm(), files, monkeypatch, cpu=True))
    declared = vllm(vllm={"chunked_prefill": True, "block_size": 64})
    words = command(declared, files, monkeypatch, cpu=True)
    assert {"--block-size=64", "--enable-chunked-prefill"} <= set(words)
    assert "--no-enable-chunked-prefill" not in words


def test_an_adapter_is_served_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "rank_pattern": {"q_proj": 20}}))
    files = Files(Path("/m"), adapter=tmp_path)
    for declared, name in (("Org/Lora", "Org/Lora"), ("./adapters/mine", "mine")):
        model = vllm(vllm={"adapter": declared})
        words = command(model, files, monkeypatch)
        assert "--enable-lora" in words
        assert "--max-lora-rank=32" in words
        module = json.loads(words[words.index("--lora-modules") + 1])
        assert module == {"name": name, "path": str(tmp_path), "base_model_name": "Org/Name"}
        assert flags.adapter_name(arguments_of(model)) == name
        assert not [word for word in words if word.startswith("--adapter")]


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "cannot be read"), ("{", "cannot be read"), ("{}", "cannot be read"), ('{"r": 1000}', "rank 1000")],
)
def test_an_adapter_that_cannot_be_laid_over_is_refused(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(ModelError, match=says):
        rank_of(tmp_path)


def test_the_key_and_the_ways_to_the_network_are_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "the user's")
    given = flags.environment({"batch_invariant": True}, key="made for this run")
    assert (given["VLLM_API_KEY"], given["HF_HUB_OFFLINE"], given["VLLM_BATCH_INVARIANT"]) == (
        "made for this run",
        "1",
        "1",
    )
    assert flags.environment({}, key=None)["VLLM_API_KEY"] == "the user's"
    assert "VLLM_BATCH_INVARIANT" not in flags.environment({}, key=None)


METRICS = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="Org/Name"} 3.0
vllm:num_requests_running{engine="1",model_name="Org/Name"} 2.0
vllm:num_requests_waiting{engine="0",model_name="Org/Name"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="Org/Name",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="Org/Name"} 0.5
vllm:kv_cache_usage_perc{engine="1",model_name="Org/Name"} 0.25
vllm:prompt_tokens_total{engine="0",model_name="Org/Name"} 2.84e+06
vllm:prefix_cache_hits_total{engine="0",model_name="a } \\"name\\" 7"} 1200.0
vllm:external_prefix_cache_hits_total{engine="0",model_name="Org/Name"} 7.0
vllm:generation_tokens_total{engine="0",model_name="Org/Name"} 62.0 1795286873000
vllm:odd{engine="0"} broken
"""


def test_the_load_is_read_from_metrics() -> None:
    assert load_of(METRICS, Reading(10, 20, 0.5)) == Load(5, 1, 0.375, 2_840_000, 1200, 62, 10, 20, 0.5)
    assert load_of("", Reading()) == Load()


def test_without_a_driver_nothing_is_known_of_gpus() -> None:
    gpus = Gpus(0)
    assert (gpus.name, gpus.read()) == (None, Reading())


def test_a_port_in_use_is_told_with_its_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BusyError, match=f"port {port} of 127.0.0.1"):
            ports.check_port("127.0.0.1", port)
    ports.check_port("127.0.0.1", ports.free_port())
    assert ports.url("0.0.0.0", 80, "/v1") == "http://127.0.0.1:80/v1"
    assert ports.url("::1", 80) == "http://[::1]:80"


def located(**more: Any) -> Located[Model]:
    return Located("m", Model(**more), Path("registry/models/m.toml"))


def test_what_is_served_is_what_vllm_runs() -> None:
    here = located(backend="vllm", model="a/b", vllm={"max_model_len": 9})
    assert serving.servable(here).declaration == here.declaration.model_copy(update={"engine": "vllm-server"})
    for backend in ("http", "vllm"):
        there = located(
            backend=backend, engine="vllm", model="a/b", revision="main", dtype="float16", endpoint=HERE,
            sampling={"temperature": 0.5},
        )  # fmt: skip
        served = serving.servable(there).declaration
        assert served.runs_here
        assert (served.model, served.revision, served.dtype, served.options.max_model_len) == (
            "a/b",
            "main",
            "float16",
            None,
        )
        assert serving.port_of(there.declaration) == 8123
    assert serving.port_of(here.declaration) == 8000
    assert (
        serving.port_of(located(backend="http", model="a", endpoint="https://api.example.com/v1").declaration) == 8000
    )
    for more in ({"backend": "simulated"}, {"backend": "http", "endpoint": HERE}):
        with pytest.raises(ModelError, match="backend"):
            serving.servable(located(model="a", **more))


def test_a_running_server_is_asked_as_the_engine_here_would_be() -> None:
    here, there = vllm(), vllm(engine=None, endpoint=HERE)
    head = {"model": "Org/Name", "skip_special_tokens": False, "return_token_ids": True}
    assert json.loads(body_head(there)[0] + b"}") == {**head, "return_prompt_text": True}
    assert json.loads(raw_body_head(there) + b"}") == head
    assert json.loads(raw_body_head(there, 256) + b"}") == {**head, "max_tokens": 256}
    less = vllm(engine=None, endpoint=HERE, extra_body={"skip_special_tokens": True}, sampling={"max_tokens": 3})
    assert json.loads(raw_body_head(less, 256) + b"}") == {**head, "skip_special_tokens": True, "max_tokens": 3}
    plain = located(backend="http", model="Org/Name", engine="vllm", endpoint=HERE).declaration
    assert json.loads(body_head(plain)[0] + b"}") == {"model": "Org/Name"}
    # Limits are a server's; weights that run here share nothing with others, and models of one engine everything.
    assert pool_of(there) == pool_of(plain)
    assert pool_of(here).name == "vllm Name"
    assert pool_of(here) == pool_of(vllm(sampling={"temperature": 0.5}))
    assert pool_of(here) != pool_of(vllm(vllm={"max_model_len": 9}))
    with pytest.raises(AssertionError, match="opened by its engine"):
        open_backend(here)
