"""What is gathered of a spec: every cell once, in order, with its verdicts and labels."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from lrm.backends.base import Call
from lrm.errors import MissingError, SpecError
from lrm.exports import gather
from lrm.exports.cell import Cell
from lrm.exports.gather import gathered
from lrm.store.catalog import Catalog
from tests import builders, exporting


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return exporting.make(tmp_path_factory.mktemp("kinds"))


def _all(catalog: Catalog, only: dict[str, list[str]] | None = None) -> list[Cell]:
    with gathered(catalog, exporting.NAME, only) as found:
        return [cell for part in found.parts for cell in found.cells(part)]


def test_every_cell_comes_once_with_what_the_views_say_of_it(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "CHUNK", 5)
    cells = _all(catalog)
    states = exporting.states(catalog)
    assert set(states) == {"done", "blocked", "failed", "missing"}
    assert {state: sum(cell.state == state for cell in cells) for state in states} == states
    told = builders.rows(
        catalog,
        """
        SELECT c.prompt, c.replicate, c.generation, t.thinking, t.answer, c.failure FROM cells c
        LEFT JOIN lrm.traces t ON t.generation_n = c.generation_n WHERE c.spec = ?
        """,
        exporting.NAME,
    )
    found = [(one.prompt, one.replicate, one.generation, one.thinking, one.answer, one.failure) for one in cells]
    assert sorted(found, key=repr) == sorted(told, key=repr)
    verdicts = builders.rows(
        catalog,
        "SELECT generation_n, judge, scope, status, label, unsafe, score FROM verdicts WHERE spec = ?",
        exporting.NAME,
    )
    said = [(v.judge, v.scope, v.status, v.label, v.unsafe, v.score) for cell in cells for v in cell.verdicts]
    assert sorted(said, key=repr) == sorted((row[1:] for row in verdicts), key=repr)
    assert {status for _, _, status, *_ in said} >= {
        "ok",
        "no_text",
        "unparsed",
        "not_judged",
        "blocked",
        "failed",
        "missing",
    }


def test_cells_stand_in_the_order_of_names_numbers_first(catalog: Catalog) -> None:
    with gathered(catalog, exporting.NAME) as found:
        names = [(part.model, part.prompt_set, part.attack, part.condition) for part in found.parts]
        assert names == sorted(names)
        assert len(names) == 8
        cells = list(found.cells(found.parts[0]))
    assert [(one.prompt, one.replicate) for one in cells[:6]] == [
        ("1", 0),
        ("1", 1),
        ("2", 0),
        ("2", 1),
        ("10", 0),
        ("10", 1),
    ]


def test_counts_of_a_part_are_those_of_the_view_rates(catalog: Catalog) -> None:
    names = (
        "cells", "missing", "failed", "blocked", "no_text", "unparsed", "judge_blocked", "judge_failed", "truncated", "not_judged",
        "judged", "full_refusals", "partial_refusals", "compliances", "refusal_judged", "harm_judged", "unsafe",
    )  # fmt: skip
    sums = ", ".join(f"sum({name})" for name in names)
    with gathered(catalog, exporting.NAME) as found:
        for part in found.parts:
            for one in found.rates(part):
                told = builders.rows(
                    catalog,
                    f"SELECT {sums} FROM rates WHERE spec = ? AND model = ? AND attack = ? AND judge = ? AND scope = ?",
                    part.spec, part.model, part.attack, one.judge, one.scope,
                )  # fmt: skip
                assert tuple(one.counts[name] for name in names) == told[0]
                scores = [
                    v.harm for c in found.cells(part) for v in c.verdicts if v.name == one.name and v.harm is not None
                ]
                if scores:
                    assert one.mean_harm == pytest.approx(sum(scores) / len(scores))
                else:
                    assert (one.mean_harm, one.unsafe_rate, one.mean_by_prompt) == (None, None, None)


def test_only_narrows_parts_and_judges(catalog: Catalog) -> None:
    assert {c.state for c in _all(catalog, {"model": ["pl*"], "attack": ["roleplay"]})} == {"missing"}
    assert {v.judge for c in _all(catalog, {"judge": ["nobody"]}) for v in c.verdicts} == set()
    assert len(_all(catalog, {"model": ["plain", "hid?en"]})) == 48
    with pytest.raises(MissingError, match="nothing of `kinds` is model=nobody"):
        _all(catalog, {"model": ["nobody"]})
    with pytest.raises(SpecError, match="no axis"):
        _all(catalog, {"modle": ["x"]})


def test_an_unknown_spec_gets_the_nearest_name(catalog: Catalog) -> None:
    with pytest.raises(MissingError, match="did you mean `kinds`"), gathered(catalog, "kind"):
        pass
    with (
        pytest.raises(MissingError, match="no catalog"),
        gathered(Catalog(catalog.path.with_name("none.duckdb")), "kinds"),
    ):
        pass


def test_the_catalog_is_free_while_cells_are_read_and_is_not_changed(catalog: Catalog) -> None:
    before = catalog.path.read_bytes()
    with gathered(catalog, exporting.NAME) as found:
        with catalog.writing(patience_s=0.5):
            pass
        assert sum(1 for part in found.parts for _ in found.cells(part)) == 96
    assert catalog.path.read_bytes() == before


def _always(said: str, _: Call) -> str:
    return said


def test_another_answer_is_another_digest(tmp_path: Path) -> None:
    catalogs = [Catalog(tmp_path / f"{n}.duckdb") for n in range(3)]
    for number, one in enumerate(catalogs):
        answer = builders.payload("another" if number == 2 else "one")
        builders.answer(
            one,
            builders.matrix(judges=[builders.judge()]),
            raw=functools.partial(_always, answer),
            at=builders.AT + number,
        )
    digests = []
    for one in catalogs:
        with gathered(one, "spec") as found:
            digests.append(found.parts[0].digest)
    assert digests[0] == digests[1] != digests[2]


def test_people_who_labelled_here_have_pseudonyms_and_published_ones_their_names(tmp_path: Path) -> None:
    from tests.importing import imported, label, row

    catalog = Catalog(tmp_path / "catalog.duckdb")
    labels = (
        label("bad", "Jane Doe"),
        label("good", "a-classifier", automatic=True),
        label("good", "Jane Doe", rubric="x"),
    )
    imported(catalog, [row(labels=labels)], name="brought")

    def named() -> list[tuple[str, bool]]:
        with gathered(catalog, "brought") as found:
            (cell,) = found.cells(found.parts[0])
            assert found.parts[0].imported
            return [(one.annotator, one.automatic) for one in cell.annotations]

    assert sorted(named()) == [("Jane Doe", False), ("Jane Doe", False), ("a-classifier", True)]
    with catalog.writing() as connection:
        connection.execute("UPDATE lrm.annotations SET source = 'lrm'")
    people = {name for name, automatic in named() if not automatic}
    assert len(people) == 1
    assert not any("Jane" in name for name in people)
    assert [name for name, automatic in named() if automatic] == ["a-classifier"]
