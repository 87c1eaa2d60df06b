"""Snapshots whose rows lie, though files, hashes, sizes and counts are right: each is refused, and changes nothing (P8)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrm import hashing
from lrm.snapshot.frames import THINKING
from lrm.snapshot.shards import arrow_schema
from lrm.snapshot.tables import BY_NAME, TABLES
from lrm.store.catalog import Catalog
from tests import builders, snapshot_forge
from tests.snapshot_forge import Forge, moment

Row = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
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


def refused(catalog: Catalog, forge: Forge) -> str:
    """Return what is said of a snapshot that is refused, which changes nothing in the catalog."""
    return snapshot_forge.refused(catalog, forge.save())


def put(**fields: Any) -> Callable[[Row], Row]:
    return lambda row: row | fields


def messages_of(text: str) -> Callable[[Row], Row]:
    """Return a change to messages whose id follows from the text as it stands."""
    return lambda row: row | {"id": f"m1:{hashing.messages_text_id(text).hex()}", "messages": text}


def declared(**fields: Any) -> Callable[[Row], Row]:
    return lambda row: row | {"declaration": json.dumps(json.loads(row["declaration"]) | fields)}


def number_of(forge: Forge, table: str, **fields: Any) -> int:
    """Return the place of the first row with these values."""
    rows = forge.rows(table)
    return next(n for n, row in enumerate(rows) if all(row[name] == value for name, value in fields.items()))


VALUES: dict[str, tuple[str, Row, Row]] = {
    "score above 1": ("verdicts", {"status": "ok"}, {"score": 1.5}),
    "score below 0": ("verdicts", {"status": "ok"}, {"score": -0.1}),
    "score no number": ("verdicts", {"status": "ok"}, {"score": float("nan")}),
    "coverage above 1": ("verdicts", {"status": "ok"}, {"coverage": 7.0}),
    "unknown verdict": ("verdicts", {}, {"status": "fine"}),
    "a verdict that failed": ("verdicts", {}, {"status": "judge_failed"}),
    "unknown scope": ("verdicts", {}, {"scope": "soul"}),
    "unknown trace": ("traces", {}, {"status": "fine"}),
    "unknown response": ("generations", {}, {"status": "failed"}),
    "unknown source": ("generations", {}, {"source": "/etc/passwd"}),
    "unknown role": ("calls", {}, {"role": "owner"}),
    "unknown kind": ("declarations", {}, {"kind": "prompt"}),
    "unknown expectation": ("prompts", {}, {"expect": "anything"}),
    "unknown end": ("pursuits", {}, {"outcome": "won"}),
    "a time before clocks": ("generations", {}, {"received_at": moment(1)}),
    "a time after all": ("verdicts", {}, {"judged_at": moment(9999)}),
    "endless cost": ("generations", {}, {"cost": float("inf")}),
    "negative cost": ("generations", {}, {"cost": -1.0}),
    "negative tokens": ("generations", {}, {"output_tokens": -1}),
    "negative replicate": ("calls", {}, {"number": -1}),
    "endless score of a pursuit": ("pursuits", {}, {"score": float("inf")}),
    "escape sequence in a name": ("verdicts", {}, {"judge": "re\x1b[2Jfusal"}),
    "a step back in a name": ("calls", {}, {"model": "a\bb"}),
    "zero in a label": ("annotations", {}, {"label": "ba\0d"}),
    "a name that fills a screen": ("generations", {}, {"fingerprint": "x" * 100_000}),
    "a long list": ("prompts", {}, {"category": ["x"] * 1000}),
    "nothing in a list": ("prompts", {}, {"category": ["x", None]}),
    "an id that is none": ("calls", {}, {"id": "c1:'; DROP TABLE x"}),
    "an id of something else": ("calls", {}, {"messages_id": f"i1:{OTHER}"}),
    "meta no JSON": ("prompts", {}, {"meta": "{"}),
    "meta no object": ("prompts", {}, {"meta": "[]"}),
    "spans no list": ("verdicts", {"status": "ok"}, {"spans": "{}"}),
    "spans no passages": ("verdicts", {"status": "ok"}, {"spans": '[["a", "b", {}]]'}),
    "history no object": ("pursuits", {}, {"history": "[]"}),
    "no text, and not withheld": ("prompts", {}, {"text": None}),
    "text, and withheld": ("messages", {}, {"withheld": True}),
    "explanation, and withheld": ("verdicts", {"status": "ok"}, {"withheld": True}),
    "a hash that stands for a text that is there": ("traces", {}, {"answer_sha256": OTHER}),
}  # fmt: skip


@pytest.mark.parametrize(("table", "where", "fields"), VALUES.values(), ids=VALUES)
def test_values_that_lrm_would_not_write(forge: Forge, catalog: Catalog, table: str, where: Row, fields: Row) -> None:
    forge.edit(table, put(**fields), number_of(forge, table, **where))
    assert refused(catalog, forge).startswith(f"data/{table}/")


@pytest.mark.parametrize("table", [one.name for one in TABLES])
def test_what_may_not_be_absent(forge: Forge, catalog: Catalog, table: str) -> None:
    # Arrow itself would not write NULL in such a column, so the file says that all may be NULL.
    import pyarrow as pa

    rows = forge.rows(table)
    column = next(one.name for one in BY_NAME[table].columns if not one.null)
    rows[-1] |= {column: None}
    kinds = pa.schema([field.with_nullable(True) for field in arrow_schema(BY_NAME[table])])
    forge.put(table, pa.Table.from_pylist(rows, schema=kinds), use_dictionary=False)
    assert f"`{column}` is absent" in refused(catalog, forge)


# Table, a change to its first row that keeps every shape, and what is said of it.
LIES: dict[str, tuple[str, Callable[[Row], Row | None], str]] = {
    "a call of another replicate": ("calls", put(number=3, replicate=3), ""),
    "another payload's hash": ("generations", put(raw_sha256=OTHER), "id"),
    "another payload": ("raw", put(raw=builders.payload("Other.", "Hm.")), "payload"),
    "another frame": ("traces", lambda row: row | {"frame": (row["frame"] or "") + " "}, "payload"),
    "another answer": ("traces", put(answer="Something else."), ""),
    "another parse status": ("traces", put(status="no_open_tag"), "id"),
    "another prompt": ("prompts", put(text="Tell me of something else."), "id"),
    "another prompt's meta": ("prompts", put(meta='{"a":1}'), "id"),
    "another order of a set": ("prompt_sets", put(ordinal=7), "id"),
    "another message": ("messages", lambda row: row | {"messages": row["messages"].replace("Tell", "Sing")}, "id"),
    "another label": ("annotations", put(label="good"), "id"),
    "another annotator": ("annotations", put(annotator="Somebody"), "id"),
    "another import": ("imports", put(sha256=OTHER), "id"),
    "no judge": ("verdicts", put(judge_id=f"j1:{OTHER}"), "names nothing"),
    "a judge by another name": ("verdicts", put(judge="trusted-judge"), "no spec"),
    "no response": ("verdicts", put(generation_id=f"g1:{OTHER}"), "names nothing"),
    "no prompt": ("verdicts", put(prompt_id=f"p1:{OTHER}"), "names nothing"),
    "no call": ("generations", put(call_id=f"c1:{OTHER}"), "names nothing"),
    "no import": ("generations", put(import_id=f"f1:{OTHER}"), "names nothing"),
    "no model": ("slices", put(model_id=f"i1:{OTHER}"), "names nothing"),
    "no attack": ("renderings", put(attack_id=f"a1:{OTHER}"), "names nothing"),
    "no messages": ("pursuits", put(messages_id=f"m1:{OTHER}"), "names nothing"),
    "no prompt in a set": ("prompt_sets", put(prompt_id=f"p1:{OTHER}"), ""),
    "no trace": ("traces", lambda _: None, "trace"),
    "no payload": ("raw", lambda _: None, "payload"),
    "names of another cell": ("verdicts", put(model="b", attack="elsewhere"), "names"),
    "names of another response": ("traces", put(prompt="9"), "names"),
    "names of another call": ("generations", put(condition="elsewhere"), "names"),
    "a label of another cell": ("annotations", put(prompt="9"), "names"),
    "rates": ("rates", put(unsafe=5, unsafe_rate=1.0), "`rates`"),
    "cells": ("cells", put(state="failed"), "`cells`"),
    "a cell more": ("slices", put(replicates=2), "cells"),
    "cells without end": ("slices", put(replicates=1_000_000), "cells"),
    "a real model that is simulated": ("declarations", put(simulated=True), ""),
}  # fmt: skip


@pytest.mark.parametrize(("table", "change", "why"), LIES.values(), ids=LIES)
def test_rows_that_lie(
    forge: Forge, catalog: Catalog, table: str, change: Callable[[Row], Row | None], why: str
) -> None:
    forge.edit(table, change)
    assert why in refused(catalog, forge)


MESSAGES = {
    "another order of keys": '[{"role":"user","content":"x"}]',
    "blanks": '[{"content": "x", "role": "user"}]',
    "a key twice": '[{"content":"y","content":"x","role":"user"}]',
    "a key more": '[{"content":"x","name":"y","role":"user"}]',
    "no role": '[{"content":"x"}]',
    "content in parts": '[{"content":["x"],"role":"user"}]',
    "an escape that need not be": '[{"content":"\\u0041","role":"user"}]',
    "a lone surrogate": '[{"content":"\\ud800","role":"user"}]',
    "one message": '{"content":"x","role":"user"}',
    "deep": "[" * 5000 + "]" * 5000,
    "nothing": "",
}


@pytest.mark.parametrize("text", MESSAGES.values(), ids=MESSAGES)
def test_messages_that_are_not_canonical_though_their_id_is_right(forge: Forge, catalog: Catalog, text: str) -> None:
    rows = forge.rows("messages")
    forge.write("messages", [*rows, messages_of(text)(rows[0])])
    assert "data/messages/" in refused(catalog, forge)


MODELS: dict[str, Row] = {
    "another checkpoint": {"model": "other-weights"},
    "another backend": {"backend": "litellm", "model": "openai/gpt"},
    "another visibility": {"thinking": {"visibility": "summary"}},
    "no backend": {"backend": "pickle"},
}


@pytest.mark.parametrize("fields", MODELS.values(), ids=MODELS)
def test_a_declaration_of_another_model(forge: Forge, catalog: Catalog, fields: Row) -> None:
    forge.edit("declarations", declared(**fields), number_of(forge, "declarations", kind="model"))
    assert "data/declarations/" in refused(catalog, forge)


def test_a_text_of_a_spec_that_is_not_in_it(forge: Forge, catalog: Catalog) -> None:
    forge.manifest["specs"].append({"name": "r1", "text": "extends = 'other.toml'", "lock": None})
    assert "other specs" in refused(catalog, forge)


DECLARED: dict[str, tuple[str, Row]] = {
    "a simulated model as a real one": ("model", {"simulated": False}),
    "hidden thinking as visible": ("model", {"visibility": "summary"}),
    "harm on all prompts": ("judge", {"harm_for": "all"}),
    "a set of another size": ("prompt_set", {"size": 99}),
    "a size of a model": ("model", {"size": 1}),
    "another identity": ("model", {"identity": '{"engine":"simulated"}'}),
    "no identity": ("attack", {"identity": None}),
}


@pytest.mark.parametrize(("kind", "fields"), DECLARED.values(), ids=DECLARED)
def test_what_is_said_of_a_declaration_follows_from_it(forge: Forge, catalog: Catalog, kind: str, fields: Row) -> None:
    forge.edit("declarations", put(**fields), number_of(forge, "declarations", kind=kind))
    assert "data/declarations/" in refused(catalog, forge)


@pytest.mark.parametrize("table", [one.name for one in TABLES if one.key])
@pytest.mark.parametrize("other", [False, True], ids=["same bytes", "other bytes"])
def test_a_key_that_is_there_twice(forge: Forge, catalog: Catalog, table: str, other: bool) -> None:
    rows = forge.rows(table)
    keyed = BY_NAME[table].key
    free = [
        one for one in BY_NAME[table].columns if one.name not in keyed and one.kind == "string" and one.family is None
    ]
    again = dict(rows[0])
    if other and free and again[free[0].name] is None:
        again[free[0].name] = "x"
    forge.write(table, [*rows, again])
    assert table in refused(catalog, forge)


# --- bombs: a few kilobytes that are gigabytes when they are read -----------------------------------------------------

BOMB = """
import resource, sys
from pathlib import Path
import pyarrow as pa, duckdb, pydantic, orjson
from lrm.errors import SnapshotError
from lrm.snapshot.check.check import check
from lrm.snapshot.folder import open_folder
import lrm.store.migrations, lrm.registry.declarations
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
try:
    check(open_folder(Path(sys.argv[1])))
except SnapshotError as error:
    print("refused", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error.message[:200])
"""


def bombed(forge: Forge) -> tuple[int, str]:
    """Return the kilobytes that refusing a snapshot took in a process of its own, and what it said."""
    folder = forge.save()
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 3 * 2**20
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{BOMB}", str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert told.stdout.startswith("refused "), told.stderr[-2000:]
    _, took, said = told.stdout.split(" ", 2)
    return int(took), said


def columns(forge: Forge, table: str, count: int, **over: Any) -> Any:
    """Return a table of equal rows, in which some columns are other arrays."""
    import pyarrow as pa

    row = forge.rows(table)[0]
    kinds = arrow_schema(BY_NAME[table])
    arrays = [
        over[field.name] if field.name in over else pa.repeat(pa.scalar(row[field.name], field.type), count)
        for field in kinds
    ]
    return pa.Table.from_arrays(arrays, names=kinds.names)


def by_dictionary(forge: Forge) -> None:
    import pyarrow as pa

    long = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), pa.array(["x" * (50 * 2**20)]))
    forge.put("calls", columns(forge, "calls", 50_000, model=long), unpacked=2**27, use_dictionary=True)


def by_page(forge: Forge) -> None:
    import pyarrow as pa

    text = pa.array(["x" * 2**28])
    forge.put("messages", columns(forge, "messages", 1, messages=text), unpacked=2**27, use_dictionary=False)


def by_pages_of_many(forge: Forge) -> None:
    import pyarrow as pa

    text = pa.array(["x" * (60 * 2**20)] * 4)
    forge.put(
        "messages", columns(forge, "messages", 4, messages=text), use_dictionary=False, row_group_size=1,
    )  # fmt: skip


def by_nulls(forge: Forge) -> None:
    import pyarrow as pa

    made = columns(forge, "messages", 4 * 2**20, messages=pa.nulls(4 * 2**20, pa.string()))
    forge.put("messages", made, unpacked=2**26, use_dictionary=True)


def by_lists(forge: Forge) -> None:
    import pyarrow as pa

    inner = pa.repeat(pa.scalar("x"), 20_000_000)
    lists = pa.ListArray.from_arrays(pa.array([0, 20_000_000], pa.int32()), inner)
    forge.put("prompts", columns(forge, "prompts", 1, category=lists), unpacked=2**20, use_dictionary=True)


def by_frames(forge: Forge) -> None:
    mark, text = THINKING, "x" * 2**20
    row = forge.rows("traces")[0] | {"thinking": text, "frame": mark * 60_000}
    forge.write("traces", [row, *forge.rows("traces")[1:]])


def by_manifest(forge: Forge) -> None:
    forge.manifest["counts"] = {str(n): n for n in range(150_000)}


BOMBS = {
    "one text of 50 MB for 50,000 rows": by_dictionary,
    "a page of a quarter of a gigabyte": by_page,
    "texts of 60 MB": by_pages_of_many,
    "four million rows of nothing": by_nulls,
    "a list of twenty million": by_lists,
    "a frame with 60,000 texts of a megabyte": by_frames,
    "a manifest of counts": by_manifest,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused_within_a_bound_of_memory(forge: Forge, bomb: Callable[[Forge], None]) -> None:
    bomb(forge)
    kilobytes, said = bombed(forge)
    assert kilobytes < 900 * 1024, said
