"""Labels: on the disk before anything else, stored once, and lost to nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import lrm.browse.labels as module
from lrm.browse import trace
from lrm.browse.labels import LabelFile, labels_folder, pending_labels, read_labels, store_labels
from lrm.browse.places import TracePlace
from lrm.browse.reader import Reader
from lrm.browse.trace import Anchor, Trace
from lrm.errors import BusyError, CatalogError, SpecError
from lrm.store.annotations import Annotation, Target
from lrm.store.catalog import Catalog
from tests import builders
from tests.browse import answered as made

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ("How do locks work?", "How do keys work?")
NOWHERE = Target(0, 0, 0, 0, None)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return made.answered(tmp_path, {"a": {TEXTS[0]: made.UNSAFE, TEXTS[1]: None}}, TEXTS)


@pytest.fixture
def reader(catalog: Catalog) -> Iterator[Reader]:
    found = Reader(catalog)
    yield found
    found.close()


@pytest.fixture
def label_file(catalog: Catalog) -> Iterator[Callable[[str], LabelFile]]:
    """Return what makes label files, which are closed at the end."""
    files: list[LabelFile] = []

    def make(annotator: str) -> LabelFile:
        files.append(LabelFile(catalog, annotator))
        return files[-1]

    yield make
    for one in files:
        one.close()


@pytest.fixture
def shown(catalog: Catalog, reader: Reader) -> Trace:
    (name,) = builders.rows(catalog, "SELECT generation FROM cells WHERE state = 'done'")[0]
    return trace.read_trace(reader, TracePlace(name))


def anchor(shown: Trace) -> Anchor:
    assert shown.anchor is not None
    return shown.anchor


def said(label: str | None = "unsafe", **fields: Any) -> Annotation:
    return Annotation(NOWHERE, "answer", "", label, **{"rubric": "r", "unsafe": True, **fields})


def stored(catalog: Catalog) -> list[tuple[Any, ...]]:
    """Return (annotator, label, note) of what the catalog has."""
    return builders.rows(catalog, "SELECT annotator, label, note FROM annotations ORDER BY ALL")


def test_a_label_goes_to_a_file_then_into_the_catalog_and_the_file_away(
    catalog: Catalog, reader: Reader, shown: Trace, label_file: Callable[[str], LabelFile]
) -> None:
    labels = label_file("ann")
    given = labels.add(anchor(shown), said(note="Häh?\n", spans=((0, 4, "quote"),), score=0.5))
    assert given.annotation.annotator == "ann"
    assert labels.pending == (given,)
    path = labels.path
    assert path is not None
    read = read_labels(path)
    assert [(one.anchor, one.annotation) for one in read.labels] == [(given.anchor, given.annotation)] or (
        read.labels[0].annotation.made_at == given.annotation.made_at
    )
    assert read.damaged == 0
    assert stored(catalog) == []
    found = store_labels(reader, labels)
    assert (found.new, found.known, found.unknown, found.damaged, found.busy) == (1, 0, (), (), ())
    assert not labels.pending
    assert not path.exists()
    assert (labels_folder(catalog) / "stored" / path.name).is_file()
    again = trace.read_trace(reader, TracePlace(shown.generation or ""))
    (kept,) = again.annotations
    assert (kept.target, kept.annotator, kept.label, kept.unsafe, kept.note) == (
        shown.target, "ann", "unsafe", True, "Häh?\n",
    )  # fmt: skip
    assert (kept.spans, kept.score, kept.rubric, kept.source) == (((0, 4, "quote"),), 0.5, "r", "tui")
    assert kept.made_at == given.annotation.made_at


def test_a_file_that_was_stored_but_not_moved_is_not_stored_twice(
    catalog: Catalog,
    reader: Reader,
    shown: Trace,
    label_file: Callable[[str], LabelFile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = label_file("ann")
    labels.add(anchor(shown), said())
    labels.close()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_archive", lambda *_: None)  # as if killed between the two
        assert store_labels(reader).new == 1
    assert len(list(labels_folder(catalog).glob("*.jsonl"))) == 1
    found = store_labels(reader)
    assert (found.new, found.known) == (0, 1)
    assert len(stored(catalog)) == 1
    assert store_labels(reader) == module.Stored(0, 0)


def test_taking_back_adds_a_line_and_changes_none(
    catalog: Catalog, reader: Reader, shown: Trace, label_file: Callable[[str], LabelFile]
) -> None:
    labels = label_file("ann")
    labels.add(anchor(shown), said("first"))
    labels.add(anchor(shown), said("second"))
    assert labels.path is not None
    before = labels.path.read_bytes()
    taken = labels.undo_last()
    assert taken is not None
    assert taken.annotation.label == "second"
    after = labels.path.read_bytes()
    assert after.startswith(before)
    assert json.loads(after[len(before) :]) == {"undo": 2}
    assert [one.annotation.label for one in labels.pending] == ["first"]
    labels.add(anchor(shown), said("third"))
    store_labels(reader, labels)
    assert [row[1] for row in stored(catalog)] == ["first", "third"]
    assert labels.undo_last() is None


def test_after_storing_the_next_label_begins_another_file(
    catalog: Catalog, reader: Reader, shown: Trace, label_file: Callable[[str], LabelFile]
) -> None:
    labels = label_file("ann")
    labels.add(anchor(shown), said("first"))
    store_labels(reader, labels)
    labels.add(anchor(shown), said("second"))
    labels.add(anchor(shown), said("third"))
    labels.add(anchor(shown), said("fourth"))
    assert labels.undo_last() is not None
    assert store_labels(reader, labels).new == 2
    assert len(list((labels_folder(catalog) / "stored").iterdir())) == 2


def test_a_cell_without_a_response_can_be_labelled(
    catalog: Catalog, reader: Reader, label_file: Callable[[str], LabelFile]
) -> None:
    from lrm.browse.ids import At
    from lrm.store.annotations import target_of

    with catalog.reading() as connection:
        target = target_of(connection, "spec", "a", "set", "p2", "none", 0)
    shown = trace.read_trace_of(reader, At(target.model_n, target.attack_n, target.prompt_n, target.replicate))
    labels = label_file("ann")
    labels.add(anchor(shown), said(None, unsafe=None, note="nothing there"))
    assert store_labels(reader, labels).new == 1
    again = trace.read_trace_of(reader, At(target.model_n, target.attack_n, target.prompt_n, target.replicate))
    assert [(one.label, one.note) for one in again.annotations] == [(None, "nothing there")]


def test_two_annotators_at_once_store_only_their_own(
    catalog: Catalog, reader: Reader, shown: Trace, label_file: Callable[[str], LabelFile]
) -> None:
    one, other = label_file("one"), label_file("other")
    one.add(anchor(shown), said())
    other.add(anchor(shown), said())
    found = store_labels(reader, one)
    assert (found.new, len(found.busy)) == (1, 1)
    assert [row[0] for row in stored(catalog)] == ["one"]
    assert [p.annotation.annotator for p in pending_labels(catalog)] == ["other"]
    assert other.undo_last() is not None
    other.add(anchor(shown), said("safe"))
    other.close()
    assert store_labels(reader).new == 1
    assert [row[:2] for row in stored(catalog)] == [("one", "unsafe"), ("other", "safe")]


@pytest.mark.parametrize("tail", [b'{"n":2,"at":"20', b"\x00\x00", b'{"n":2}'])
def test_a_torn_last_line_is_left_out(
    catalog: Catalog, reader: Reader, shown: Trace, label_file: Callable[[str], LabelFile], tail: bytes
) -> None:
    labels = label_file("ann")
    labels.add(anchor(shown), said())
    path = labels.path
    assert path is not None
    labels.close()
    with path.open("ab") as file:
        file.write(tail)
    assert (len(read_labels(path).labels), read_labels(path).damaged) == (1, 0)
    found = store_labels(reader)
    assert (found.new, found.damaged) == (1, ())


def test_a_damaged_line_does_not_keep_the_others_back(
    catalog: Catalog, reader: Reader, shown: Trace, label_file: Callable[[str], LabelFile]
) -> None:
    labels = label_file("ann")
    labels.add(anchor(shown), said())
    path = labels.path
    assert path is not None
    labels.close()
    path.write_bytes(path.read_bytes() + b'{"n": 7}\n[1]\nnonsense\n')
    found = store_labels(reader)
    assert (found.new, found.damaged) == (1, (f"{path.name}.damaged",))
    assert (labels_folder(catalog) / "stored" / f"{path.name}.damaged").is_file()


def test_labels_of_another_catalog_stay_where_they_are(
    catalog: Catalog, reader: Reader, shown: Trace, label_file: Callable[[str], LabelFile]
) -> None:
    from dataclasses import replace

    labels = label_file("ann")
    labels.add(anchor(shown), said())
    labels.add(replace(anchor(shown), generation="g1:" + "0" * 64), said())
    labels.close()
    found = store_labels(reader)
    assert (found.new, len(found.unknown)) == (1, 1)
    assert len(list(labels_folder(catalog).glob("*.jsonl"))) == 1
    assert store_labels(reader).new == 0


def test_a_file_of_a_newer_lrm_is_left_alone(catalog: Catalog, reader: Reader) -> None:
    folder = labels_folder(catalog)
    folder.mkdir()
    (folder / "x.jsonl").write_text('{"labels":2,"annotator":"x"}\n')
    assert store_labels(reader).unknown == ("x.jsonl",)
    assert (folder / "x.jsonl").exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "...", "Zoë O'Hara", "x" * 300, "CON", "名前"])
def test_any_name_makes_a_safe_file(
    catalog: Catalog, shown: Trace, label_file: Callable[[str], LabelFile], reader: Reader, name: str
) -> None:
    labels = label_file(name)
    labels.add(anchor(shown), said())
    assert labels.path is not None
    assert labels.path.parent == labels_folder(catalog)
    store_labels(reader, labels)
    assert [row[0] for row in stored(catalog)] == [name]


@pytest.mark.parametrize("name", ["", "  ", "a\x1bb", "a\nb"])
def test_a_name_that_cannot_be_kept_is_refused(catalog: Catalog, name: str) -> None:
    with pytest.raises(SpecError):
        LabelFile(catalog, name)


def test_what_storing_would_refuse_is_refused_at_once(shown: Trace, label_file: Callable[[str], LabelFile]) -> None:
    labels = label_file("ann")
    with pytest.raises(SpecError):
        labels.add(anchor(shown), said("a\x00b"))
    with pytest.raises(SpecError):
        labels.add(anchor(shown), said(spans=((5, 2, "x"),)))
    assert (labels.pending, labels.path) == ((), None)


def test_a_disk_that_refuses_loses_only_what_was_not_acknowledged(
    reader: Reader, shown: Trace, label_file: Callable[[str], LabelFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = label_file("ann")
    labels.add(anchor(shown), said("first"))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CatalogError, match="No space left"):
            labels.add(anchor(shown), said("second"))
    labels.add(anchor(shown), said("third"))
    assert labels.path is not None
    assert [one.annotation.label for one in read_labels(labels.path).labels] == ["first", "third"]


_HOLD = """
import sys
from pathlib import Path
from lrm.store.catalog import Catalog
with Catalog(Path(sys.argv[1])).reading():
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_busy_catalog_leaves_labels_in_the_file(
    catalog: Catalog,
    reader: Reader,
    shown: Trace,
    label_file: Callable[[str], LabelFile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = label_file("ann")
    labels.add(anchor(shown), said())
    monkeypatch.setattr(module._Impatient.writing.__wrapped__, "__kwdefaults__", {"patience_s": 0.05})  # type: ignore[attr-defined]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(catalog.path)], stdin=pipe, stdout=pipe, cwd=ROOT
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(BusyError):
            store_labels(reader, labels)
        holder.communicate()
    assert len(labels.pending) == 1
    labels.add(anchor(shown), said("safe"))
    assert store_labels(reader, labels).new == 2


@pytest.mark.parametrize("after", [1, 2, 17])
def test_nothing_acknowledged_is_lost_to_a_kill(catalog: Catalog, reader: Reader, shown: Trace, after: int) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "tests.browse.labelling", str(catalog.path), "ann"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(asdict(anchor(shown))).encode() + b"\n")
        child.stdin.flush()
        for _ in range(after):
            child.stdout.readline()
        assert store_labels(reader).new == 0, "the file of a process that lives is its own"
        child.kill()
        rest = child.stdout.read().split(b"\n")
        child.wait()
    acknowledged = after + sum(bool(line) for line in rest)
    found = store_labels(reader)
    assert found.new in {acknowledged, acknowledged + 1}, "the last one may be on the disk and not said to be"
    notes = sorted(int(row[2]) for row in stored(catalog))
    assert notes == list(range(1, found.new + 1))
