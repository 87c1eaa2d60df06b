"""Two snapshots made one: nothing is lost, whichever is named first, and as if one catalog had held both."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from lrm.registry.layers import Registry, packaged
from lrm.run.fill import fill
from lrm.run.progress import Silent
from lrm.snapshot.check.check import check
from lrm.snapshot.choice import choice_of
from lrm.snapshot.export import export
from lrm.snapshot.folder import open_folder
from lrm.snapshot.hub.fetch import fetch
from lrm.snapshot.hub.publish import publish
from lrm.snapshot.hub.repository import remote
from lrm.snapshot.manifest import NAME, read
from lrm.snapshot.merge import Origin, merge
from lrm.snapshot.shards import arrow_schema, write_table
from lrm.snapshot.tables import BY_NAME, TABLES
from lrm.snapshot.union import union
from lrm.spec.resolve import resolve
from lrm.store.catalog import Catalog
from tests import exporting
from tests.hub_server import Account, hub_server

WARMER = exporting.SPEC.replace("temperature = 0.6", "temperature = 0.7")
SHARED = """
SELECT v.generation_n, v.judge_scope_n FROM lrm.verdicts v JOIN lrm.generations g ON g.n = v.generation_n
JOIN lrm.calls c ON c.n = g.call_n JOIN lrm.models m ON m.n = c.model_n
WHERE m.name = 'hidden' AND v.label <> 'partial_refusal' ORDER BY ALL LIMIT 1
"""
LATER = "UPDATE lrm.{table} SET {column} = {column} + INTERVAL 1 DAY"


class Made:
    """Catalogs filled by people who do not know of each other, and their snapshots."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.catalogs: dict[str, tuple[Catalog, Path]] = {}

    def fill(self, name: str, *models: str, spec: str = exporting.SPEC) -> Catalog:
        """Fill what these models are asked in a catalog of its own."""
        home = self.root / name
        home.mkdir()
        file = home / f"{exporting.NAME}.toml"
        file.write_text(spec, encoding="utf-8")
        catalog = Catalog(home / "catalog.duckdb")
        fill(
            resolve(file, Registry([packaged()]), only={"model": list(models)}),
            catalog,
            observer=Silent(),
            doing="a test",
        )
        self.catalogs[name] = catalog, file
        return catalog

    def export(self, name: str, to: str | None = None, *texts: str) -> Path:
        """Export a catalog's spec to a folder and check it."""
        catalog, file = self.catalogs[name]
        folder = self.root / (to or f"{name}-snapshot")
        export(catalog, str(file), folder, choice_of(texts))
        check(open_folder(folder))
        return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    found = Made(tmp_path_factory.mktemp("union"))
    found.fill("ada", "shown", "hidden")
    with found.fill("bob", "hidden", "plain").writing() as connection:
        # Bob's hour was another one, and his judge once said something else of what both have.
        connection.execute(LATER.format(table="generations", column="received_at"))
        connection.execute(LATER.format(table="verdicts", column="judged_at"))
        connection.execute(
            f"UPDATE lrm.verdicts SET label = 'partial_refusal', unsafe = NULL WHERE (generation_n, judge_scope_n) IN ({SHARED})"
        )
    found.fill("cleo", "shown", spec=WARMER)
    for name in found.catalogs:
        found.export(name)
    return found


def of(made: Made, *names: str) -> list[Path]:
    return [made.root / f"{name}-snapshot" for name in names]


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path, query: str) -> list[Any]:
    """Return the rows of a query over a snapshot's tables, each under its name."""
    connection = duckdb.connect()
    try:
        for table in TABLES:
            if (folder / "data" / table.name).is_dir():
                connection.execute(f"CREATE VIEW {table.name} AS FROM '{folder}/data/{table.name}/*.parquet'")
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize(("one", "two"), [("ada", "bob"), ("ada", "cleo"), ("bob", "cleo")])
def test_order_makes_no_difference_and_again_makes_none(made: Made, tmp_path: Path, one: str, two: str) -> None:
    first, second = of(made, one, two)
    union(first, second, tmp_path / "u")
    union(second, first, tmp_path / "v")
    union(tmp_path / "u", second, tmp_path / "w")
    assert files(tmp_path / "u") == files(tmp_path / "v") == files(tmp_path / "w")
    check(open_folder(tmp_path / "u"))


def test_three_people_may_come_in_any_order(made: Made, tmp_path: Path) -> None:
    ada, bob, cleo = of(made, "ada", "bob", "cleo")
    union(ada, bob, tmp_path / "ab")
    union(tmp_path / "ab", cleo, tmp_path / "ab-c")
    union(bob, cleo, tmp_path / "bc")
    union(tmp_path / "bc", ada, tmp_path / "bc-a")
    for table in ("declarations", "prompts", "messages", "calls", "generations", "traces", "verdicts"):
        query = f"FROM {table} ORDER BY ALL"
        assert rows(tmp_path / "ab-c", query) == rows(tmp_path / "bc-a", query), table


def test_one_with_itself_is_itself(made: Made, tmp_path: Path) -> None:
    (ada,) = of(made, "ada")
    union(ada, ada, tmp_path / "u")
    assert files(tmp_path / "u") == files(ada)


@pytest.mark.parametrize(
    ("table", "key"), [("generations", "id"), ("calls", "id"), ("traces", "id"), ("prompts", "id")]
)
def test_nothing_is_lost(made: Made, tmp_path: Path, table: str, key: str) -> None:
    ada, bob = of(made, "ada", "bob")
    union(ada, bob, tmp_path / "u")
    query = f"SELECT {key} FROM {table}"
    both = set(rows(ada, query)) | set(rows(bob, query))
    assert len(both) >= len(rows(ada, query))
    assert sorted(rows(tmp_path / "u", query)) == sorted(both)


def test_what_came_first_counts(made: Made, tmp_path: Path) -> None:
    ada, bob = of(made, "ada", "bob")
    union(bob, ada, tmp_path / "u")
    query = "SELECT id, received_at FROM generations WHERE model = 'hidden' ORDER BY id"
    assert rows(tmp_path / "u", query) == rows(ada, query) != rows(bob, query)


def test_a_judge_that_said_two_things_keeps_both(made: Made, tmp_path: Path) -> None:
    ada, bob = of(made, "ada", "bob")
    union(ada, bob, tmp_path / "u")
    key = "generation_id, judge_id, scope, prompt_id"
    twice = rows(tmp_path / "u", f"SELECT {key} FROM verdicts WHERE rank = 1")
    assert len(twice) == 1
    query = f"SELECT rank, label FROM verdicts WHERE generation_id = '{twice[0][0]}' AND scope = '{twice[0][2]}' ORDER BY rank"
    (first,), (other,) = rows(ada, query), rows(bob, query)
    assert rows(tmp_path / "u", query) == [first, (1, other[1])]
    assert other[1] == "partial_refusal" != first[1]


def test_it_is_what_a_catalog_with_both_exports(made: Made, tmp_path: Path) -> None:
    ada, bob = of(made, "ada", "bob")
    union(ada, bob, tmp_path / "u")
    merged = made.fill(f"merged-{tmp_path.name}", "hidden")
    with merged.writing() as connection:
        connection.execute("UPDATE lrm.generations SET received_at = received_at + INTERVAL 9 DAY")
        connection.execute("UPDATE lrm.verdicts SET judged_at = judged_at + INTERVAL 9 DAY")
    for folder in (ada, bob):
        merge(merged, open_folder(folder), Origin(folder.name))
    catalog, file = made.catalogs[f"merged-{tmp_path.name}"]
    export(catalog, str(file), tmp_path / "x", choice_of())
    for table in TABLES:
        query = f"FROM {table.name} ORDER BY ALL"
        if (tmp_path / "u" / "data" / table.name).is_dir():
            assert rows(tmp_path / "u", query) == rows(tmp_path / "x", query), table.name


@pytest.mark.parametrize(
    "texts", [["responses=hashed"], ["responses=none"], ["judgements=none"], ["prompts=none"], ["none"], ["hashed"]]
)
def test_texts_that_are_there_beat_withheld_ones(made: Made, tmp_path: Path, texts: list[str]) -> None:
    (ada,) = of(made, "ada")
    held = made.export("ada", f"held-{tmp_path.name}", *texts)
    assert rows(held, "SELECT 1 FROM traces WHERE withheld UNION SELECT 1 FROM prompts WHERE withheld "
                      "UNION SELECT 1 FROM verdicts WHERE withheld")  # fmt: skip
    union(held, ada, tmp_path / "u")
    for table in TABLES:
        query = f"FROM {table.name} ORDER BY ALL"
        if (ada / "data" / table.name).is_dir():
            assert rows(tmp_path / "u", query) == rows(ada, query), table.name
    check(open_folder(tmp_path / "u"))


def test_each_may_withhold_something_else(made: Made, tmp_path: Path) -> None:
    (ada,) = of(made, "ada")
    first = made.export("ada", f"one-{tmp_path.name}", "prompts=none", "responses=hashed")
    second = made.export("ada", f"two-{tmp_path.name}", "judgements=none")
    union(first, second, tmp_path / "u")
    check(open_folder(tmp_path / "u"))
    for table in ("prompts", "messages", "traces", "generations"):
        query = f"FROM {table} ORDER BY ALL"
        assert rows(tmp_path / "u", query) == rows(ada, query), table


def test_a_name_that_means_two_things_stays_two(made: Made, tmp_path: Path) -> None:
    ada, cleo = of(made, "ada", "cleo")
    union(ada, cleo, tmp_path / "u")
    named = dict(rows(tmp_path / "u", "SELECT spec, count(*) FROM cells GROUP BY spec"))
    (other,) = named.keys() - {"kinds"}
    assert other.startswith("kinds~")
    assert named == {
        "kinds": rows(cleo, "SELECT count(*) FROM cells")[0][0],
        other: rows(ada, "SELECT count(*) FROM cells")[0][0],
    }
    assert [spec.name for spec in open_folder(tmp_path / "u").manifest.specs] == ["kinds", other]
    query = "SELECT model, attack, judge, scope, cells, judged, unsafe FROM rates WHERE spec = '{}' ORDER BY ALL"
    assert rows(tmp_path / "u", query.format("kinds")) == rows(cleo, query.format("kinds"))
    assert rows(tmp_path / "u", query.format(other)) == rows(ada, query.format("kinds"))


def test_files_that_both_have_are_not_written_again(made: Made, tmp_path: Path) -> None:
    ada, bob = of(made, "ada", "bob")
    union(ada, bob, tmp_path / "u")
    union(tmp_path / "u", ada, tmp_path / "v")
    kept: Callable[[Path], set[int]] = lambda folder: {path.stat().st_ino for path in folder.rglob("data/*/*.parquet")}  # noqa: E731
    for table in ("prompts", "messages", "renderings"):
        assert kept(tmp_path / "v" / "data" / table) <= kept(tmp_path / "u") | kept(ada), table


@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")
def test_two_people_publish_to_one_repository(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bob = of(made, "ada", "bob")
    with hub_server() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_TOKEN", "hf_ada")
        hub.tokens["hf_ada"] = Account("ada", frozenset({"lab"}))

        def put(folder: Path) -> bool:
            def rebase(theirs: Path) -> Path:
                check(open_folder(theirs))
                union(folder, theirs, tmp_path / f"{folder.name}-{theirs.name}")
                return tmp_path / f"{folder.name}-{theirs.name}"

            return publish(folder, "lab/results", rebase=rebase).unchanged

        assert [put(ada), put(bob), put(ada), put(bob)] == [False, False, True, True]
        there = remote("lab/results")
        fetch(there, read(there.manifest, there.repo), tmp_path / "here")
    union(ada, bob, tmp_path / "u")
    assert files(tmp_path / "here") == files(tmp_path / "u")
    check(open_folder(tmp_path / "here"))


def with_table(folder: Path, table: str, told: list[dict[str, Any]], into: Path) -> Path:
    """Return a copy of a snapshot's folder in which a table has these rows."""
    shutil.copytree(folder, into)
    shutil.rmtree(into / "data" / table, ignore_errors=True)
    batches = pa.Table.from_pylist(told, schema=arrow_schema(BY_NAME[table])).to_batches()
    made = write_table(batches, BY_NAME[table], into)
    before = open_folder(folder).manifest
    kept = tuple(one for one in before.files if one.table != table)
    (into / NAME).write_text(before.model_copy(update={"files": kept + made}).text(), encoding="utf-8")
    return into


def test_an_attack_that_ended_otherwise_counts_as_it_ended_first(made: Made, tmp_path: Path) -> None:
    (ada,) = of(made, "ada")
    # Two prompts' conversations, each of which one of the two says an attack came to.
    (prompt, one), (_, two) = rows(
        ada,
        "SELECT prompt_id, messages_id FROM renderings SEMI JOIN (SELECT DISTINCT messages_id FROM calls) USING (messages_id) "
        "WHERE attack_id = (SELECT min(attack_id) FROM renderings) ORDER BY ALL LIMIT 2",
    )  # fmt: skip
    ended = {"attack_id": "a1:" + "e" * 64, "prompt_id": prompt, "outcome": "done", "history": "{}", "withheld": False}
    first = {**ended, "messages_id": one, "ended_at": datetime(2026, 1, 1)}  # noqa: DTZ001 - as they are stored
    later = {**ended, "messages_id": two, "ended_at": datetime(2026, 1, 2)}  # noqa: DTZ001
    renderings = [row for row in _dicts(ada, "renderings") if row["messages_id"] not in (one, two)]
    base = with_table(ada, "renderings", renderings, tmp_path / "base")
    left = with_table(base, "pursuits", [first], tmp_path / "left")
    right = with_table(base, "pursuits", [later], tmp_path / "right")
    union(left, right, tmp_path / "u")
    union(right, left, tmp_path / "v")
    assert files(tmp_path / "u") == files(tmp_path / "v")
    assert rows(tmp_path / "u", "SELECT messages_id, ended_at FROM pursuits") == [(one, first["ended_at"])]
    gone = set(rows(ada, f"SELECT id FROM calls WHERE messages_id = '{two}'"))
    assert gone
    assert set(rows(tmp_path / "u", "SELECT id FROM calls")) == set(rows(ada, "SELECT id FROM calls")) - gone
    for table in ("generations", "traces", "verdicts"):
        column = "call_id" if table == "generations" else "generation_id"
        whole = "calls" if table == "generations" else "generations"
        assert rows(tmp_path / "u", f"SELECT count(*) FROM {table} WHERE {column} NOT IN (SELECT id FROM {whole})") == [
            (0,)
        ]
        assert rows(tmp_path / "u", f"SELECT count(*) FROM {table}") < rows(ada, f"SELECT count(*) FROM {table}")


def _dicts(folder: Path, table: str) -> list[dict[str, Any]]:
    names = BY_NAME[table].names
    return [dict(zip(names, row, strict=True)) for row in rows(folder, f"FROM {table} ORDER BY ALL")]
