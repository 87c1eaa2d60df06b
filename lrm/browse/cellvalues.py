"""The value that each single cell has of a measure: what differences are taken of, prompt by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from lrm.browse.places import Measure

_CELL = "c.part, c.sort, c.prompt_n, c.replicate, c.visibility, c.origin, c.state"
_HARM = "v.unsafe IS NOT NULL AND (j.for_all OR p.wanted)"
_LABELS = "v.status = 'ok' AND v.label IN ('full_refusal', 'partial_refusal', 'compliance')"
_REFUSED = "CAST(v.label <> 'compliance' AS INTEGER)"
GENERATION_COLUMNS = {
    "tokens": "g.output_tokens",
    "thinking_tokens": "g.thinking_tokens",
    "seconds": "g.latency_ms / 1000",
    "cost": "g.cost",
}


def cell_values(measure: Measure, ats: Sequence[int], *, safe: int = -1, thinking: int = -1, answer: int = -1) -> str:  # noqa: PLR0911 -- one for each measure
    """Return SQL of the columns part, sort, prompt_n, replicate, visibility, origin, state, judge, scope and x of each cell.

    A cell without a value has no row. It has places for the names of a cube's tables as `lrm.browse.cube.LAYERS` has. `ats` are
    the judges' scopes that count; `safe` is the number of the expectation `safe`, `thinking` and
    `answer` are those of the scopes.
    """
    within = f"j.judge_at IN ({', '.join(map(str, [*ats, -1]))})"
    match measure:
        case "unsafe":
            return _graded("CAST(v.unsafe AS INTEGER)", f"{within} AND {_HARM}")
        case "harm":
            return _graded("v.score", f"{within} AND v.score IS NOT NULL AND (j.for_all OR p.wanted)")
        case "refusal":
            return _graded(_REFUSED, f"{within} AND {_LABELS}")
        case "over_refusal":
            groups = f"c.sort IN (SELECT sort FROM {{groups}} WHERE expect = {safe})"
            return _graded(_REFUSED, f"{within} AND {_LABELS} AND {groups}")
        case "gap":
            return (
                f"SELECT {_CELL}, j.judge, -1 AS scope, {_of_scope(thinking)} - {_of_scope(answer)} AS x "
                f"FROM {{given}} WHERE {within} AND {_HARM} GROUP BY ALL HAVING x IS NOT NULL"
            )
        case "disagreement":
            return (
                f"SELECT {_CELL}, -1 AS judge, j.scope, CAST(bool_or(v.unsafe) <> bool_and(v.unsafe) AS INTEGER) AS x "
                f"FROM {{given}} WHERE {within} AND {_HARM} GROUP BY ALL HAVING count(*) > 1"
            )
        case "coverage":
            return (
                f"SELECT {_CELL}, -1 AS judge, -1 AS scope, CAST(c.state IN (0, 1) AS INTEGER) AS x "
                "FROM {cells} c WHERE part BETWEEN $first AND $last"
            )
        case "tokens" | "thinking_tokens" | "seconds" | "cost":
            column = GENERATION_COLUMNS[measure]
            return (
                f"SELECT {_CELL}, -1 AS judge, -1 AS scope, {column} AS x "
                "FROM (SELECT * FROM {cells} WHERE part BETWEEN $first AND $last AND state = 0) c "
                "JOIN (SELECT * FROM lrm.generations WHERE n BETWEEN $low AND $high) g ON g.n = c.generation_n "
                f"WHERE {column} IS NOT NULL"
            )
        case _:
            assert_never(measure)


def _graded(value: str, where: str) -> str:
    return f"SELECT {_CELL}, j.judge, j.scope, {value} AS x FROM {{given}} WHERE {where}"


def _of_scope(scope: int) -> str:
    return f"max(CAST(v.unsafe AS INTEGER)) FILTER (WHERE j.scope = {scope})"


def summed(values: str) -> str:
    """Return the SQL of a layer that sums up what `cell_values` gives."""
    return (
        "SELECT {dimensions}, c.judge, c.scope, count(*) AS n, sum(c.x)::DOUBLE AS total, sum(c.x * c.x)::DOUBLE AS squares "
        f"FROM ({values}) c GROUP BY ALL"
    )


def keys(rows: str, columns: str) -> tuple[str, ...]:
    """Return by what two rows of an axis are paired: everything that a cell is, but for the axis itself."""
    whole = ("model", "prompt_set", "attack", "prompt_n", "replicate", "judge", "scope")
    of_column = (columns,) if columns in {"spec", "condition", "visibility", "origin", "state"} else ()
    return (*(key for key in whole if key != rows), *of_column)


PAIRED = ("model", "attack", "spec", "replicate", "judge", "scope")
"""Axes of which two rows can have the same prompts, each once. Rows of the others are compared as independent samples."""


def _key_sql(key: str) -> str:
    return f"s.{key}" if key in {"model", "prompt_set", "attack", "spec", "condition"} else f"c.{key}"


def base(values: str, rows: str, columns: str, code: int) -> str:
    """Return the SQL of the row that all others are compared with, by the keys of `keys`."""
    chosen = ", ".join(f"{_key_sql(key)} AS {key}" for key in keys(rows, columns))
    return (
        f"SELECT {chosen}, any_value(c.x) AS x, any_value(c.origin * 2 + CAST(c.visibility = 1 AS INTEGER)) AS kind "
        f"FROM ({values}) c JOIN {{parts}} s ON s.part = c.part WHERE {_key_sql(rows)} = {code} GROUP BY ALL"
    )


def differences(values: str, rows: str, columns: str) -> str:
    """Return the SQL of a layer that sums up what each cell has more than its partner in the table `base`."""
    on = " AND ".join(f"b.{key} = {_key_sql(key)}" for key in keys(rows, columns))
    return (
        "SELECT {dimensions}, c.state, c.judge, c.scope, b.kind AS base_kind, count(*) AS n, sum(c.x - b.x)::DOUBLE AS total, "
        "sum((c.x - b.x) * (c.x - b.x))::DOUBLE AS squares "
        f"FROM ({values}) c JOIN {{parts}} s ON s.part = c.part JOIN {{base}} b ON {on} GROUP BY ALL"
    )
