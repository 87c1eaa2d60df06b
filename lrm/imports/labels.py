"""Importing labels alone: a file that labels what was imported, or filled, before."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lrm import clock, hashing
from lrm.errors import SpecError
from lrm.imports import responses, summary, writing
from lrm.imports.brought import Brought
from lrm.imports.ledger import MEMORY, known_import, looking, refuse_bad, written
from lrm.imports.origin import checksum, companions
from lrm.imports.record import ReadFile
from lrm.imports.staging import stage
from lrm.imports.thinking import TAGS
from lrm.registry.declarations import Model, Thinking
from lrm.registry.tables import Json
from lrm.store.catalog import Catalog, workspace
from lrm.store.columns import insert
from lrm.store.lock import locked
from lrm.store.specs import find_spec, known_specs
from lrm.traces.split import split

if TYPE_CHECKING:
    import duckdb

CHUNK = 1_000

_THEIRS = """
CREATE TABLE theirs AS
    SELECT DISTINCT s.model_n, s.model, s.attack_n, s.attack, p.n AS prompt_n, p.key, p.text, r.replicate, c.generation_n
    FROM cat.lrm.slices s
    JOIN cat.lrm.prompt_set_members b ON b.set_n = s.set_n
    JOIN cat.lrm.prompts p ON p.n = b.prompt_n
    CROSS JOIN LATERAL (SELECT unnest(range(s.first_replicate, s.first_replicate + s.replicates))::INTEGER AS replicate) r
    LEFT JOIN cat.lrm.renderings x ON x.attack_n = s.attack_n AND x.prompt_n = b.prompt_n
    LEFT JOIN cat.lrm.calls c ON c.model_n = s.model_n AND c.messages_n = x.messages_n AND c.replicate = r.replicate
    WHERE s.span_n = $span
"""

# A row belongs to the cells of its prompt, by its text and by its id where the import knows that; of its model and attack,
# unless the import has only one.
_MAYBE = """
CREATE TABLE maybe AS
    SELECT r.o, r.answered, t.model_n, t.attack_n, t.prompt_n, t.replicate, t.generation_n
    FROM rows r JOIN theirs t ON t.text = r.text
    WHERE (r.given IS NULL OR t.key = r.given OR r.given NOT IN (SELECT key FROM theirs))
        AND (r.model = t.model OR (SELECT count(DISTINCT model) FROM theirs) = 1)
        AND (r.attack = t.attack OR (SELECT count(DISTINCT attack) FROM theirs) = 1)
"""

# Where the file repeats the response, it has to be the one that is labelled. Equal rows are taken in order.
_TARGETS = """
CREATE TABLE answers (o BIGINT, model_n INTEGER, digest VARCHAR);
CREATE TABLE fitting AS
    SELECT m.o, m.model_n, m.attack_n, m.prompt_n, m.replicate, m.generation_n, a.digest
    FROM maybe m JOIN answers a ON a.o = m.o AND a.model_n = m.model_n
    JOIN cat.lrm.traces t ON t.generation_n = m.generation_n AND sha256(coalesce(t.answer, '')) = a.digest
    UNION ALL
    SELECT o, model_n, attack_n, prompt_n, replicate, generation_n, '' FROM maybe WHERE NOT answered;
CREATE TABLE chosen AS
    WITH ordered AS (
        SELECT *, dense_rank() OVER (PARTITION BY model_n, attack_n, prompt_n, digest ORDER BY o) AS of_row,
            dense_rank() OVER (PARTITION BY model_n, attack_n, prompt_n, digest ORDER BY replicate) AS of_cell
        FROM fitting
    )
    SELECT DISTINCT ON (o) * FROM ordered WHERE of_row = of_cell ORDER BY o, prompt_n, model_n, attack_n, replicate;
CREATE TABLE targets AS
    SELECT c.o, m.id AS i1, a.id AS a1, p.id AS p1, c.replicate, g.id AS g1
    FROM chosen c JOIN cat.lrm.models m ON m.n = c.model_n JOIN cat.lrm.attacks a ON a.n = c.attack_n
    JOIN cat.lrm.prompts p ON p.n = c.prompt_n LEFT JOIN cat.lrm.generations g ON g.n = c.generation_n;
"""

_UNMATCHED = """
SELECT reason, count(*), min(place) FROM (
    SELECT r.place, CASE
        WHEN r.model NOT IN (SELECT model FROM theirs) AND (SELECT count(DISTINCT model) FROM theirs) > 1
            THEN 'their model is not in the import'
        WHEN r.text NOT IN (SELECT text FROM theirs) THEN 'their prompt is not in the import'
        WHEN r.o NOT IN (SELECT o FROM maybe) THEN 'their prompt is in the import under another id, model or attack'
        WHEN r.o NOT IN (SELECT o FROM fitting) THEN 'the response is another one'
        ELSE 'there are more of them than samples of the cell' END AS reason
    FROM rows r WHERE r.o NOT IN (SELECT o FROM targets)
) GROUP BY reason ORDER BY count(*) DESC, reason
"""


def bring_labels(
    catalog: Catalog,
    path: Path,
    read: ReadFile,
    *,
    of: str,
    format_name: str,
    options: Json | None = None,
    skip_bad: bool = False,
    dry_run: bool = False,
    doing: str = "lrm import",
) -> Brought:
    """Add the labels of a file to the cells of an import or a filled spec; nothing but labels comes in.

    Args:
        catalog: Where the import is.
        path: The file, for its checksum and its name.
        read: The file, opened.
        of: Name of the import or spec whose cells are labelled.
        format_name: The format that it was opened as.
        options: How it was read, as for `lrm.imports.bring.bring`.
        skip_bad: Leave bad rows out.
        dry_run: Write nothing.
        doing: The command, for whoever finds the catalog locked.

    Raises:
        MissingError: The catalog has no such import.
        SpecError: The file is not of its format, has bad rows, or none that belongs to the import.
        BusyError: The catalog is being filled, or stays locked.
    """
    sha256 = checksum(path)
    whole: Json = {**(options or {}), "labels_for": of, **companions(path, options or {})}
    import_id = hashing.import_id(sha256, format_name, whole, None)
    with TemporaryDirectory(prefix="lrm-import-") as temp:
        connection = workspace(Path(temp))
        connection.execute(MEMORY)
        try:
            with looking(catalog, connection):
                known = known_import(connection, import_id)
                if known is not None:
                    return replace(known, dry_run=dry_run)
                span = _span(connection, of)
            staged = stage(connection, read.rows(), set_name=of, tags=TAGS[:0])
            refuse_bad(path, staged, skip_bad=skip_bad)
            with looking(catalog, connection):
                _match(connection, span)
                fresh = connection.execute(
                    """
                    SELECT count(DISTINCT n1) FROM label_ids l
                    WHERE NOT EXISTS (SELECT 1 FROM cat.lrm.annotations k WHERE k.id = l.n1)
                    """
                ).fetchall()[0][0]
            found = Brought(
                name=of,
                id=hashing.show("f1", import_id),
                file=str(path),
                format=format_name,
                dry_run=dry_run,
                rows=staged.rows,
                labels=summary.labels(connection),
                labelled=staged.labels,
                new_labels=fresh,
                skipped=staged.bad_count,
                bad=tuple(staged.bad),
                stated=summary.restated(connection, read.stated),
                **_unmatched(connection, path),
            )
            if dry_run:
                return found
            entry = writing.Entry(
                import_id,
                of,
                format_name,
                path,
                sha256,
                whole,
                staged.rows,
                0,
                staged.labels,
                staged.bad_count,
                {},
                [],
                {},
                None,
            )
            with locked(catalog, doing), written(catalog, connection):
                now = clock.now().replace(tzinfo=None)
                added = writing.execute(connection, writing.LABELS, {"run": entry.run})
                writing.note(connection, entry, now)
            return replace(found, new_labels=added)
        finally:
            connection.close()


def _span(connection: duckdb.DuckDBPyConnection, of: str) -> int:
    return find_spec(of, known_specs(connection, "cat.lrm")).span


def _match(connection: duckdb.DuckDBPyConnection, span: int) -> None:
    """Fill `targets` and `label_ids`."""
    connection.execute(responses.LABEL_IDS)
    connection.execute(_THEIRS, {"span": span})
    connection.execute(_MAYBE)
    first, *others = _TARGETS.split(";\n")
    connection.execute(first)
    _answers(connection)
    for statement in others:
        if statement.strip():
            connection.execute(statement)
    responses.name_labels(connection)


def _answers(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill `answers`: the digest of each row's answer, read as the model that it may belong to is declared."""
    declared: dict[int, Thinking] = {
        n: Model.model_validate_json(declaration).thinking
        for n, declaration in connection.execute(
            "SELECT n, declaration FROM cat.lrm.models WHERE n IN (SELECT model_n FROM maybe)"
        ).fetchall()
    }
    rows = connection.cursor().execute(
        """
        SELECT m.o, m.model_n, r.raw, r.blocked FROM (SELECT DISTINCT o, model_n FROM maybe WHERE answered) m
        JOIN raws r ON r.o = m.o
        """
    )
    while chunk := rows.fetchmany(CHUNK):
        found = []
        for o, model_n, raw, blocked in chunk:
            answer = split(raw, declared[model_n], blocked=blocked).answer or ""
            found.append((o, model_n, hashlib.sha256(answer.encode()).hexdigest()))
        insert(connection, "answers", found, ("int64", "int32", "string"))


def _unmatched(connection: duckdb.DuckDBPyConnection, path: Path) -> Json:
    rows = connection.execute(_UNMATCHED).fetchall()
    lines = tuple(f"{count:,} rows belong to nothing: {reason}; the first is {place}" for reason, count, place in rows)
    matched = connection.execute("SELECT count(*) FROM targets").fetchall()[0][0]
    if not matched:
        raise SpecError(
            f"no row belongs to the import: {'; '.join(lines)}",
            file=path,
            hint="is it the right file, and the right import?",
        )
    taken = connection.execute(
        """
        SELECT DISTINCT r.model, t.model FROM rows r JOIN targets g ON g.o = r.o, (SELECT DISTINCT model FROM theirs) t
        WHERE r.model NOT IN (SELECT model FROM theirs) ORDER BY ALL
        """
    ).fetchall()
    other = tuple(
        f"the file's model `{model}` is taken for `{ours}`, the only one of the import" for model, ours in taken
    )
    return {"unmatched": sum(count for _, count, _ in rows), "notes": lines + other}
