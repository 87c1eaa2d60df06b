"""A catalog of a real simulated fill with everything that can be wrong in it, and one of an import, for the tests of samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lrm.browse.reader import Reader
from lrm.registry.layers import Registry, packaged
from lrm.run.fill import fill
from lrm.run.progress import Silent
from lrm.spec.resolve import resolve
from lrm.store.annotations import Annotation, Target, add
from lrm.store.catalog import Catalog
from tests import builders
from tests.importing import imported, row

SPEC = """
[matrix]
models = ["sim-reasoning", "sim-hidden"]
prompt_sets = ["starter"]
attacks = ["none", "roleplay"]
replicates = 2
judges = [{use = "refusal", scopes = ["thinking", "answer"]}, {use = "keywords-gcg", scopes = ["answer"]}]
"""


def filled(folder: Path) -> Catalog:
    """Return a filled catalog: some responses blocked, some calls failed, some never made, some verdicts missing or unparsed."""
    (folder / "mixed.toml").write_text(SPEC, encoding="utf-8")
    catalog = Catalog(folder / "catalog.duckdb")
    fill(resolve(folder / "mixed.toml", Registry([packaged()])), catalog, observer=Silent(), doing="a test")
    with catalog.writing() as connection:
        connection.execute("UPDATE lrm.generations SET status = 'blocked' WHERE n % 17 = 3")
        connection.execute("DELETE FROM lrm.verdicts WHERE generation_n % 17 = 3")
        connection.execute(
            "INSERT INTO lrm.failures SELECT n, 'timeout', 'too slow', 3, TIMESTAMP '2026-01-01', 'r' FROM lrm.calls WHERE n % 19 = 4"
        )
        connection.execute("UPDATE lrm.calls SET generation_n = NULL WHERE n % 19 IN (4, 5)")
        connection.execute(
            "UPDATE lrm.generations SET latency_ms = (n * 37 % 500) * 10, cost = n * 0.0001 WHERE n % 5 > 0"
        )
        connection.execute("UPDATE lrm.generations SET latency_ms = NULL, cost = NULL WHERE n % 5 = 0")
        connection.execute("DELETE FROM lrm.verdicts WHERE generation_n % 11 = 2")
        connection.execute(
            "UPDATE lrm.verdicts SET status = 'unparsed', unsafe = NULL, score = NULL, label = NULL WHERE generation_n % 13 = 6"
        )
    found = builders.rows(
        catalog, "SELECT c.model_n, x.attack_n, x.prompt_n, c.replicate, c.generation_n FROM lrm.calls c "
        "JOIN lrm.renderings x USING (messages_n) WHERE c.n % 29 = 1 ORDER BY ALL",
    )  # fmt: skip
    add(catalog, [Annotation(Target(*one), "answer", "ann", "fine") for one in found])
    return catalog


def brought(folder: Path) -> Catalog:
    """Return a catalog of an import alone: no judges, one cell without a response."""
    catalog = Catalog(folder / "imported.duckdb")
    imported(
        catalog,
        [
            row("Plain one", "yes", key="1", category=("x", "y"), expect="unsafe", thinking="Let me see."),
            row("Plain two", "no", key="2"),
            row("Plain one", "maybe", key="1", model="other", category=("x", "y"), expect="unsafe"),
            row("Plain two", None, key="2", model="other"),
        ],
    )
    return catalog


@contextmanager
def counted(reader: Reader) -> Iterator[list[str]]:
    """Count the bursts and queries of a reader while the block runs."""
    seen: list[str] = []
    real = reader.burst

    class Counting:
        def __init__(self, connection: Any) -> None:
            self.connection = connection

        def execute(self, query: str, values: Any = None) -> Any:
            seen.append(query)
            return self.connection.execute(query, values)

    @contextmanager
    def burst(*given: Any, **named: Any) -> Iterator[Any]:
        seen.append("burst")
        with real(*given, **named) as connection:
            yield Counting(connection)

    reader.burst = burst  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        reader.burst = real  # type: ignore[method-assign]
