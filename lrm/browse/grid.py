"""The matrix: figures of any measure along any two axes, first a frame, then as far as it is counted, then whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from lrm.browse.axes import VERDICT_AXES, Slice, axis, level
from lrm.browse.cellvalues import PAIRED, base, cell_values, differences, summed
from lrm.browse.cube import LAYERS, Cube, framed
from lrm.browse.figures import NOTHING, Figure, Figures, Grid
from lrm.browse.frame import CODED, PART_AXES, PROMPT_AXES, JudgeScope, read_judges, read_parts
from lrm.browse.judging import choose
from lrm.browse.making import make_figure, versus
from lrm.browse.places import MatrixPlace
from lrm.browse.reader import Reader, Stop
from lrm.browse.regroup import Counted, Question, layers_of, regroup
from lrm.errors import MissingError, SpecError, known_names_hint
from lrm.store.live import live_runs

KEPT = 2
"""Cubes that are kept: the slice that is looked at, and the one before."""


@dataclass(frozen=True, slots=True)
class Held:
    """A spec or an import that the catalog holds cells of."""

    name: str
    kind: Literal["spec", "import"]
    file: str | None
    """The file that it was read from."""
    filled_at: datetime
    """When its current span was made, UTC."""


@dataclass(slots=True)
class Grids:
    """Grids of a catalog. Threads may ask side by side; what is counted is kept until the file changes."""

    reader: Reader
    _cubes: dict[str | None, Cube] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def grids(self, place: MatrixPlace, stop: Stop | None = None) -> Iterator[Grid]:
        """Yield the frame of a grid, then the grid with more and more of its cells; the last one is complete.

        A grid of a slice that was counted before comes at once. Where the catalog has changed since, the old one comes first,
        not complete, and then the new one.

        Raises SpecError where axes, measure and `against` do not go together; MissingError for a spec, judge or row that is
        not there; what `Reader.burst` raises; StoppedError.
        """
        stop = stop or Stop()
        spec = place.slice.spec
        kept = self._kept(spec)
        fresh = kept is not None and kept.frame.stamp == self.reader.stamp() and kept.live == self._live(kept)
        if kept is not None:
            if fresh:
                yield from _shown(kept, place, stop)
                return
            old = _at_hand(kept, place, stop)
            if old is not None:
                yield old
        cube = framed(self.reader, spec, stop)
        try:
            _require(cube, spec)
            question, chosen = _question(cube, place)
            if kept is None:
                yield _empty(cube, chosen)
            layers = layers_of(question)
            for _ in cube.count(stop, list(dict.fromkeys(["counts", *layers]))):
                if kept is None and not cube.complete and place.against is None and question.measure not in _OWN_LAYER:
                    yield _grid(cube, chosen, question, stop)
            self._keep(cube)
        finally:
            if self._cubes.get(spec) is not cube:
                cube.dropped()
        yield from _shown(cube, place, stop)

    def specs(self, stop: Stop | None = None) -> tuple[Held, ...]:
        """Return the specs and imports of the catalog, the one filled last first."""
        with self.reader.burst(stop) as cursor:
            rows = cursor.execute(
                """
                SELECT s.spec, s.spec IN (SELECT name FROM lrm.imports), arg_max(s.file, s.n), max(s.chosen_at)
                FROM lrm.spec_spans s GROUP BY s.spec ORDER BY max(s.n) DESC
                """
            ).fetchall()
        return tuple(Held(name, "import" if imported else "spec", file, at) for name, imported, file, at in rows)

    def values(self, part: Slice, axis_name: str, stop: Stop | None = None) -> tuple[str, ...]:
        """Return the values that an axis can have in a slice, whatever `only` keeps, without counting cells.

        Of visibility, origin and state it is all that there are. Raises SpecError for an unknown axis.
        """
        name = axis(axis_name)
        if name in CODED:
            return CODED[name]
        kept = self._kept(part.spec)
        if kept is not None and kept.frame.stamp == self.reader.stamp():
            return kept.frame.labels(name)
        if name in VERDICT_AXES:
            found = self.judges(part, stop)
            return tuple(dict.fromkeys(one.judge if name == "judge" else one.scope for one in found))
        with self.reader.burst(stop) as cursor:
            parts = read_parts(cursor, part.spec)
            if name in PART_AXES:
                return tuple(dict.fromkeys(one.value(name) for one in parts))
            if name == "replicate":
                return tuple(str(n) for n in range(max((one.replicates for one in parts), default=0)))
            depth = level(name)
            what = "expect" if depth is None else f"nullif(array_to_string(category[:{depth}], ' › '), '')"
            rows = cursor.execute(
                f"SELECT DISTINCT coalesce({what}, '—') FROM lrm.prompts WHERE n IN "
                "(SELECT prompt_n FROM lrm.prompt_set_members WHERE list_contains($sets, set_n)) ORDER BY 1",
                {"sets": sorted({one.set_n for one in parts})},
            ).fetchall()
        found_values = [row[0] for row in rows]
        return tuple(sorted(found_values, key=lambda value: (value == "—", value)))

    def judges(self, part: Slice, stop: Stop | None = None) -> tuple[JudgeScope, ...]:
        """Return the judges of a slice with the scopes they look at, in the order of the spec."""
        kept = self._kept(part.spec)
        if kept is not None and kept.frame.stamp == self.reader.stamp():
            return kept.frame.judges
        with self.reader.burst(stop) as cursor:
            return read_judges(cursor, part.spec)

    def depth(self, part: Slice, stop: Stop | None = None) -> int:
        """Return how many levels the categories of a slice have, at most the four that there are axes for."""
        with self.reader.burst(stop) as cursor:
            sets = sorted({one.set_n for one in read_parts(cursor, part.spec)})
            row = cursor.execute(
                "SELECT max(len(category)) FROM lrm.prompts WHERE n IN "
                "(SELECT prompt_n FROM lrm.prompt_set_members WHERE list_contains($sets, set_n))",
                {"sets": sets},
            ).fetchone()
        return min(4, int(row[0] or 0)) if row else 0

    def close(self) -> None:
        """Forget all that was counted."""
        with self._lock:
            cubes, self._cubes = list(self._cubes.values()), {}
        for cube in cubes:
            cube.dropped()

    def _kept(self, spec: str | None) -> Cube | None:
        with self._lock:
            return self._cubes.get(spec)

    def _live(self, cube: Cube) -> frozenset[str]:
        """Return which of the runs that had claims when the cube was made still live."""
        return cube.live & live_runs(self.reader.catalog)

    def _keep(self, cube: Cube) -> None:
        with self._lock:
            before = self._cubes.pop(cube.frame.spec, None)
            self._cubes[cube.frame.spec] = cube
            gone = [] if before is None else [before]
            while len(self._cubes) > KEPT:
                gone.append(self._cubes.pop(next(iter(self._cubes))))
        for one in gone:
            one.dropped()


_OWN_LAYER = ("gap", "disagreement")
"""Measures that compare verdicts of one response: they get a layer of their own when they are first asked for."""


def _require(cube: Cube, spec: str | None) -> None:
    if spec is not None and not cube.frame.parts:
        with cube.reader.burst() as cursor:
            names = [row[0] for row in cursor.execute("SELECT DISTINCT spec FROM lrm.spec_spans").fetchall()]
        raise MissingError(f"the catalog holds no spec `{spec}`", hint=known_names_hint(spec, names))


def _question(cube: Cube, place: MatrixPlace) -> tuple[Question, MatrixPlace]:
    chosen = choose(place, cube.frame.judges)
    question = Question(place.rows, place.columns, place.measure, place.slice, chosen.ats)
    if place.against is not None and place.against not in cube.frame.labels(place.rows):
        raise MissingError(
            f"no row `{place.against}` of {place.rows} to compare with",
            hint=known_names_hint(place.against, cube.frame.labels(place.rows)),
        )
    return question, chosen.place


def _own(cube: Cube, question: Question, against: str | None) -> tuple[Question, Callable[[Stop], None] | None]:
    """Return the question with the layer that it alone needs, and what makes that; None where it needs none."""
    frame = cube.frame
    scopes, expects = frame.labels("scope"), frame.labels("expect")
    paired = against is not None and question.rows in PAIRED
    if question.measure not in _OWN_LAYER and not paired:
        return question, None
    place = {one: (scopes.index(one) if one in scopes else -1) for one in ("thinking", "answer")}
    sql = cell_values(
        question.measure, question.ats, safe=expects.index("safe") if "safe" in expects else -1,
        thinking=place["thinking"], answer=place["answer"],
    )  # fmt: skip
    suffix = "_r" if question.by_replicate else ""
    ats = "_".join(map(str, question.ats))
    if not paired or against is None:
        name = f"{question.measure}_{ats}{suffix}"
        return _with(question, name), lambda stop: _made(cube, name, summed(sql), stop)
    code = frame.labels(question.rows).index(against)
    column = question.columns if question.columns in {*CODED, "spec", "condition"} else "any"
    name = f"diff_{question.measure}_{ats}_{question.rows}_{code}_{column}{suffix}"

    def make(stop: Stop) -> None:
        _made(cube, f"base_{name}", base(sql, question.rows, question.columns, code), stop)
        _made(cube, name, differences(sql, question.rows, question.columns), stop)

    return _with(question, name), make


def _with(question: Question, layer: str) -> Question:
    return Question(question.rows, question.columns, question.measure, question.part, question.ats, layer)


def _made(cube: Cube, name: str, sql: str, stop: Stop) -> None:
    for _ in cube.layer(name, sql, stop):
        pass


def _shown(cube: Cube, place: MatrixPlace, stop: Stop) -> Iterator[Grid]:
    """Yield the grid of a cube; the frame first where a layer has to be made for it."""
    question, chosen = _question(cube, place)
    asked, make = _own(cube, question, place.against)
    missing = [name for name in layers_of(question) if name not in cube.layers]
    if missing or (make is not None and asked.layer not in cube.layers):
        yield _empty(cube, chosen)
    for name in missing:
        for _ in cube.layer(name, LAYERS[name], stop, of_catalog=not name.startswith("counts")):
            pass
    if make is not None and asked.layer not in cube.layers:
        make(stop)
    yield _grid(cube, chosen, asked, stop)


def _at_hand(cube: Cube, place: MatrixPlace, stop: Stop) -> Grid | None:
    """Return what an old cube can show without opening the catalog; None where it lacks a layer."""
    with suppress(MissingError, SpecError):
        question, chosen = _question(cube, place)
        asked, _ = _own(cube, question, place.against)
        wanted = {*layers_of(question), *([asked.layer] if asked.layer else [])}
        if wanted <= cube.layers:
            return _grid(cube, chosen, asked, stop, old=True)
    return None


def _empty(cube: Cube, place: MatrixPlace) -> Grid:
    """Return a grid without figures: its labels alone."""
    rows, columns = (_labels(cube, place, name) for name in (place.rows, place.columns))
    return Grid(
        place, rows, columns, {}, (NOTHING,) * len(rows), (NOTHING,) * len(columns), NOTHING, False, 0.0,
        _is_paired(place), cube.frame.stamp,
    )  # fmt: skip


def _labels(cube: Cube, place: MatrixPlace, name: str) -> tuple[str, ...]:
    """Return the labels that an axis may come to have; none where only counting can tell."""
    if name in CODED:
        return ()
    frame, kept = cube.frame, place.slice.values(name)
    labels = frame.labels(name)
    if name in PART_AXES:
        others = [(one, set(place.slice.values(one) or ())) for one in PART_AXES if place.slice.values(one) is not None]
        present = {part.value(name) for part in frame.parts if all(part.value(one) in values for one, values in others)}
        labels = tuple(label for label in labels if label in present)
    elif name in PROMPT_AXES:
        others = [
            (one, set(place.slice.values(one) or ())) for one in PROMPT_AXES if place.slice.values(one) is not None
        ]
        present = {sort.value(name) for sort in frame.sorts if all(sort.value(one) in values for one, values in others)}
        labels = tuple(label for label in labels if label in present)
    return labels if kept is None else tuple(label for label in labels if label in kept)


def _is_paired(place: MatrixPlace) -> bool:
    return place.against is not None and place.rows in PAIRED


def _grid(cube: Cube, place: MatrixPlace, question: Question, stop: Stop, *, old: bool = False) -> Grid:
    counted = regroup(cube, question, stop)
    row_codes, rows = _present(cube, place.rows, [key[0] for key in counted.states])
    column_codes, columns = _present(cube, place.columns, [key[1] for key in counted.states])
    row_at = {code: n for n, code in enumerate(row_codes)}
    column_at = {code: n for n, code in enumerate(column_codes)}
    keys = {
        (row_at[row], column_at[column]): (row, column)
        for row, column in counted.states
        if row is not None and column is not None
    }
    make = _maker(cube, place, question, counted)
    return Grid(
        place,
        rows,
        columns,
        Figures(keys, lambda key: make((row_codes[key[0]], column_codes[key[1]]))),
        tuple(make((code, None)) for code in row_codes),
        tuple(make((None, code)) for code in column_codes),
        make((None, None)) if counted.states else NOTHING,
        cube.complete and not old,
        cube.share,
        _is_paired(place),
        cube.frame.stamp,
    )


def _maker(
    cube: Cube, place: MatrixPlace, question: Question, counted: Counted
) -> Callable[[tuple[int | None, int | None]], Figure]:
    """Return what makes the figure of a row and a column."""
    measure = question.measure

    def is_one(key: tuple[int | None, int | None]) -> bool:
        """Return whether a figure is of one judge and scope: verdicts of several on the same cells are no larger sample."""
        return not any(
            code is None and axis in VERDICT_AXES for code, axis in zip(key, (place.rows, place.columns), strict=True)
        )

    if place.against is None:
        return lambda key: make_figure(measure, counted, key, shown=is_one(key))
    if question.layer is not None and question.layer.startswith("diff"):
        return lambda key: make_figure(measure, counted, key, difference=True, shown=key[0] is not None and is_one(key))
    code = cube.frame.labels(place.rows).index(place.against)
    return lambda key: (
        versus(measure, counted, key, (code, key[1]))
        if is_one(key)
        else make_figure(measure, counted, key, shown=False)
    )


def _present(cube: Cube, name: str, codes: Sequence[int | None]) -> tuple[list[int], tuple[str, ...]]:
    labels = cube.frame.labels(name)
    found = sorted({code for code in codes if code is not None})
    return found, tuple(labels[code] for code in found)
