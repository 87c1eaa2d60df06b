"""Files that only label what the catalog has."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrm.errors import MissingError, SpecError
from lrm.store.catalog import Catalog
from tests import builders
from tests.importing import file_of, imported, label, labelled, row, said


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    imported(
        catalog,
        [
            row("one", "a", key="1"), row("one", "b", key="1"), row("two", "c", key="2"),
            row("three", "d", key="3", attack="GCG", messages=said("three !!")),
            row("four", None, key="4", attack="GCG", messages=None),
        ],
    )  # fmt: skip
    return catalog


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return file_of(tmp_path, "labels", "labels.csv")


def told(catalog: Catalog) -> list[tuple[object, ...]]:
    query = """
        SELECT a.prompt, a.attack, a.replicate, a.label, t.answer FROM annotations a LEFT JOIN traces t USING (generation_n)
        ORDER BY ALL
        """
    return builders.rows(catalog, query)


def test_labels_go_to_the_response_that_they_are_about(catalog: Catalog, labels: Path) -> None:
    rows = [
        row("one", "b", key="1", labels=(label("of b"),)), row("one", "a", key="1", labels=(label("of a"),)),
        row("three", "d", attack="GCG", labels=(label("of d"),)), row("four", None, attack="GCG", labels=(label("of none"),)),
    ]  # fmt: skip
    found = labelled(catalog, rows, "file", labels)
    assert (found.new_labels, found.unmatched, found.responses) == (4, 0, 0)
    assert told(catalog) == [
        ("1", "none", 0, "of a", "a"), ("1", "none", 1, "of b", "b"), ("3", "GCG", 0, "of d", "d"),
        ("4", "GCG", 0, "of none", None),
    ]  # fmt: skip
    assert labelled(catalog, rows, "file", labels).known
    assert builders.rows(catalog, "SELECT count(*), count(DISTINCT spec) FROM cells") == [(4, 1)]


def test_rows_without_a_response_are_taken_in_order(catalog: Catalog, labels: Path) -> None:
    rows = [row("one", None, key="1", labels=(label(name),)) for name in ("first", "second")]
    assert labelled(catalog, rows, "file", labels).unmatched == 0
    assert told(catalog) == [("1", "none", 0, "first", "a"), ("1", "none", 1, "second", "b")]


def test_what_belongs_to_nothing_is_told(catalog: Catalog, labels: Path) -> None:
    rows = [
        row("two", "c", key="2", labels=(label("good"),)),
        row("two", "other", key="2", place="row 2", labels=(label(),)),
        row("nine", "c", place="row 3", labels=(label(),)),
        row("two", "c", key="2", place="row 4", labels=(label(),)),
        row("two", "c", key="3", place="row 5", labels=(label(),)),
    ]
    found = labelled(catalog, rows, "file", labels)
    assert (found.new_labels, found.unmatched) == (1, 4)
    notes = "\n".join(found.notes)
    for said_of in (
        "response is another one; the first is row 2", "prompt is not in the import; the first is row 3",
        "more of them than samples of the cell; the first is row 4", "under another id, model or attack; the first is row 5",
    ):  # fmt: skip
        assert said_of in notes


def test_another_name_of_the_only_model_is_taken_and_said(catalog: Catalog, labels: Path) -> None:
    found = labelled(catalog, [row("two", "c", model="M-2", labels=(label(),))], "file", labels)
    assert (found.new_labels, found.unmatched) == (1, 0)
    assert any("`M-2` is taken for `m`" in note for note in found.notes)


def test_with_several_models_a_name_has_to_be_right(catalog: Catalog, labels: Path, tmp_path: Path) -> None:
    path = file_of(tmp_path, "x", "x.csv")
    imported(catalog, [row("one", "a", model=name) for name in ("p", "q")], path=path)
    found = labelled(
        catalog,
        [row("one", "a", model="q", labels=(label(),)), row("one", "a", model="r", labels=(label(),))],
        "x",
        labels,
    )
    assert (found.new_labels, found.unmatched) == (1, 1)
    assert builders.rows(catalog, "SELECT model FROM annotations") == [("q",)]


def test_a_fill_can_be_labelled(tmp_path: Path, labels: Path) -> None:
    catalog = Catalog(tmp_path / "filled.duckdb")
    builders.answer(catalog, builders.matrix(), raw=lambda _: builders.payload("hello", "hm"))
    assert labelled(catalog, [row("one", "hello", labels=(label(),))], "spec", labels).new_labels == 1


def test_a_file_that_belongs_to_nothing_is_refused(catalog: Catalog, labels: Path) -> None:
    before = catalog.path.read_bytes()
    with pytest.raises(SpecError, match="no row belongs to the import"):
        labelled(catalog, [row("nine", "c", labels=(label(),))], "file", labels)
    with pytest.raises(MissingError, match="no spec or import `fil`"):
        labelled(catalog, [row("one", "a")], "fil", labels)
    found = labelled(catalog, [row("two", "c", labels=(label(),))], "file", labels, dry_run=True)
    assert found.new_labels == 1
    assert catalog.path.read_bytes() == before
