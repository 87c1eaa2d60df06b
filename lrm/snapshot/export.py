"""Exporting: a spec's part of the catalog becomes a folder of Parquet, with manifest and card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrm.snapshot.choice import FAMILIES, Choice
from lrm.snapshot.finish import Finished, finish
from lrm.snapshot.gather import Gathered, gather, ordered, stream
from lrm.snapshot.manifest import File, SetTerms, Spec
from lrm.snapshot.people import labels
from lrm.snapshot.public import public_paths, public_spec, public_text
from lrm.snapshot.queries import ORDERS, queries, texts_query
from lrm.snapshot.shards import arrow_schema, write_table
from lrm.snapshot.staging import drafting, query_memory
from lrm.snapshot.tables import BY_NAME, Table
from lrm.snapshot.terms import terms_of
from lrm.snapshot.texts import LAID_OUT, RUNS, lay_out
from lrm.store.specs import find_spec, known_specs

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from lrm.store.catalog import Catalog

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """A snapshot that was written."""

    folder: Path
    finished: Finished


def export(
    catalog: Catalog, spec: str, folder: Path, choice: Choice, *, say: Say = lambda _: None, replace: bool = False
) -> Exported:
    """Write what the catalog has of a spec to a new folder, which gets its name when it is whole.

    `spec` is the spec's name or its file; `replace` takes the place of a snapshot that is there. Raises MissingError for a
    spec that the catalog does not know, SnapshotError for a folder that cannot be written or holds something else.
    """
    with drafting(folder, replace=replace) as draft:
        finished = write(catalog, spec, draft, choice, say=say)
    return Exported(folder, finished)


def write(catalog: Catalog, spec: str, folder: Path, choice: Choice, *, say: Say = lambda _: None) -> Finished:
    """Write what the catalog has of a spec into an empty folder."""
    import pyarrow as pa

    files: list[File] = []
    with catalog.reading() as connection, query_memory(connection, folder, _weight(connection)):
        gathered = gather(
            connection,
            find_spec(spec, known_specs(connection)),
            choice,
            lambda named, declared: _withheld(choice, named, declared) is not None,
        )
        for table_name, query in queries(choice, withheld=gathered.withholds(choice)).items():
            table = BY_NAME[table_name]
            files += write_table(_rows(connection, query, table), table, folder)
            say(f"{table_name}: {sum(one.rows for one in files if one.table == table_name):,} rows")
        files += write_table(labels(connection, choice), BY_NAME["annotations"], folder)
        told = _spec(connection, gathered, spec)
        texts = lay_out(connection, texts_query(choice), folder / RUNS)
    # The catalog is let go: what is left to do takes no memory of its own, and keeps no fill waiting.
    for name in LAID_OUT:
        files += write_table(texts.stream(BY_NAME[name]), BY_NAME[name], folder)
        say(f"{name}: {sum(one.rows for one in files if one.table == name):,} rows")
    shutil.rmtree(folder / RUNS)
    pa.default_memory_pool().release_unused()
    sets = tuple(_terms(choice, *one) for one in gathered.sets)
    return finish(
        folder, tuple(files), (told,), sets, {family: choice.of(family) for family in FAMILIES},
        named=choice.annotators == "named", gated=choice.gated, say=say,
    )  # fmt: skip


def _weight(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the responses and verdicts of the whole catalog."""
    found = connection.execute(
        "SELECT (SELECT count(*) FROM lrm.generations) + (SELECT count(*) FROM lrm.verdicts)"
    ).fetchall()
    return int(found[0][0])


def _rows(connection: duckdb.DuckDBPyConnection, query: str, table: Table) -> Iterator[pa.RecordBatch]:
    in_order = ordered(query, ORDERS.get(table.name, table.order))
    if table.name != "declarations":
        yield from stream(connection, in_order, table)
        return
    import pyarrow as pa

    rows: list[dict[str, Any]] = connection.sql(in_order).to_arrow_table().to_pylist()
    told = [row | {"declaration": public_text(row["kind"], row["declaration"])} for row in rows]
    yield from pa.Table.from_pylist(told, schema=arrow_schema(table)).to_batches()


def _spec(connection: duckdb.DuckDBPyConnection, gathered: Gathered, given: str) -> Spec:
    """Return the spec as the manifest has it: its file and lock, as they are here or came with a snapshot."""
    from lrm.spec.lock import lock_path

    path = Path(given) if given.endswith(".toml") else Path(gathered.file or "")
    if path.suffix == ".toml" and path.is_file():
        lock = lock_path(path)
        return Spec(
            name=gathered.spec,
            text=public_spec(path.read_text(encoding="utf-8"), [name for name, _, _, stays in gathered.sets if stays]),
            lock=public_paths(lock.read_text(encoding="utf-8")) if lock.is_file() else None,
        )
    came = connection.execute("SELECT text, lock FROM lrm.spec_texts WHERE spec = ?", [gathered.spec]).fetchall()
    return Spec(name=gathered.spec, text=came[0][0], lock=came[0][1]) if came else Spec(name=gathered.spec)


def _withheld(choice: Choice, name: str, declaration: str) -> str | None:
    """Return why the prompts of a set stay here; None where they go."""
    if choice.of("prompts") != "all":
        return f"exported with --texts prompts={choice.of('prompts')}"
    terms = terms_of(json.loads(declaration))
    if choice.allows(name):
        return None
    if terms.may_share and terms.unchanged_only:
        return "its licence allows no derivatives, and what attacks make of prompts are some"
    return None if terms.may_share else terms.why


def _terms(choice: Choice, name: str, declaration: str, size: int, _: bool) -> SetTerms:
    declared = json.loads(declaration)
    return SetTerms(
        name=name, prompts=size, licence=declared.get("licence"), homepage=declared.get("homepage"),
        citation=declared.get("citation"), gated=bool(declared.get("gated")), withheld=_withheld(choice, name, declaration),
    )  # fmt: skip
