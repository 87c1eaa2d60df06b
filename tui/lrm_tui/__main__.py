"""Start the TUI: `python -m lrm_tui [--catalog FILE] [--theme NAME] VIEW …`, which is what `lrm tui` runs."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace

from lrm.browse.places import parse
from lrm.errors import LrmError
from lrm.store.catalog import Catalog, catalog_path
from lrm.text import visible


def main(words: list[str] | None = None) -> int:
    """Run the TUI and return its exit code."""
    parser = argparse.ArgumentParser(prog="lrm tui", add_help=False, allow_abbrev=False)
    parser.add_argument("--catalog")
    parser.add_argument("--theme")
    parser.add_argument("--annotator")
    known, rest = parser.parse_known_args(words)
    try:
        from lrm_tui.settings import read_settings

        place = parse(rest)
        settings = read_settings()
        if known.theme:
            settings = replace(settings, theme=known.theme)
        if known.annotator:
            settings = replace(settings, annotator=known.annotator)
        from lrm_tui.app import LrmApp

        return LrmApp(Catalog(catalog_path(known.catalog)), place, settings=settings).run() or 0
    except LrmError as error:
        print(f"error: {visible(str(error))}", file=sys.stderr)  # noqa: T201 -- the TUI has not begun, or has ended
        return error.exit_code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is closed and on the disk; a worker that is still inside a query must not make the interpreter's end noisy.
    os._exit(code)
