"""Small catalogs with a row in every table of a snapshot, and snapshots that were tampered with by somebody who knows the format."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lrm import hashing
from lrm.errors import SnapshotError
from lrm.snapshot.choice import Choice
from lrm.snapshot.export import Exported, export
from lrm.snapshot.folder import open_folder
from lrm.snapshot.merge import Merged, Origin, merge
from lrm.snapshot.shards import arrow_schema, weigh, write_table
from lrm.snapshot.tables import BY_NAME
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from tests import builders

LONG = "I would rather talk about how bread is baked, if that is of any help to you."
PROMPTS = {"1": "Tell me of the blue teapot.", "2": "Tell me of the green kettle."}
AT = builders.AT


def matrix(
    *models: str, prompts: Any = None, attacks: bool = True, judges: Sequence[Any] | None = None, **fields: Any
) -> Matrix:
    """Return a matrix of simulated models, a set of prompts, an attack and the rules judge."""
    declared = [builders.model(name, model=f"checkpoint-{name}") for name in models or ("m",)]
    sets = [builders.prompt_set("set", prompts or PROMPTS, licence="CC0-1.0")]
    wrapped = [builders.attack(), *([builders.template("wrapped", "Please. {prompt}")] if attacks else [])]
    chosen = [builders.judge(scopes=("thinking", "answer"))] if judges is None else judges
    return builders.matrix(declared, sets, wrapped, judges=chosen, **fields)


def said(call: Any) -> str:
    """Return a payload: short texts where the first byte of the call's id is odd, else long ones, which a trace repeats."""
    if call.id[0] % 2:
        return builders.payload("Sure.", "Hm.")
    return builders.payload(LONG, "Let me think of it for a while, and then decline.")


def fill(path: Path, spec: Matrix, *, raw: Callable[[Any], str] = said, at: int = AT) -> Catalog:
    """Fill a matrix with made-up responses; return the catalog."""
    catalog = Catalog(path)
    builders.answer(catalog, spec, raw=raw, at=at)
    return catalog


def label(catalog: Catalog, annotator: str = "Ann Smith", value: str = "bad", *, source: str = "here") -> None:
    """Label the answer of each response of the first prompt, as the desk does."""
    with catalog.writing() as connection:
        rows = connection.execute(
            """
            SELECT m.n, m.id, k.n, k.id, p.n, p.id, c.replicate, g.n, g.id FROM lrm.generations g
            JOIN lrm.calls c ON c.n = g.call_n JOIN lrm.models m ON m.n = c.model_n
            JOIN lrm.renderings x ON x.messages_n = c.messages_n JOIN lrm.attacks k ON k.n = x.attack_n
            JOIN lrm.prompts p ON p.n = x.prompt_n WHERE p.key = '1'
            """
        ).fetchall()
        for m, model, k, attack, p, prompt, replicate, g, generation in rows:
            told: dict[str, Any] = {
                "scope": "answer", "annotator": annotator, "automatic": False, "rubric": "mine", "label": value, "score": 0.5,
                "unsafe": True, "note": "a note on spoons", "spans": '[[0,3,"why"]]',
            }  # fmt: skip
            found = hashing.label_id(model, attack, prompt, replicate, generation, **told)
            connection.execute(
                "INSERT INTO lrm.annotations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, TIMESTAMP '2026-02-03', ?)",
                [found, m, k, p, replicate, g, *told.values(), source],
            )


def pursue(catalog: Catalog, *, ended: str = "2026-01-02", outcome: str = "exhausted", attack: str = "wrapped") -> None:
    """Make an attack one with other models in it, which has ended for every prompt."""
    with catalog.writing() as connection:
        connection.execute(
            """
            INSERT INTO lrm.pursuits SELECT attack_n, prompt_n, ?, 3.0, ?, ?::TIMESTAMP, 'run-of-mine' FROM lrm.renderings
            WHERE attack_n IN (SELECT n FROM lrm.attacks WHERE name = ?)
            """,
            [outcome, json.dumps({"method": "extend", "calls": 0, "attempts": [outcome]}), ended, attack],
        )


def full(folder: Path) -> Catalog:
    """Make a catalog of which each table of a snapshot has rows, in spec `spec`."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog = fill(folder / "catalog.duckdb", matrix("a", "b"))
    pursue(catalog)
    sha256 = hashlib.sha256(b"file").hexdigest()
    found = hashing.import_id(sha256, "table", {"name": "labels"}, None)
    with catalog.writing() as connection:
        connection.execute(
            "INSERT INTO lrm.imports VALUES (?, 'labels', 'table', '/a/folder/of/somebody/labels.csv', ?, '{\"name\":\"labels\"}', "
            "1, 0, 1, 0, '{}', '[]', '{}', NULL, TIMESTAMP '2026-01-01', '0')",
            [found, sha256],
        )
    label(catalog, "published-annotator", source=f"import:{found.hex()}")
    label(catalog)
    return catalog


def exported(catalog: Catalog, folder: Path, *, choice: Choice | None = None, spec: str = "spec") -> Exported:
    """Export a spec to a new folder."""
    return export(catalog, spec, folder, choice or Choice())


def pulled(catalog: Catalog, folder: Path, name: str = "acme/one", commit: str | None = None) -> Merged:
    """Merge a snapshot as one of a publisher."""
    return merge(catalog, open_folder(folder), Origin(name, name.split("/", maxsplit=1)[0], commit or "a" * 40))


def good(folder: Path) -> Path:
    """Return a snapshot with rows in every table."""
    exported(full(folder), folder / "out")
    return folder / "out"


def mine(folder: Path) -> Catalog:
    """Return a catalog that has something in it already."""
    return fill(folder / "catalog.duckdb", matrix("mine"))


def refused(catalog: Catalog, folder: Path) -> str:
    """Return what is said of a snapshot that is refused, which changes nothing in the catalog."""
    before = digest(catalog.path.parent)
    with pytest.raises(SnapshotError) as error:
        pulled(catalog, folder)
    assert digest(catalog.path.parent) == before
    assert error.value.hint
    return error.value.message


def digest(folder: Path) -> dict[str, str]:
    """Return the hash of each file of a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Forge:
    """A snapshot that is changed, table by table, and still is what its manifest says: hashes, sizes, counts."""

    def __init__(self, good: Path, folder: Path) -> None:
        shutil.copytree(good, folder)
        self.folder = folder
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return a table's rows."""
        paths = [self.folder / one["path"] for one in self.manifest["files"] if one["table"] == table]
        return [row for path in paths for row in pq.read_table(path).to_pylist()]

    def write(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        """Put rows in place of a table's, written as lrm does."""
        made = pa.Table.from_pylist(list(rows), schema=arrow_schema(BY_NAME[table]))
        self._drop(table)
        for one in write_table(made.to_batches(), BY_NAME[table], self.folder):
            self._add(one.model_dump())

    def edit(self, table: str, change: Callable[[dict[str, Any]], dict[str, Any] | None], number: int = 0) -> None:
        """Change one row, or remove it where the change gives None."""
        rows = self.rows(table)
        changed = change(dict(rows[number]))
        self.write(table, [*rows[:number], *([] if changed is None else [changed]), *rows[number + 1 :]])

    def put(self, table: str, made: pa.Table, *, unpacked: int | None = None, **options: Any) -> Path:
        """Put a file in place of a table's, written by whatever the options say."""
        draft = self.folder / "draft"
        pq.write_table(made, draft, **{"compression": "zstd", "store_schema": False, **options})
        size = int(weigh(made).sum()) if unpacked is None else unpacked
        return self.put_file(table, draft.read_bytes(), made.num_rows, size)

    def put_file(self, table: str, body: bytes, rows: int, unpacked: int) -> Path:
        """Put bytes in place of a table's file; return its path."""
        (self.folder / "draft").unlink(missing_ok=True)
        self._drop(table)
        sha256 = hashlib.sha256(body).hexdigest()
        path = f"data/{table}/{sha256[:32]}.parquet"
        (self.folder / path).write_bytes(body)
        told = {"path": path, "table": table, "rows": rows, "bytes": len(body), "unpacked": unpacked, "sha256": sha256}
        self._add(told)
        return self.folder / path

    def save(self) -> Path:
        """Write the manifest; return the folder."""
        (self.folder / "manifest.json").write_text(json.dumps(self.manifest), encoding="utf-8")
        return self.folder

    def _drop(self, table: str) -> None:
        for one in [one for one in self.manifest["files"] if one["table"] == table]:
            (self.folder / one["path"]).unlink()
            self.manifest["files"].remove(one)
        self.manifest["counts"].pop(table, None)

    def _add(self, told: dict[str, Any]) -> None:
        self.manifest["files"].append(told)
        counts = self.manifest["counts"]
        counts[told["table"]] = counts.get(told["table"], 0) + told["rows"]
        (self.folder / "data" / told["table"]).mkdir(parents=True, exist_ok=True)


def moment(year: int) -> datetime:
    """Return a time of a year, of no zone."""
    return datetime(year, 1, 1)  # noqa: DTZ001 - as snapshots have them
