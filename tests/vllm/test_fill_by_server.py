"""A fill that starts vLLM's server and stops it, and the same model in a process: one model, whoever runs it."""

from __future__ import annotations

from pathlib import Path

from lrm.store.catalog import Catalog
from tests import builders
from tests.vllm.working import starts, told, write_spec

ROWS = [f"What is {number} + 4?" for number in range(12)]


def test_a_server_is_started_asked_and_stopped_and_the_cells_are_those_of_the_engine(folder: Path) -> None:
    write_spec(folder, {"one": "tiny"}, ROWS)
    spec = folder / "spec.toml"
    in_process = spec.read_text(encoding="utf-8")
    spec.write_text(
        in_process.replace('backend = "vllm"', 'backend = "vllm"\nengine = "vllm-server"'), encoding="utf-8"
    )
    outcome = told(folder, "matrix", "fill", "spec.toml")
    assert (outcome["done"], outcome["failed"], outcome["left"]) == (len(ROWS), 0, 0)
    catalog = Catalog(folder / "catalog.duckdb")
    rows = builders.rows(catalog, "SELECT kind, load_s > 0, output_tokens > 0, fault FROM lrm.engines")
    assert rows == [("server", True, True, None)]
    kept = builders.rows(
        catalog,
        """
        SELECT count(*), count(*) FILTER (WHERE raw LIKE '%"token_ids"%'), count(*) FILTER (WHERE sent LIKE '%<|im_start|>%')
        FROM lrm.generations
        """,
    )
    assert kept == [(len(ROWS),) * 3]
    assert builders.rows(catalog, "SELECT DISTINCT status FROM lrm.traces") == [("no_open_tag",)]

    spec.write_text(in_process, encoding="utf-8")
    again = told(folder, "matrix", "fill", "spec.toml")
    assert again["calls"] == 0
    assert starts(folder) == 1
