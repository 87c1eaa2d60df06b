"""Which runs are alive: each holds the lock of a file of its own, and the kernel lets go of it when the process dies.

Neither a pid that was used again nor a clock that jumped makes a dead run look alive.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lrm.errors import CatalogError
from lrm.store.catalog import Catalog

SUFFIX = ".lock"


def run_lock(catalog: Catalog, run: str) -> Path:
    """Return the file whose lock a run holds as long as it lives."""
    return catalog.runs_folder / f"{run}{SUFFIX}"


@contextmanager
def living(catalog: Catalog, run: str) -> Iterator[None]:
    """Be alive as `run` while the block goes on. Raises CatalogError where the folder cannot be written."""
    path = run_lock(catalog, run)
    try:
        descriptor = _locked(path)
    except OSError as error:
        raise CatalogError(
            f"{path.parent} cannot be written: {error.strerror or error}",
            hint="check the folder and its permissions, or name another --catalog",
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _locked(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # somebody swept it away before it was locked


def is_live(catalog: Catalog, run: str) -> bool:
    """Return whether a run's process lives."""
    return _is_held(run_lock(catalog, run))


def live_runs(catalog: Catalog) -> frozenset[str]:
    """Return the runs whose processes live."""
    locks = catalog.runs_folder.glob(f"*{SUFFIX}")
    return frozenset(path.name.removesuffix(SUFFIX) for path in locks if _is_held(path))


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return True  # a file system without such locks: rather a dead run that seems alive than the other way round
    finally:
        os.close(descriptor)
    return False
