"""The connection to a Ray cluster, or one of this machine alone that ends with the fill."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lrm.errors import ModelError

REACH_S = 10.0
"""Seconds within which a cluster's port has to take a connection."""
STORE_BYTES = 256 * 2**20
"""Ray's object store of a cluster of our own: what is under way at one moment, which is little."""
_CLIENT_PORT = 10_001
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",
}


@dataclass(frozen=True, slots=True)
class Node:
    """A node that lives."""

    id: str
    """Ray's id, in hex."""
    host: str
    cpus: float
    gpus: float


@dataclass(slots=True)
class Cluster:
    """A cluster that this process is connected to."""

    ray: Any
    """The module."""
    ours: bool
    """Whether this process connected, and so ends the connection."""

    def nodes(self) -> tuple[Node, ...]:
        """Return the living nodes that take work, by id; all of them where none says that it has a CPU."""
        alive = [
            Node(
                str(one["NodeID"]), str(one.get("NodeManagerHostname", "?")), float(one["Resources"].get("CPU", 0)),
                float(one["Resources"].get("GPU", 0)),
            )
            for one in self.ray.nodes()
            if one["Alive"]
        ]  # fmt: skip
        alive.sort(key=lambda node: node.id)
        return tuple([node for node in alive if node.cpus > 0] or alive)

    def at(self, node: str, *, soft: bool) -> Any:
        """Return Ray's wish to run on a node; `soft`: elsewhere if it is gone."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node_id=node, soft=soft)

    def close(self) -> None:
        """Let go of it; one of our own ends."""
        if self.ours and self.ray.is_initialized():
            with _sigterm_as_it_was():
                self.ray.shutdown()


def connect(address: str | None) -> Cluster:
    """Return the cluster at an address (`auto`, `HOST:PORT`, `ray://HOST:PORT`), or one of this machine for None.

    With None, RAY_ADDRESS counts. A process that is connected stays so. Raises ModelError.
    """
    if importlib.util.find_spec("ray") is None:
        raise ModelError(
            "`--executor ray` needs the package `ray`, which is not installed", hint="pip install 'lrm[ray]'"
        )
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    ray: Any = importlib.import_module("ray")
    if ray.is_initialized():
        return Cluster(ray, ours=False)
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _reach(address)
    told: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == "local":
        told |= {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    try:
        with _sigterm_as_it_was():
            ray.init(**told)
    except Exception as error:
        raise _not_connected(address, error) from error
    # A thread of Ray's prints on stdout what becomes of workers, even with `log_to_driver=False`; there is no other switch.
    ray._private.worker._worker_logs_enabled = False  # noqa: SLF001
    return Cluster(ray, ours=True)


def _reach(address: str) -> None:
    """Raise ModelError where nothing takes a connection at a host and port: Ray itself would try for minutes."""
    if address in ("local", "auto"):
        return
    scheme, rest = address.split("://", 1) if "://" in address else ("tcp", address)
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port or (_CLIENT_PORT if scheme == "ray" else None)
    except ValueError:
        host = port = None
    if scheme not in ("tcp", "ray") or not host or not port:
        raise ModelError(
            f"`{address}` is no address of a Ray cluster",
            hint="name `auto`, HOST:PORT (often :6379) or ray://HOST:10001",
        )
    try:
        socket.create_connection((host, port), REACH_S).close()
    except OSError as error:
        raise ModelError(
            f"no Ray cluster can be reached at {address}: {error.strerror or error}",
            hint="start one with `ray start --head` on a node, and see `ray status` there; or leave out --address to use "
            "this machine alone",
        ) from error


def _not_connected(address: str, error: Exception) -> ModelError:
    said = " ".join(str(error).split())[:500]
    if "ersion mismatch" in said:
        return ModelError(
            f"the Ray cluster at {address} runs other versions: {said}",
            hint="use the same Python and the same version of ray on this machine and on all nodes",
        )
    if address == "local":
        return ModelError(
            f"Ray could not be started on this machine: {said}", hint="see the logs under /tmp/ray/session_latest/logs"
        )
    if address == "auto" and "could not find" in said.lower():
        return ModelError(
            "no Ray cluster runs on this machine",
            hint="`ray start --head` starts one; or name it with --address HOST:PORT",
        )
    return ModelError(
        f"the Ray cluster at {address} could not be joined: {said}",
        hint="a cluster that asks for a token (RAY_AUTH_MODE=token) needs that variable, and the token in RAY_AUTH_TOKEN or "
        "~/.ray/auth_token, on this machine too; HOST:PORT has to be joined from one of its nodes, ray:// from anywhere",
    )


@contextmanager
def _sigterm_as_it_was() -> Iterator[None]:
    """Keep Ray from putting its own handler in the place of the fill's."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        # Outside the main thread Ray sets none either.
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
