"""How engines end: told to, by themselves, not started at all, or because lrm is dead. Nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lrm.backends.base import CallFailure
from lrm.engines.checkpoint import files_of
from lrm.engines.process import start_process
from lrm.engines.settings import settings_of
from lrm.errors import ModelError
from tests.conftest import ROOT
from tests.vllm import engines, processes
from tests.vllm.descendants import descendants, gone
from tests.vllm.engines import Declares, call


async def test_an_engine_that_dies_fails_what_was_asked_and_says_why(declares: Declares, tmp_path: Path) -> None:
    # On a CPU a seeded prompt that is read in two steps ends vLLM 0.32's engine.
    split = declares(vllm={"chunked_prefill": True, "max_num_batched_tokens": 64, "max_num_seqs": 8})
    before = processes.below()
    async with engines.running(split, tmp_path / "engine.log") as engine:
        backend = engine.backend(split)
        left = {pid: end for pid, end in descendants(os.getpid()).items() if pid not in before}
        doomed = [call(f"{number}? " + "1" * 60) for number in range(12)]
        results = await asyncio.gather(*(backend.ask(one) for one in doomed), return_exceptions=True)
        lost = [result for result in results if isinstance(result, BaseException)]
        assert lost
        for failure in lost:
            assert isinstance(failure, CallFailure)
            assert failure.transient
            assert "in pieces for a call with a seed" in failure.message
        assert engine.died is not None
        assert engine.died in str(lost[0])
        with pytest.raises(CallFailure, match="died"):
            await backend.ask(call())
        with pytest.raises(ModelError, match="does not run"):
            engine.backend(split)
        assert gone(left.values())


async def test_an_argument_that_vllm_does_not_know_is_named(declares: Declares, tmp_path: Path) -> None:
    before = processes.below()
    wrong = declares(vllm={"arguments": {"max_num_sequences": 4}})
    with pytest.raises(ModelError) as caught:
        async with engines.running(wrong, tmp_path / "engine.log"):
            pass
    assert "max_num_sequences" in caught.value.message
    assert "`max_num_seqs`" in (caught.value.hint or "")
    assert not processes.below() - before


async def test_a_start_that_is_given_up_leaves_nothing(declares: Declares, tmp_path: Path) -> None:
    declared, log = declares(), tmp_path / "engine.log"
    before = processes.below()
    said: list[str] = []
    starting = asyncio.ensure_future(start_process(settings_of(declared), files_of(declared), log=log, say=said.append))
    await processes.until(lambda: log.exists() and "INFO" in log.read_text())  # vLLM's first words
    left = {pid: end for pid, end in descendants(os.getpid()).items() if pid not in before}
    assert len(left) >= 2
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert gone(left.values())
    assert said == []


def test_when_lrm_is_killed_its_engine_ends(tiny: Path, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-m", "tests.vllm.held_engine", str(tiny), str(tmp_path / "engine.log")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "asking\n"
        left = descendants(holder.pid)
        assert len(left) >= 3  # the leash, the process, the engine of vLLM's that it started
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    assert gone(left.values())
