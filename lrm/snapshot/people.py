"""Labels on their way out: people by pseudonym, and ids that follow from what strangers read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lrm import hashing
from lrm.snapshot.choice import Choice
from lrm.snapshot.gather import ANNOTATIONS
from lrm.snapshot.pseudonyms import pseudonym
from lrm.snapshot.shards import arrow_schema
from lrm.snapshot.tables import BY_NAME, LABELS

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_IMPORT = "import:"


def labels(connection: duckdb.DuckDBPyConnection, choice: Choice) -> Iterator[pa.RecordBatch]:
    """Yield the labels of what was gathered, in the order of their table.

    People who labelled here have pseudonyms, unless the choice says otherwise; machines, and those whose labels were
    published already and imported, keep their names.
    """
    import pyarrow as pa

    key = connection.execute("SELECT key FROM lrm.pseudonyms").fetchall()[0][0]
    rows = connection.execute(ANNOTATIONS).fetchall()
    stays = choice.of("judgements") != "all"
    told = [_row(row, key, named=choice.annotators == "named", stays=stays) for row in rows]
    told.sort(key=lambda row: tuple(row[name] for name in BY_NAME["annotations"].order))
    schema = arrow_schema(BY_NAME["annotations"])
    yield from pa.Table.from_pylist(told, schema=schema).to_batches()


def own_labels(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Return the ids that labels given here have in snapshots: those that come back are not another person's."""
    key = connection.execute("SELECT key FROM lrm.pseudonyms").fetchall()[0][0]
    rows = connection.execute(
        """
        SELECT m.id, k.id, p.id, a.replicate, g.id, a.scope, a.annotator, a.automatic, a.rubric, a.label, a.score, a.unsafe,
            a.note, a.spans
        FROM lrm.annotations a JOIN lrm.models m ON m.n = a.model_n JOIN lrm.attacks k ON k.n = a.attack_n
        JOIN lrm.prompts p ON p.n = a.prompt_n LEFT JOIN lrm.generations g ON g.n = a.generation_n
        WHERE NOT a.automatic AND a.source NOT LIKE 'import:%' AND a.source NOT LIKE 'snapshot:%'
        """
    ).fetchall()
    return tuple(
        hashing.show(
            "n1",
            hashing.label_id(
                *row[:5], scope=row[5], annotator=pseudonym(row[6], key), automatic=row[7], rubric=row[8], label=row[9],
                score=row[10], unsafe=row[11], note=row[12], spans=row[13],
            ),
        )
        for row in rows
    )  # fmt: skip


def _row(row: tuple[Any, ...], key: str, *, named: bool, stays: bool) -> dict[str, Any]:
    (
        cell, model, attack, prompt, replicate, generation, scope, annotator, automatic, rubric, said, score, unsafe, note,
        spans, made_at, source,
    ) = row  # fmt: skip
    imported = source.startswith(_IMPORT)
    who = annotator if named or automatic or imported else pseudonym(annotator, key)
    found = hashing.label_id(
        model, attack, prompt, replicate, generation, scope=scope, annotator=who, automatic=automatic, rubric=rubric,
        label=said, score=score, unsafe=unsafe, note=note, spans=spans,
    )  # fmt: skip
    return dict(zip(LABELS, cell.values() if isinstance(cell, dict) else cell, strict=True)) | {
        "id": hashing.show("n1", found), "model_id": hashing.show("i1", model), "attack_id": hashing.show("a1", attack),
        "prompt_id": hashing.show("p1", prompt), "number": replicate,
        "generation_id": None if generation is None else hashing.show("g1", generation), "scope": scope, "annotator": who,
        "automatic": automatic, "rubric": rubric, "label": said, "score": score, "unsafe": unsafe,
        "note": None if stays else note, "spans": None if stays else spans, "made_at": made_at,
        "import_id": "f1:" + source.removeprefix(_IMPORT) if imported else None, "withheld": stays,
    }  # fmt: skip
