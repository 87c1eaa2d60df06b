"""Merging: a checked snapshot becomes rows of the catalog, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lrm import __version__, clock
from lrm.snapshot.check.check import Checked, check
from lrm.snapshot.folder import Snapshot
from lrm.snapshot.load import Loaded, Stamp, load, offer
from lrm.snapshot.people import own_labels
from lrm.snapshot.spans import SNAPSHOT, take_spans
from lrm.snapshot.staging import query_memory
from lrm.store.trust import snapshot_label, starts_trusted

if TYPE_CHECKING:
    import duckdb

    from lrm.store.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a snapshot came from."""

    name: str
    """`ORG/NAME` on the Hub, or a folder's name."""
    publisher: str | None = None
    """ORG; None for a folder."""
    commit: str | None = None
    """Of the repository on the Hub."""

    @property
    def label(self) -> str:
        """What it is shown as."""
        return snapshot_label(self.name, self.commit)


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge added to the catalog."""

    origin: Origin
    loaded: Loaded
    checked: Checked
    specs: tuple[str, ...]
    """Specs that span more, or otherwise, than before."""
    trusted: bool
    """Whether its responses may fill cells."""


def merge(
    catalog: Catalog, snapshot: Snapshot, origin: Origin, *, say: Callable[[str], None] = lambda _: None
) -> Merged:
    """Check a snapshot whole, then add its rows to the catalog in one transaction.

    What is there stays as it is; merging twice changes nothing. Raises SnapshotError for a snapshot that is not what it
    says, which leaves the catalog as it was, and BusyError where the catalog cannot be had.
    """
    checked = check(snapshot, say=say)
    return take(catalog, snapshot, origin, checked, say=say)


def take(
    catalog: Catalog,
    snapshot: Snapshot,
    origin: Origin,
    checked: Checked,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Merged:
    """Add the rows of a snapshot that was checked to the catalog, in one transaction."""
    from lrm.store.lock import arranging, sharing

    with (
        TemporaryDirectory(prefix="lrm-merge-", ignore_cleanup_errors=True) as spill,
        sharing(catalog, "lrm snapshot pull"),
        arranging(catalog),
        catalog.writing() as connection,
        query_memory(connection, Path(spill), snapshot.manifest.weight),
    ):
        now = clock.now().replace(tzinfo=None)
        number = _enter(connection, snapshot, origin)
        offer(connection, snapshot.folder, snapshot.paths())
        loaded = load(connection, Stamp(SNAPSHOT + origin.label, number), own_labels=own_labels(connection))
        specs = take_spans(connection, SNAPSHOT + origin.label, now)
        for one in snapshot.manifest.specs:
            if one.text is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO lrm.spec_texts VALUES (?, ?, ?)", [one.name, one.text, one.lock]
                )
        trusted = connection.execute("SELECT trusted FROM lrm.snapshots WHERE n = ?", [number]).fetchall()[0][0]
    say(f"{loaded.generations:,} responses and {loaded.verdicts:,} verdicts were new")
    return Merged(origin, loaded, checked, specs, bool(trusted))


def _enter(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, origin: Origin) -> int:
    """Return the number of the snapshot in the catalog, where it has a row from now on."""
    known = connection.execute(
        "SELECT n FROM lrm.snapshots WHERE name = ? AND commit IS NOT DISTINCT FROM ? AND sha256 = ?",
        [origin.name, origin.commit, snapshot.sha256],
    ).fetchall()
    if known:
        return int(known[0][0])
    trusted = starts_trusted(connection, origin.publisher, origin.name)
    number = connection.execute("SELECT coalesce(max(n), 0) + 1 FROM lrm.snapshots").fetchall()[0][0]
    counts = snapshot.manifest.counts
    connection.execute(
        "INSERT INTO lrm.snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            number, origin.name, origin.publisher, origin.commit, snapshot.sha256,
            [one.name for one in snapshot.manifest.specs], counts.get("generations", 0), counts.get("verdicts", 0),
            clock.now().replace(tzinfo=None), __version__, trusted,
        ],
    )  # fmt: skip
    return int(number)
