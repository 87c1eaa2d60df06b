"""A model's declaration as arguments of vLLM's engine: what is loaded, apart from how it is asked."""

from __future__ import annotations

from typing import Any

from lrm import hashing
from lrm.engines.engine import DEFAULT_MEMORY, Settings
from lrm.registry.models import SERVER, Model


def settings_of(model: Model) -> Settings:
    """Return what has to be loaded for a model that runs here (`Model.runs_here`)."""
    options = model.options
    return Settings(
        kind="server" if model.engine == SERVER else "process",
        checkpoint=model.model,
        arguments=hashing.canonical(arguments_of(model)).decode(),
        gpus=options.tensor_parallel * options.pipeline_parallel * options.data_parallel,
        memory=options.memory or DEFAULT_MEMORY,
        start_timeout_s=options.start_timeout_s,
    )


def arguments_of(model: Model) -> dict[str, Any]:
    """Return the arguments of vLLM's engine (0.32's names), those with its own defaults left out.

    Folders and files of this machine are given by their paths where they are known: two declarations may mean different ones
    by the same words. What is on the Hub is named as declared; `lrm.engines.checkpoint.placed` puts paths in its place.
    """
    options, pins = model.options, model.pins
    revision = (pins.revision if pins is not None else None) or model.revision
    given: dict[str, Any] = {
        "model": _placed(model, "checkpoint", model.model),
        "revision": revision,
        "tokenizer": _placed(model, "tokenizer", options.tokenizer),
        "tokenizer_revision": (pins.tokenizer_revision if pins is not None else None) or options.tokenizer_revision,
        "dtype": model.dtype,
        "quantization": model.quantization,
        "chat_template": _placed(model, "chat_template", model.chat_template),
        "tensor_parallel_size": options.tensor_parallel if options.tensor_parallel > 1 else None,
        "pipeline_parallel_size": options.pipeline_parallel if options.pipeline_parallel > 1 else None,
        "data_parallel_size": options.data_parallel if options.data_parallel > 1 else None,
        "gpu_memory_utilization": options.memory,
        "max_model_len": options.max_model_len,
        "max_num_seqs": options.max_num_seqs,
        "max_num_batched_tokens": options.max_num_batched_tokens,
        "block_size": options.block_size,
        "enforce_eager": options.enforce_eager or None,
        "enable_prefix_caching": options.prefix_caching,
        "enable_chunked_prefill": options.chunked_prefill,
        "kv_cache_dtype": options.kv_cache_dtype,
        "cpu_offload_gb": options.cpu_offload_gb,
        "speculative_config": options.speculative,
        "trust_remote_code": options.trust_remote_code or None,
        "adapter": _placed(model, "adapter", options.adapter),
        "adapter_revision": (pins.adapter_revision if pins is not None else None) or options.adapter_revision,
        "batch_invariant": options.batch_invariant or None,
        "reasoning_parser": options.reasoning_parser if model.engine == SERVER else None,
        **options.arguments,
    }
    return {name: value for name, value in given.items() if value is not None}


def _placed(model: Model, part: str, name: str | None) -> str | None:
    """Return where a declared folder or file is on this machine, where that was found out; else the name itself."""
    return name if name is None or model.pins is None else model.pins.paths.get(part, name)
