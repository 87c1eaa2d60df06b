"""Pulling: a snapshot from the Hub or a folder, verified and merged into the catalog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from lrm.snapshot.folder import open_folder
from lrm.snapshot.here import Found, brought, find
from lrm.snapshot.manifest import SetTerms
from lrm.snapshot.merge import Merged, Origin, merge
from lrm.snapshot.place import Place
from lrm.store.catalog import Catalog

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull came to."""

    origin: Origin
    specs: tuple[str, ...]
    """Specs in the snapshot."""
    merged: Merged | None
    """None where it was merged before, and nothing of it waits."""
    before: datetime | None = None
    """When it was merged before, UTC; None where it was not."""
    withheld: tuple[SetTerms, ...] = ()
    """Sets whose prompts are not in the snapshot."""
    files: tuple[str, ...] = ()
    """Specs that are a file; the others are imports."""


def pull(catalog: Catalog, place: Place, *, again: bool = False, say: Say = lambda _: None) -> Pulled:
    """Verify a snapshot and merge it into the catalog, in one transaction.

    One of which everything was merged before is not fetched again, unless `again` says so. Raises SnapshotError for one that
    is not what it says, MissingError and BusyError for one that cannot be had: each leaves the catalog as it was. A fetch
    that breaks off goes on with the next pull.
    """
    found = find(place)
    before = merged_before(catalog, found)
    if before is not None and whole(found) and not again:
        return pulled_of(found, None, before)
    with brought(catalog, found, say=say) as folder:
        merged = merge(catalog, open_folder(folder, say=say), found.origin, say=say)
    return pulled_of(found, merged, before)


def pulled_of(found: Found, merged: Merged | None, before: datetime | None) -> Pulled:
    """Return what a pull came to, of which the manifest tells the rest."""
    told = found.manifest
    return Pulled(
        found.origin,
        tuple(one.name for one in told.specs),
        merged,
        before,
        tuple(one for one in told.sets if one.withheld is not None),
        tuple(one.name for one in told.specs if one.text is not None),
    )


def merged_before(catalog: Catalog, found: Found) -> datetime | None:
    """Return when the same snapshot was merged into a catalog, UTC; None where it was not."""
    if not catalog.exists():
        return None
    with catalog.reading() as connection:
        rows = connection.execute(
            "SELECT pulled_at FROM lrm.snapshots WHERE name = ? AND commit IS NOT DISTINCT FROM ? AND sha256 = ?",
            [found.origin.name, found.origin.commit, found.sha256],
        ).fetchall()
    return rows[0][0] if rows else None


def whole(found: Found) -> bool:
    """Return whether a snapshot says that nothing in it waits for prompts that it has not."""
    told = found.manifest
    return all(one.withheld is None for one in told.sets) and told.texts.get("prompts") == "all"
