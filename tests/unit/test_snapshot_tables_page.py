"""The page of a snapshot's tables."""

from __future__ import annotations

import re

import pytest

from lrm.snapshot import tables_page
from lrm.snapshot.tables import TABLES, Column, Table


def test_every_column_of_every_table_is_told_of_once() -> None:
    page = tables_page.markdown()
    sections = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^### |\Z)", page, re.MULTILINE | re.DOTALL))
    assert {name: tuple(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) for name, text in sections.items()} == {
        table.name: table.names for table in TABLES
    }
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    # A pipe in a meaning would make a fifth column.
    assert {line.count("|") for line in rows} == {5}
    assert [line for line in rows if line.endswith("|  |")] == []


def test_nothing_is_described_that_is_not_there() -> None:
    here = {table.name: set(tables_page._HERE.get(table.name, {})) - set(table.names) for table in TABLES}
    # Cells and rates are described with the catalog's views, which have more columns.
    assert {name: extra for name, extra in here.items() if extra and name not in {"cells", "rates"}} == {}
    assert set(tables_page._HERE) <= {table.name for table in TABLES}
    assert set(tables_page._ANYWHERE) <= {name for table in TABLES for name in table.names}


def test_a_column_that_nobody_described_stops_the_page() -> None:
    column = Column("novelty")
    with pytest.raises(KeyError, match="novelty"):
        tables_page.meaning(Table("cells", "", (column,), (), ()), column)
