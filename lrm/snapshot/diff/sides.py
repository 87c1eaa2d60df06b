"""The two sides of a comparison: only shards that the other side has not are fetched and read, for the rest is equal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lrm.snapshot.check.rows import Rows
from lrm.snapshot.check.shapes import check_footers, check_sizes, check_values
from lrm.snapshot.choice import Choice
from lrm.snapshot.folder import Snapshot, bounded, open_folder
from lrm.snapshot.here import Found, brought, find
from lrm.snapshot.manifest import File, Manifest
from lrm.snapshot.place import InCatalog, Place
from lrm.snapshot.publishing import passing
from lrm.snapshot.staging import query_memory
from lrm.store.catalog import Catalog, workspace

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Side:
    """A side, with the shards of it that are read."""

    label: str
    folder: Path
    manifest: Manifest
    """The whole one."""
    files: tuple[File, ...]
    """Shards of the compared tables that the other side has not."""

    def paths(self) -> dict[str, list[str]]:
        """Return the paths of `files` by table."""
        found: dict[str, list[str]] = {}
        for one in self.files:
            found.setdefault(one.table, []).append(one.path)
        return found

    def rows(self, table: str) -> int:
        """Return how many rows a table has, those included that the other side has too."""
        return sum(one.rows for one in self.manifest.of(table))


@contextmanager
def two_sides(
    catalog: Catalog, first: Place | InCatalog, second: Place | InCatalog, tables: Collection[str], say: Say
) -> Iterator[tuple[Side, Side]]:
    """Have both sides here, as far as they differ in these tables. Nothing in the catalog changes.

    What is read was checked row by row, though not every id derived again: that is what `check` is for. Raises SnapshotError,
    MissingError and BusyError.
    """
    with ExitStack() as stack:
        found = [_known(stack, catalog, one, say) for one in (first, second)]
        manifests = [one.manifest if isinstance(one, Found) else one[2] for one in found]
        sides = []
        for one, mine, other in zip(found, manifests, reversed(manifests), strict=True):
            theirs = {file.path for file in other.files}
            files = tuple(file for file in mine.files if file.table in tables and file.path not in theirs)
            if isinstance(one, Found):
                sides.append(_opened(stack, catalog, one, files, say))
            else:
                sides.append(Side(one[0], one[1], mine, files))
        yield sides[0], sides[1]


def _known(
    stack: ExitStack, catalog: Catalog, place: Place | InCatalog, say: Say
) -> Found | tuple[str, Path, Manifest]:
    if not isinstance(place, InCatalog):
        return find(place)
    # With its texts, so that shards are byte for byte those that were published of the same rows.
    say(f"reading {place} from the catalog")
    exported = stack.enter_context(passing(catalog, place.spec, Choice(allow=frozenset("*"))))
    return str(place), exported.folder, exported.finished.manifest


def _opened(stack: ExitStack, catalog: Catalog, found: Found, files: tuple[File, ...], say: Say) -> Side:
    for one in files:
        bounded(one, found.origin.label)
    wanted = {one.path for one in files}
    if found.remote is None:
        folder = open_folder(stack.enter_context(brought(catalog, found)), say=say).folder
    elif files:
        folder = stack.enter_context(brought(catalog, found, wanted=lambda one: one.path in wanted, say=say))
    else:
        folder = Path()
    if files:
        _check(Snapshot(folder, found.manifest.model_copy(update={"files": files}), found.sha256))
    return Side(found.origin.label, folder, found.manifest, files)


def _check(snapshot: Snapshot) -> None:
    import duckdb

    from lrm.snapshot.check.check import unreadable

    check_footers(snapshot)
    with TemporaryDirectory(prefix="lrm-diff-", ignore_cleanup_errors=True) as spill:
        connection = workspace()
        try:
            with query_memory(connection, Path(spill)):
                rows = Rows(connection, snapshot)
                check_sizes(rows)
                check_values(rows)
        except duckdb.Error as error:
            raise unreadable(snapshot, error) from error
        finally:
            connection.close()
