"""The seed of a call."""

from __future__ import annotations

from lrm.backends.base import Call
from lrm.registry.declarations import Model

_BITS = 0x7FFF_FFFF


def seed_of(model: Model, call: Call) -> int | None:
    """Return what a call's tokens are drawn by: the declared seed + replicate, else in vLLM a number out of the call's id.

    So a call that is asked again in an engine whose results do not depend on the batch gives the same text, and replicates
    differ. None where nothing is declared of a model elsewhere, or `extra_body` has a seed of its own.
    """
    if "seed" in model.extra_body:
        return None
    if model.sampling.seed is not None:
        return model.sampling.seed + call.replicate
    return int.from_bytes(call.id[:4]) & _BITS if model.backend == "vllm" else None
