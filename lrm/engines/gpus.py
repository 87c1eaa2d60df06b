"""The GPUs that a process started from here would use, as NVIDIA's driver tells of them."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reading:
    """What some GPUs are doing. None where the driver does not tell."""

    memory_used: int | None = None
    """Bytes, of all of them and all who use them."""
    memory_total: int | None = None
    busy: float | None = None
    """In [0, 1], the mean."""


class Gpus:
    """The first GPUs that CUDA_VISIBLE_DEVICES lets be seen. Empty without NVIDIA's library or driver (AMD, a CPU)."""

    def __init__(self, count: int) -> None:
        """Look for `count` GPUs. Takes some milliseconds, and no memory of theirs."""
        self._handles: list[Any] = []
        with contextlib.suppress(Exception):  # no library, no driver, or a driver of another version
            import pynvml

            pynvml.nvmlInit()
            self._handles = [_handle(pynvml, one) for one in _visible(pynvml.nvmlDeviceGetCount())[:count]]

    @property
    def name(self) -> str | None:
        """What the driver calls the first of them; None where there is none."""
        with contextlib.suppress(Exception):
            import pynvml

            said = pynvml.nvmlDeviceGetName(self._handles[0])
            return said.decode() if isinstance(said, bytes) else str(said)
        return None

    def read(self) -> Reading:
        """Return what they are doing."""
        if not self._handles:
            return Reading()
        with contextlib.suppress(Exception):  # in parts of a GPU (MIG) or in WSL some of it is not told
            import pynvml

            memory = [pynvml.nvmlDeviceGetMemoryInfo(one) for one in self._handles]
            used, total = sum(one.used for one in memory), sum(one.total for one in memory)
            try:
                busy = [pynvml.nvmlDeviceGetUtilizationRates(one).gpu for one in self._handles]
            except pynvml.NVMLError:
                return Reading(used, total)
            return Reading(used, total, round(sum(busy) / len(busy) / 100, 3))
        return Reading()


def _visible(there: int) -> list[str]:
    """Return the GPUs that may be used, by number or by name."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(number) for number in range(there)]
    return [one.strip() for one in named.split(",") if one.strip() and one.strip() != "-1"]


def _handle(pynvml: Any, one: str) -> Any:
    return pynvml.nvmlDeviceGetHandleByIndex(int(one)) if one.isdecimal() else pynvml.nvmlDeviceGetHandleByUUID(one)
