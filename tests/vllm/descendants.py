"""The processes below another, and waiting until they are gone, on Linux."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterable

from tests.vllm import processes

PATIENCE_S = 120.0


def descendants(pid: int) -> dict[int, int]:
    """Return the living processes below one: their ids, each with a descriptor that becomes readable at its end."""
    found = {}
    for child in processes.below(pid):
        with contextlib.suppress(ProcessLookupError):
            found[child] = os.pidfd_open(child)
    return found


def gone(descriptors: Iterable[int]) -> bool:
    """Wait until all processes have ended; return whether they have, within two minutes each."""
    over = True
    for descriptor in descriptors:
        readable, _, _ = select.select([descriptor], [], [], PATIENCE_S)
        over = over and bool(readable)
        os.close(descriptor)
    return over
