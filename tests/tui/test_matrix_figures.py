"""What the matrix says of its figures: in cells, in a sentence, as SQL and in files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from lrm.browse.axes import Slice
from lrm.browse.figures import Figure, Grid
from lrm.browse.grid import Grids
from lrm.browse.places import MatrixPlace, Measure, SamplesPlace
from lrm.browse.reader import Reader, Stop
from lrm.store.catalog import Catalog
from lrm_tui.screens.matrix_export import FIELDS, as_csv, as_json, as_markdown, as_text, as_tsv
from lrm_tui.screens.matrix_sql import sql_of
from lrm_tui.screens.matrix_state import MatrixModel, MatrixState
from lrm_tui.screens.matrix_text import amount, cell_text, mark, sentence, shade, short
from tests.tui import quickstarts

NASTY = "a\x1b]0;owned\x07[red]|b\u202e"


def figure(value: float | None = 0.5, n: int = 100, **fields: object) -> Figure:
    """Return a figure of which nothing is wrong, but what the fields say."""
    plain = Figure(value, n, None, None, n, n, 0, 0, 0, 0, 0, (), ("run",))
    return replace(plain, **fields)  # type: ignore[arg-type]


def grid(
    figures: Mapping[tuple[int, int], Figure],
    *,
    rows: int = 3,
    columns: int = 2,
    complete: bool = True,
    **place: object,
) -> Grid:
    """Return a grid of rows r0 …, columns c0 …."""
    totals = [figure(n / 10) for n in range(10)]
    return Grid(
        replace(MatrixPlace(Slice("spec"), judge="j", scope="answer"), **place),  # type: ignore[arg-type]
        tuple(f"r{n}" for n in range(rows)), tuple(f"c{n}" for n in range(columns)), figures,
        tuple(totals[:rows]), tuple(totals[:columns]), figure(), complete, 1.0, False, (),
    )  # fmt: skip


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog with the quickstart's cells."""
    return quickstarts.filled(tmp_path_factory.mktemp("matrix"))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "rate", "0%"), (0.004, "rate", "<1%"), (0.006, "rate", "1%"), (0.425, "rate", "42%"), (0.996, "rate", ">99%"),
        (1.0, "rate", "100%"), (0.123, "points", "+12"), (-0.123, "points", "-12"), (0.0, "points", "0"), (0.001, "points", "+0"),
        (0.5, "score", "0.50"), (1234.0, "count", "1.2k"), (12.4, "count", "12"), (3.25, "count", "3.2"), (1.234, "dollars", "$1.23"),
        (0.001, "dollars", "<1¢"), (12345.0, "dollars", "$12k"), (1.26, "seconds", "1.3s"), (240.0, "seconds", "4.0m"),
    ],
)  # fmt: skip
def test_values_in_cells(value: float, unit: str, text: str) -> None:
    """A rate that is not nothing is never written as nothing, nor one that is not all as all."""
    assert amount(value, unit) == text  # type: ignore[arg-type]


def test_short_numbers_never_take_more_than_four_signs() -> None:
    """Whatever the size, so that columns can stay narrow."""
    assert (
        max(len(short(value)) for value in (0.5, 9.96, 999.4, 999.6, 9_949, 9_951, 999_499, 999_501, 99_949_999)) <= 4
    )


@pytest.mark.parametrize(
    ("fields", "sign"),
    [
        ({}, ""), ({"missing": 3}, "·"), ({"missing": 3, "stale": 3}, "~"), ({"missing": 3, "stale": 1}, "·"),
        ({"failed": 1, "missing": 3}, "!"), ({"running": 1, "failed": 1, "missing": 1}, "▒"),
        ({"value": None, "kinds": ("run", "simulated"), "running": 1}, "≠"), ({"blocked": 2}, ""),
    ],
)  # fmt: skip
def test_the_most_urgent_mark(fields: dict[str, object], sign: str) -> None:
    """One sign a cell: what would mislead most comes first."""
    assert mark(figure(**fields)) == sign  # type: ignore[arg-type]


def test_a_cell_says_number_and_mark_and_kind() -> None:
    """A number with missing cells shows both; few is dim; nothing planned, nothing counted and not yet counted differ."""
    state = MatrixState(
        grid({
            (0, 0): figure(0.42, 20, missing=3, kinds=("simulated",)),
            (0, 1): figure(None, 0, cells=5, left_out=(("unparsed", 5),)),
            (1, 0): figure(None, 0, cells=5, missing=5),
            (1, 1): figure(None, 0, cells=9, kinds=("run", "imported+summary")),
        })
    )  # fmt: skip
    first = state.shown(0, 0)
    assert (first.text, first.mark, first.note, first.dim) == ("42%", "·", "s", True)
    assert (state.shown(0, 1).text, state.shown(0, 1).mark, state.shown(0, 1).shade) == ("?", "", None)
    assert (state.shown(1, 0).text, state.shown(1, 0).mark) == ("", "·")
    assert (state.shown(1, 1).text, state.shown(1, 1).mark, state.shown(1, 1).note) == ("", "≠", "iΣ")
    assert state.shown(2, 0).mark == "—"
    assert MatrixState(replace(state.grid, complete=False)).shown(2, 0).mark == "·"


def test_shades_go_both_ways_for_differences() -> None:
    """Worse is above nothing, better below; of a rate, 0 to 1; a cost by the largest."""
    assert [shade(value, "unsafe", difference=True, largest=0.4) for value in (-0.4, 0.0, 0.2)] == [-1, 0, 0.5]
    assert [shade(value, "unsafe", difference=False, largest=0.4) for value in (0.0, 0.4)] == [0, 0.4]
    assert shade(2.0, "cost", difference=False, largest=4.0) == 0.5
    assert shade(0.9, "coverage", difference=False, largest=1.0) == pytest.approx(0.1)


def test_the_sentence_has_everything() -> None:
    """Labels, value, n, interval, what was left out by class, states, kinds; for differences, the pairs."""
    one = figure(
        0.425, 80, low=0.3, high=0.55, cells=100, left_out=(("unparsed", 2), ("no_text", 1)), missing=12, failed=5,
        kinds=("simulated",),
    )  # fmt: skip
    said = sentence(one, "unsafe", names="a × b", difference=False, paired=False)
    for words in ("a × b: 42.5 %", "n = 80 of 100", "30.0 % to 55.0 %", "2 unparsed", "1 without text", "12 missing", "5 failed",
                  "simulated"):  # fmt: skip
        assert words in said
    pairs = sentence(replace(one, value=-0.1), "unsafe", names="a × b", difference=True, paired=True, against="c")
    assert "-10.0 points over c" in pairs
    assert "paired by prompt, 80 pairs" in pairs
    assert sentence(None, "unsafe", names="a × b", difference=False, paired=False) == "a × b: not planned"
    mixed = sentence(figure(None, 0, kinds=("run", "simulated")), "unsafe", names="x", difference=False, paired=False)
    assert "not pooled: run, simulated" in mixed


def test_intervals_in_cells() -> None:
    """Bounds stand beside the value; those of a difference in brackets, because of their signs."""
    one = figure(0.425, low=0.3, high=0.55)
    assert cell_text(one, "unsafe", difference=False, interval=True) == "42% 30-55"
    assert cell_text(replace(one, value=0.1, low=-0.02), "unsafe", difference=True, interval=True) == "+10 [-2,+55]"


def test_sorting_goes_down_up_and_back() -> None:
    """What has no figure is last both ways; columns are sorted by a row likewise."""
    state = MatrixState(grid({(0, 0): figure(0.2), (1, 0): figure(None, 0), (2, 0): figure(0.9), (0, 1): figure(0.7)}))
    down = state.sorted_by(rows=True, by="c0")
    up = down.sorted_by(rows=True, by="c0")
    assert (down.row_order, up.row_order) == ((2, 0, 1), (0, 2, 1))
    assert up.sorted_by(rows=True, by="c0").row_order == (0, 1, 2)
    assert state.sorted_by(rows=False, by="r0").column_order == (1, 0)
    assert state.sorted_by(rows=True, by=None).row_order == (2, 1, 0)
    assert MatrixModel(down).rows == ("r2", "r0", "r1")


def test_a_sort_by_what_is_gone_ends() -> None:
    """Another grid without that column is not sorted, and does not say so; by the total it goes on."""
    state = MatrixState(grid({})).sorted_by(rows=True, by="c1").sorted_by(rows=False, by=None)
    kept = state.of(grid({}))
    gone = state.of(grid({}, columns=1))
    assert (kept.sort_rows, kept.sort_columns) == (state.sort_rows, state.sort_columns)
    assert (gone.sort_rows, gone.sort_columns) == (None, state.sort_columns)
    assert "rows by" not in gone.about()
    assert state.of(grid({}, columns=1, complete=False)).sort_rows == state.sort_rows


def test_empty_rows_and_columns_are_hidden_and_said() -> None:
    """A row with nothing but missing cells is empty; one that is not pooled is not."""
    mixed = figure(None, 0, kinds=("run", "imported"))
    state = MatrixState(grid({(0, 0): figure(None, 0, missing=2), (1, 0): mixed, (2, 0): figure(0.1)}), hide_empty=True)
    assert (state.row_order, state.column_order) == ((1, 2), (0,))
    assert "hidden: 1 rows, 1 columns" in state.about()


def test_cells_lead_to_their_samples() -> None:
    """Narrowed to row and column, with the judge; a total to one of them; the axis `spec` sets the spec."""
    state = MatrixState(grid({}, rows=2, columns=2))
    assert state.samples(1, 0) == SamplesPlace(
        Slice("spec", (("model", ("r1",)), ("prompt_set", ("c0",)))), judge="j", scope="answer"
    )
    assert state.samples(1, None).slice == Slice("spec", (("model", ("r1",)),))
    assert state.samples(None, None).slice == Slice("spec")
    specs = MatrixState(grid({}, columns=1))
    by_spec = MatrixState(
        replace(specs.grid, place=replace(specs.place, rows="spec", columns="judge", slice=Slice(None)))
    )
    found = by_spec.samples(0, 0)
    assert (found.slice.spec, found.judge, found.slice.only) == ("r0", "c0", ())


def test_hostile_names_are_inert_in_text_and_page() -> None:
    """No control reaches a file that a pager shows; a page's table keeps its bars."""
    state = MatrixState(replace(grid({(0, 0): figure()}, rows=1, columns=1), rows=(NASTY,)))
    for text in (as_text(state), as_markdown(state), state.sentence(0, 0)):
        assert "\x1b" not in text
        assert "\u202e" not in text
    table = [line for line in as_markdown(state).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert next(iter(csv.reader(io.StringIO(as_csv(state).split("\n", 1)[1]))))[0] == NASTY


def _grid(catalog: Catalog, **place: object) -> Grid:
    reader = Reader(catalog)
    try:
        wanted = replace(MatrixPlace(Slice("quickstart"), columns="attack"), **place)  # type: ignore[arg-type]
        return list(Grids(reader).grids(wanted, Stop()))[-1]
    finally:
        reader.close()


@pytest.mark.parametrize(
    "measure", ["unsafe", "refusal", "over_refusal", "coverage", "gap", "tokens", "thinking_tokens", "seconds", "cost"]
)
def test_the_sql_gives_the_same_numbers(quickstart: Catalog, measure: Measure) -> None:
    """Each figure of the grid is what its query over the views says."""
    found = _grid(quickstart, measure=measure)
    query = sql_of(found.place)
    assert query is not None
    with quickstart.reading() as connection:
        answer = connection.execute(query)
        names = [column[0] for column in answer.description]
        rows = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    last = {"unsafe": "unsafe_rate"}.get(measure)
    by_cell = {(row["model"], row["attack"]): row for row in rows}
    assert len(by_cell) == len(found.figures) == 9
    for (row, column), one in found.figures.items():
        said = by_cell[found.rows[row], found.columns[column]]
        value = said[last] if last else said[names[names.index("n") + 1]]
        assert said["n"] == one.n
        assert (one.value is None and value is None) or one.value == pytest.approx(value)


def test_the_sql_keeps_quotes_and_filters(quickstart: Catalog) -> None:
    """A name with a quote stays a name; what the views do not have is not made up."""
    part = Slice("it's", (("category", ("a'b",)),))
    query = sql_of(MatrixPlace(part))
    assert query is not None
    with quickstart.reading() as connection:
        assert connection.execute(query).fetchall() == []
    assert sql_of(MatrixPlace(rows="condition")) is None
    assert sql_of(MatrixPlace(against="m")) is None


def test_exports_have_each_figure_once(quickstart: Catalog) -> None:
    """Cells and totals, with n, interval, kinds and marks; the table has what is seen."""
    state = MatrixState(_grid(quickstart))
    rows = list(csv.DictReader(io.StringIO(as_csv(state))))
    assert len(rows) == (3 + 1) * (3 + 1)
    assert set(FIELDS) <= set(rows[0])
    one = next(row for row in rows if row["model"] == "sim-reasoning" and row["attack"] == "roleplay")
    row, column = state.grid.rows.index("sim-reasoning"), state.grid.columns.index("roleplay")
    expected = state.grid.figures[row, column]
    assert (float(one["value"]), int(one["n"]), json.loads(one["kinds"])) == (expected.value, expected.n, ["simulated"])
    assert len(json.loads(as_json(state))["figures"]) == 16
    assert len(as_tsv(state).splitlines()) == 5
    assert "s simulated" in as_text(state)
