"""Whose pulled results may fill cells: what counts, what a plan supposes, what a fill makes of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from lrm.errors import MissingError
from lrm.plan import planner, workspace
from lrm.plan.plan import Plan, PulledCells
from lrm.run.fill import fill
from lrm.spec.lock import Lock
from lrm.spec.matrix import Matrix
from lrm.store import trust
from lrm.store.catalog import Catalog
from lrm.store.register import register
from lrm.store.trust import Retrusted, Trust, set_trust
from lrm.store.verify import verify
from tests import builders, pulled
from tests.importing import file_of, imported, row

ACME, BETA = "acme/r1@1a2b3c4d5e6f", "beta/more@1a2b3c4d5e6f"
NOBODY, EVERYBODY = Trust(frozenset()), Trust()


def spec_of(*, judged: bool = True) -> Matrix:
    """Three models and two prompts, judged by rules."""
    return builders.matrix(
        [builders.model(name, model=name) for name in ("one", "two", "three")],
        judges=[builders.judge(scopes=("thinking", "answer"))] if judged else (),
    )


def only(*names: str) -> Trust:
    """Trust these publishers alone."""
    return Trust.of(names)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Six cells: those of model `one` came from acme, those of `two` from beta, and those of `three` were received here."""
    found = Catalog(tmp_path / "catalog.duckdb")
    builders.answer(found, spec_of())
    assert pulled.mark(found, pulled.snapshot(found, "acme/r1"), "m.name = 'one'") == 2
    assert pulled.mark(found, pulled.snapshot(found, "beta/more"), "m.name = 'two'", run=f"snapshot:{BETA}") == 2
    return found


def shown(catalog: Catalog) -> list[tuple[str, str, str | None]]:
    """Return (model, state, publisher) of each cell."""
    found = builders.rows(catalog, "SELECT model, state, publisher FROM cells ORDER BY model, prompt")
    return [(model, state, publisher) for model, state, publisher in found]


def register_span(catalog: Catalog, spec: Matrix) -> None:
    """Make the cells of a matrix known to the catalog."""
    with workspace.opened(catalog, spec, Lock()) as space:
        planner.plan(space)
        register(space, spec)


def supposed(catalog: Catalog, trusting: Trust | None) -> Plan:
    """Return the plan as if these publishers alone were trusted."""
    with workspace.opened(catalog, spec_of(), Lock(), trust=trusting) as space:
        return planner.plan(space)


def test_everything_that_was_pulled_counts_until_somebody_says_otherwise(catalog: Catalog) -> None:
    assert shown(catalog) == [
        *[("one", "done", ACME)] * 2, *[("three", "done", None)] * 2, *[("two", "done", BETA)] * 2,
    ]  # fmt: skip
    plan = supposed(catalog, None)
    assert (plan.done, plan.calls) == (6, 0)
    assert plan.pulled == (PulledCells(ACME, "acme", 2), PulledCells(BETA, "beta", 2))
    assert plan.pulled_said == f"4 of 6 present cells were pulled: 2 {ACME}, 2 {BETA}"


def test_only_the_trusted_fill_cells(catalog: Catalog) -> None:
    verdicts = builders.rows(catalog, "SELECT * FROM lrm.verdicts ORDER BY ALL")
    calls = builders.rows(catalog, "SELECT * FROM lrm.calls ORDER BY ALL")
    assert set_trust(catalog, only("beta")) == Retrusted((), ("acme",), emptied=2)
    assert shown(catalog)[:2] == [("one", "missing", None)] * 2
    assert set_trust(catalog, only("acme")) == Retrusted(("acme",), ("beta",), emptied=2, filled=2)
    assert set_trust(catalog, only("acme")) == Retrusted((), ())
    assert [(one, state) for one, state, _ in shown(catalog)] == [
        *[("one", "done")] * 2, *[("three", "done")] * 2, *[("two", "missing")] * 2,
    ]  # fmt: skip
    assert verify(catalog).problems == ()
    assert set_trust(catalog, NOBODY) == Retrusted((), ("acme",), emptied=2)
    assert verify(catalog).problems == ()
    assert builders.rows(catalog, "SELECT * FROM lrm.verdicts ORDER BY ALL") == verdicts
    assert set_trust(catalog, EVERYBODY) == Retrusted(("acme", "beta"), (), filled=4)
    assert builders.rows(catalog, "SELECT * FROM lrm.calls ORDER BY ALL") == calls


@pytest.mark.parametrize("who", [NOBODY, EVERYBODY, only("acme"), only("beta"), only("acme", "beta")])
def test_a_plan_supposes_what_setting_trust_would_do(catalog: Catalog, who: Trust) -> None:
    before = hashlib.sha256(catalog.path.read_bytes()).hexdigest()
    plan = supposed(catalog, who)
    assert hashlib.sha256(catalog.path.read_bytes()).hexdigest() == before
    set_trust(catalog, who)
    assert supposed(catalog, None) == plan
    set_trust(catalog, NOBODY)
    assert supposed(catalog, who) == plan  # also from where it counts less


def test_a_plan_says_what_would_be_missing(catalog: Catalog) -> None:
    plan = supposed(catalog, only("beta"))
    assert [(one.model, one.missing) for one in plan.blocks] == [("one", 2), ("two", 0), ("three", 0)]
    assert (plan.calls, plan.missing) == (2, 2)
    assert plan.pulled == (PulledCells(BETA, "beta", 2),)
    assert supposed(catalog, NOBODY).pulled == ()


def test_what_does_not_count_makes_way_for_a_later_response_and_comes_back(catalog: Catalog) -> None:
    (call,) = builders.rows(
        catalog,
        "SELECT c.id FROM lrm.calls c JOIN lrm.models m ON m.n = c.model_n WHERE m.name = 'one' ORDER BY c.n LIMIT 1",
    )[0]
    later = pulled.other_response(catalog, call, builders.payload("later"), at="2030-01-01")
    query = f"SELECT generation_n FROM lrm.calls WHERE hex(id) = '{call.hex().upper()}'"
    first = builders.rows(catalog, query)
    assert set_trust(catalog, only("beta")) == Retrusted((), ("acme",), emptied=1, swapped=1)
    assert builders.rows(catalog, query) == [(later,)]
    assert verify(catalog).problems == ()
    assert set_trust(catalog, EVERYBODY) == Retrusted(("acme",), (), filled=1, swapped=1)
    assert builders.rows(catalog, query) == first


def test_a_response_of_two_publishers_counts_while_one_of_them_is_trusted(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        both = "SELECT generation_n FROM lrm.pulled WHERE snapshot_n = 1"
        assert trust.pulled_with(connection, 2, both, "SELECT 0 WHERE false") == 2
        assert trust.pulled_with(connection, 2, both, "SELECT 0 WHERE false") == 0
    plan = supposed(catalog, None)
    assert plan.pulled == (PulledCells(ACME, "acme", 2), PulledCells(BETA, "beta", 2))
    assert supposed(catalog, only("beta")).pulled == (PulledCells(BETA, "beta", 4),)
    assert set_trust(catalog, only("beta")) == Retrusted((), ("acme",))
    assert [publisher for _, _, publisher in shown(catalog)] == [BETA, BETA, None, None, BETA, BETA]
    assert set_trust(catalog, NOBODY).emptied == 4


def test_what_is_here_already_does_not_become_pulled(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        everything = "SELECT n FROM lrm.generations"
        assert trust.pulled_with(connection, 1, everything, "SELECT 0 WHERE false") == 2  # those of beta
    assert [publisher for _, _, publisher in shown(catalog)][2:4] == [None, None]


def test_two_commits_of_a_publisher_are_trusted_together(catalog: Catalog) -> None:
    newer = pulled.snapshot(catalog, "acme/r2", commit="f" * 40)
    pulled.mark(catalog, newer, "m.name = 'three'")
    assert set_trust(catalog, only("beta")) == Retrusted((), ("acme",), emptied=4)
    with catalog.reading() as connection:
        assert not trust.starts_trusted(connection, "acme", "acme/r3")
        assert trust.starts_trusted(connection, "beta", "beta/other")
        assert trust.starts_trusted(connection, "gamma", "gamma/first")
        assert trust.starts_trusted(connection, None, "acme")


def test_a_folder_that_bears_an_organisations_name_is_not_that_organisation(catalog: Catalog) -> None:
    pulled.mark(catalog, pulled.snapshot(catalog, "acme"), "m.name = 'three'", run="snapshot:acme")
    pulled.snapshot(catalog, "results")
    assert shown(catalog)[2] == ("three", "done", "acme")
    assert set_trust(catalog, only("acme", "results")) == Retrusted((), ("beta", "acme"), emptied=4)
    assert [state for _, state, _ in shown(catalog)] == ["done", "done", *["missing"] * 4]


def test_publishers_of_whom_nothing_was_pulled_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no snapshot of `acne` was pulled") as refused:
        set_trust(catalog, only("acne", "beta"))
    assert refused.value.hint == "did you mean `acme`? known: acme, beta"
    with pytest.raises(MissingError, match="no snapshot of `acne`"):
        supposed(catalog, only("acne"))
    empty = Catalog(tmp_path / "none.duckdb")
    with pytest.raises(MissingError, match="no snapshot of `acme`"):
        set_trust(empty, only("acme"))
    assert set_trust(empty, NOBODY) == set_trust(empty, EVERYBODY) == Retrusted((), ())
    assert not empty.exists()


def test_words_of_the_command_line() -> None:
    assert Trust.of(["all"]) == EVERYBODY
    assert Trust.of(["none", "none"]) == NOBODY
    assert Trust.of(["b", "a"]) == Trust(frozenset({"a", "b"}))
    for words in (["all", "none"], ["a", "none"], ["all", "a"]):
        with pytest.raises(ValueError, match="says whom to trust already"):
            Trust.of(words)


def test_a_fill_asks_for_what_does_not_count_and_the_same_answer_is_its_own_then(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    spec = replace(spec_of(), file=tmp_path / "spec.toml")
    fill(spec, catalog)
    generations = builders.rows(catalog, "SELECT n, id, raw FROM lrm.generations ORDER BY n")
    verdicts = builders.rows(catalog, "SELECT generation_n, judge_scope_n, label FROM lrm.verdicts ORDER BY ALL")
    pulled.mark(catalog, pulled.snapshot(catalog), "m.name IN ('one', 'two')")
    with catalog.writing() as connection:  # the publisher's judge did not look at the answers of the second model
        connection.execute(
            """
            DELETE FROM lrm.verdicts WHERE judge_scope_n = 2 AND generation_n IN (
                SELECT g.n FROM lrm.generations g JOIN lrm.calls c ON c.n = g.call_n JOIN lrm.models m ON m.n = c.model_n
                WHERE m.name = 'two')
            """
        )
    outcome = fill(spec, catalog, trust=NOBODY)
    assert (outcome.plan.calls, outcome.done) == (4, 4)
    assert [(state, publisher) for _, state, publisher in shown(catalog)] == [("done", None)] * 6
    assert builders.rows(catalog, "SELECT n, id, raw FROM lrm.generations ORDER BY n") == generations
    assert (
        builders.rows(catalog, "SELECT generation_n, judge_scope_n, label FROM lrm.verdicts ORDER BY ALL") == verdicts
    )
    assert builders.rows(catalog, "SELECT count(*) FROM lrm.pulled") == [(0,)]
    assert builders.rows(catalog, "SELECT count(DISTINCT run), min(source) FROM lrm.generations") == [(2, "run")]
    assert verify(catalog).problems == ()
    assert fill(spec, catalog).plan.nothing_to_do


def test_what_is_imported_here_too_counts(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    model = builders.http_model("http://127.0.0.1:9/v1", "served")
    spec = builders.matrix([model], [builders.prompt_set("set", ["one", "two"])])
    rows = [row(text, f"imported {text}", model="ok") for text in ("one", "two")]
    imported(catalog, rows, as_cache=model)
    register_span(catalog, spec)
    pulled.mark(catalog, pulled.snapshot(catalog))
    assert set_trust(catalog, NOBODY).emptied == 2
    again = imported(catalog, rows[:1], as_cache=model, path=file_of(tmp_path, "other", "other.csv"), name="other")
    assert again.new_responses == 0
    shown = "SELECT prompt, state, source, publisher FROM cells WHERE spec = 'spec' ORDER BY prompt"
    assert builders.rows(catalog, shown) == [("1", "done", "imported", None), ("2", "missing", None, None)]


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("pulled", "UPDATE lrm.pulled SET generation_n = 99 WHERE snapshot_n = 1"),
        ("pulled", "UPDATE lrm.pulled SET snapshot_n = 9 WHERE snapshot_n = 1"),
        ("pulled", "INSERT INTO lrm.pulled FROM lrm.pulled"),
        ("generations", "DELETE FROM lrm.pulled"),
        ("calls", "UPDATE lrm.snapshots SET trusted = false WHERE n = 1"),
        ("calls", "UPDATE lrm.calls SET generation_n = NULL WHERE n = 1"),
        ("other_verdicts", "INSERT INTO lrm.other_verdicts SELECT *, 9 FROM lrm.verdicts"),
        ("other_verdicts", "INSERT INTO lrm.other_verdicts SELECT * REPLACE (99 AS generation_n), 1 FROM lrm.verdicts"),
        (
            "other_verdicts",
            "INSERT INTO lrm.other_verdicts SELECT * REPLACE (99 AS judge_scope_n), 1 FROM lrm.verdicts",
        ),
    ],
)
def test_verify_finds(catalog: Catalog, what: str, change: str) -> None:
    with catalog.writing() as connection:
        connection.execute("INSERT INTO lrm.other_verdicts SELECT *, 1 FROM lrm.verdicts")
    assert verify(catalog).problems == ()
    with catalog.writing() as connection:
        connection.execute(change)
    assert what in {one.table for one in verify(catalog).problems}


def test_who_published_costs_nothing_where_it_is_not_asked_for(catalog: Catalog) -> None:
    queries = (
        "sum(cost) FROM cells",
        "max(score) FROM verdicts",
        "max(unsafe) FROM rates",
        "max(publisher) FROM cells",
    )
    with catalog.reading() as connection:
        plans = [connection.execute(f"EXPLAIN SELECT {query}").fetchall()[0][1] for query in queries]
    assert ["lrm.pulled" in plan for plan in plans] == [False, False, False, True]


def test_traces_say_who_published_them(catalog: Catalog) -> None:
    found = builders.rows(catalog, "SELECT publisher, count(*) FROM traces GROUP BY ALL ORDER BY ALL")
    assert found == [(ACME, 2), (BETA, 2), (None, 2)]
