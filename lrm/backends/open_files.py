"""Lets this process hold as many connections at the same time as calls are to be in flight."""

from __future__ import annotations

import contextlib
from pathlib import Path

MARGIN = 256
"""Files beside the calls' connections: catalog, journal, logs, libraries, connections that are being closed."""
_FALLBACK = 10_240
"""What macOS allows (`OPEN_MAX`) though it names no hard limit."""


def allow_in_flight(calls: int) -> int:
    """Raise this process's limit of open files so that `calls` connections fit; return how many calls may be in flight.

    That is `calls`, or less (at least 1) where the system's hard limit is lower. The limit is never lowered. Each call
    under way takes one connection, in every backend.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return calls
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    beside = MARGIN + _open_now()
    wanted = calls + beside
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return calls
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    for limit in (most, min(most, _FALLBACK)):
        if limit <= soft:
            break
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            soft = limit
            break
    return min(calls, max(1, soft - beside))


def _open_now() -> int:
    """Return how many files this process holds open; 0 where the system does not say."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return sum(1 for _ in Path(folder).iterdir())
    return 0
