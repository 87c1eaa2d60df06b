"""Files of weights, looked at before an engine reads them: a copy that broke off ends vLLM without a word."""

from __future__ import annotations

from pathlib import Path

import orjson

_LENGTH = 8
"""Bytes before the header: its length as a little-endian number (format safetensors)."""
MOST_HEADER = 100_000_000
"""Bytes of the longest header that the format allows."""


def fault_of(path: Path) -> str | None:
    """Return what is wrong with a safetensors file, as the end of a sentence that names it; None for one that is whole.

    Reads its header alone. Raises OSError where it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        if size < _LENGTH or not 0 < length <= min(MOST_HEADER, size - _LENGTH):
            return "is no safetensors file, or only its beginning"
        try:
            header = orjson.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            wanted = _LENGTH + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return "has a header that is not that of a safetensors file"
    return None if wanted == size else f"has {size:,} bytes, and its header says {wanted:,}: it was not copied whole"
