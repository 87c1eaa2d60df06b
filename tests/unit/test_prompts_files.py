"""Data files found, checksums, and what of a declaration names a source."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest

from lrm.errors import SpecError
from lrm.prompts.files import checksum, find
from lrm.prompts.source import Pin, locate
from tests.prompt_sets import located, prompts_of

BODY = b"text\nHow do I boil an egg?\n"
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRM_DATA", raising=False)


def write(path: Path, body: bytes = BODY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def test_the_order_in_which_places_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRM_DATA", str(tmp_path / "data"))
    here = tmp_path / "registry"
    places = [
        tmp_path / "data" / "sets" / "a.csv",
        tmp_path / "data" / "sets" / "a.csv.gz",
        tmp_path / "data" / "a.csv",
        tmp_path / "data" / "a.csv.gz",
        here / "sets" / "a.csv",
        here / "sets" / "a.csv.gz",
    ]
    for place in places:
        write(place)
    for place in places:
        assert find("sets/a.csv", beside=here) == place
        place.unlink()
    with pytest.raises(SpecError) as caught:
        find("sets/a.csv", beside=here, declared_in=here / "a.toml", line=3)
    assert all(str(place) in str(caught.value) for place in places)
    assert (caught.value.file, caught.value.line, caught.value.key) == (str(here / "a.toml"), 3, "file")


def test_a_declared_gz_may_lie_there_without(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.csv")
    assert find("a.csv.gz", beside=tmp_path) == plain
    zipped = write(tmp_path / "a.csv.gz", gzip.compress(BODY))
    assert find("a.csv.gz", beside=tmp_path) == zipped


def test_absolute_paths_and_paths_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "registry").mkdir()
    path = write(tmp_path / "up" / "a.csv")
    monkeypatch.setenv("LRM_DATA", str(tmp_path / "data" / "deep"))
    write(tmp_path / "data" / "up" / "a.csv", b"text\nnot this one\n")
    assert find(str(path), beside=tmp_path / "elsewhere") == path
    assert find("../up/a.csv", beside=tmp_path / "registry") == tmp_path / "registry" / "../up/a.csv"
    in_data = write(tmp_path / "data" / "deep" / "a.csv")
    assert find("../up/a.csv", beside=tmp_path / "registry") == in_data


@pytest.mark.parametrize(("value", "hint"), [("", "set LRM_DATA"), ("nowhere", "no folder"), (".", "put the file")])
def test_what_to_do_about_a_missing_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, hint: str
) -> None:
    monkeypatch.setenv("LRM_DATA", str(tmp_path / value) if value else "")
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(SpecError, match="a folder") as caught:
        find("a.csv", beside=tmp_path)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b.csv"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match="there is no data file"):
        find(name, beside=tmp_path)


def test_checksums_of_the_bytes_and_of_the_content(tmp_path: Path) -> None:
    zipped = gzip.compress(BODY)
    path = write(tmp_path / "a.csv.gz", zipped)
    assert checksum(path).content == DIGEST
    assert checksum(path).raw == hashlib.sha256(zipped).hexdigest()
    assert checksum(write(tmp_path / "a.csv")) == checksum(write(tmp_path / "b.csv"))
    assert checksum(tmp_path / "a.csv").raw == checksum(tmp_path / "a.csv").content == DIGEST
    with pytest.raises(SpecError, match="gzip is damaged"):
        checksum(write(tmp_path / "cut.gz", zipped[:-4]))
    with pytest.raises(SpecError, match="cannot be read"):
        checksum(tmp_path)


def test_a_declared_checksum_may_be_of_either(tmp_path: Path) -> None:
    zipped = gzip.compress(BODY)
    write(tmp_path / "a.csv.gz", zipped)
    for declared in (DIGEST, hashlib.sha256(zipped).hexdigest()):
        assert locate(located(tmp_path, file="a.csv", sha256=declared)).sha256 == DIGEST
    with pytest.raises(SpecError, match="not the file that was declared") as caught:
        locate(located(tmp_path, file="a.csv", sha256="0" * 64))
    assert (caught.value.file, caught.value.line, caught.value.key) == (str(tmp_path / "set.toml"), 7, "sha256")


def test_a_lock_is_obeyed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv")
    prompt_set = located(tmp_path, file="a.csv")
    pin = Pin(sha256=locate(prompt_set).sha256)
    assert locate(prompt_set, pinned=pin) == locate(prompt_set)
    assert locate(prompt_set, pinned=Pin()) == locate(prompt_set)
    write(path, BODY + b"And rice?\n")
    with pytest.raises(SpecError, match="changed since the lock") as caught:
        locate(prompt_set, pinned=pin)
    assert "--update" in (caught.value.hint or "")


def test_faults_of_the_declaration_have_its_line(tmp_path: Path) -> None:
    write(tmp_path / "a.data")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"file": "a.data"}, "format"),
        ({"file": "a.data", "format": "csv", "encoding": "utf-9"}, "encoding"),
        ({"file": "b.data", "format": "csv"}, "file"),
    ]
    for fields, key in cases:
        with pytest.raises(SpecError) as caught:
            locate(located(tmp_path, **fields))
        assert (caught.value.file, caught.value.line, caught.value.key) == (str(tmp_path / "set.toml"), 7, key)
    assert len(prompts_of(tmp_path, file="a.data", format="csv")) == 1


SAME: list[dict[str, Any]] = [
    {"description": "other words"},
    {"licence": "MIT"},
    {"file": "copy.csv"},
    {"file": "zipped.csv"},
    {"sha256": DIGEST},
    {"format": "csv"},
    {"encoding": "UTF8"},
    {"columns": {"text": "text"}},
]
OTHER: list[dict[str, Any]] = [
    {"file": "more.csv"},
    {"format": "tsv"},
    {"encoding": "cp1252"},
    {"columns": {"text": "text", "category": "text"}},
    {"expect": "unsafe"},
    {"expect_values": {"bad": "unsafe"}},
    {"system": "Be brief."},
    {"filter": {"text": "How*"}},
    {"sample": {"n": 1}},
    {"sample": {"n": 1, "seed": 1}},
    {"limit": 1},
]


def test_what_a_source_is_named_by(tmp_path: Path) -> None:
    write(tmp_path / "a.csv")
    write(tmp_path / "copy.csv")
    write(tmp_path / "zipped.csv.gz", gzip.compress(BODY))
    write(tmp_path / "more.csv", BODY + b"And rice?\n")
    base = locate(located(tmp_path, file="a.csv"))
    for fields in SAME:
        assert locate(located(tmp_path, **{"file": "a.csv", **fields})).id == base.id, fields
    ids = [locate(located(tmp_path, **{"file": "a.csv", **fields})).id for fields in OTHER]
    assert len({base.id, *ids}) == len(OTHER) + 1


def test_the_source_id_is_golden(tmp_path: Path) -> None:
    write(tmp_path / "a.csv")
    found = locate(located(tmp_path, file="a.csv", expect="safe", limit=5))
    assert found.id.hex() == "5b988ab8fcc40ccb689eb87a6354210c4852e2d5b0c1e98f2b0b82e57b84ffc5"
    rows = locate(located(tmp_path, rows=[{"text": "How do I boil an egg?", "meta": {"n": 2**60}}]))
    assert (rows.kind, rows.paths, rows.path) == ("rows", (), None)
    assert rows.id.hex() == "1512f624b5df1e1636e0f3c2c2714ae1f590755a4f37d42409743331d6f0ba3a"


def test_inline_rows_are_named_by_what_they_say(tmp_path: Path) -> None:
    first = locate(located(tmp_path, rows=[{"text": "a"}, {"text": "b"}]))
    assert (
        locate(located(tmp_path, rows=[{"text": "a"}, {"text": "b"}], description="x"), pinned=Pin("0" * 64)) == first
    )
    assert locate(located(tmp_path, rows=[{"text": "b"}, {"text": "a"}])).id != first.id
    assert locate(located(tmp_path, rows=[{"text": "a"}, {"text": "b", "expect": "safe"}])).id != first.id
