"""What of a declaration is part of an id, as the JSON object that is hashed."""

from __future__ import annotations

import json
from urllib.parse import urlsplit, urlunsplit

from lrm import hashing
from lrm.registry.declarations import Model
from lrm.registry.tables import Json


def model_identity(model: Model) -> Json:
    """Return the behavioural identity of a model: what changes the text that comes back, and nothing else.

    Fields that are not set are left out, so a new optional field of a later version changes no id.
    """
    fields: Json = {
        "engine": model.engine or model.backend,
        "checkpoint": model.model,
        "revision": model.revision,
        "quantization": model.quantization,
        "dtype": model.dtype,
        "chat_template": model.chat_template,
        "epoch": model.epoch,
        "effort": model.thinking.effort,
        "budget_tokens": model.thinking.budget_tokens,
        "switch": model.thinking.switch,
        "sampling": model.sampling.model_dump(mode="json", exclude_none=True) or None,
        "extra_body": model.extra_body or None,
        "simulation": _simulation(model),
    }
    kept: Json = {name: value for name, value in fields.items() if value is not None}
    return kept


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
    return json.dumps(declared, ensure_ascii=False, sort_keys=True)


def without_userinfo(url: str) -> str:
    """Return a URL without the user and password that stand before its host."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url
