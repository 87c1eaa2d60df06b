"""What an export holds, byte for byte, and what it never holds."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrm.errors import MissingError, SnapshotError
from lrm.snapshot.check.check import check
from lrm.snapshot.choice import Choice, choice_of
from lrm.snapshot.folder import open_folder
from lrm.snapshot.public import public, public_spec
from lrm.snapshot.shards import Cuts, arrow_schema, write_table
from lrm.snapshot.tables import BY_NAME, TABLES
from lrm.store.catalog import Catalog
from tests import builders, snapshot_forge
from tests.snapshot_forge import digest, exported

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ("prompts", "responses", "judgements")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog that has a row for each table of a snapshot."""
    return snapshot_forge.full(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def out(catalog: Catalog) -> Path:
    return exported(catalog, catalog.path.parent / "out").folder


def rows(folder: Path, table: str, what: str = "*") -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        query = f"SELECT {what} FROM '{folder}/data/{table}/*.parquet' ORDER BY ALL"
        return connection.execute(query).fetchall()


def shown(tag: str, column: str) -> str:
    return f"'{tag}:' || lower(hex({column}))"


HELD = {
    "calls": ("id, number", f"SELECT {shown('c1', 'id')}, replicate FROM lrm.calls ORDER BY ALL"),
    "messages": ("id, messages", f"SELECT {shown('m1', 'id')}, messages FROM lrm.messages ORDER BY ALL"),
    "prompts": (
        "id, prompt, text, turns, category, meta",
        f"SELECT {shown('p1', 'id')}, key, text, turns, category, meta FROM lrm.prompts ORDER BY ALL",
    ),
    "generations": (
        "id, call_id, status, input_tokens, output_tokens, received_at, latency_ms, attempts, source",
        f"SELECT {shown('g1', 'g.id')}, {shown('c1', 'c.id')}, status, input_tokens, output_tokens, received_at, latency_ms, "
        "attempts, source FROM lrm.generations g JOIN lrm.calls c ON c.n = g.call_n ORDER BY ALL",
    ),
    "traces": (
        "id, status, visibility, thinking, answer",
        f"SELECT {shown('t1', 'id')}, status, visibility, thinking, answer FROM lrm.traces ORDER BY ALL",
    ),
    "verdicts": (
        "scope, status, label, unsafe, score, explanation, spans, judged_at, rank",
        "SELECT scope, status, label, unsafe, score, explanation, spans, judged_at, 0 FROM lrm.verdicts v "
        "JOIN lrm.judge_scopes s ON s.n = v.judge_scope_n ORDER BY ALL",
    ),
    "slices": (
        "model, prompt_set, attack, condition, first_replicate, replicates",
        "SELECT model, prompt_set, attack, condition, first_replicate, replicates FROM lrm.slices ORDER BY ALL",
    ),
    "pursuits": ("outcome, score, history, ended_at", "SELECT outcome, score, history, ended_at FROM lrm.pursuits ORDER BY ALL"),
    "annotations": (
        "scope, rubric, label, score, unsafe, note, spans, made_at",
        "SELECT scope, rubric, label, score, unsafe, note, spans, made_at FROM lrm.annotations ORDER BY ALL",
    ),
    "imports": ("name, rows, labels, imported_at", "SELECT name, rows, labels, imported_at FROM lrm.imports ORDER BY ALL"),
    "cells": (
        "model, prompt_set, prompt, attack, condition, replicate, state, parse_status, visibility, simulated, generation_id",
        "SELECT model, prompt_set, prompt, attack, condition, replicate, state, parse_status, visibility, simulated, "
        "generation FROM cells ORDER BY ALL",
    ),
    "rates": ("* EXCLUDE (mean_harm)", "SELECT * EXCLUDE (mean_harm) FROM rates ORDER BY ALL"),
}  # fmt: skip


@pytest.mark.parametrize("table", HELD)
def test_a_table_is_what_the_catalog_holds(catalog: Catalog, out: Path, table: str) -> None:
    what, query = HELD[table]
    held = builders.rows(catalog, query)
    assert held
    assert rows(out, table, what) == held


def test_each_table_has_rows_in_its_order_and_types(out: Path) -> None:
    with duckdb.connect() as connection:
        for table in TABLES:
            query = f"SELECT * FROM '{out}/data/{table.name}/*.parquet'"
            order = ", ".join(f'"{name}" NULLS FIRST' for name in table.order)
            found = connection.sql(query).to_arrow_table()
            assert found.num_rows
            assert found.schema.names == list(table.names)
            assert found.equals(connection.sql(f"{query} ORDER BY {order}").to_arrow_table()), table.name


# --- the same bytes ---------------------------------------------------------------------------------------------------


def test_twice_is_the_same_and_a_pulled_snapshot_is_exported_as_it_came(
    catalog: Catalog, out: Path, tmp_path: Path
) -> None:
    again = exported(catalog, tmp_path / "again").folder
    other = Catalog(tmp_path / "other.duckdb")
    snapshot_forge.pulled(other, out)
    assert digest(out) == digest(again) == digest(exported(other, tmp_path / "pulled").folder)


def test_rows_in_another_order_and_of_other_numbers_give_the_same(catalog: Catalog, out: Path, tmp_path: Path) -> None:
    other = Catalog(tmp_path / "other.duckdb")
    other.path.write_bytes(catalog.path.read_bytes())
    shuffled = (
        "messages",
        "renderings",
        "calls",
        "generations",
        "traces",
        "verdicts",
        "annotations",
        "pursuits",
        "slices",
    )
    with other.writing() as connection:
        for table in shuffled:
            connection.execute(f"CREATE TEMP TABLE held AS FROM lrm.{table}")
            connection.execute(f"DELETE FROM lrm.{table}")
            connection.execute(f"INSERT INTO lrm.{table} FROM held ORDER BY hash({9})+rowid % 7 DESC, rowid DESC")
            connection.execute("DROP TABLE held")
        connection.execute("UPDATE lrm.generations SET n = 1000 - n, call_n = 500 - call_n")
        connection.execute(
            "UPDATE lrm.calls SET n = 500 - n, generation_n = 1000 - generation_n, messages_n = 90 - messages_n"
        )
        connection.execute("UPDATE lrm.messages SET n = 90 - n")
        connection.execute("UPDATE lrm.renderings SET messages_n = 90 - messages_n")
        for table in ("traces", "verdicts", "annotations"):
            connection.execute(f"UPDATE lrm.{table} SET generation_n = 1000 - generation_n")
    assert digest(exported(other, tmp_path / "out").folder) == digest(out)


def test_another_zone_locale_umask_and_place_give_the_same(catalog: Catalog, out: Path, tmp_path: Path) -> None:
    program = (
        f"import sys, os; sys.path.insert(0, {str(ROOT)!r}); os.umask(0o077)\nfrom pathlib import Path\n"
        "from tests import snapshot_forge\nfrom lrm.store.catalog import Catalog\n"
        f"snapshot_forge.exported(Catalog(Path({str(catalog.path)!r})), Path('made [1]/é'))"
    )
    env = {**os.environ, "TZ": "Asia/Kathmandu", "LC_ALL": "C", "LANG": "C", "PYTHONHASHSEED": "7", "COLUMNS": "40"}
    subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, env=env, check=True)
    assert digest(tmp_path / "made [1]" / "é") == digest(out)


def test_only_takes_the_part_that_is_chosen(catalog: Catalog, out: Path, tmp_path: Path) -> None:
    part = exported(catalog, tmp_path / "part", choice=choice_of(only=["model=a", "attack=none"])).folder
    assert {(row[0], row[1]) for row in rows(part, "cells", "model, attack")} == {("a", "none")}
    everything = set(rows(out, "verdicts"))
    assert set(rows(part, "verdicts")) == {row for row in everything if (row[0], row[3]) == ("a", "none")}
    assert not (part / "data" / "pursuits").exists()
    with pytest.raises(MissingError, match="no model matches"):
        exported(catalog, tmp_path / "nothing", choice=choice_of(only=["model=z*"]))
    assert not (tmp_path / "nothing").exists()


def test_a_folder_with_something_else_is_left_alone(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(SnapshotError, match="something else"):
        exported(catalog, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


# --- shards -----------------------------------------------------------------------------------------------------------

CUTS = Cuts(least=20_000, most=60_000, apart=4_000)
MESSAGES, CALLS = BY_NAME["messages"], BY_NAME["calls"]


def texts(count: int) -> pa.Table:
    """Return rows of `messages` whose ids end as often in `000` as those of a large table do."""
    draws = random.Random(5)
    told = [
        {"id": f"m1:{n:060x}{'0000' if draws.random() < 0.02 else 'abcd'}", "messages": "x" * draws.randrange(400), "withheld": False}
        for n in range(count)
    ]  # fmt: skip
    return pa.Table.from_pylist(told, schema=arrow_schema(MESSAGES))


TEXTS = texts(1500)


def cut(folder: Path, made: pa.Table, splits: list[int], table: Any = MESSAGES) -> list[str]:
    """Return the shards of rows that come in batches, which end where it is said."""
    places = [0, *sorted({place % made.num_rows for place in splits}), made.num_rows]
    batches = [
        batch for start, end in itertools.pairwise(places) for batch in made.slice(start, end - start).to_batches()
    ]
    return [one.path for one in write_table(batches, table, folder, cuts=CUTS)]


@given(st.lists(st.integers(0, 1499), max_size=40))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_how_rows_come_makes_no_difference(tmp_path: Path, splits: list[int]) -> None:
    whole = cut(tmp_path / "whole", TEXTS, [])
    assert len(whole) > 5
    assert cut(tmp_path / "split", TEXTS, splits) == whole


@pytest.mark.parametrize("place", [0, 3, 700, 1499])
def test_a_row_more_changes_one_or_two_shards(tmp_path: Path, place: int) -> None:
    row = {"id": f"m1:{'7' * 64}", "messages": "one more", "withheld": False}
    told = TEXTS.to_pylist()
    more = pa.Table.from_pylist([*told[:place], row, *told[place:]], schema=arrow_schema(MESSAGES))
    before, after = set(cut(tmp_path, TEXTS, [])), set(cut(tmp_path, more, []))
    assert 1 <= len(after - before) <= 2
    assert len(before & after) >= len(before) - 2


def test_a_model_more_adds_shards_and_changes_none(tmp_path: Path) -> None:
    def calls(*models: str) -> pa.Table:
        told = [
            {"model": model, "role": "subject", "id": f"c1:{model}{n:060x}abc", "model_id": "i1:x", "messages_id": "m1:y", "number": n}
            for model in models for n in range(60)
        ]  # fmt: skip
        return pa.Table.from_pylist(told, schema=arrow_schema(CALLS))

    before = set(cut(tmp_path, calls("a", "c", "d"), [], CALLS))
    after = set(cut(tmp_path, calls("a", "b", "c", "d"), [], CALLS))
    assert len(before) == 3
    assert before < after
    assert len(after) == 4


# --- what leaves the house --------------------------------------------------------------------------------------------

PLANTED = {
    "prompts": ("teapot", "kettle"),
    "responses": ("bread is baked", "Let me think of", "decline."),
    "judgements": ("a note on",),
}


def everything_in(folder: Path) -> bytes:
    """Return all bytes of a folder: as they are, and every column as it is read."""
    found = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    for path in folder.rglob("*.parquet"):
        file = pq.ParquetFile(path)
        found += [str(file.metadata.to_dict()).encode(), str(file.schema_arrow.metadata).encode()]
        found.append(json.dumps(file.read().to_pylist(), default=str, ensure_ascii=False).encode())
    return b"\n".join(found)


@pytest.mark.parametrize("how", ["hashed", "none"])
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_of_a_withheld_text_is_in_any_file(
    catalog: Catalog, out: Path, tmp_path: Path, family: str, how: str
) -> None:
    folder = exported(catalog, tmp_path / "out", choice=choice_of(texts=[f"{family}={how}"])).folder
    whole, held = everything_in(out), everything_in(folder)
    for word in PLANTED[family]:
        assert word.encode() in whole
        assert word.encode() not in held, word
    column, table = {
        "prompts": ("text_sha256", "prompts"), "responses": ("raw_sha256", "generations"), "judgements": ("NULL", "verdicts"),
    }[family]  # fmt: skip
    hashes = {row[0] for row in rows(folder, table, column)}
    assert (None not in hashes) == (how == "hashed" and family != "judgements")
    # Withheld or not, the snapshot is sound and says the same of cells and rates.
    check(open_folder(folder))
    assert rows(folder, "rates") == rows(out, "rates")


def test_a_set_that_may_not_be_shared_is_withheld_unless_allowed(tmp_path: Path) -> None:
    spec = builders.matrix(
        [builders.model()],
        [
            builders.prompt_set("gated", {"1": "Tell me of the gated teapot."}, licence="CC0-1.0", gated="ask for it"),
            builders.prompt_set("open", {"1": "Tell me of the open kettle."}, licence="CC0-1.0"),
        ],
        judges=[builders.judge()],
    )
    mine = snapshot_forge.fill(tmp_path / "catalog.duckdb", spec)
    kept = everything_in(exported(mine, tmp_path / "kept").folder)
    assert b"open kettle" in kept
    assert b"gated teapot" not in kept
    allowed = exported(mine, tmp_path / "allowed", choice=Choice(allow=frozenset({"gat*"})))
    assert b"gated teapot" in everything_in(allowed.folder)
    withheld = {one.name: one.withheld for one in exported(mine, tmp_path / "again").finished.manifest.sets}
    assert withheld["gated"]
    assert withheld["open"] is None


def test_people_have_pseudonyms_and_published_labels_their_names(catalog: Catalog, out: Path, tmp_path: Path) -> None:
    assert b"Ann Smith" not in everything_in(out)
    names = {row[0] for row in rows(out, "annotations", "annotator")}
    assert len(names) == 2
    assert "published-annotator" in names
    named = exported(catalog, tmp_path / "named", choice=choice_of(named=True))
    assert ("Ann Smith",) in rows(named.folder, "annotations", "annotator")
    imported = rows(out, "annotations", "annotator, import_id IS NOT NULL")
    assert {bool(told) for name, told in imported if name == "published-annotator"} == {True}


def test_failures_and_judges_that_failed_stay_here(tmp_path: Path) -> None:
    mine = snapshot_forge.fill(tmp_path / "catalog.duckdb", snapshot_forge.matrix("m"))
    with mine.writing() as connection:
        connection.execute(
            "INSERT INTO lrm.failures SELECT n, 'server', 'planted-failure', 3, TIMESTAMP '2026-01-01', 'planted-run' FROM lrm.calls"
        )
        connection.execute(
            "UPDATE lrm.verdicts SET status = 'judge_failed', explanation = 'planted-reason' WHERE judge_scope_n = 1"
        )
    folder = exported(mine, tmp_path / "out").folder
    held = everything_in(folder)
    assert all(word not in held for word in (b"planted-failure", b"planted-run", b"planted-reason"))
    assert {row[0] for row in rows(folder, "verdicts", "status")} <= {"ok", "no_text"}


def test_secrets_places_and_names_of_this_machine_are_nowhere(tmp_path: Path) -> None:
    secret, env = "sk-planted0123456789abcdef", "PLANTED_KEY_VARIABLE"
    spec_file = tmp_path / "planted-folder" / "spec.toml"
    spec_file.parent.mkdir()
    spec_file.write_text(
        f'# {secret}\nextends = "/planted/place/base.toml"\n[models.m]\nendpoint = "http://planted-user:pw@planted-host:8000/v1"\n'
        f'api_key_env = "{env}"\n"endpoint" = \'http://planted-host\'\n', encoding="utf-8",
    )  # fmt: skip
    model = builders.http_model(
        "http://planted-user:pw@planted-host:8000/v1", api_key_env=env, price={"input": 1, "output": 1}
    )
    spec = builders.matrix([model], [builders.prompt_set(licence="CC0-1.0")], judges=[builders.judge()], file=spec_file)
    mine = Catalog(tmp_path / "catalog.duckdb")
    builders.answer(mine, spec, run="planted-run")
    held = everything_in(exported(mine, tmp_path / "out").folder)
    for word in (secret, env, "planted", os.uname().nodename, str(tmp_path), '"price"'):
        assert word.encode() not in held, word
    check(open_folder(tmp_path / "out"))


def test_a_spec_loses_what_is_this_machines_and_keeps_the_rest() -> None:
    text = (
        'switch = "/no_think"\nurl = "https://example.org/a/b"\nfile = "C:\\\\data\\\\x.csv"\nmore = "../beside/y.csv"\n'
        'a.endpoint = """http://h\n"""\nother_endpoint_count = "3"\n'
    )
    told = public_spec(text)
    assert told == (
        'switch = "/no_think"\nurl = "https://example.org/a/b"\nfile = "x.csv"\nmore = "../beside/y.csv"\n'
        'a.endpoint = "http://endpoint.invalid/v1"\nother_endpoint_count = "3"\n'
    )


def test_a_declaration_keeps_texts_that_begin_as_paths_do() -> None:
    # What is part of an id stays as it is, or nobody could derive the id.
    model = {"model": "/served/name", "thinking": {"switch": "/no_think"}, "extra_body": {"stop": ["/end"]}}
    assert public("model", model) == model
    assert public("model", {"model": "/weights/of/mine", "pins": {"checkpoint_sha256": "ab"}})["model"] == "mine"
    attack = {"steps": [{"transform": "template", "text": "/say {prompt}"}], "artifact": {"file": "/mine/rows.json"}}
    assert public("attack", attack) == attack | {"artifact": {"file": "rows.json"}}
