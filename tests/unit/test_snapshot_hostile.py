"""Snapshots of somebody who knows the format and means no good: each is refused, and the catalog stays as it was (P8)."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lrm.errors import SnapshotError
from lrm.snapshot.check.check import check
from lrm.snapshot.folder import open_folder
from lrm.snapshot.shards import arrow_schema
from lrm.snapshot.tables import BY_NAME
from lrm.store.catalog import Catalog
from tests import snapshot_forge
from tests.snapshot_forge import Forge, digest

GOLDEN = Path(__file__).parents[1] / "data" / "snapshot_format_1"
Row = dict[str, Any]
Change = Callable[[Forge], object]
ESCAPE, BIDI = "\x1b[2J", "\u202e"
OTHER = "0" * 64


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a snapshot with rows in every table."""
    return snapshot_forge.good(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog that has something in it already."""
    return snapshot_forge.mine(tmp_path_factory.mktemp("mine"))


@pytest.fixture
def forge(good: Path, tmp_path: Path) -> Forge:
    return Forge(good, tmp_path / "forged")


def refused(catalog: Catalog, folder: Path) -> str:
    """Return what is said of a snapshot that is refused, which changes nothing in the catalog."""
    message = snapshot_forge.refused(catalog, folder)
    assert ESCAPE not in message
    assert BIDI not in message
    return message


def test_the_snapshot_has_rows_in_every_table_and_is_sound(good: Path) -> None:
    snapshot = open_folder(good)
    assert {one.table for one in snapshot.manifest.files} == set(BY_NAME)
    assert check(snapshot).files == len(snapshot.manifest.files)


def test_what_is_written_again_as_it_is_stays_the_same(good: Path, forge: Forge) -> None:
    for table in BY_NAME:
        forge.write(table, forge.rows(table))
    forge.save()
    differing = {path for path, found in digest(forge.folder).items() if digest(good)[path] != found}
    assert differing <= {"manifest.json"}
    check(open_folder(forge.folder))


# --- the folder -------------------------------------------------------------------------------------------------------


def shard(forge: Forge, table: str = "verdicts") -> Path:
    path: str = next(one["path"] for one in forge.manifest["files"] if one["table"] == table)
    return forge.folder / path


def outside(forge: Forge) -> Path:
    place = forge.folder.parent / "outside"
    place.mkdir(exist_ok=True)
    return place


def linked(forge: Forge) -> None:
    path = shard(forge)
    path.rename(outside(forge) / path.name)
    path.symlink_to(outside(forge) / path.name)


def linked_folder(forge: Forge) -> None:
    path = shard(forge).parent
    path.rename(outside(forge) / "table")
    path.symlink_to(outside(forge) / "table")


def linked_data(forge: Forge) -> None:
    (forge.folder / "data").rename(outside(forge) / "data")
    (forge.folder / "data").symlink_to(outside(forge) / "data")


def made_folder(forge: Forge) -> None:
    shard(forge).unlink()
    shard(forge).mkdir()


def flipped(forge: Forge) -> None:
    body = bytearray(shard(forge).read_bytes())
    body[len(body) // 2] ^= 1
    shard(forge).write_bytes(body)


def placed(path: str) -> Change:
    def change(forge: Forge) -> None:
        forge.manifest["files"][0]["path"] = path

    return change


def told(name: str, value: object) -> Change:
    def change(forge: Forge) -> None:
        forge.manifest["files"][0][name] = value

    return change


FOLDERS: dict[str, Change] = {
    "a byte is another": flipped,
    "longer": lambda forge: shard(forge).write_bytes(shard(forge).read_bytes() + b"\0"),
    "cut off": lambda forge: shard(forge).write_bytes(shard(forge).read_bytes()[:-9]),
    "missing": lambda forge: shard(forge).unlink(),
    "a folder": made_folder,
    "one more": lambda forge: (forge.folder / "data/verdicts/more.parquet").write_bytes(b"PAR1"),
    "one more folder": lambda forge: (forge.folder / "data/other").mkdir(),
    "a linked folder more": lambda forge: (forge.folder / "data/more").symlink_to(outside(forge)),
    "a linked file": linked,
    "a linked folder": linked_folder,
    "data itself is a link": linked_data,
    "outside, by dots": placed("data/../../outside/x.parquet"),
    "outside, by dots in the table": placed("data/../" + "0" * 32 + ".parquet"),
    "absolute": placed("/etc/passwd"),
    "of Windows": placed("C:\\data\\verdicts\\" + "0" * 32 + ".parquet"),
    "with a line after it": placed("data/verdicts/" + "0" * 32 + ".parquet\n"),
    "of another table": told("table", "raw"),
    "of no table": told("table", "others"),
    "of another hash": told("sha256", "0" * 64),
    "no hash": told("sha256", "../../x"),
    "more rows": told("rows", 9),
    "more rows than any": told("rows", 2**40),
    "negative rows": told("rows", -1),
    "other bytes": told("bytes", 9),
    "unpacked to more": told("unpacked", 9),
    "unpacked to more than any": told("unpacked", 2**40),
    "rows in words": told("rows", "9"),
}


@pytest.mark.parametrize("change", FOLDERS.values(), ids=FOLDERS)
def test_a_folder_that_is_not_what_its_manifest_says(forge: Forge, catalog: Catalog, change: Change) -> None:
    change(forge)
    refused(catalog, forge.save())


def test_a_file_twice(forge: Forge, catalog: Catalog) -> None:
    forge.manifest["files"].append(forge.manifest["files"][0])
    assert "twice" in refused(catalog, forge.save())


CARDS = {
    "HTML": "<img src=x onerror=alert(1)>",
    "HTML between what looks like code": "a ``` b\n\n<b onclick=x>\n\na ``` b",
    "HTML after an escaped mark": "\\`<script>\\`",
    "a comment": "<!-- <script> -->",
    "an escape sequence": ESCAPE,
    "a sign that turns text around": BIDI,
    "a link that runs code": "[x](javascript:alert(1))",
    "a link that runs code, in entities": "[x](&#106;avascript:alert(1))",
    "a link elsewhere on this machine": "[x]: file:///etc/passwd",
}


@pytest.mark.parametrize("text", CARDS.values(), ids=CARDS)
def test_a_card_that_does_something(forge: Forge, catalog: Catalog, text: str) -> None:
    card = forge.folder / "README.md"
    card.write_text(f"{card.read_text(encoding='utf-8')}\n\n{text}\n", encoding="utf-8")
    assert "README.md" in refused(catalog, forge.save())


# --- the manifest -----------------------------------------------------------------------------------------------------

MANIFESTS: dict[str, Callable[[str], str | bytes]] = {
    "nothing": lambda _: "",
    "no JSON": lambda text: text[:-9],
    "a list": lambda text: f"[{text}]",
    "a key more": lambda text: text.replace("{", '{"run": "__import__",', 1),
    "a key less": lambda text: text.replace('"splitter"', '"other"'),
    "a key twice": lambda text: text.replace("{", '{"format": 1, "format": 1,', 1),
    "no number": lambda text: text.replace('"splitter": ', '"splitter": NaN, "x": '),
    "an endless number": lambda text: text.replace('"splitter": ', '"splitter": 1e999, "x": '),
    "a lone surrogate": lambda text: text.replace('"version": "', '"version": "\\ud800'),
    "another encoding": lambda text: text.encode("utf-16"),
    "no UTF-8": lambda text: text.encode().replace(b'"version": "', b'"version": "\xff'),
    "deep": lambda _: "[" * 200_000 + "]" * 200_000,
    "deep where text is wanted": lambda text: text.replace(
        '"version": ', '"version": ' + "[" * 900 + "]" * 900 + ', "x": '
    ),
    "an older format than there is": lambda text: text.replace('"format": 1', '"format": 0'),
    "a format in words": lambda text: text.replace('"format": 1', '"format": "1"'),
    "a format that is true": lambda text: text.replace('"format": 1', '"format": true'),
    "another count": lambda text: text.replace('"cells done": 8', '"cells done": 9'),
    "a count of nothing": lambda text: text.replace('"cells done": 8', '"cells done": 8, "cells sold": 3'),
    "a count without end": lambda text: text.replace('"cells done": 8', f'"cells done": {"9" * 400}'),
}


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_that_is_none(forge: Forge, catalog: Catalog, change: Callable[[str], str | bytes]) -> None:
    text = json.dumps(forge.manifest)
    changed = change(text)
    assert changed != text
    path = forge.folder / "manifest.json"
    path.write_bytes(changed.encode() if isinstance(changed, str) else changed)
    refused(catalog, forge.folder)


def test_a_manifest_from_the_future_says_which_version_reads_it(forge: Forge, catalog: Catalog) -> None:
    forge.manifest |= {"format": 2, "version": f"7.1{ESCAPE}", "unheard": {"of": 1}}
    with pytest.raises(SnapshotError, match="format 2, and this lrm reads up to 1") as error:
        snapshot_forge.pulled(catalog, forge.save())
    assert "7.1" in (error.value.hint or "")
    assert ESCAPE not in (error.value.hint or "")


def test_a_manifest_that_is_too_large_is_not_read(forge: Forge, catalog: Catalog) -> None:
    with (forge.folder / "manifest.json").open("r+b") as file:
        file.truncate(100 * 2**20)
    assert "at most" in refused(catalog, forge.folder)


def test_format_1_is_read_for_ever(tmp_path: Path) -> None:
    mine = Catalog(tmp_path / "catalog.duckdb")
    found = snapshot_forge.pulled(mine, GOLDEN)
    assert (found.loaded.generations, found.loaded.verdicts, found.loaded.annotations) == (8, 16, 8)
    assert found.specs == ("spec",)


# --- what is written by other means -----------------------------------------------------------------------------------


def table_of(forge: Forge, name: str) -> pa.Table:
    return pa.Table.from_pylist(forge.rows(name), schema=arrow_schema(BY_NAME[name]))


def recast(name: str, column: str, kind: pa.DataType) -> Change:
    def change(forge: Forge) -> None:
        made = table_of(forge, name)
        place = made.column_names.index(column)
        forge.put(
            name, made.set_column(place, column, made[column].cast(kind, safe=False)), unpacked=shard_size(forge, name)
        )

    return change


def shard_size(forge: Forge, name: str) -> int:
    size: int = next(one["unpacked"] for one in forge.manifest["files"] if one["table"] == name)
    return size


def invalid(forge: Forge) -> None:
    made = table_of(forge, "messages")
    wrong = pa.array([b'[{"content":"\xff\xed\xa0\x80","role":"user"}]'] * made.num_rows, pa.binary())
    text = pa.Array.from_buffers(pa.string(), made.num_rows, wrong.buffers())
    forge.put("messages", made.set_column(1, "messages", text))


WRITTEN: dict[str, Change] = {
    "bytes for texts": recast("messages", "messages", pa.binary()),
    "numbers for texts": lambda forge: forge.put(
        "messages", table_of(forge, "messages").set_column(1, "messages", pa.array([1] * 4)), unpacked=9
    ),
    "64 bits for 32": recast("calls", "number", pa.int64()),
    "32 bits for 64": recast("generations", "cost", pa.float32()),
    "times in seconds": recast("generations", "received_at", pa.timestamp("ms")),
    "times of a zone": recast("generations", "received_at", pa.timestamp("us", "UTC")),
    "a column less": lambda forge: forge.put(
        "messages", table_of(forge, "messages").drop_columns(["withheld"]), unpacked=9
    ),
    "a column more": lambda forge: forge.put(
        "messages", table_of(forge, "messages").append_column("more", pa.array(["x"] * 4)), unpacked=9
    ),
    "a column by another name": lambda forge: forge.put(
        "messages", table_of(forge, "messages").rename_columns(["id", "message", "withheld"]), unpacked=9
    ),
    "columns in another order": lambda forge: forge.put(
        "messages", table_of(forge, "messages").select(["messages", "id", "withheld"]), unpacked=9
    ),
    "texts by dictionary": lambda forge: forge.put(
        "messages", table_of(forge, "messages"), use_dictionary=["messages"]
    ),
    "no UTF-8": invalid,
    "a shard of another table": lambda forge: forge.put("messages", table_of(forge, "calls")),
    "no Parquet": lambda forge: forge.put_file("messages", b"no Parquet at all" * 9, 4, 100),
    "a footer as long as the file": lambda forge: forge.put_file("messages", b"PAR1" + b"\xff\xff\xff\x7fPAR1", 4, 100),
    "encrypted": lambda forge: forge.put_file("messages", b"PARE" + bytes(64) + b"\x20\0\0\0PARE", 4, 100),
    "an empty footer": lambda forge: forge.put_file("messages", b"PAR1" + bytes(4) + b"PAR1", 4, 100),
    "more bytes than said": lambda forge: forge.put("messages", table_of(forge, "messages"), unpacked=10),
}


@pytest.mark.parametrize("change", WRITTEN.values(), ids=WRITTEN)
def test_shards_that_lrm_would_not_write(forge: Forge, catalog: Catalog, change: Change) -> None:
    change(forge)
    refused(catalog, forge.save())


def test_bytes_that_are_changed_at_random_are_refused_or_do_nothing(good: Path, tmp_path: Path) -> None:
    # A shard is flipped with its hash made right, so that readers of Parquet meet it; the manifest is flipped as it is.
    draws = random.Random(11)
    refusals = harmless = 0
    smallest = ("imports", "pursuits", "chosen_judges", "renderings", "raw", "prompt_sets", "prompts", "slices")
    for number in range(24):
        forge = Forge(good, tmp_path / str(number))
        if number % 4 == 3:
            body = bytearray((good / "manifest.json").read_bytes())
        else:
            table = smallest[number % len(smallest)]
            one = next(one for one in forge.manifest["files"] if one["table"] == table)
            body = bytearray((good / one["path"]).read_bytes())
        for _ in range(draws.choice((1, 1, 4, 40))):
            body[draws.randrange(len(body))] ^= 1 << draws.randrange(8)
        if number % 4 == 3:
            (forge.folder / "manifest.json").write_bytes(body)
        else:
            forge.put_file(table, bytes(body), one["rows"], one["unpacked"])
            forge.save()
        try:
            check(open_folder(forge.folder))
            harmless += 1
        except SnapshotError:
            refusals += 1
        shutil.rmtree(forge.folder)
    assert refusals + harmless == 24
    assert refusals > 15
