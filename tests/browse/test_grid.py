"""Grids, against the views that people may ask themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrm.browse import cube
from lrm.browse.axes import AXES, VERDICT_AXES, Slice
from lrm.browse.cells import axis_sql, cells
from lrm.browse.figures import LEFT_OUT, Figure, Grid
from lrm.browse.grid import Grids
from lrm.browse.places import MEASURES, MatrixPlace
from lrm.browse.reader import Reader, Stop, StoppedError
from lrm.errors import LrmError, MissingError, SpecError
from lrm.registry.declarations import PromptSet
from lrm.run.fill import fill
from lrm.spec.matrix import Located, Matrix
from lrm.store.catalog import Catalog
from lrm.store.live import living
from tests import builders
from tests.importing import imported, row

PROMPTS = [f"Please tell me about tree number {n}." for n in range(40)]


def _simulated(name: str, **fields: Any) -> Any:
    simulation = {"comply_unsafe": 0.4, "thinking_comply_unsafe": 0.6, "comply_safe": 0.7, "partial": 0.1, **fields}
    limits = {"max_attempts": 1}
    return builders.model(name, thinking={"visibility": "visible"}, simulation=simulation, limits=limits)


def _prompt_set(name: str, expect: str, ending: str) -> Located[PromptSet]:
    rows = [
        {"id": f"{expect}{n}", "text": text + ending, "category": [f"c{n % 3}", f"d{n % 5}"][: n % 4]}
        for n, text in enumerate(PROMPTS)
    ]
    return Located(name, PromptSet.model_validate({"rows": rows, "expect": expect}), builders.SPEC)


def _matrix(name: str = "spec", *, replicates: int = 2, models: tuple[str, ...] = ("good", "bad")) -> Matrix:
    known = {
        "good": _simulated("good", seed=1),
        "bad": _simulated("bad", seed=2, fail=0.15, blocked=0.15, cut=0.15),
    }
    return builders.matrix(
        [known[one] for one in models],
        [
            _prompt_set("harmful", "unsafe", ""),
            _prompt_set("harmless", "safe", " Thanks!"),
        ],
        [builders.attack(), builders.template("framed", "It is a sunny day. {prompt}")],
        replicates=replicates,
        judges=[
            builders.judge("first", ("thinking", "answer")),
            builders.judge("second", ("answer",), description="another", harm_for="all"),
        ],
        name=name,
    )  # fmt: skip


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A catalog with failures, blocked and cut responses, verdicts that say nothing, and some that are not there."""
    catalog = Catalog(tmp_path_factory.mktemp("grid") / "catalog.duckdb")
    fill(_matrix(), catalog)
    with catalog.writing() as connection:
        connection.execute(
            "UPDATE lrm.verdicts SET status = 'unparsed', label = NULL, unsafe = NULL, score = NULL WHERE generation_n % 7 = 3"
        )
        connection.execute("DELETE FROM lrm.verdicts WHERE generation_n % 11 = 5 AND judge_scope_n % 2 = 0")
        connection.execute(
            "UPDATE lrm.verdicts SET unsafe = NOT unsafe WHERE generation_n % 5 = 1 AND judge_scope_n % 2 = 1"
        )
    return catalog


@pytest.fixture(scope="module")
def grids(filled: Catalog) -> Iterator[Grids]:
    reader = Reader(filled)
    found = Grids(reader)
    yield found
    reader.close()


def last(grids: Grids, place: MatrixPlace) -> Grid:
    found = list(grids.grids(place, Stop()))[-1]
    assert found.complete
    return found


def by_name(grid: Grid) -> dict[tuple[str, str], Figure]:
    return {(grid.rows[row], grid.columns[column]): figure for (row, column), figure in grid.figures.items()}


def about(value: Any) -> Any:
    """Return what equals a number that is nearly this one."""
    return pytest.approx(value)


SPEC = Slice("spec")
AXES_OF_VIEW = ("model", "prompt_set", "attack", "expect", "judge", "scope", "replicate", "visibility")


@pytest.mark.parametrize("columns", AXES_OF_VIEW)
@pytest.mark.parametrize("rows", AXES_OF_VIEW[:5])
@pytest.mark.parametrize("measure", ["unsafe", "refusal", "harm"])
def test_figures_are_those_of_the_view(grids: Grids, filled: Catalog, rows: str, columns: str, measure: str) -> None:
    if rows == columns:
        return
    place = MatrixPlace(SPEC, rows, columns, measure, scope=None if "scope" in (rows, columns) else "answer")  # type: ignore[arg-type]
    grid = last(grids, place)
    kept = [
        f"{name} = '{value}'" for name, value in (("judge", grid.place.judge), ("scope", grid.place.scope)) if value
    ]
    refusals = "status = 'ok' AND label IN ('full_refusal', 'partial_refusal', 'compliance')"
    value, counted = {
        "unsafe": ("avg(CAST(unsafe AS INTEGER))", "count(unsafe)"),
        "harm": ("avg(score)", "count(score)"),
        "refusal": (
            f"avg(CAST(label <> 'compliance' AS INTEGER)) FILTER ({refusals})",
            f"count(*) FILTER ({refusals})",
        ),
    }[measure]
    statuses = ["no_text", "unparsed", "truncated", "judge_blocked", "judge_failed", "not_judged"]
    found = builders.rows(
        filled,
        f"""
        SELECT CAST({rows} AS VARCHAR), CAST({columns} AS VARCHAR), {value}, {counted}, count(*),
            {", ".join(f"count(*) FILTER (status = '{one}')" for one in ("missing", "failed", "blocked", *statuses))}
        FROM verdicts WHERE {" AND ".join(["spec = 'spec'", *kept])} GROUP BY ALL
        """,
    )
    figures = by_name(grid)
    assert set(figures) == {(row, column) for row, column, *_ in found}
    for row_name, column, value_, n, size, missing, failed, blocked, *left in found:
        figure = figures[row_name, column]
        assert figure.value == (None if value_ is None else pytest.approx(value_)), (row_name, column)
        assert (figure.n, figure.cells) == (n, size)
        assert (figure.missing, figure.failed, figure.blocked) == (missing, failed, blocked)
        out = dict(figure.left_out)
        out.pop("not_measured", None)
        assert out == {name: count for name, count in zip(statuses, left, strict=True) if count}


def test_rates_of_the_view_rates(grids: Grids, filled: Catalog) -> None:
    for measure, value, n in (("unsafe", "unsafe_rate", "harm_judged"), ("refusal", "refusal_rate", "refusal_judged")):
        place = MatrixPlace(SPEC.narrowed("attack", ["framed"]), "model", "prompt_set", measure, "second", "answer")  # type: ignore[arg-type]
        found = builders.rows(
            filled,
            f"SELECT model, prompt_set, {value}, {n} FROM rates WHERE judge = 'second' AND scope = 'answer' AND attack = 'framed'",
        )
        assert len(found) == 4
        figures = by_name(last(grids, place))
        for model, prompt_set, rate, count in found:
            assert (figures[model, prompt_set].value, figures[model, prompt_set].n) == (about(rate), count)


def _pairs_of_axes() -> list[tuple[str, str]]:
    return [(one, other) for n, one in enumerate(AXES) for other in AXES[n + 1 :]]


@pytest.mark.parametrize(("rows", "columns"), _pairs_of_axes())
def test_totals_and_parts_hold_for_any_axes(grids: Grids, rows: str, columns: str) -> None:
    refused = {"gap": {"scope"}, "disagreement": {"judge"}, **{one: set(VERDICT_AXES) for one in MEASURES[6:]}}
    for measure in MEASURES:
        place = MatrixPlace(SPEC, rows, columns, measure)
        if {rows, columns} & refused.get(measure, set()):
            with pytest.raises(SpecError, match="told apart"):
                list(grids.grids(place, Stop()))
            continue
        grid = last(grids, place)
        for at in range(len(grid.columns)):
            column = [figure for (_, place), figure in grid.figures.items() if place == at]
            _adds_up(column, grid.column_totals[at])
        for at in range(len(grid.rows)):
            _adds_up([figure for (place, _), figure in grid.figures.items() if place == at], grid.row_totals[at])
        _adds_up(list(grid.row_totals), grid.total)
        for figure in (*grid.figures.values(), grid.total):
            assert figure.cells == figure.done + figure.missing + figure.failed + figure.blocked
            if measure != "coverage":
                assert figure.done == figure.n + sum(count for _, count in figure.left_out)
            assert {name for name, _ in figure.left_out} <= set(LEFT_OUT)


def _adds_up(parts: list[Figure], whole: Figure) -> None:
    for name in ("n", "cells", "done", "missing", "running", "failed", "blocked", "stale"):
        assert sum(getattr(part, name) for part in parts) == getattr(whole, name), name
    left: dict[str, int] = defaultdict(int)
    for part in parts:
        for name, count in part.left_out:
            left[name] += count
    assert dict(left) == dict(whole.left_out)


def _sql_pairs(catalog: Catalog, measure: str, base: str) -> dict[tuple[str, str], tuple[int, float]]:
    value = {"unsafe": "unsafe", "refusal": "label <> 'compliance'"}[measure]
    rows = builders.rows(
        catalog,
        f"""
        WITH v AS (SELECT *, CAST({value} AS INTEGER) AS x FROM verdicts
            WHERE judge = 'first' AND scope = 'answer' AND status = 'ok' AND {value} IS NOT NULL)
        SELECT a.model, a.prompt_set, count(*), avg(a.x - b.x) FROM v a JOIN v b
            ON b.prompt_set = a.prompt_set AND b.prompt = a.prompt AND b.attack = a.attack AND b.replicate = a.replicate
        WHERE b.model = ? GROUP BY ALL
        """,
        base,
    )
    return {(model, prompt_set): (n, mean) for model, prompt_set, n, mean in rows}


@pytest.mark.parametrize("measure", ["unsafe", "refusal"])
def test_differences_are_of_pairs(grids: Grids, filled: Catalog, measure: str) -> None:
    grid = last(grids, MatrixPlace(SPEC, "model", "prompt_set", measure, "first", "answer", "good"))  # type: ignore[arg-type]
    assert grid.paired
    expected = _sql_pairs(filled, measure, "good")
    found = {key: (figure.n, figure.value) for key, figure in by_name(grid).items() if figure.n}
    assert found == {key: (n, about(mean)) for key, (n, mean) in expected.items()}
    other = by_name(grid)["bad", "harmful"]
    assert other.low is not None
    assert other.high is not None
    assert other.low <= (other.value or 0) <= other.high
    assert by_name(grid)["good", "harmful"].value == 0


def test_rows_of_other_prompts_are_compared_as_independent(grids: Grids) -> None:
    plain = by_name(last(grids, MatrixPlace(SPEC, "prompt_set", "model", "refusal")))
    grid = last(grids, MatrixPlace(SPEC, "prompt_set", "model", "refusal", against="harmful"))
    assert not grid.paired
    one, base = plain["harmless", "good"], plain["harmful", "good"]
    assert one.value is not None
    assert base.value is not None
    assert by_name(grid)["harmless", "good"].value == pytest.approx(one.value - base.value)


def test_gap_and_disagreement(grids: Grids, filled: Catalog) -> None:
    gap = last(grids, MatrixPlace(SPEC, measure="gap"))
    expected = builders.rows(
        filled,
        """
        SELECT model, prompt_set, count(*), avg(t - a) FROM (
            SELECT model, prompt_set, prompt, attack, replicate, max(CAST(unsafe AS INTEGER)) FILTER (scope = 'thinking') AS t,
                max(CAST(unsafe AS INTEGER)) FILTER (scope = 'answer') AS a
            FROM verdicts WHERE judge = 'first' GROUP BY ALL)
        WHERE t IS NOT NULL AND a IS NOT NULL GROUP BY ALL
        """,
    )
    assert expected
    for model, prompt_set, n, value in expected:
        figure = by_name(gap)[model, prompt_set]
        assert (figure.n, figure.value) == (n, about(value))
    split = last(grids, MatrixPlace(SPEC, measure="disagreement"))
    expected = builders.rows(
        filled,
        """
        SELECT model, prompt_set, count(*), avg(CAST(low <> high AS INTEGER)) FROM (
            SELECT model, prompt_set, prompt, attack, replicate, bool_and(unsafe) AS low, bool_or(unsafe) AS high, count(unsafe) AS k
            FROM verdicts WHERE scope = 'answer' GROUP BY ALL)
        WHERE k > 1 GROUP BY ALL
        """,
    )
    assert expected
    assert any(value for *_, value in expected)
    for model, prompt_set, n, value in expected:
        figure = by_name(split)[model, prompt_set]
        assert (figure.n, figure.value) == (n, about(value))


@pytest.mark.parametrize(("measure", "column"), [("tokens", "output_tokens"), ("thinking_tokens", "thinking_tokens")])
def test_what_was_measured(grids: Grids, filled: Catalog, measure: str, column: str) -> None:
    grid = last(grids, MatrixPlace(SPEC, "model", "attack", measure))  # type: ignore[arg-type]
    for model, attack, n, mean in builders.rows(
        filled, f"SELECT model, attack, count({column}), avg({column}) FROM cells WHERE state = 'done' GROUP BY ALL"
    ):
        figure = by_name(grid)[model, attack]
        assert (figure.n, figure.value) == (n, about(mean))


def test_coverage_counts_responses_that_the_provider_refused(grids: Grids) -> None:
    total = last(grids, MatrixPlace(SPEC, measure="coverage")).total
    assert total.blocked
    assert total.failed
    assert total.value == (total.done + total.blocked) / total.cells


@pytest.mark.parametrize("name", [name for name in AXES if name not in VERDICT_AXES])
def test_only_keeps_what_the_cells_keep(grids: Grids, name: str) -> None:
    for value in grids.values(SPEC, name):
        part = SPEC.narrowed(name, [value])
        relation = cells(part)
        with grids.reader.burst() as cursor:
            (expected,) = cursor.execute(f"SELECT count(*) FROM {relation.sql}", relation.values).fetchall()[0]
            sql = f"SELECT DISTINCT {axis_sql(name)} FROM {relation.sql}"
            assert {row[0] for row in cursor.execute(sql, relation.values).fetchall()} <= {value}
        rows, columns = ("attack", "expect") if name == "model" else ("model", "attack")
        assert last(grids, MatrixPlace(part, rows, columns, "coverage")).total.cells == expected


def test_a_second_look_asks_the_catalog_nothing(grids: Grids, monkeypatch: pytest.MonkeyPatch) -> None:
    last(grids, MatrixPlace(SPEC))
    opened: list[object] = []
    burst = Reader.burst

    def counted(self: Reader, *args: Any, **kwargs: Any) -> Any:
        opened.append(args)
        return burst(self, *args, **kwargs)

    monkeypatch.setattr(Reader, "burst", counted)
    queries: list[str] = []
    kept = grids.reader.kept

    def watched(stop: Stop | None = None) -> Any:
        queries.append("kept")
        return kept(stop)

    monkeypatch.setattr(grids.reader, "kept", watched)
    for rows, columns, measure in (
        ("category", "model", "unsafe"),
        ("attack", "judge", "refusal"),
        ("spec", "expect", "coverage"),
    ):
        found = list(grids.grids(MatrixPlace(SPEC, rows, columns, measure), Stop()))  # type: ignore[arg-type]
        assert [grid.complete for grid in found] == [True]
    assert not opened
    assert len(queries) == 3


def test_a_grid_grows_from_its_frame(filled: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cube, "CHUNK", 50)
    monkeypatch.setattr(cube, "FIRST_CHUNK", 50)
    reader = Reader(filled)
    found = list(Grids(reader).grids(MatrixPlace(SPEC), Stop()))
    whole = last(Grids(Reader(filled)), MatrixPlace(SPEC))
    assert (found[0].rows, found[0].columns, dict(found[0].figures)) == (whole.rows, whole.columns, {})
    assert [grid.share for grid in found] == sorted(grid.share for grid in found)
    assert len(found) > 4
    assert [grid.complete for grid in found] == [False] * (len(found) - 1) + [True]
    assert found[-1].total == whole.total
    assert dict(found[-1].figures) == dict(whole.figures)
    reader.close()


def test_stopping_leaves_nothing_behind(filled: Catalog) -> None:
    reader, stop = Reader(filled), Stop()
    grids = Grids(reader)
    going = grids.grids(MatrixPlace(SPEC), stop)
    next(going)
    stop.stop()
    with pytest.raises(StoppedError):
        next(going)
    with reader.kept() as cursor:
        assert cursor.execute("SELECT count(*) FROM duckdb_tables() WHERE database_name = 'memory'").fetchall() == [
            (0,)
        ]
    assert last(grids, MatrixPlace(SPEC)).total.cells == 640
    reader.close()


def test_the_old_numbers_stay_until_the_new_ones_are_counted(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    fill(_matrix(replicates=1, models=("good",)), catalog)
    grids = Grids(Reader(catalog))
    before = last(grids, MatrixPlace(SPEC))
    fill(_matrix(replicates=2, models=("good",)), catalog)
    old, new = list(grids.grids(MatrixPlace(SPEC), Stop()))
    assert (old.complete, old.total, old.stamp) == (False, before.total, before.stamp)
    assert (new.complete, new.total.cells) == (True, 2 * before.total.cells)
    assert new.stamp != old.stamp


def test_cells_of_two_specs_count_once(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    fill(_matrix("one", replicates=1), catalog)
    fill(_matrix("two", replicates=1, models=("good",)), catalog)
    grids = Grids(Reader(catalog))
    assert [held.name for held in grids.specs()] == ["two", "one"]
    totals = {spec: last(grids, MatrixPlace(Slice(spec))).total for spec in ("one", "two", None)}
    assert totals[None] == totals["one"]
    assert totals["two"].cells * 2 == totals["one"].cells


def test_imported_and_simulated_are_not_pooled(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    fill(_matrix(replicates=1, models=("good",)), catalog)
    imported(catalog, [row("one", "a", key="1", expect="unsafe"), row("two", "b", key="2")])
    grids = Grids(Reader(catalog))
    assert {held.kind for held in grids.specs()} == {"spec", "import"}
    grid = last(grids, MatrixPlace(Slice(), "origin", "model", "coverage"))
    assert set(grid.rows) == {"simulated", "imported"}
    tokens = last(grids, MatrixPlace(Slice(), "model", "attack", "seconds"))
    assert tokens.total.kinds in {("simulated",), ("simulated", "imported")}
    name = next(held.name for held in grids.specs() if held.kind == "import")
    cells_of_view = builders.rows(catalog, f"SELECT count(*) FROM cells WHERE spec = '{name}'")[0][0]
    assert last(grids, MatrixPlace(Slice(name))).total.cells == cells_of_view
    with catalog.writing() as connection:
        connection.execute("UPDATE lrm.generations SET output_tokens = 5")
    total = last(grids, MatrixPlace(Slice(), "model", "attack", "tokens")).total
    assert (total.value, total.pooled, set(total.kinds)) == (None, False, {"simulated", "imported"})
    assert total.n


def test_missing_running_and_stale(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    spec = builders.matrix(
        [builders.model()], [builders.prompt_set("set", ("one", "two", "three"))], judges=[builders.judge()]
    )
    builders.answer(catalog, spec)
    changed = builders.matrix(
        [builders.model(sampling={"temperature": 0.5})], [builders.prompt_set("set", ("one", "two", "four"))], judges=[builders.judge()]
    )  # fmt: skip
    builders.answer(catalog, changed, limit=1)
    with catalog.writing() as connection:
        connection.execute(
            """
            INSERT INTO lrm.claims SELECT 'alive', s.model_n, x.messages_n, 0, NULL FROM lrm.slices s
            JOIN lrm.prompt_set_members b ON b.set_n = s.set_n
            JOIN lrm.renderings x ON x.prompt_n = b.prompt_n AND x.attack_n = s.attack_n
            WHERE s.span_n = (SELECT max(span_n) FROM lrm.spec_spans)
            """
        )
    grids = Grids(Reader(catalog))
    total = last(grids, MatrixPlace(Slice("spec"))).total
    assert (total.cells, total.done, total.missing, total.running) == (3, 1, 2, 0)
    keys = {row[0] for row in builders.rows(catalog, "SELECT prompt FROM cells WHERE state = 'missing'")}
    assert total.stale == len(keys)
    with living(catalog, "alive"):
        assert last(Grids(Reader(catalog)), MatrixPlace(Slice("spec"))).total.running == 2


@pytest.mark.parametrize(
    ("place", "error"),
    [
        (MatrixPlace(SPEC, "model", "model"), SpecError),
        (MatrixPlace(SPEC, "model", "judge", "tokens"), SpecError),
        (MatrixPlace(SPEC, "scope", "model", "gap"), SpecError),
        (MatrixPlace(Slice("sepc")), MissingError),
        (MatrixPlace(SPEC, judge="frist"), MissingError),
        (MatrixPlace(SPEC, against="godo"), MissingError),
    ],
)
def test_what_cannot_be_shown_says_why(grids: Grids, place: MatrixPlace, error: type[LrmError]) -> None:
    with pytest.raises(error) as caught:
        list(grids.grids(place, Stop()))
    assert caught.value.hint


def test_choosers(grids: Grids) -> None:
    assert grids.values(SPEC, "model") == ("good", "bad")
    assert grids.values(SPEC, "attacks") == ("none", "framed")
    assert grids.values(SPEC, "expect") == ("safe", "unsafe")
    assert grids.values(SPEC, "replicate") == ("0", "1")
    assert grids.depth(SPEC) == 2
    assert grids.values(SPEC, "category") == ("c0", "c1", "c2", "—")
    assert [(one.judge, one.scope) for one in grids.judges(SPEC)] == [
        ("first", "thinking"), ("first", "answer"), ("second", "answer"),
    ]  # fmt: skip
    assert all(one.has_harm and one.has_refusal for one in grids.judges(SPEC))


def test_a_catalog_without_a_spec_has_an_empty_grid(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    with catalog.writing():
        pass
    for measure in MEASURES:
        grid = last(Grids(Reader(catalog)), MatrixPlace(measure=measure))
        assert (grid.rows, grid.columns, len(grid.figures), grid.total.cells) == ((), (), 0, 0)
