"""Fixtures that more than one suite needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Server, serving

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of published data that is never committed; skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the published data is not here: {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def _server_process() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def server(_server_process: Server) -> Server:
    """Return an OpenAI-compatible server, a process of its own, that has not been asked anything."""
    _server_process.reset()
    return _server_process
