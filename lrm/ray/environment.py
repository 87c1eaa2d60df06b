"""What of the driver's environment a model's workers need."""

from __future__ import annotations

import os
import re

from lrm.backends.pool import KEYS, prefix_of, provider_of
from lrm.registry.declarations import Model

_OF_ENGINES = re.compile(r"VLLM_|HF_(?!HOME|HUB_CACHE|XET_CACHE|ASSETS_CACHE)|HUGGING_FACE_HUB_TOKEN$|OMP_NUM_THREADS$")
"""Not where things lie on the driver's disk."""


def environment_of(model: Model) -> dict[str, str]:
    """Return the variables by which a model is asked: its key, or all that its provider is known by.

    Proxies and certificates are not among them: each node reaches the network in its own way.
    """
    names: set[str] = {model.api_key_env} if model.api_key_env is not None else set()
    if model.runs_here:
        names |= {name for name in os.environ if _OF_ENGINES.match(name)}
    elif model.backend == "litellm" and model.api_key_env is None:
        provider = provider_of(model.model)
        named = KEYS.get(provider, ())
        words = {prefix_of(provider), *(name.partition("_")[0] for name in named)} - {"HF", "CO"}
        names |= set(named) | {name for name in os.environ if any(name.startswith(f"{word}_") for word in words)}
    return {name: os.environ[name] for name in names if name in os.environ}
