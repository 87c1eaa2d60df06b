"""Passing folders beside a catalog, where there is room for as much as it holds; what a killed process left of them goes."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from lrm.errors import MissingError
from lrm.store.catalog import Catalog

_LOCK = ".lock"


@contextmanager
def passing_folder(catalog: Catalog) -> Iterator[Path]:
    """Have an empty folder that goes at the end: beside the catalog, or where temporary files are if that cannot be written.

    Raises MissingError where none can be made.
    """
    home = catalog.path.parent
    prefix = f".{catalog.path.name}.passing-"
    beside = os.access(home, os.W_OK)
    if beside:
        _sweep(home, prefix)
    with ExitStack() as stack:
        try:
            made = TemporaryDirectory(prefix=prefix, dir=home if beside else None, ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made))
            lock = stack.enter_context((folder / _LOCK).open("w"))
        except OSError as error:
            raise MissingError(
                f"no passing folder can be made for {catalog.path}: {error.strerror or error}",
                hint="free some disk space, or let the environment's TMPDIR name a folder that may be written",
            ) from error
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (folder / "in").mkdir()
        yield folder / "in"


def _sweep(home: Path, prefix: str) -> None:
    """Remove the folders whose process is dead."""
    for folder in home.glob(f"{prefix}*"):
        with suppress(OSError), (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
