"""Sizes of what goes into a snapshot, and how much of it is withheld."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lrm.snapshot.manifest import Manifest
from lrm.snapshot.tables import TABLES
from lrm.store.catalog import workspace


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table of a snapshot."""

    table: str
    rows: int
    files: int
    bytes: int
    """On the disk."""
    withheld: int
    """Rows without their text."""


@dataclass(frozen=True, slots=True)
class Harm:
    """What strangers would read that may do harm."""

    prompts: int
    """Texts of prompts that ask for something unsafe, or of which nobody says whether they do."""
    responses: int
    """Texts of responses that a judge found unsafe."""

    def __bool__(self) -> bool:
        return bool(self.prompts or self.responses)


def sizes(folder: Path, manifest: Manifest) -> tuple[TableSize, ...]:
    """Return the tables of a snapshot that lrm has just written."""
    found = []
    for table in TABLES:
        files = manifest.of(table.name)
        if files:
            withheld = 0
            if "withheld" in table.names:
                withheld = _count(folder, manifest, f"SELECT count(*) FROM in_{table.name} WHERE withheld")
            found.append(
                TableSize(
                    table.name, sum(one.rows for one in files), len(files), sum(one.bytes for one in files), withheld
                )
            )
    return tuple(found)


def harm(folder: Path, manifest: Manifest) -> Harm:
    """Return what of a snapshot that lrm has just written may do harm to who reads it."""
    return Harm(
        _count(
            folder, manifest, "SELECT count(*) FROM in_prompts WHERE NOT withheld AND expect IS DISTINCT FROM 'safe'"
        ),
        _count(
            folder,
            manifest,
            """
            SELECT count(*) FROM in_traces WHERE NOT withheld AND generation_id IN (
                SELECT v.generation_id FROM in_verdicts v JOIN in_declarations d ON d.kind = 'judge' AND d.id = v.judge_id
                LEFT JOIN in_cells c ON c.generation_id = v.generation_id
                WHERE v.unsafe AND (d.harm_for = 'all' OR c.expect = 'unsafe')
            )
            """,
        ),
    )


def _count(folder: Path, manifest: Manifest, query: str) -> int:
    from lrm.snapshot.load import offer

    paths: dict[str, list[str]] = {}
    for one in manifest.files:
        paths.setdefault(one.table, []).append(one.path)
    connection = workspace()
    try:
        offer(connection, folder, paths)
        return int(connection.execute(query).fetchall()[0][0])
    finally:
        connection.close()
