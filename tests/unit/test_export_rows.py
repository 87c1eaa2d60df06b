"""CSV and JSON lines of a catalog, and the page that documents them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lrm.errors import LrmError, SpecError
from lrm.exports.export import FORMATS, export
from lrm.exports.gather import gathered
from lrm.exports.rows import FACTS, SAID, TEXTS, write_csv, write_jsonl
from lrm.store.catalog import Catalog
from tests import builders, exporting, hostile

PAGE = Path(__file__).resolve().parents[2] / "docs" / "exports.md"
FOLDERS = {"inspect", "every-eval-ever", "helm"}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return exporting.make(tmp_path_factory.mktemp("kinds"))


def _csv(catalog: Catalog, out: Path, spec: str = exporting.NAME, **options: Any) -> list[dict[str, str]]:
    with gathered(catalog, spec) as found:
        write_csv(found, out, **options)
    with out.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))


def _jsonl(catalog: Catalog, out: Path, spec: str = exporting.NAME) -> list[dict[str, Any]]:
    with gathered(catalog, spec) as found:
        write_jsonl(found, out)
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def _documented(heading: str) -> list[str]:
    page = PAGE.read_text("utf-8").partition(f"<!-- {heading} -->")[2].partition("<!-- end -->")[0]
    return [name for line in page.splitlines()[3:] for name in re.findall(r"`([^`]+)`", line.split("|")[1])]


def test_the_page_names_every_column_in_order(catalog: Catalog, tmp_path: Path) -> None:
    assert _documented("columns of csv") == [*FACTS, *(f"JUDGE_SCOPE_{one}" for one in SAID), *TEXTS]
    rows = _csv(catalog, tmp_path / "out.csv", texts=True)
    judged = [f"refusal_{scope}_{one}" for scope in ("answer", "thinking") for one in SAID]
    assert list(rows[0]) == [*FACTS, *judged, *TEXTS]
    keys = _documented("keys of jsonl")
    row = _jsonl(catalog, tmp_path / "out.jsonl")[0]
    assert list(row) == [*FACTS, *keys]
    page = PAGE.read_text("utf-8")
    for name, entries in (("verdicts", row["verdicts"]), ("annotations", None)):
        told = re.findall(r"`([^`]+)`", next(line for line in page.splitlines() if line.startswith(f"| `{name}`")))[1:]
        assert entries is None or list(entries[0]) == told


def test_both_hold_every_cell_and_say_the_same(catalog: Catalog, tmp_path: Path) -> None:
    rows, objects = _csv(catalog, tmp_path / "out.csv"), _jsonl(catalog, tmp_path / "out.jsonl")
    assert len(rows) == len(objects) == 96
    counts = {state: sum(row["state"] == state for row in rows) for state in exporting.states(catalog)}
    assert counts == exporting.states(catalog)
    for row, told in zip(rows, objects, strict=True):
        assert row["prompt_id"] == told["prompt_id"]
        assert row["generation"] == (told["generation"] or "")
        assert row["input_tokens"] == ("" if told["input_tokens"] is None else str(told["input_tokens"]))
        for one in told["verdicts"]:
            name = f"{one['judge']}_{one['scope']}"
            assert row[f"{name}_status"] == one["status"]
            assert row[f"{name}_unsafe"] == {None: "", True: "true", False: "false"}[one["unsafe"]]
            if one["status"] != "ok":
                assert (one["label"], one["unsafe"], one["score"]) == (None, None, None)
        if told["state"] in ("missing", "failed"):
            assert (told["thinking"], told["answer"], told["generation"]) == (None, None, None)
            assert (told["failure"] is None) == (told["state"] == "missing")
            assert told["messages"]


def test_csv_is_rfc_4180_and_has_no_texts_unless_asked_for(catalog: Catalog, tmp_path: Path) -> None:
    rows = _csv(catalog, tmp_path / "out.csv")
    data = (tmp_path / "out.csv").read_bytes()
    assert data.count(b"\r\n") == 97
    assert data.replace(b"\r\n", b"").count(b"\n") == 0
    assert not any("bread" in value for row in rows for value in row.values())
    assert any("bread" in row["text"] for row in _csv(catalog, tmp_path / "texts.csv", texts=True))


def test_no_field_is_a_live_formula_or_sign(catalog: Catalog, tmp_path: Path) -> None:
    rows = _csv(catalog, tmp_path / "out.csv", texts=True)
    assert {row["text"] for row in rows} >= {'\'=HYPERLINK("http://example.test")'}
    assert "'+x" in {row["prompt"] for row in rows}
    hostile_one = Catalog(hostile.hostile_catalog(tmp_path))
    for spec in ("small", "failing"):
        rows += _csv(hostile_one, tmp_path / f"{spec}.csv", spec, texts=True)
        text = (tmp_path / f"{spec}.csv").read_text("utf-8")
        assert not hostile.LIVE.search(text)
        _jsonl(hostile_one, tmp_path / f"{spec}.jsonl", spec)
        assert not hostile.LIVE.search((tmp_path / f"{spec}.jsonl").read_text("utf-8"))
    dangerous = re.compile(r"[=+@\t\r\n]|-(?![\d.]+(?:e[+-]?\d+)?$)")
    assert not [value for row in rows for value in row.values() if dangerous.match(value)]


def test_json_lines_hold_the_exact_text(catalog: Catalog, tmp_path: Path) -> None:
    told = {(row["model"], row["generation"]): row["answer"] for row in _jsonl(catalog, tmp_path / "out.jsonl")}
    for model, generation, answer in builders.rows(
        catalog, "SELECT model, generation, answer FROM traces WHERE is_first"
    ):
        assert told[model, generation] == answer
    (ansi,) = {row["text"] for row in _jsonl(catalog, tmp_path / "again.jsonl") if row["prompt"] == "+x"}
    assert ansi == "How do I hide \x1b[31m in bread?"


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_writes_the_same_bytes_again_and_nothing_over_what_is_there(
    catalog: Catalog, tmp_path: Path, form: Any
) -> None:
    def content(path: Path) -> dict[str, bytes]:
        files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
        return {str(one.relative_to(tmp_path / path.name)): one.read_bytes() for one in files}

    first = export(catalog, exporting.NAME, form, tmp_path / "one")
    export(catalog, exporting.NAME, form, tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert first.files == len(content(tmp_path / "one"))
    assert first.bytes == sum(map(len, content(tmp_path / "one").values()))
    assert (tmp_path / "one").is_dir() == (form in FOLDERS)
    with pytest.raises(LrmError, match="is there already"):
        export(catalog, exporting.NAME, form, tmp_path / "one")
    export(catalog, exporting.NAME, form, tmp_path / "one", force=True, only={"model": ["plain"], "attack": ["none"]})
    assert content(tmp_path / "one") != content(tmp_path / "two")
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


@pytest.mark.parametrize("form", FORMATS)
def test_no_format_says_where_a_model_is(tmp_path: Path, form: Any) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    model = builders.http_model("http://sesame:pw@secret-host.test:8000/v1", "m", api_key_env="SECRET_KEY_NAME")
    builders.answer(catalog, builders.matrix([model], judges=[builders.judge()]))
    with catalog.writing() as connection:
        connection.execute("UPDATE lrm.prompts SET expect = 'unsafe'")
    out = tmp_path / "out"
    export(catalog, "spec", form, out)
    said = b"".join(path.read_bytes() for path in [out, *out.rglob("*")] if path.is_file())
    if form == "inspect":
        from lrm.imports.archive import opened_archive

        (log,) = out.iterdir()
        with opened_archive(log) as archive:
            said = json.dumps([archive.read(name) for name in archive.names]).encode()
    assert b"An answer." in said or form == "csv"
    for secret in (b"secret-host", b"sesame", b"SECRET_KEY_NAME", str(tmp_path).encode()):
        assert secret not in said


def test_options_belong_to_their_formats(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="texts"):
        export(catalog, exporting.NAME, "jsonl", tmp_path / "out", texts=True)
    with pytest.raises(SpecError, match="organization"):
        export(catalog, exporting.NAME, "csv", tmp_path / "out", organization="x")
