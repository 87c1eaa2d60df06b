"""What of a declaration is part of an id, as the JSON object that is hashed."""

from __future__ import annotations

import json
from urllib.parse import urlsplit, urlunsplit

from lrm import hashing
from lrm.registry.declarations import Model
from lrm.registry.tables import Json
from lrm.registry.vllm import Pins


def model_identity(model: Model) -> Json:
    """Return the behavioural identity of a model: what changes the text that comes back, and nothing else.

    Fields that are not set are left out, so a new optional field of a later version changes no id.
    """
    pins = model.pins or Pins()
    folder = pins.checkpoint_sha256
    fields: Json = {
        "engine": "vllm" if model.backend == "vllm" else model.engine or model.backend,
        "checkpoint": model.model if folder is None else {"sha256": folder},
        "revision": pins.revision or model.revision,
        "quantization": model.quantization,
        "dtype": model.dtype,
        "chat_template": pins.template_sha256 or model.chat_template,
        "epoch": model.epoch,
        "effort": model.thinking.effort,
        "budget_tokens": model.thinking.budget_tokens,
        "switch": model.thinking.switch,
        "sampling": model.sampling.model_dump(mode="json", exclude_none=True) or None,
        "extra_body": model.extra_body or None,
        "simulation": _simulation(model),
        **_loaded(model, pins),
    }
    kept: Json = {name: value for name, value in fields.items() if value is not None}
    return kept


def _loaded(model: Model, pins: Pins) -> Json:
    """Return what vLLM is told that can change a text; None for what is as it is where nothing is told.

    How the work is shared out and cached (GPUs, memory, batches, graphs) is not in it, nor is speculative decoding.
    """
    options = model.vllm
    if options is None:
        return {}
    ends_itself = model.sampling.max_tokens is not None
    return {
        "tokenizer": _source(options.tokenizer, pins.tokenizer_sha256),
        "tokenizer_revision": pins.tokenizer_revision or options.tokenizer_revision,
        "adapter": _source(options.adapter, pins.adapter_sha256),
        "adapter_revision": pins.adapter_revision or options.adapter_revision,
        "kv_cache_dtype": options.kv_cache_dtype,
        "batch_invariant": options.batch_invariant or None,
        "max_model_len": None if ends_itself else options.max_model_len,
        "arguments": options.arguments or None,
    }


def _source(name: str | None, sha256: str | None) -> str | Json | None:
    """Return what names a tokenizer or adapter: of a folder its checksum, wherever it lies."""
    return name if sha256 is None else {"sha256": sha256}


def _simulation(model: Model) -> Json | None:
    """Return a simulated model's planted behaviour; it writes its payload by what of its thinking is to be seen."""
    if model.backend != "simulated":
        return None
    planted: Json = (
        {}
        if model.simulation is None
        else model.simulation.model_dump(mode="json", exclude={"latency_ms"}, exclude_none=True)
    )
    shown = model.thinking.model_dump(include={"visibility", "open", "close", "opened_by_template"})
    return {**planted, "thinking": shown}


def model_id(model: Model) -> bytes:
    """Return the 32-byte identity (`i1`) of a model."""
    return hashing.digest("i1", model_identity(model))


def declaration_json(declaration: object) -> str:
    """Return a declaration as compact JSON for the catalog: what was declared, whole but for a password in its endpoint."""
    from pydantic import BaseModel

    if not isinstance(declaration, BaseModel):
        raise TypeError(f"not a declaration: {type(declaration).__name__}")
    declared = declaration.model_dump(mode="json", exclude_defaults=True)
    endpoint = declared.get("endpoint")
    if isinstance(endpoint, str):
        declared["endpoint"] = without_userinfo(endpoint)
    if not declared.get("pins", True):
        del declared["pins"]
    return json.dumps(declared, ensure_ascii=False, sort_keys=True)


def without_userinfo(url: str) -> str:
    """Return a URL without the user and password that stand before its host."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url
