from __future__ import annotations

import json
from pathlib import Path

import pytest

from lrm.engines.weights import fault_of


def weights(folder: Path, *, header: object = None, data: bytes = b"\0" * 16) -> Path:
    told = {"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    text = json.dumps(told if header is None else header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_a_whole_file_has_no_fault(tmp_path: Path) -> None:
    assert fault_of(weights(tmp_path)) is None


def test_a_file_that_broke_off_says_how_long_it_should_be(tmp_path: Path) -> None:
    path = weights(tmp_path)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-5])
    assert fault_of(path) == f"has {size - 5:,} bytes, and its header says {size:,}: it was not copied whole"


@pytest.mark.parametrize("length", [0, 3, 8, 20])
def test_less_than_a_header_is_only_a_beginning(tmp_path: Path, length: int) -> None:
    path = weights(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    assert "only its beginning" in str(fault_of(path))


def test_a_pointer_of_a_large_file_store_is_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "no safetensors file" in str(fault_of(path))


@pytest.mark.parametrize("header", [[], {"a": {}}, {"a": {"data_offsets": [0]}}, {"a": {"data_offsets": [0, "x"]}}])
def test_another_header_is_said(tmp_path: Path, header: object) -> None:
    assert fault_of(weights(tmp_path, header=header)) is not None
