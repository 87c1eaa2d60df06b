"""What leaves the TUI: to the clipboard of the terminal in front of the user, to a file, to a pager or an editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from lrm.errors import CatalogError
from lrm.text import visible, without_surrogates

LONGEST_COPY = 100_000
"""Characters that a terminal is asked to put on its clipboard; more than that many of them drop without a word."""


def write_new(folder: Path, stem: str, ending: str, text: str) -> Path:
    """Write text to a new file of a name that is free, and return its path. Raises CatalogError."""
    safe = "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in stem)[:80].strip("-.") or "lrm"
    for number in range(1, 10_000):
        path = folder / (f"{safe}.{ending}" if number == 1 else f"{safe}-{number}.{ending}")
        try:
            with path.open("x", encoding="utf-8", newline="") as file:
                file.write(without_surrogates(text))
        except FileExistsError:
            continue
        except OSError as error:
            raise CatalogError(
                f"{path} cannot be written: {error.strerror or error}", hint="start lrm in a folder where you may write"
            ) from error
        return path
    raise CatalogError(f"there are ten thousand files like {safe}.{ending}", hint="move some of them away")


def outside(variable: str, otherwise: str, text: str, run: Callable[[list[str]], int]) -> str | None:
    """Show text in the program that an environment variable names; return what went wrong, or None.

    A pager is given control signs as pictures, because it would hand them to the terminal; an editor is given what is there.
    """
    words = shlex.split(os.environ.get(variable) or otherwise)
    shown = visible(text) if variable == "PAGER" else without_surrogates(text)
    with tempfile.TemporaryDirectory(prefix="lrm-show-") as folder:
        path = Path(folder) / "shown.txt"
        path.write_text(shown, encoding="utf-8")
        try:
            code = run([*words, str(path)])
        except OSError as error:
            return f"{words[0] if words else variable} cannot be run: {error.strerror or error}; set {variable}"
    return None if code == 0 else f"{words[0]} ended with exit code {code}"


def run_program(command: list[str]) -> int:
    """Run a program with this terminal and return its exit code."""
    environment = {**os.environ, "LESS": os.environ.get("LESS", "-S"), "LESSSECURE": "1"}
    return subprocess.run(command, check=False, env=environment).returncode
