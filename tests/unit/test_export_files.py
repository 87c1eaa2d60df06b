"""Zip files of exports, and how exports come to their places."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from lrm.errors import LrmError
from lrm.exports import zipped
from lrm.exports.json_text import dumps, placeless
from lrm.exports.place import new_file, new_folder, safe_name
from lrm.exports.zipped import Compression, ZipWriter
from lrm.imports.archive import opened_archive
from tests import hostile


def _zip(entries: dict[str, bytes], compression: Compression = "zstd") -> bytes:
    stream = io.BytesIO()
    with ZipWriter(stream, compression) as archive:
        for name, content in entries.items():
            archive.add(name, content)
    return stream.getvalue()


@pytest.mark.parametrize("compression", ["zstd", "deflate"])
def test_entries_come_back_as_they_were_and_are_the_same_bytes_again(tmp_path: Path, compression: Compression) -> None:
    entries = {
        "header.json": b'{"a":1}',
        "samples/\xc3\xbc.json".encode("latin1").decode(): b'["\\u00fc"]',
        "empty.json": b'""',
    }
    made = _zip(entries, compression)
    assert made == _zip(entries, compression)
    path = tmp_path / "made.zip"
    path.write_bytes(made)
    with opened_archive(path) as archive:
        assert {name: archive.read(name) for name in archive.names} == {
            "header.json": {"a": 1}, "samples/ü.json": ["ü"], "empty.json": "",
        }  # fmt: skip
    with zipfile.ZipFile(path) as plain:
        assert {info.date_time for info in plain.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        if compression == "deflate":
            assert plain.testzip() is None


@pytest.mark.parametrize("compression", ["zstd", "deflate"])
def test_an_entry_larger_than_a_block_is_one_entry(
    tmp_path: Path, compression: Compression, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipped, "_BLOCK", 1000)
    pieces = [b"[0", *(b",%d" % n for n in range(2000)), b"]"]
    path = tmp_path / "made.zip"
    with path.open("wb") as stream, ZipWriter(stream, compression) as archive:
        archive.add_stream("streamed.json", iter(pieces))
        archive.add("at-once.json", b"".join(pieces))
        archive.add_stream("nothing.json", iter(()))
    with opened_archive(path) as read:
        assert read.read("streamed.json") == read.read("at-once.json") == [0, *range(2000)]
    with zipfile.ZipFile(path) as plain:
        sizes = {info.filename: info.file_size for info in plain.infolist()}
    assert sizes == {"streamed.json": len(b"".join(pieces)), "at-once.json": len(b"".join(pieces)), "nothing.json": 0}


def test_more_entries_than_an_old_zip_can_count(tmp_path: Path) -> None:
    path = tmp_path / "made.zip"
    with path.open("wb") as stream, ZipWriter(stream, "deflate") as archive:
        for n in range(66_000):
            archive.add(f"{n}", b"1")
    with zipfile.ZipFile(path) as plain:
        assert len(plain.infolist()) == 66_000
        assert plain.read("65999") == b"1"


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.csv"
    with pytest.raises(UnicodeEncodeError), new_file(out, force=False) as path:
        _ = path.write_text("half"), path.write_text("\ud800", encoding="utf-8")
    assert list(out.parent.iterdir()) == []
    with new_file(out, force=False) as path:
        path.write_text("whole")
        assert not out.exists()
    assert out.read_text() == "whole"
    with pytest.raises(LrmError, match="is there already"), new_file(out, force=False):
        pass
    with new_file(out, force=True) as path:
        path.write_text("again")
    assert out.read_text() == "again"
    assert [one.name for one in out.parent.iterdir()] == ["out.csv"]


def test_a_folder_is_replaced_whole_when_told_so(tmp_path: Path) -> None:
    out = tmp_path / "logs"
    for name in ("first", "second"):
        with new_folder(out, force=True) as folder:
            (folder / name).touch()
    assert [one.name for one in out.iterdir()] == ["second"]
    with pytest.raises(LrmError, match="is a folder"), new_file(out, force=True) as path:
        path.touch()
    assert [one.name for one in tmp_path.iterdir()] == ["logs"]


def test_a_link_is_never_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept")
    (tmp_path / "out").symlink_to(target)
    with pytest.raises(LrmError), new_file(tmp_path / "out", force=True) as path:
        path.touch()
    assert target.read_text() == "kept"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(LrmError, match="cannot write"), new_file(tmp_path / "out", force=False) as path:
            path.touch()
    finally:
        tmp_path.chmod(0o700)


def test_names_of_files_stay_where_they_are_and_apart() -> None:
    assert safe_name("gpt-4.1") == "gpt-4.1"
    made = {safe_name(one) for one in ("a/b", "a:b", "../a-b", "", ".", "..", "a" * 300, "\x1b[31m")}
    assert len(made) == 8
    assert not any("/" in one or one.startswith(".") or len(one) > 120 or "\x1b" in one for one in made)


def test_json_holds_no_live_sign_and_loses_none() -> None:
    import json

    text = dumps({"said": hostile.ALL, "tag": "\U000e0041", "half": "\ud83d"})
    assert not hostile.LIVE.search(text)
    assert "\U000e0041" not in text
    assert json.loads(text) == {"said": hostile.ALL, "tag": "\U000e0041", "half": "�"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps(float("nan"))


def test_what_names_a_machine_or_a_folder_is_left_out() -> None:
    said = {
        "checkpoint": "org/model", "tokenizer": "/elsewhere/someone/tok", "extra": {"url": "http://host:1/v1", "n": 1},
        "arguments": ["--x", "~/file", "C:\\models", "s3://bucket"], "folder": "./here",
    }  # fmt: skip
    assert placeless(said) == {"checkpoint": "org/model", "extra": {"n": 1}, "arguments": ["--x"], "folder": "./here"}
