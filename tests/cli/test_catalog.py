"""`lrm catalog info|verify|sql|merge`."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest

from lrm.store.catalog import Catalog
from lrm.store.lock import locked
from lrm_cli import exits
from tests.cli.common import Json, Run


@pytest.mark.parametrize("words", [("info",), ("verify",), ("sql", "SELECT 1")], ids=lambda words: words[0])
def test_without_a_catalog(lrm: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    told = lrm("catalog", *words, code=exits.USAGE)
    assert told.stdout == ""
    assert "there is no catalog at" in told.stderr
    assert "hint: a fill makes one" in told.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("info",), ("verify",), ("sql", "SELECT 1")], ids=lambda words: words[0])
def test_what_is_no_catalog(lrm: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "catalog.duckdb").write_bytes(b"x" * 5000)
    assert "cannot be opened as a catalog" in lrm("catalog", *words, code=exits.USAGE).stderr


def test_the_catalog_is_named_by_option_or_environment(
    lrm: Run, quickstart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = (tmp_path / "catalog.duckdb").rename(tmp_path / "other.duckdb")
    lrm("catalog", "info", code=exits.USAGE)
    assert "other.duckdb" in lrm("catalog", "info", "--catalog", moved).stdout
    monkeypatch.setenv("LRM_CATALOG", str(moved))
    assert "other.duckdb" in lrm("catalog", "info").stdout


def test_info(lrm: Run, lrm_json: Json, quickstart: Path) -> None:
    info = lrm_json("catalog", "info")
    assert set(info) == {
        "path", "bytes", "schema", "holder", "journal", "counts", "responses", "models", "specs", "runs",
        "imports", "annotators", "snapshots",
    }  # fmt: skip
    assert (info["counts"]["calls"], info["counts"]["models"], info["counts"]["verdicts"]) == (540, 3, 1080)
    assert info["responses"] == [{"source": "run", "simulated": True, "count": 540}]
    assert [one["name"] for one in info["specs"]] == ["quickstart"]
    assert [(one["state"], one["done"]) for one in info["runs"]] == [("ended", 540)]
    assert (info["holder"], info["journal"]) == (None, [])
    text = lrm("catalog", "info").stdout
    assert "being filled by            nobody\n" in text
    assert "responses, simulated, run  540\n" in text


def test_info_names_who_is_filling(lrm: Run, lrm_json: Json, quickstart: Path, tmp_path: Path) -> None:
    with locked(Catalog(tmp_path / "catalog.duckdb"), "lrm matrix fill specs/x.toml"):
        assert lrm_json("catalog", "info")["holder"]["pid"] == os.getpid()
        assert "`lrm matrix fill specs/x.toml` (process " in lrm("catalog", "info").stdout
    assert lrm_json("catalog", "info")["holder"] is None


def test_verify(lrm: Run, lrm_json: Json, quickstart: Path, tmp_path: Path) -> None:
    assert lrm("catalog", "verify").stderr.endswith(" checked, 0 problems\n")
    report = lrm_json("catalog", "verify")
    assert (report["ok"], report["problems"], report["checked"]["generations"]) == (True, [], 540)
    with Catalog(tmp_path / "catalog.duckdb").writing() as connection:
        connection.execute("UPDATE lrm.prompts SET text = text || '!' WHERE key = 'money-1-safe'")
    report = lrm_json("catalog", "verify", code=exits.CELLS_FAILED)
    assert [problem["table"] for problem in report["problems"]] == ["prompts"]
    assert "prompts         60      1\n" in lrm("catalog", "verify", code=exits.CELLS_FAILED).stdout


def test_sql_as_table_json_and_csv(lrm: Run, lrm_json: Json, quickstart: Path) -> None:
    query = "SELECT model, count(*) AS n, NULL AS nothing, true AS yes FROM cells GROUP BY ALL ORDER BY ALL"
    assert lrm("catalog", "sql", query).stdout == (
        "model            n  nothing  yes\n"
        "sim-distilled  180  –        true\n"
        "sim-hidden     180  –        true\n"
        "sim-reasoning  180  –        true\n"
    )
    assert lrm_json("catalog", "sql", query)[0] == {"model": "sim-distilled", "n": 180, "nothing": None, "yes": True}
    rows = list(csv.reader(io.StringIO(lrm("catalog", "sql", query, "--csv").stdout)))
    assert rows[:2] == [["model", "n", "nothing", "yes"], ["sim-distilled", "180", "", "true"]]
    lrm("catalog", "sql", query, "--csv", "--json", code=exits.USAGE)


def test_sql_from_stdin(lrm: Run, quickstart: Path) -> None:
    assert lrm("catalog", "sql", "-", input="SELECT 1 AS one;\n").stdout == "one\n  1\n"
    assert "not UTF-8" in lrm("catalog", "sql", "-", input=b"SELECT '\xff'", code=exits.USAGE).stderr


@pytest.mark.parametrize(("limit", "shown", "more"), [("2", 2, 3), ("5", 5, 0), ("0", 0, 5), ("9", 5, 0)])
def test_sql_limit(lrm: Run, quickstart: Path, limit: str, shown: int, more: int) -> None:
    result = lrm("catalog", "sql", "SELECT unnest(range(5)) AS n", "--limit", limit)
    assert len(result.stdout.splitlines()) == 1 + shown
    assert result.stderr == (f"{more} more; --limit 5 prints all\n" if more else "")


def test_sql_values_as_json(lrm_json: Json, quickstart: Path) -> None:
    (row,) = lrm_json(
        "catalog",
        "sql",
        """
        SELECT 'nan'::DOUBLE AS nan, 1.50::DECIMAL(4, 2) AS decimal, '\\x00\\xff'::BLOB AS blob, DATE '2026-11-21' AS date,
            TIMESTAMP '2026-11-21 01:02:03' AS time, TIMESTAMPTZ '2026-11-21 01:02:03+00' AS zoned, [1, NULL] AS list,
            {'a': {'b': 'c'}} AS object, map {'k': 1} AS map, INTERVAL 3 DAY AS interval, 2::HUGEINT ** 80 AS huge,
            1 AS twice, 2 AS twice, '290000-01-01'::DATE AS far
        """,
    )
    assert row["zoned"].startswith("2026-11-21 ")
    del row["zoned"], row["huge"]
    assert row == {
        "nan": None, "decimal": 1.5, "blob": "00ff",
        "date": "2026-11-21", "time": "2026-11-21T01:02:03", "list": [1, None], "object": {"a": {"b": "c"}},
        "map": {"k": 1}, "interval": "3 days, 0:00:00", "twice": 1, "twice_2": 2, "far": "290000-01-01",
    }  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        "",
        " ; ",
        "SELEC",
        "SELECT nothing FROM cells",
        "INSERT INTO lrm.runs FROM lrm.runs",
        "DELETE FROM lrm.calls",
        "CREATE TABLE t AS SELECT 1",
        "COPY (SELECT 1) TO 'out.csv'",
        "SELECT * FROM read_text('secret.txt')",
        "SELECT * FROM 'secret.txt'",
        "ATTACH 'other.duckdb'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT '\ud800'",
    ],
)
def test_sql_that_is_refused(lrm: Run, lrm_json: Json, quickstart: Path, tmp_path: Path, query: str) -> None:
    (tmp_path / "secret.txt").write_text("the secret")
    before = lrm_json("catalog", "info")
    result = lrm("catalog", "sql", query, code=exits.USAGE)
    assert result.stdout == ""
    assert result.stderr.startswith("error: the query does not run: ")
    assert "the secret" not in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"secret.txt", "quickstart.toml", "catalog.duckdb"}
    assert lrm_json("catalog", "info") == before


def test_merge_of_what_a_killed_fill_left(lrm: Run, lrm_json: Json, quickstart: Path, tmp_path: Path) -> None:
    """A journal made from rows of the catalog that are then taken away."""
    catalog = Catalog(tmp_path / "catalog.duckdb")
    nothing = {"segments": 0, "generations": 0, "failures": 0, "notes": [], "left": 0}
    assert lrm_json("catalog", "merge") == nothing
    leave_a_journal(catalog)
    assert len(lrm_json("catalog", "info")["journal"]) == 1
    with locked(catalog, "a fill"):
        assert lrm_json("catalog", "merge", code=exits.RETRY)["left"] == 1
    assert lrm_json("catalog", "merge") == {**nothing, "segments": 1, "generations": 3}
    assert not catalog.journal_folder.exists()
    leave_a_journal(catalog)
    told = lrm("matrix", "status", "quickstart")
    assert told.stderr == "merged 3 responses that an earlier run left in its journal\n"
    assert "536 done, 4 blocked, 0 failed, 0 missing" in told.stdout


def leave_a_journal(catalog: Catalog) -> None:
    """Move three responses of the catalog back into a journal."""
    from lrm.store.journal import Journal, ModelCard, Record

    with catalog.writing() as connection:
        rows = connection.execute(
            """
            SELECT hex(c.id), hex(m.id), x.messages, c.replicate, g.raw, m.name, m.identity, m.declaration, m.visibility, g.n, c.n
            FROM lrm.calls c JOIN lrm.models m ON m.n = c.model_n JOIN lrm.messages x ON x.n = c.messages_n
            JOIN lrm.generations g ON g.n = c.generation_n WHERE m.name = 'sim-reasoning' ORDER BY c.n LIMIT 3
            """
        ).fetchall()
        for row in rows:
            connection.execute("DELETE FROM lrm.verdicts WHERE generation_n = ?", [row[9]])
            connection.execute("DELETE FROM lrm.traces WHERE generation_n = ?", [row[9]])
            connection.execute("DELETE FROM lrm.generations WHERE n = ?", [row[9]])
            connection.execute("UPDATE lrm.calls SET generation_n = NULL WHERE n = ?", [row[10]])
    model = rows[0][1].lower()
    card = ModelCard(
        name=rows[0][5], identity=rows[0][6], declaration=rows[0][7], visibility=rows[0][8], simulated=True
    )
    journal = Journal(catalog.journal_folder, "r-killed", {model: card})
    for call, _, messages, replicate, raw, *_ in rows:
        journal.append(
            Record(
                call=call.lower(), model=model, messages=messages, replicate=replicate, at=1_760_000_000_000_000,
                attempts=1, raw=raw,
            )
        )  # fmt: skip
    journal.flush()
    journal.close()
