"""Draws docs/images/tui-matrix.svg and tui-trace.svg: the terminal UI on the quickstart's catalog. `make docs` runs it."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path

os.environ["TEXTUAL_COLOR_SYSTEM"] = "truecolor"  # Textual reads it when it is imported

from lrm.browse.axes import Slice
from lrm.browse.places import MatrixPlace, Place, SamplesPlace
from lrm.registry.layers import Registry
from lrm.run.fill import fill
from lrm.spec.resolve import resolve
from lrm.store.catalog import Catalog
from lrm_tui.app import LrmApp
from lrm_tui.base import View

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "images"
PICTURES: dict[str, tuple[Place, tuple[str, ...]]] = {
    "tui-matrix": (MatrixPlace(Slice("quickstart"), "category", "model", scope="thinking"), ("j", "j", "l")),
    "tui-trace": (SamplesPlace(Slice("quickstart"), "thinking:unsafe and answer:safe"), ("enter",)),
}


async def drawn(catalog: Catalog, place: Place, keys: tuple[str, ...]) -> str:
    """Return a view as SVG that loads no font from anywhere, after some keys."""
    app = LrmApp(catalog, place)
    async with app.run_test(size=(110, 30)) as pilot:
        for key in (None, *keys):
            if key is not None:
                await pilot.press(key)
            await pilot.pause()
            while isinstance(app.screen, View) and app.screen.loading_now:
                await pilot.pause(0.05)
        await pilot.pause(0.3)
        return re.sub(r"@font-face \{.*?\}\s*", "", app.export_screenshot(title="lrm"), flags=re.DOTALL)


def main() -> None:
    """Fill the quickstart and draw."""
    with tempfile.TemporaryDirectory() as folder:
        catalog = Catalog(Path(folder) / "catalog.duckdb")
        os.environ["LRM_CATALOG"] = str(catalog.path)  # as at home, where the command needs no --catalog
        fill(resolve(ROOT / "specs" / "quickstart.toml", Registry.open()), catalog)
        for name, (place, keys) in PICTURES.items():
            text = asyncio.run(drawn(catalog, place, keys))
            # Textual numbers its classes by chance; the same picture is the same file.
            text = re.sub(r"terminal-\d+", name, text)
            (FOLDER / f"{name}.svg").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
