"""A cluster of two nodes on this machine. Without ray everything here is skipped, and says so."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

# Ray reads these when it is imported. With a token of its own it writes none into the home folder.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


@pytest.fixture(scope="session", autouse=True)
def _library() -> None:
    pytest.importorskip("ray", reason="ray is not installed here: `make test-ray` runs these tests")


@pytest.fixture(scope="session")
def cluster(_library: None) -> Iterator[Any]:
    """Return a cluster of two nodes with two CPUs each, which nobody is connected to."""
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 2, "object_store_memory": 128 * 2**20}
    made = Cluster(initialize_head=True, connect=False, head_node_args=small)
    try:
        made.add_node(**small)
        made.wait_for_nodes()
        yield made
    finally:
        made.shutdown()


@pytest.fixture(scope="session")
def address(cluster: Any) -> str:
    """Return the address of the cluster."""
    address: str = cluster.address
    return address
