"""Fixtures that more than one suite needs."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of published data that is never committed; skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the published data is not here: {SHARED_DATA}")
    return SHARED_DATA
