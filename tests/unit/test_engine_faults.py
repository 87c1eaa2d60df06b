"""Why an engine did not start or ended: read from logs recorded of vLLM, and from texts as its sources have them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from lrm.engines.fault_rules import SENTENCE
from lrm.engines.faults import why

RECORDED: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("engine_logs.toml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_log_says_why(name: str) -> None:
    case = RECORDED[name]
    fault = why(case["log"], 1)
    assert fault.kind == case["kind"]
    assert case["says"] in fault.sentence
    assert fault.hint
    assert "\n" not in fault.sentence
    assert not fault.sentence.endswith(".")


@pytest.mark.parametrize("name", RECORDED)
def test_it_says_the_same_of_what_follows_a_day_of_other_lines(name: str) -> None:
    case = RECORDED[name]
    other = (
        "(APIServer pid=7) INFO 11-21 18:46:37 [loggers.py:273] Engine 000: Running: 3 reqs, Waiting: 0 reqs\n" * 2000
    )
    assert why(other + case["log"], 1) == why(case["log"], 1)


# Texts as vLLM 0.32 and PyTorch write them on GPUs; nobody recorded these here.
OF_GPUS = [
    (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 896.00 MiB. GPU 1 has a total capacity of 79.25 GiB "
        "of which 12.75 MiB is free. Including non-PyTorch memory, this process has 79.22 GiB memory in use.",
        "memory",
        "GPU 1 ran out of memory: 896.00 MiB more were asked for, and 12.75 MiB of its 79.25 GiB were free",
    ),
    (
        "ValueError: Free memory on device cuda:0 (10.12/79.25 GiB) on startup is less than desired GPU memory utilization "
        "(0.92, 72.91 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
        "memory",
        "the GPU is in use: 10.12 of 79.25 GiB are free, and the share 0.92 of it is 72.91 GiB",
    ),
    (
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing",
        "memory",
        "the weights leave no memory for the cache",
    ),
    (
        "ValueError: To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache is needed, which "
        "is larger than the available KV cache memory (9.31 GiB). Based on the available memory, the estimated maximum model "
        "length is 76256. Try increasing `gpu_memory_utilization`",
        "context",
        "one reply of `vllm.max_model_len` = 131072 tokens needs a cache of 16.0 GiB, and there are 9.31 GiB: 76256 tokens "
        "would fit",
    ),
    (
        "ValueError: To serve at least one request with the model's max seq len (4096), (0.5 GiB KV cache is needed, which is "
        "larger than the available KV cache memory (0.01 GiB). Try increasing `gpu_memory_utilization`",
        "context",
        "one reply of `vllm.max_model_len` = 4096 tokens needs a cache of 0.5 GiB, and there are 0.01 GiB",
    ),
    (
        "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests.",
        "memory",
        "the GPU ran out of memory when the engine tried a full batch",
    ),
    (
        "  Value error, World size (4) is larger than the number of available GPUs (1) in this node.",
        "gpus",
        "4 GPUs are declared and 1 can be seen",
    ),
    (
        "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 89. Current "
        "capability: 80.",
        "unsupported",
        "this GPU cannot run the quantization `fp8`, which needs compute capability 89",
    ),
    (
        "ValueError: LoRA rank 128 is greater than max_lora_rank 16.",
        "adapter",
        "the adapter's rank is 128, and at most 16 were made room for",
    ),
    (
        "RuntimeError: CUDA error: an illegal memory access was encountered",
        "driver",
        "CUDA error: an illegal memory access",
    ),
    ("RuntimeError: CPU Generator does not use offset", "argument", "cannot read a prompt in pieces"),
    ("ModuleNotFoundError: No module named 'flashinfer'", "package", "the package `flashinfer` is missing"),
    ("python3: No module named vllm", "package", "vLLM is not installed here"),
]


@pytest.mark.parametrize(("text", "kind", "says"), OF_GPUS)
def test_what_gpus_run_into_is_known(text: str, kind: str, says: str) -> None:
    head = "pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig\n"
    log = f"Traceback (most recent call last):\n{head if text.startswith(' ') else ''}{text}\n"
    for printed in (
        log,
        "".join(f"(Worker_TP1 pid=77) ERROR 11-21 18:35:12 [m.py:1] {line}\n" for line in log.splitlines()),
    ):
        fault = why(printed)
        assert (fault.kind, says in fault.sentence) == (kind, True), fault
        assert fault.hint


def test_an_error_that_nobody_foresaw_is_told_as_it_is_without_what_wraps_it() -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "x.py", line 1, in y\n'
        "RuntimeError: the moon is full.\n"
        "(EngineCore pid=3) ERROR 11-21 18:35:12 [core.py:1510] RuntimeError: Worker failed with error 'the moon is full.', "
        "please check the stack trace above for the root cause\n"
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n"
    )
    fault = why(log, 1)
    assert (fault.kind, fault.sentence, fault.hint) == ("unknown", "RuntimeError: the moon is full", None)


def test_a_process_that_was_killed_is_told_by_its_signal() -> None:
    assert why("loading\n", -9).kind == "memory"
    assert "SIGSEGV" in why("loading\n", -11).sentence
    assert "signal 63" in why("loading\n", -63).sentence
    # The log knows better than the signal.
    assert why("RuntimeError: CUDA error: unspecified launch failure\n", -6).kind == "driver"


def test_a_worker_that_vanished_is_told_only_where_nothing_else_is() -> None:
    gone = (
        "(EngineCore pid=8) ERROR 11-21 18:40:30 [multiproc_executor.py:315] Worker proc VllmWorker-1 died unexpectedly "
        "(exit code: -9), shutting down executor.\n"
    )
    dead = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above)\n"
    assert why(gone + dead).sentence == "its process VllmWorker-1 died without a word (exit status -9)"
    assert why(dead).kind == "died"
    assert why("ValueError: the moon is full\n" + gone + dead).sentence == "ValueError: the moon is full"


def test_without_an_error_the_last_line_is_told() -> None:
    assert why("one\ntwo\n\n", 3).sentence == "it ended with status 3; its last line is: two"
    assert why("", 0).sentence == "it ended with status 0 without a word"
    assert why("").sentence == "it ended without a word"


def test_colours_and_length_do_not_reach_a_sentence() -> None:
    fault = why("\x1b[1;31mValueError: " + "x" * 5000 + "\x1b[0m\n", 1)
    assert "\x1b" not in fault.sentence
    assert len(fault.sentence) == SENTENCE
