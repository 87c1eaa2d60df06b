"""Reusing: before a fill asks for anything, it takes what others have published of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from lrm.plan import workspace
from lrm.snapshot.beside import passing_folder
from lrm.snapshot.check.check import check
from lrm.snapshot.folder import open_folder
from lrm.snapshot.here import brought, find
from lrm.snapshot.merge import take
from lrm.snapshot.place import Place
from lrm.snapshot.pull import Pulled, merged_before, pulled_of, whole
from lrm.spec.lock import Lock
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from lrm.store.lock import arranging, sharing
from lrm.store.register import register

Say = Callable[[str], None]


def reuse(
    catalog: Catalog,
    places: Sequence[Place],
    matrix: Matrix,
    pins: Lock,
    *,
    all_of_it: Matrix,
    say: Say = lambda _: None,
) -> tuple[Pulled, ...]:
    """Pull snapshots for a spec that is about to be filled; return what came of each.

    Where one withholds prompts, those of the spec are registered first, as a fill does: then its responses do not wait for
    them. `all_of_it` is the spec's matrix where `matrix` is a part of it. Snapshots are fetched whole, for nothing less can
    be verified. Raises SnapshotError for one that is not what it says, before anything of it changes the catalog; SpecError,
    MissingError and BusyError.
    """
    pulled = []
    for place in places:
        found = find(place)
        before = merged_before(catalog, found)
        if before is not None and whole(found):
            pulled.append(pulled_of(found, None, before))
            continue
        with brought(catalog, found, say=say) as folder:
            snapshot = open_folder(folder, say=say)
            checked = check(snapshot, say=say)
            if not whole(found):
                _register(catalog, matrix, pins, all_of_it, say)
            merged = take(catalog, snapshot, found.origin, checked, say=say)
        pulled.append(pulled_of(found, merged, before))
    return tuple(pulled)


def _register(catalog: Catalog, matrix: Matrix, pins: Lock, all_of_it: Matrix, say: Say) -> None:
    with (
        sharing(catalog, "lrm matrix fill"),
        arranging(catalog),
        workspace.opened(catalog, matrix, pins, say=say) as space,
    ):
        register(space, space.matrix if all_of_it is matrix else all_of_it)


@contextmanager
def copied(catalog: Catalog) -> Iterator[Catalog]:
    """Have a copy of a catalog to try things on; the catalog itself does not change."""
    with passing_folder(catalog) as folder:
        copy = Catalog(folder / catalog.path.name)
        if catalog.exists():
            with catalog.reading():
                shutil.copyfile(catalog.path, copy.path)
                with suppress(FileNotFoundError):
                    log = f"{catalog.path.name}.wal"
                    shutil.copyfile(catalog.path.with_name(log), copy.path.with_name(log))
        yield copy
