"""Which processes there are below this one."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path


def below(root: int | None = None) -> set[int]:
    """Return the processes that a process, or this one, started, and those that they did; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    found: set[int] = set()
    unseen = [os.getpid() if root is None else root]
    while unseen:
        new = children.get(unseen.pop(), [])
        found.update(new)
        unseen += new
    return found


def told(word: str) -> set[int]:
    """Return the processes below this one that have a word on their command line, and what is below them."""
    roots = {pid for pid in below() if word in command_line(pid)}
    return roots.union(*(below(pid) for pid in roots))


def command_line(pid: int) -> str:
    """Return a process's command line; empty where it has gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return ""


def alive(pids: set[int]) -> set[int]:
    """Return those that still run."""
    return {pid for pid in pids if command_line(pid)}


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - nobody tells when it is
            await asyncio.sleep(0.02)
