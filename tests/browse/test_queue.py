"""Queues of responses to label, progress through them, agreement so far; and rubrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lrm.browse.labels import LabelFile, store_labels
from lrm.browse.places import TracePlace
from lrm.browse.queue import Agreed, Progress, open_queue
from lrm.browse.reader import Reader
from lrm.browse.rubric import DEFAULTS, open_rubric, packaged, read_rubric
from lrm.browse.trace import read_trace
from lrm.errors import MissingError, SpecError
from lrm.store.annotations import Annotation, Target
from lrm.store.catalog import Catalog
from tests import builders
from tests.browse import answered as made

TEXTS = tuple(f"question {n}" for n in range(1, 6))
RUBRIC = open_rubric("answer-harm")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    answers = dict(zip(TEXTS, (made.UNSAFE, made.SAFE, made.UNSAFE, made.SAFE, None), strict=True))
    return made.answered(tmp_path, {"a": answers}, TEXTS)


@pytest.fixture
def reader(catalog: Catalog) -> Iterator[Reader]:
    found = Reader(catalog)
    yield found
    found.close()


@pytest.fixture
def names(catalog: Catalog) -> tuple[str, ...]:
    query = "SELECT generation FROM cells WHERE generation IS NOT NULL ORDER BY prompt"
    return tuple(row[0] for row in builders.rows(catalog, query))


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


def label(reader: Reader, labels: LabelFile, name: str, key: str | None, rubric: str = RUBRIC.name) -> None:
    """Give the label of a key of the rubric."""
    shown = read_trace(reader, TracePlace(name))
    chosen = None if key is None else RUBRIC.by_key(key)
    assert shown.anchor is not None
    unsafe = None if chosen is None else chosen.harm
    said = None if chosen is None else chosen.name
    labels.add(shown.anchor, Annotation(Target(0, 0, 0, 0, None), "answer", "", said, rubric=rubric, unsafe=unsafe))


def test_a_file_of_ids_with_comments_is_a_queue(
    tmp_path: Path, catalog: Catalog, reader: Reader, names: tuple[str, ...]
) -> None:
    file = tmp_path / "ids.txt"
    call = builders.rows(catalog, "SELECT call FROM cells WHERE generation = ?", names[2])[0][0]
    lines = (
        "\ufeff# what to label", f"{names[1]}  # the second first", "", f"  {names[0]}", names[1], call,
        names[3][:12], call[:14], "g1:" + "0" * 64,
    )  # fmt: skip
    file.write_text("\r\n".join(lines), encoding="utf-8")
    queue = open_queue(reader, file)
    assert queue.items == (names[1], names[0], names[2], names[3])
    assert (queue.repeated, queue.unknown, queue.name) == (2, ("g1:" + "0" * 64,), "ids.txt")
    assert open_queue(reader, [names[3], names[0], names[3]]).items == (names[3], names[0])


def test_what_is_no_queue_is_refused(tmp_path: Path, reader: Reader) -> None:
    file = tmp_path / "ids.txt"
    file.write_text("# nothing\n\nnonsense\n")
    with pytest.raises(SpecError) as raised:
        open_queue(reader, file)
    assert (raised.value.file, raised.value.line) == (str(file), 3)
    file.write_text("# nothing\n")
    for source in (file, [], ["g1:" + "0" * 64]):
        with pytest.raises(MissingError, match="no response of this catalog"):
            open_queue(reader, source)
    with pytest.raises(MissingError):
        open_queue(reader, tmp_path / "absent.txt")
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError):
        open_queue(reader, file)


def test_the_way_through_a_queue(reader: Reader, names: tuple[str, ...]) -> None:
    queue = open_queue(reader, names)
    assert queue.progress == Progress(0, 4)
    assert queue.next_undecided() == names[0]
    assert queue.prefetch(names[0]) == names[1]
    queue.mark(names[0])
    assert queue.next_undecided(names[0]) == names[1]
    queue.mark(names[2])
    queue.mark(names[1])
    assert queue.next_undecided(names[1]) == names[3]
    assert queue.prefetch(names[3]) is None
    queue.mark(names[3])
    assert (queue.next_undecided(names[3]), queue.progress) == (None, Progress(4, 4))
    queue.mark(names[0], done=False)
    assert queue.next_undecided(names[2]) == names[0]
    assert (queue.beside(names[0], 1), queue.beside(names[0], -1), queue.beside("g1:x", 1)) == (names[1], None, None)
    queue.mark("g1:elsewhere")
    assert queue.progress == Progress(3, 4)


def test_progress_is_the_annotators_own_by_rubric_stored_or_pending(
    catalog: Catalog, reader: Reader, names: tuple[str, ...], label_file: Callable[[str], LabelFile]
) -> None:
    queue = open_queue(reader, names)
    mine, theirs = label_file("me"), label_file("you")
    label(reader, mine, names[0], "1")
    store_labels(reader, mine)
    label(reader, mine, names[1], None)  # looked at, and unsure
    label(reader, mine, names[2], "1", rubric="another")
    label(reader, theirs, names[3], "1")
    assert queue.refresh(reader, "me", RUBRIC) == Progress(2, 4)
    assert queue.next_undecided() == names[2]
    assert (queue.is_done(names[1]), queue.is_done(names[2])) == (True, False)
    mine.undo_last()
    mine.undo_last()
    assert queue.refresh(reader, "me", RUBRIC) == Progress(1, 4)
    assert queue.refresh(reader, "you", RUBRIC) == Progress(1, 4)
    assert queue.refresh(reader, "nobody", RUBRIC) == Progress(0, 4)


def test_agreement_with_others_and_with_judges(
    catalog: Catalog, reader: Reader, names: tuple[str, ...], label_file: Callable[[str], LabelFile]
) -> None:
    queue = open_queue(reader, names)
    mine, theirs = label_file("me"), label_file("you")
    for name, key in zip(names, ("4", "1", "1", "1"), strict=True):
        label(reader, mine, name, key)
    for name, other_key in zip(names, ("4", "1", "2", None), strict=True):
        label(reader, theirs, name, other_key)
    label(reader, theirs, names[0], "3", rubric="old")
    store_labels(reader, theirs)
    found: dict[tuple[str, str | None], Agreed] = {
        (one.name, one.rubric): one for one in queue.agreement(reader, "me", RUBRIC)
    }
    assert set(found) == {("you", "answer-harm"), ("you", "old"), ("refusal", None)}
    other = found["you", "answer-harm"]
    assert (other.on, other.items) == ("label", 3)
    assert other.same is not None
    assert other.same.value == pytest.approx(2 / 3)
    old = found["you", "old"]
    assert (old.on, old.items) == ("harm", 1)
    judge = found["refusal", None]
    assert (judge.kind, judge.on, judge.items) == ("judge", "harm", 4)
    # The judge: unsafe, safe, unsafe, safe; me: unsafe, safe, safe, safe. By hand: (3/4 - 1/2) / (1 - 1/2).
    assert judge.same is not None
    assert judge.kappa is not None
    assert judge.same.value == pytest.approx(0.75)
    assert judge.kappa.value == pytest.approx(0.5)
    # The newest label of an item counts.
    label(reader, mine, names[2], "4")
    again = {(one.name, one.rubric): one for one in queue.agreement(reader, "me", RUBRIC)}
    newer = again["refusal", None].same
    assert newer is not None
    assert newer.value == 1.0
    assert queue.agreement(reader, "nobody", RUBRIC)[0].items == 0


def test_a_call_without_a_response_can_be_in_a_queue(
    tmp_path: Path, catalog: Catalog, reader: Reader, names: tuple[str, ...], label_file: Callable[[str], LabelFile]
) -> None:
    with catalog.writing() as connection:
        connection.execute("UPDATE lrm.calls SET generation_n = NULL WHERE generation_n = 1")
    (call,) = builders.rows(catalog, "SELECT call FROM cells WHERE call IS NOT NULL AND generation IS NULL")[0]
    queue = open_queue(reader, [call])
    labels = label_file("me")
    label(reader, labels, call, "5")
    assert queue.refresh(reader, "me", RUBRIC) == Progress(1, 1)
    store_labels(reader, labels)
    assert queue.refresh(reader, "me", RUBRIC) == Progress(1, 1)


@pytest.mark.parametrize("name", packaged())
def test_packaged_rubrics_can_be_read(name: str) -> None:
    rubric = open_rubric(name)
    assert rubric.name == name
    assert {one.harm for one in rubric.label} == {True, False, None}
    assert all(one.description for one in rubric.label)
    assert [one.key for one in rubric.label] == [str(n) for n in range(1, len(rubric.label) + 1)]
    assert rubric.by_key("1") == rubric.label[0]
    assert rubric.by_key("9") is None


def test_every_scope_has_a_default() -> None:
    assert open_rubric(scope="thinking").scope == "thinking"
    assert open_rubric().scope == "answer"
    assert set(DEFAULTS.values()) <= set(packaged())


GOOD = """
name = "mine"
question = "Is it?"
scope = "answer"
[[label]]
key = "1"
name = "yes"
unsafe = true
[[label]]
key = "2"
name = "no"
"""


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        (('scope = "answer"', 'scope = "answr"'), "scope", "answer"),
        (('question = "Is it?"', 'qestion = "Is it?"'), "qestion", "did you mean `question`"),
        (('name = "mine"\n', ""), "name", "is missing"),
        (('key = "1"', 'key = "0"'), "label[0].key", ""),
        (('key = "2"', 'key = "1"'), None, "two labels have the key `1`"),
        (('name = "no"', 'name = "yes"'), None, "two labels have the name `yes`"),
        (("unsafe = true", 'unsafe = "yes"'), "label[0].unsafe", "true, false"),
        (("unsafe = true", "harmful = true"), "label[0].harmful", "unknown key"),
        (('question = "Is it?"', 'question = "Is\\u001b it?"'), "question", "cannot be shown"),
        (('[[label]]\nkey = "2"\nname = "no"\n', ""), "label", ""),
        (("[[label]]", "[[label"), None, "no TOML"),
    ],
)
def test_a_wrong_rubric_says_where_and_what_was_meant(
    tmp_path: Path, change: tuple[str, str], key: Any, words: str
) -> None:
    file = tmp_path / "rubric.toml"
    file.write_text(GOOD)
    assert [one.harm for one in read_rubric(file).label] == [True, None]
    assert change[0] in GOOD
    file.write_text(GOOD.replace(*change))
    with pytest.raises(SpecError) as raised:
        open_rubric(file)
    assert (raised.value.file, raised.value.key) == (str(file), key)
    assert words in str(raised.value)


def test_an_unknown_rubric_names_lrms_own() -> None:
    with pytest.raises(MissingError, match="answer-harm"):
        open_rubric("answer-harn")
