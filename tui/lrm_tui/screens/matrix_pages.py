"""What the matrix says where it has no cells: why, and the command that makes some."""

from __future__ import annotations

import shlex
from pathlib import Path

from lrm_tui.screens.monitor_lines import Piece, TextLine, line

EXAMPLE = "specs/quickstart.toml"


def example() -> str:
    """Return a spec to begin with: the one that comes with lrm, else the first that is here."""
    if Path(EXAMPLE).is_file():
        return EXAMPLE
    return next((str(path) for path in sorted(Path("specs").glob("*.toml"))), EXAMPLE)


def no_catalog(path: Path, words: str | None) -> list[TextLine]:
    """Return what is said where there is no catalog; `words` are its file where it has to be named."""
    return [
        line(Piece("there is no catalog yet", "head")), line(f"looked for {path}"), line(),
        line("This makes one:"), line(), line("    ", Piece(_command(words), "key")), line(),
        line("It appears here as soon as it is there. Another one: ", Piece("lrm tui --catalog FILE", "key")),
        line(Piece(f"p shows what a fill of {example()} would do.", "dim")),
    ]  # fmt: skip


def no_specs(path: Path, words: str | None) -> list[TextLine]:
    """Return what is said where the catalog holds no cells."""
    return [
        line(Piece("the catalog holds no cells yet", "head")), line(str(path)), line(),
        line("This fills some:"), line(), line("    ", Piece(_command(words), "key")), line(),
        line("They appear here as soon as they are there."),
    ]  # fmt: skip


def no_cells(about: str) -> list[TextLine]:
    """Return what is said where the slice has no cells; `about` says what it is."""
    return [
        line(Piece("no cell matches", "head")), line(about), line(),
        line("Esc clears the filter; f chooses another, c another spec."),
    ]  # fmt: skip


def _command(words: str | None) -> str:
    return shlex.join(["lrm", "matrix", "fill", example(), *(["--catalog", words] if words else [])])
