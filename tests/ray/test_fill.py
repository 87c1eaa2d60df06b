"""Fills whose calls are carried out by workers on two nodes, and what a dead driver leaves."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrm.ray.recover import recover
from lrm.run.executors import Choice, Local, OnRay
from lrm.run.fill import fill
from lrm.store.catalog import Catalog
from lrm.store.lock import arranging
from tests import builders
from tests.ray.driving import Given, driving, spec_of
from tests.servers import Server

KEY = "sk-PlantedForRay-0123456789abcdef"


def wait_for(process: subprocess.Popen[str], holds: Callable[[], bool]) -> None:
    """Wait until something holds, as long as the process lives."""
    given_up = time.monotonic() + 60
    while not holds():
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < given_up
        time.sleep(0.02)


def spooled(catalog: Catalog, folder: Path | None = None) -> int:
    """Return how many replies are written down in spools."""
    found = (folder or catalog.spool_folder).rglob("*.jsonl")
    return sum(path.read_bytes().count(b'"raw":') for path in found)


def answered(catalog: Catalog) -> int:
    """Return how many calls have a response in the catalog."""
    return int(builders.rows(catalog, "SELECT count(*) FROM lrm.calls WHERE generation_n IS NOT NULL")[0][0])


def test_a_fill_over_two_nodes_and_a_second_one_that_asks_nothing(
    address: str, cluster: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRM_TEST_KEY", KEY)
    catalog = Catalog(tmp_path / "catalog.duckdb")
    spec = builders.matrix(
        [builders.http_model(server.url, "served", api_key_env="LRM_TEST_KEY")],
        [builders.prompt_set("set", [f"prompt {n}" for n in range(100)])],
        judges=[builders.judge()],
    )
    outcome = fill(spec, catalog, executor=OnRay(address))
    assert (outcome.done, outcome.failed, outcome.left) == (100, 0, 0)
    assert server.count()["by_key"] == {f"Bearer {KEY}": 100}
    assert fill(spec, catalog, executor=OnRay(address)).done == 0
    assert (server.total(), answered(catalog)) == (100, 100)
    assert not catalog.spool_folder.exists()
    logs = Path(cluster.head_node.get_session_dir_path())
    kept = [path for folder in (logs, tmp_path) for path in folder.rglob("*") if path.is_file()]
    assert len(kept) > 10
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize("choice", [Local(), "ray"], ids=["the next fill is local", "the next fill is on Ray"])
def test_what_workers_had_when_the_driver_was_killed_is_asked_of_nobody_again(
    address: str, server: Server, tmp_path: Path, choice: Choice | str
) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    given = Given(str(catalog.path), server.url, address, 8, worker="Silent")
    with driving(given) as process:
        wait_for(process, lambda: spooled(catalog) == 8)
        process.kill()
        process.wait()
    assert server.total() == 8
    fill(spec_of(given), catalog, executor=OnRay(address) if isinstance(choice, str) else choice)
    assert (server.total(), answered(catalog)) == (8, 8)
    assert not catalog.spool_folder.exists()


def test_what_lies_on_a_nodes_own_disk_is_fetched_from_there(address: str, server: Server, tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    given = Given(str(catalog.path), server.url, address, 8, worker="Silent", hidden=True)

    def places() -> list[Path]:
        from lrm.ray.recover import _elsewhere

        return [Path(one.folder) for path in catalog.spool_folder.rglob("nodes") for one in _elsewhere(path)]

    with driving(given) as process:
        wait_for(process, lambda: sum(spooled(catalog, folder) for folder in places()) == 8)
        process.kill()
        process.wait()
    folders = places()
    said: list[str] = []
    with arranging(catalog):
        assert recover(catalog, said.append) == 0
        assert "--executor ray" in said[0]
        assert recover(catalog, said.append, on_ray=True, address=address) > 0
    fill(spec_of(given), catalog)
    assert (server.total(), answered(catalog)) == (8, 8)
    assert not any(folder.exists() for folder in folders)


def test_a_killed_driver_costs_what_was_in_flight(address: str, server: Server, tmp_path: Path) -> None:
    server.order(latency_s=0.01)
    catalog = Catalog(tmp_path / "catalog.duckdb")
    given = Given(str(catalog.path), server.url, address, 300, at_once=10)
    for moment in (60, 160):
        with driving(given) as process:
            wait_for(process, lambda moment=moment: server.total() > moment)  # type: ignore[misc]
            process.kill()
            process.wait()
    outcome = fill(spec_of(given), catalog, executor=OnRay(address))
    assert (outcome.left, outcome.failed, answered(catalog)) == (0, 0, 300)
    assert 300 <= server.total() <= 300 + 2 * 10
