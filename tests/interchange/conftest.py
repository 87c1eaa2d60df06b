"""Fixtures for tests that ask other tools, in environments of their own. Where one is not installed they are skipped, and say so."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSPECT = Path(os.environ.get("LRM_INSPECT_PYTHON") or ROOT / "benchmarks/peers/inspect_ai/.venv/bin/python")
"""The Python that has Inspect AI."""
Asks = Callable[..., Any]
"""Runs a script of this folder by that Python, with words; gives the JSON that it prints."""


def _has_inspect() -> bool:
    if not INSPECT.is_file():
        return False
    found = subprocess.run([INSPECT, "-c", "import inspect_ai"], capture_output=True, check=False)
    return found.returncode == 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that ask Inspect AI where it is not installed."""
    here = Path(__file__).parent
    ours = [item for item in items if here in item.path.parents and "inspect_ai" in getattr(item, "fixturenames", ())]
    if ours and not _has_inspect():
        skip = pytest.mark.skip(reason="Inspect AI is not installed here: `make test-interchange` runs these tests")
        for item in ours:
            item.add_marker(skip, append=False)


@pytest.fixture(scope="session")
def inspect_ai() -> Asks:
    """Return what asks Inspect AI."""

    def ask(script: str, *words: str | Path) -> Any:
        path = Path(__file__).with_name(script)
        done = subprocess.run(
            [INSPECT, "-P", path, *words], capture_output=True, check=False, text=True, encoding="utf-8"
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask
