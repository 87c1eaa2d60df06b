"""Loads vLLM's engine as it is told to. Runs in the process of an engine only."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrm.engines import frames
from lrm.engines.adapter import rank_of
from lrm.errors import ModelError, known_names_hint

if TYPE_CHECKING:
    from lrm.engines.asking import Asker


def load(start: frames.Start) -> Asker:
    """Return what answers calls, with the weights loaded. Blocks. Raises what vLLM raises, and ModelError."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    from lrm.engines.asking import Asker
    from lrm.engines.telemetry import Meter

    template = None if start["chat_template"] is None else Path(start["chat_template"]).read_text(encoding="utf-8")
    adapter = None if start["adapter"] is None else Path(start["adapter"])
    arguments = _arguments(start["arguments"], adapter, {field.name for field in dataclasses.fields(AsyncEngineArgs)})
    pooling = arguments.get("runner") == "pooling"
    if pooling:
        from lrm.engines.pooling import PoolingAsker, fitted

        arguments = fitted(arguments)
    meter = Meter()
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments), stat_loggers=[meter.logger])
    if pooling:
        return PoolingAsker(engine, meter, name=start["name"])
    return Asker(engine, meter, name=start["name"], template=template, adapter=adapter)


def _arguments(given: dict[str, Any], adapter: Path | None, known: set[str]) -> dict[str, Any]:
    """Return the arguments of vLLM's engine: as declared, and what the platform and an adapter need beside them."""
    arguments = {"enable_log_requests": False, **_platform_defaults(), **given}
    if adapter is not None:
        arguments["enable_lora"] = True
        arguments["max_lora_rank"] = rank_of(adapter)
    for name in arguments:
        if name not in known:
            raise ModelError(f"vLLM's engine knows no argument `{name}`", hint=known_names_hint(name, known))
    return arguments


def _platform_defaults() -> dict[str, Any]:
    """Return what is set on a CPU where it is not declared.

    A prompt that is read in two steps with a seed ends vLLM 0.32's engine there, and blocks of 128 tokens share no prefix
    that is shorter.
    """
    from vllm.platforms import current_platform

    return {"block_size": 32, "enable_chunked_prefill": False} if current_platform.is_cpu() else {}
