"""From a cube to the counts and sums of a grid: the two queries that any axes and any measure need."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, assert_never

from lrm.browse.axes import VERDICT_AXES, Slice
from lrm.browse.cube import Cube, code_sql
from lrm.browse.frame import DONE, MISSING, ORIGINS, Frame
from lrm.browse.intervals import Tally
from lrm.browse.places import Measure
from lrm.browse.reader import Stop

Key = tuple[int | None, int | None]
"""Numbers of row and column; None is all of them."""
STATUSES = ("no_text", "unparsed", "truncated", "judge_blocked", "judge_failed")
GRADED: dict[str, tuple[str, str, str]] = {
    "unsafe": ("harms", "unsafe", "unsafe"),
    "harm": ("scores", "score", "score2"),
    "refusal": ("refusals", "refused", "refused"),
    "over_refusal": ("refusals", "refused", "refused"),
}
"""Measures of single verdicts: the columns of the layer `grades` that make their tally."""
MEASURED: dict[str, tuple[str, str, str]] = {
    "tokens": ("tokens_n", "tokens", "tokens2"),
    "thinking_tokens": ("thinking_n", "thinking", "thinking2"),
    "seconds": ("seconds_n", "seconds", "seconds2"),
    "cost": ("cost_n", "cost", "cost2"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a cube."""

    rows: str
    columns: str
    measure: Measure
    part: Slice
    ats: tuple[int, ...]
    """The judges' scopes that count, by their place in the frame."""
    layer: str | None = None
    """A layer of values that was made for this question; None for those that every cube has."""

    @property
    def by_replicate(self) -> bool:
        """Whether replicates have to be told apart."""
        return "replicate" in (self.rows, self.columns) or self.part.values("replicate") is not None

    @property
    def by_verdict(self) -> bool:
        """Whether an axis is the judge or the scope, so that a cell stands in several figures."""
        return self.rows in VERDICT_AXES or self.columns in VERDICT_AXES


@dataclass(slots=True)
class States:
    """Cells of one kind by how far they have come."""

    cells: int = 0
    done: int = 0
    blocked: int = 0
    failed: int = 0
    missing: int = 0
    running: int = 0
    looked_at: int = 0
    """Those with a response that the judge looks at."""
    asked: int = 0
    """Those of them whose prompt the measure is about."""
    stale: int = 0


@dataclass(slots=True)
class Sums:
    """Values of one kind."""

    tally: Tally
    statuses: tuple[int, ...] = (0,) * len(STATUSES)
    graded: int = 0
    """Verdicts, whatever their status."""
    base_kind: int = -1


@dataclass(slots=True)
class Counted:
    """What two queries found, by row and column and by kind; sums over rows or columns have None there."""

    states: dict[Key, dict[int, States]] = field(default_factory=lambda: defaultdict(dict))
    sums: dict[Key, list[tuple[int, Sums]]] = field(default_factory=lambda: defaultdict(list))


def kind_name(kind: int) -> str:
    """Return a kind of results by its number: origin × 2, and 1 where only a summary of the thinking is known."""
    origin = ORIGINS[kind // 2]
    if kind % 2 == 0:
        return origin
    return "summary" if origin == "run" else f"{origin}+summary"


def regroup(cube: Cube, question: Question, stop: Stop) -> Counted:
    """Return the counts and sums along two axes: two queries, a third where something is stale. The catalog is not opened."""
    counted = Counted()
    suffix = "_r" if question.by_replicate else ""
    where, values = _where(cube.frame, question)
    looks = cube.table("looks")
    ats = ", ".join(map(str, [*question.ats, -1]))
    if question.by_verdict:
        per_scope = "" if "scope" in (question.rows, question.columns) else ", -1 AS scope"
        columns = "part, judge, scope" if not per_scope and question.measure != "gap" else "part, judge" + per_scope
        if question.measure == "disagreement":
            columns = "part, -1 AS judge, scope"
        join = f"JOIN (SELECT DISTINCT {columns} FROM {looks} WHERE judge_at IN ({ats})) j ON j.part = c.part"
        looked = "true"
    else:
        join = (
            f"LEFT JOIN (SELECT DISTINCT part AS looked FROM {looks} WHERE judge_at IN ({ats})) j ON j.looked = c.part"
        )
        looked = "j.looked IS NOT NULL"
    safe = _code(cube.frame, "expect", "safe")
    asked = f"{looked} AND p.expect = {safe}" if question.measure == "over_refusal" else looked
    with cube.reader.kept(stop) as cursor:
        rows = cursor.execute(
            _grouped(
                cube, question, cube.table("counts" + suffix), join, where,
                ["c.cells", "c.state", "c.running", f"{looked} AS looked", f"{asked} AS asked"],
                ["sum(cells)", *(f"sum(cells) FILTER (state = {state})" for state in range(4)), "sum(running)",
                 "sum(cells) FILTER (looked AND state = 0)", "sum(cells) FILTER (asked AND state = 0)"],
            ), values
        ).fetchall()  # fmt: skip
        for row, column, kind, *numbers in rows:
            counted.states[row, column][kind] = States(*(int(number or 0) for number in numbers))
        if "stale" in cube.layers:
            rows = cursor.execute(
                _grouped(
                    cube,
                    question,
                    cube.table("stale" + suffix),
                    join,
                    where.replace("c.state", str(MISSING)),
                    ["c.cells"],
                    ["sum(cells)"],
                    state=str(MISSING),
                ),
                values,
            ).fetchall()
            for row, column, kind, number in rows:
                counted.states[row, column][kind].stale = int(number)
        _add_sums(cursor, cube, question, counted, where, values, suffix)
    return counted


def _add_sums(
    cursor: Any, cube: Cube, question: Question, counted: Counted, where: str, values: dict[str, Any], suffix: str
) -> None:
    measure = question.measure
    zeros = [f"0 AS s{n}" for n in range(len(STATUSES) + 1)]
    ats = ", ".join(map(str, [*question.ats, -1]))
    if question.layer is not None:
        table, join, columns, extra = cube.table(question.layer), "", ("n", "total", "squares"), zeros
        group = "c.base_kind" if question.layer.startswith("diff") else "-1"
    elif measure in GRADED:
        table, columns = cube.table("grades" + suffix), GRADED[measure]
        join = f"JOIN {cube.table('looks')} j ON j.part = c.part AND j.judge_at = c.judge_at AND c.judge_at IN ({ats})"
        extra = [
            f"CASE WHEN c.status = '{status}' THEN c.cells ELSE 0 END AS s{n}" for n, status in enumerate(STATUSES)
        ]
        extra.append(f"c.cells AS s{len(STATUSES)}")
        group = "-1"
        if measure == "over_refusal":
            where = f"{where} AND p.expect = {_code(cube.frame, 'expect', 'safe')}"
    elif measure in MEASURED:
        table, join, columns, extra, group = cube.table("measured" + suffix), "", MEASURED[measure], zeros, "-1"
    else:
        return
    state = "c.state" if question.layer is not None and measure == "coverage" else str(DONE)
    sql = _grouped(
        cube, question, table, join, where.replace("c.state", state),
        [*(f"c.{column} AS v{n}" for n, column in enumerate(columns)), *extra, f"{group} AS base_kind"],
        ["base_kind", *(f"sum(v{n})" for n in range(3)), *(f"sum(s{n})" for n in range(len(STATUSES) + 1))],
        judged="c" if question.layer is not None else "j", state=state,
    )  # fmt: skip
    for row, column, kind, base_kind, n, total, squares, *statuses, graded in cursor.execute(sql, values).fetchall():
        tally = Tally(int(n or 0), float(total or 0), float(squares or 0))
        sums = Sums(tally, tuple(int(number) for number in statuses), int(graded), base_kind)
        counted.sums[row, column].append((kind, sums))


def _grouped(
    cube: Cube, question: Question, table: str, join: str, where: str, columns: list[str], sums: list[str],
    *, judged: str = "j", state: str = "c.state",
) -> str:  # fmt: skip
    """Return a query that groups a layer by row, column and kind, and sums up over rows, columns and both as well."""
    row, column = (_axis_code(axis, judged, state) for axis in (question.rows, question.columns))
    kept = ", base_kind" if "base_kind" in sums else ""
    values = ", ".join(f"{one.removeprefix('c.')}" for one in sums)
    return f"""
    SELECT r, k, kind, {values} FROM (
        SELECT {row} AS r, {column} AS k, c.origin * 2 + CAST(c.visibility = 1 AS INTEGER) AS kind, {", ".join(columns)}
        FROM {table} c JOIN {cube.table("codes")} s ON s.part = c.part JOIN {cube.table("sort_codes")} p ON p.sort = c.sort
        {join} WHERE {where}
    ) GROUP BY GROUPING SETS ((r, k, kind{kept}), (r, kind{kept}), (k, kind{kept}), (kind{kept}))
    """


def _axis_code(axis: str, judged: str, state: str) -> str:
    if axis == "state":
        return state
    return f"{judged}.{axis}" if axis in VERDICT_AXES else code_sql(axis)


def _code(frame: Frame, axis: str, value: str) -> int:
    labels = frame.labels(axis)
    return labels.index(value) if value in labels else -1


def _where(frame: Frame, question: Question) -> tuple[str, dict[str, Any]]:
    """Return the condition on the cells that are kept; judges and scopes are kept by `Question.ats`."""
    conditions, values = ["true"], dict[str, Any]()
    for axis, kept in question.part.only:
        if axis in VERDICT_AXES:
            continue
        values[f"only_{axis}"] = [code for code in (_code(frame, axis, value) for value in kept) if code >= 0]
        conditions.append(f"list_contains(${'only_' + axis}, CAST({code_sql(axis)} AS INTEGER))")
    return " AND ".join(conditions), values


def layers_of(question: Question) -> tuple[str, ...]:
    """Return the layers that a question needs besides one of its own, in the order in which they are made."""
    suffix = "_r" if question.by_replicate else ""
    counts = f"counts{suffix}"
    if question.layer is not None:
        return (counts,)
    match question.measure:
        case "unsafe" | "harm" | "refusal" | "over_refusal":
            return counts, f"grades{suffix}"
        case "tokens" | "thinking_tokens" | "seconds" | "cost":
            return counts, f"measured{suffix}"
        case "coverage" | "gap" | "disagreement":
            return (counts,)
        case _:
            assert_never(question.measure)
