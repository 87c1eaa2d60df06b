"""What a dead worker wrote down: read, and removed when it is no longer needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lrm.backends.base import Reply
from lrm.ray import spool
from lrm.ray.cluster import Cluster
from lrm.ray.remote import Remote

READ_S = 60.0
"""Seconds within which a node has to read or remove a spool."""


async def spooled(cluster: Cluster, remote: Remote, say: Callable[[str], None]) -> dict[str, Reply]:
    """Return what a dead worker wrote down of its calls in flight, by the call's id in hex."""
    wanted = frozenset(asked.call.id.hex() for asked in remote.in_flight.values())
    if remote.hello is None or not wanted:
        return {}
    folder = Path(remote.hello.spool)
    if remote.hello.shared:
        return await asyncio.to_thread(spool.replies_in, folder, wanted)
    try:
        async with asyncio.timeout(READ_S):
            found: dict[str, Reply] = await _on_its_node(cluster, remote, spool.replies_in, folder, wanted)
    except Exception:  # there are many ways of Ray's to say that a node is not there
        say(
            f"the node {remote.hello.host} is gone with what its worker wrote down there: "
            "its calls in flight are asked again"
        )
        return {}
    return found


async def forget(cluster: Cluster, remote: Remote) -> bool:
    """Remove what a dead worker left, unless it may hold what nobody has; return whether it stays."""
    if remote.unclaimed or remote.gave_up:
        return True
    if remote.hello is None:
        return False
    folder = Path(remote.hello.spool)
    if remote.hello.shared:
        spool.remove(folder)
        return False
    with suppress(Exception):
        async with asyncio.timeout(READ_S):
            await _on_its_node(cluster, remote, spool.remove, folder)
    return False


def _on_its_node(cluster: Cluster, remote: Remote, what: Callable[..., Any], *arguments: Any) -> Any:
    assert remote.hello is not None
    where = cluster.at(remote.hello.node, soft=False)
    return cluster.ray.remote(what).options(num_cpus=0, max_retries=0, scheduling_strategy=where).remote(*arguments)
