"""Finishing: tables for readers, manifest and card, from the shards that a snapshot's other tables are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING

from lrm import __version__, hashing
from lrm.snapshot.card.card import Declared, card, facts_of
from lrm.snapshot.derive import QUERIES, derived
from lrm.snapshot.gather import ordered, stream
from lrm.snapshot.manifest import CARD, NAME, File, Manifest, SetTerms, Spec, Texts
from lrm.snapshot.shards import write_table
from lrm.snapshot.tables import BY_NAME, FORMAT, TABLES, Family
from lrm.store.rates import Rate
from lrm.traces import split as splitter

if TYPE_CHECKING:
    import duckdb

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Finished:
    """A snapshot's manifest, and what it counts."""

    manifest: Manifest
    sha256: str
    """Of the manifest's text: what names the snapshot."""

    @property
    def bytes(self) -> int:
        """Size of all shards."""
        return sum(one.bytes for one in self.manifest.files)


def finish(
    folder: Path,
    files: tuple[File, ...],
    specs: Iterable[Spec],
    sets: Iterable[SetTerms],
    texts: dict[Family, Texts],
    *,
    named: bool = False,
    gated: str | None = None,
    say: Say = lambda _: None,
) -> Finished:
    """Add to the shards of a snapshot's tables what is made from them, the manifest and the card.

    Args:
        folder: where the shards are, below `data/`.
        files: the shards of every table that is not derived, each table's in the order of its rows.
        specs: the specs inside, with their text and lock.
        sets: the prompt sets inside, with their terms.
        texts: what was done with each family of texts.
        named: whether annotators stand by name.
        gated: what is shown to who asks for access; None where it need not be asked for.
        say: told of each table.
    """
    by_table: dict[str, list[str]] = {}
    for one in files:
        by_table.setdefault(one.table, []).append(one.path)
    made: list[File] = []
    weight = sum(one.rows for one in files if one.table in ("generations", "verdicts"))
    with derived(folder, by_table, folder, weight) as (connection, _):
        for name, query in QUERIES.items():
            table = BY_NAME[name]
            made += write_table(stream(connection, ordered(query, table.order), table), table, folder)
            say(f"{name}: {sum(one.rows for one in made if one.table == name):,} rows")
        counts = counts_of(connection)
        rates = tuple(
            Rate(*row)
            for row in connection.execute(
                f"SELECT {', '.join(field.name for field in fields(Rate))} FROM rates ORDER BY ALL"
            ).fetchall()
        )
        declared = connection.execute(
            "SELECT kind, name, declaration, visibility, simulated, harm_for FROM in_declarations ORDER BY ALL"
        ).fetchall()
    everything = sorted((*files, *made), key=lambda one: [table.name for table in TABLES].index(one.table))
    for table in TABLES:
        rows = sum(one.rows for one in everything if one.table == table.name)
        if rows:
            counts[table.name] = rows
    manifest = Manifest(
        format=FORMAT,
        version=__version__,
        made_with={name: version_of(name) for name in ("duckdb", "pyarrow")},
        identity=hashing.TAGS,
        splitter=splitter.VERSION,
        specs=tuple(sorted(specs, key=lambda one: one.name)),
        sets=tuple(sorted(sets, key=lambda one: (one.name, one.prompts))),
        texts=texts,
        counts=counts,
        files=tuple(everything),
    )
    text = manifest.text()
    (folder / NAME).write_text(text, encoding="utf-8", newline="\n")
    facts = facts_of(manifest, [Declared(*row) for row in declared], rates, gated=gated, named=named)
    (folder / CARD).write_text(card(facts), encoding="utf-8", newline="\n")
    return Finished(manifest, hashing.text_digest(text) or "")


def counts_of(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return cells by state and responses by source."""
    found: dict[str, int] = {}
    for state, count in connection.execute("SELECT state, count(*) FROM cells GROUP BY ALL ORDER BY ALL").fetchall():
        found[f"cells {state}"] = count
    for source, count in connection.execute(
        """
        SELECT CASE WHEN m.simulated THEN 'simulated' ELSE g.source END AS source, count(*) FROM lrm.generations g
        JOIN lrm.calls c ON c.n = g.call_n JOIN lrm.models m ON m.n = c.model_n GROUP BY ALL ORDER BY ALL
        """
    ).fetchall():
        found[f"generations {source}"] = count
    return found
