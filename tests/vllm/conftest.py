"""Fixtures for local engines. Without vLLM everything here is skipped, and says so.

vLLM runs for real, on the CPU where there is no GPU, with a checkpoint that the tests make. An engine takes half a minute to
start, so tests share one where they can; they all run in one event loop, because an engine belongs to one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from lrm.engines.process import ProcessEngine
from tests import tiny_model
from tests.vllm import engines

LIBRARIES = ("vllm", "torch", "transformers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run asynchronous tests of this folder in the session's loop; skip all of them where a package is not installed."""
    here = Path(__file__).parent
    missing = next((name for name in LIBRARIES if importlib.util.find_spec(name) is None), None)
    skip = pytest.mark.skip(reason=f"{missing} is not installed here: `make test-vllm` runs these tests")
    in_session = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if here not in item.path.parents:
            continue
        if missing is not None:
            item.add_marker(skip, append=False)
        elif pytest_asyncio.is_async_test(item):
            item.add_marker(in_session, append=False)


@pytest.fixture(scope="session", autouse=True)
def _small_cache() -> Iterator[None]:
    """Take 1 GiB for the cache: on a CPU vLLM takes most of the machine's memory otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the tiny checkpoint."""
    return tiny_model.make(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture(scope="session")
def declares(tiny: Path) -> engines.Declares:
    """Return what declares a model of the tiny checkpoint."""

    def declared(**more: Any) -> Any:
        return engines.model(tiny, **more)

    return declared


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine(declares: engines.Declares, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ProcessEngine]:
    """Return an engine of the tiny checkpoint that all tests share; what a test asks of it must not end it."""
    async with engines.running(declares(), tmp_path_factory.mktemp("engine") / "engine.log") as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path, tiny: Path) -> Path:
    """Return a working folder with the tiny checkpoint in it, and its chat template in a file."""
    (tmp_path / "tiny").symlink_to(tiny, target_is_directory=True)
    (tmp_path / "template.jinja").write_text(tiny_model.TEMPLATE, encoding="utf-8")
    return tmp_path
