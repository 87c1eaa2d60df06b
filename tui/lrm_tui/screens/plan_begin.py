"""Begins a fill as a process of its own, and waits until it is there or has failed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrm import clock
from lrm.browse.runs import desks
from lrm.errors import CatalogError, LrmError

if TYPE_CHECKING:
    from lrm.browse.reader import Stop
    from lrm.store.catalog import Catalog

LONGEST_S = 600.0
"""How long it is waited for a fill to say that it runs: it may read large data sets first."""
_LOOK_S = 0.1
_SAID = 2_000
"""Characters of what a fill said last that are shown where it failed."""


def program() -> list[str]:
    """Return the words that run `lrm` as it is installed beside this Python. Raises CatalogError where it is not."""
    beside = Path(sys.executable).with_name("lrm")
    found = str(beside) if beside.is_file() else shutil.which("lrm")
    if found is None:
        raise CatalogError("the program `lrm` is not found", hint="copy the command with Y and run it yourself")
    return [found]


def begin(catalog: Catalog, words: Sequence[str], stop: Stop) -> str | None:
    """Run the command `words` (`lrm …`) as a process of its own; return its run once it says that it is one.

    None where it ended well before anybody saw it run. What it says goes to a file in the catalog's folder of runs. When it
    is no longer waited for, the process goes on. Raises LrmError with what it said where it failed, CatalogError where
    it cannot be begun.
    """
    before = {one.run for one in desks(catalog).running}
    out = catalog.runs_folder / f"fill-{clock.now():%Y%m%d-%H%M%S}-{os.getpid()}.out"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("ab") as file:
            process = subprocess.Popen(
                [*program(), *words[1:]], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True, env={**os.environ, "NO_COLOR": "1"},
            )  # fmt: skip
    except OSError as error:
        raise CatalogError(
            f"the fill cannot be begun: {error.strerror or error}", hint="copy the command with Y and run it yourself"
        ) from error
    ended = threading.Event()

    def wait() -> None:
        process.wait()
        ended.set()

    threading.Thread(target=wait, daemon=True, name="reaper of a fill").start()
    given_up = clock.monotonic() + LONGEST_S
    while clock.monotonic() < given_up:
        stop.check()
        found = [one for one in desks(catalog).running if one.run not in before]
        same = next((one.run for one in found if one.pid == process.pid), None)
        if same is not None:
            return same
        if ended.wait(_LOOK_S):
            break
    if not ended.is_set():
        return None
    if process.returncode:
        raise LrmError(f"the fill ended with exit code {process.returncode}: {_last(out)}", hint=f"all it said: {out}")
    return None


def _last(path: Path) -> str:
    try:
        return " ".join(path.read_text(encoding="utf-8", errors="replace")[-_SAID:].split())
    except OSError:
        return ""
