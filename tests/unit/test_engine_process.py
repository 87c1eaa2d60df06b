"""The process of an engine where vLLM is not installed: that is said, and nothing is left."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from lrm.engines.checkpoint import Files
from lrm.engines.process import start_process
from lrm.engines.settings import settings_of
from lrm.errors import ModelError
from lrm.registry.models import Model

pytestmark = pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")


async def test_a_process_without_vllm_says_so(tmp_path: Path) -> None:
    declared = Model(backend="vllm", model="org/tiny")
    said: list[str] = []
    with pytest.raises(ModelError) as caught:
        await start_process(settings_of(declared), Files(tmp_path), log=tmp_path / "engine.log", say=said.append)
    assert "org/tiny" in caught.value.message
    assert "vllm" in caught.value.message.casefold()
    assert said == []


async def test_one_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    declared = Model.model_validate({"backend": "vllm", "model": "org/tiny", "vllm": {"start_timeout_s": 1e-6}})
    with pytest.raises(ModelError, match="was not loaded within 1e-06 s") as caught:
        await start_process(settings_of(declared), Files(tmp_path), log=tmp_path / "engine.log", say=lambda _: None)
    assert "start_timeout_s" in (caught.value.hint or "")
