"""A catalog with the cells of the quickstart, for the views that show many responses."""

from __future__ import annotations

from pathlib import Path

from lrm.registry.layers import Registry, packaged
from lrm.run.fill import fill
from lrm.spec.resolve import resolve
from lrm.store.catalog import Catalog

QUICKSTART = Path(__file__).resolve().parents[2] / "specs" / "quickstart.toml"


def filled(folder: Path) -> Catalog:
    """Return a catalog in a folder, with every cell of the quickstart asked and judged."""
    catalog = Catalog(folder / "catalog.duckdb")
    fill(resolve(QUICKSTART, Registry([packaged()])), catalog)
    return catalog
