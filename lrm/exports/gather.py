"""Gathering a spec's cells out of the catalog: into a scratch database, in order, so that the catalog is soon free again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from lrm import hashing
from lrm.errors import MissingError, SpecError, known_names_hint
from lrm.exports import sql
from lrm.exports.cell import Annotation, Cell, Json, JudgeFacts, Part, Rates, Verdict
from lrm.store.catalog import Catalog, scratch_folder, using, workspace
from lrm.store.specs import find_spec, known_specs

if TYPE_CHECKING:
    import duckdb

CHUNK = 256
"""Cells that are in memory together: their texts may be long."""
MEMORY = "600MB"
"""What DuckDB may use before it spills to the temporary folder."""
AXES = ("model", "prompt_set", "attack", "condition", "judge")
_STATES = ("done", "blocked", "failed", "missing")
_SAID_OF_SETS = ("hub", "licence", "homepage", "citation")
_VERDICT = tuple(one.name for one in fields(Verdict))
_ANNOTATION = tuple(one.name for one in fields(Annotation))
_CELL = tuple(one.name for one in fields(Cell) if one.name not in {"verdicts", "annotations"})


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was gathered: parts in the order of their names, and their cells to be read as often as it takes."""

    spec: str
    parts: tuple[Part, ...]
    judges: tuple[JudgeFacts, ...]
    _connection: duckdb.DuckDBPyConnection

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Judges and scopes of which there may be verdicts, in order."""
        return tuple(self._connection.execute("SELECT DISTINCT judge, scope FROM verdict ORDER BY ALL").fetchall())

    def cells(self, part: Part) -> Iterator[Cell]:
        """Yield a part's cells by prompt and replicate; `CHUNK` of them are in memory at a time."""
        for first in range(part.first, part.last + 1, CHUNK):
            yield from self._chunk(first, min(first + CHUNK - 1, part.last))

    def rates(self, part: Part) -> tuple[Rates, ...]:
        """Return the counts of each judge and scope, by name."""
        found = self._connection.execute(sql.RATES, {"first": part.first, "last": part.last})
        names = [str(one[0]) for one in found.description or []]
        made = []
        for row in found.fetchall():
            said = dict(zip(names, row, strict=True))
            judge, scope = said.pop("judge"), said.pop("scope")
            means = {
                name: said.pop(name) for name in ("mean_harm", "mean_by_prompt", "prompts_scored", "prompts_unscored")
            }
            made.append(Rates(judge, scope, said, **means))
        return tuple(made)

    def by_prompt(self, part: Part, judge: str, scope: str) -> Iterator[tuple[str, float | None]]:
        """Yield (prompt, mean harm over its replicates, None where it is not known) in the order of the cells."""
        rows = self._connection.cursor().execute(
            sql.BY_PROMPT, {"first": part.first, "last": part.last, "judge": judge, "scope": scope}
        )
        while chunk := rows.fetchmany(10_000):
            yield from chunk

    def _chunk(self, first: int, last: int) -> Iterator[Cell]:
        given = [first, last]
        said = _by_cell(self._connection, "verdict", _VERDICT, "judge, scope", given)
        labelled = _by_cell(self._connection, "annotation", _ANNOTATION, "rubric, annotator, scope, made_at", given)
        rows = self._connection.execute(
            f"SELECT n, {', '.join(_CELL)} FROM cell WHERE n BETWEEN ? AND ? ORDER BY n",
            given,
        )
        for number, *values in rows.fetchall():
            told = dict(zip(_CELL, values, strict=True))
            told["category"] = tuple(told["category"] or ())
            told["messages"] = tuple(json.loads(told["messages"])) if told["messages"] else ()
            yield Cell(
                **told,
                verdicts=tuple(Verdict(*one) for one in said.get(number, ())),
                annotations=tuple(Annotation(*one) for one in labelled.get(number, ())),
            )


def _by_cell(
    connection: duckdb.DuckDBPyConnection, table: str, names: Sequence[str], order: str, given: list[int]
) -> dict[int, list[tuple[Any, ...]]]:
    rows = connection.execute(
        f"SELECT n, {', '.join(names)} FROM {table} WHERE n BETWEEN ? AND ? ORDER BY n, {order}",
        given,
    )
    return {n: [row[1:] for row in group] for n, group in groupby(rows.fetchall(), key=itemgetter(0))}


@contextmanager
def gathered(
    catalog: Catalog,
    spec: str,
    only: Mapping[str, Sequence[str]] | None = None,
    *,
    say: Callable[[str], None] | None = None,
) -> Iterator[Gathered]:
    """Gather what the catalog holds of a spec or import, into a temporary folder that is gone afterwards.

    `only` narrows by globs: `model`, `prompt_set`, `attack`, `condition` and `judge`; globs of one axis add up.

    Raises:
        MissingError: The catalog knows no such spec, or nothing of it is left by `only`.
        SpecError: `only` names no axis.
        CatalogError, BusyError: The catalog cannot be read.
    """
    wanted = {axis: tuple(globs) for axis, globs in (only or {}).items()}
    unknown = next((axis for axis in wanted if axis not in AXES), None)
    if unknown is not None:
        raise SpecError(f"`{unknown}` is no axis of a matrix", hint=known_names_hint(unknown, AXES))
    catalog.require()
    with scratch_folder() as folder:
        connection = workspace(folder)
        try:
            file = str(folder / "export.duckdb").replace("'", "''")
            connection.execute(f"ATTACH '{file}' AS scratch (ROW_GROUP_SIZE 2048)")
            connection.execute("SET preserve_insertion_order = true")
            connection.execute(f"SET memory_limit = '{MEMORY}'")
            if say is not None:
                say("reading the catalog")
            catalog.attach(connection, "catalog")
            with using(catalog.path):
                connection.execute("USE catalog")
                chosen = _choose(connection, spec, wanted)
                _copy(connection, spec, wanted)
                judges = _judges(connection, spec)
            connection.execute("USE scratch")
            connection.execute("DETACH catalog")
            yield Gathered(spec, _parts(connection, spec, chosen), judges, connection)
        finally:
            connection.close()


def _choose(
    connection: duckdb.DuckDBPyConnection, spec: str, wanted: Mapping[str, Sequence[str]]
) -> dict[int, dict[str, Any]]:
    """Choose the parts, and keep their names in `scratch.part`. Raises MissingError."""
    found = connection.execute(sql.PARTS, [spec])
    names = [str(one[0]) for one in found.description or []]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    if not rows:
        find_spec(spec, known_specs(connection))
        raise MissingError(f"`{spec}` spans no cells", hint="fill it again, with more in its matrix")
    kept = [row for row in rows if all(_fits(row[axis], wanted.get(axis)) for axis in AXES if axis != "judge")]
    if not kept:
        told = ", ".join(f"{axis}={glob}" for axis, globs in wanted.items() for glob in globs)
        models = sorted({row["model"] for row in rows})
        raise MissingError(f"nothing of `{spec}` is {told}", hint=f"its models: {', '.join(models[:12])}")
    connection.execute(
        "CREATE TABLE scratch.part (number INTEGER, model VARCHAR, prompt_set VARCHAR, attack VARCHAR, condition VARCHAR)"
    )
    chosen = dict(enumerate(kept, start=1))
    connection.executemany(
        "INSERT INTO scratch.part VALUES (?, ?, ?, ?, ?)",
        [(n, row["model"], row["prompt_set"], row["attack"], row["condition"]) for n, row in chosen.items()],
    )
    return chosen


def _fits(name: str, globs: Sequence[str] | None) -> bool:
    return globs is None or any(fnmatchcase(name, glob) for glob in globs)


def _copy(connection: duckdb.DuckDBPyConnection, spec: str, wanted: Mapping[str, Sequence[str]]) -> None:
    """Copy the chosen cells with their texts, verdicts and labels into the scratch database, in order."""
    connection.execute(sql.PLACES, {"spec": spec})
    connection.execute(sql.CELLS)
    judges = [name for (name,) in connection.execute("SELECT DISTINCT name FROM lrm.judges").fetchall()]
    judges += [name for (name,) in connection.execute("SELECT DISTINCT judge FROM lrm.span_judges").fetchall()]
    left = sorted({name for name in judges if _fits(name, wanted.get("judge"))})
    connection.execute(sql.VERDICTS, {"spec": spec, "judges": left})
    _name_people(connection)
    connection.execute(sql.ANNOTATIONS)


def _name_people(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep a pseudonym for everybody who labelled, the one that snapshots of this catalog have too."""
    from lrm.snapshot.pseudonyms import pseudonym

    connection.execute("CREATE TABLE scratch.person (annotator VARCHAR, pseudonym VARCHAR)")
    keys = connection.execute("SELECT key FROM lrm.pseudonyms").fetchall()
    names = connection.execute("SELECT DISTINCT annotator FROM lrm.annotations").fetchall()
    if names:
        people = [(name, pseudonym(name, keys[0][0])) for (name,) in names]
        connection.executemany("INSERT INTO scratch.person VALUES (?, ?)", people)


def _judges(connection: duckdb.DuckDBPyConnection, spec: str) -> tuple[JudgeFacts, ...]:
    rows = connection.execute(sql.JUDGES, [spec]).fetchall()
    declared = [(name, bytes(digest), json.loads(text)) for name, digest, text in rows]
    return tuple(
        JudgeFacts(name, hashing.show("j1", digest), str(said.get("kind", "")), said) for name, digest, said in declared
    )


def _parts(
    connection: duckdb.DuckDBPyConnection, spec: str, chosen: Mapping[int, Mapping[str, Any]]
) -> tuple[Part, ...]:
    found = connection.execute(sql.TOTALS)
    names = [str(one[0]) for one in found.description or []]
    made = []
    for row in found.fetchall():
        total = dict(zip(names, row, strict=True))
        said = chosen[total["part"]]
        declared: Json = json.loads(said["model_declaration"])
        of_set: Json = json.loads(said["set_declaration"])
        made.append(
            Part(
                number=total["part"],
                spec=spec,
                model=said["model"],
                prompt_set=said["prompt_set"],
                attack=said["attack"],
                condition=said["condition"],
                model_id=hashing.show("i1", bytes(said["model_id"])),
                prompt_set_id=hashing.show("s1", bytes(said["set_id"])),
                attack_ids=tuple(hashing.show("a1", bytes(one)) for one in said["attack_ids"]),
                identity=json.loads(said["identity"]),
                backend=str(declared.get("backend", "")),
                simulated=bool(said["simulated"]),
                source={name: of_set[name] for name in _SAID_OF_SETS if of_set.get(name) is not None},
                first=total["first"],
                last=total["last"],
                counts={state: total[state] for state in _STATES},
                replicates=total["replicates"],
                began=total["began"],
                ended=total["ended"],
                usage={name: total[name] for name in ("input_tokens", "output_tokens", "thinking_tokens")},
                digest=f"{int(total['digest']) % (1 << 128):032x}",
            )
        )
    return tuple(made)
