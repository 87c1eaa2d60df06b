"""LoRA adapters, as `peft` saves them: a folder with adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import json
from pathlib import Path

from lrm.errors import ModelError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM 0.32 makes room for; a smaller adapter is padded."""


def rank_of(folder: Path) -> int:
    """Return the rank that vLLM has to make room for. Raises ModelError for an adapter that it cannot take."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        rank = max(int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values()), 1)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"the adapter's adapter_config.json cannot be read: {error}",
            hint="a LoRA adapter is a folder as `peft` saves it: adapter_config.json and adapter_model.safetensors",
        ) from error
    room = next((size for size in RANKS if size >= rank), None)
    if room is None:
        raise ModelError(
            f"the adapter has rank {rank}, and vLLM takes {RANKS[-1]} at most",
            hint="declare an adapter of a smaller rank",
        )
    return room
