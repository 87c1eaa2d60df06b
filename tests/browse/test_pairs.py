"""Pairs: what two models did with the same prompts, counted and paged; nothing undecided counts as anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest  # type: ignore[import-untyped]

from lrm.backends.base import Call
from lrm.browse.axes import Slice
from lrm.browse.paired import Outcomes
from lrm.browse.pairs import Pairs, Reason, open_pairs
from lrm.browse.places import ComparePlace
from lrm.browse.reader import Reader
from lrm.browse.trace import read_trace_of
from lrm.errors import MissingError, SpecError
from lrm.store.catalog import Catalog
from tests import builders
from tests.browse import answered as made

TEXTS = tuple(f"question {n}" for n in range(1, 9))
S, U = made.SAFE, made.UNSAFE
A = dict(zip(TEXTS, (S, U, S, U, U, "", U, U), strict=True))
B = dict(zip(TEXTS, (S, S, U, U, S, U, None, None), strict=True))
"""both safe, only A, only B, both unsafe, only A, A without text, B missing twice."""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return made.answered(tmp_path_factory.mktemp("pairs"), {"a": A, "b": B}, TEXTS)


@pytest.fixture
def comparing(catalog: Catalog) -> Iterator[Callable[..., Pairs]]:
    """Return what opens a comparison of a catalog, which is this one unless another is given."""
    readers: list[Reader] = []

    def opening(*models: str, of: Catalog = catalog, part: Slice | None = None, **fields: Any) -> Pairs:
        readers.append(Reader(of))
        return open_pairs(readers[-1], ComparePlace(part or Slice(), models, **fields))

    yield opening
    for one in readers:
        one.close()


@pytest.mark.parametrize("spec", ["spec", None])
def test_outcomes_are_counted_and_what_is_undecided_says_why(comparing: Callable[..., Pairs], spec: str | None) -> None:
    pairs = comparing("a", "b", part=Slice(spec))
    assert pairs.outcomes == Outcomes(both_safe=1, only_a=2, only_b=1, both_unsafe=1)
    assert (pairs.total, pairs.count, pairs.undecided) == (8, 8, 3)
    assert pairs.reasons == (Reason("a", "no_text", 1), Reason("b", "missing", 2))
    assert (pairs.judge, pairs.scope, pairs.models) == ("refusal", "answer", ("a", "b"))
    assert (pairs.kinds, pairs.pooled) == ((("run",), ("run",)), True)
    assert pairs.place == ComparePlace(Slice(spec), ("a", "b"), "all", "refusal", "answer")


def test_the_order_of_the_models_is_the_order_of_the_sides(comparing: Callable[..., Pairs]) -> None:
    assert comparing("b", "a").outcomes == Outcomes(both_safe=1, only_a=1, only_b=2, both_unsafe=1)
    swapped = comparing("b", "a").pair(1)
    assert [one.model for one in swapped.sides] == ["b", "a"]
    assert [one.unsafe for one in swapped.sides] == [False, True]


@pytest.mark.parametrize(
    ("outcome", "prompts"),
    [
        ("both_safe", ["p1"]),
        ("only_a", ["p2", "p5"]),
        ("only_b", ["p3"]),
        ("both_unsafe", ["p4"]),
        ("all", [f"p{n}" for n in range(1, 9)]),
    ],
)
def test_an_outcome_is_paged_and_found_by_prompt(
    comparing: Callable[..., Pairs], outcome: str, prompts: list[str]
) -> None:
    pairs = comparing("a", "b", outcome=outcome)
    assert pairs.count == len(prompts)
    assert [one.prompt for one in pairs.page(0, 100)] == prompts
    assert [pairs.pair(row).prompt for row in range(pairs.count)] == prompts
    assert [pairs.pair(row).row for row in range(pairs.count)] == list(range(pairs.count))
    assert [pairs.row_of(one) for one in prompts] == list(range(len(prompts)))
    assert pairs.row_of("p99") is None
    assert [one.prompt for one in pairs.page(1, 1)] == prompts[1:2]
    for row in (-1, pairs.count):
        with pytest.raises(MissingError):
            pairs.pair(row)


def test_another_outcome_joins_nothing_anew(comparing: Callable[..., Pairs], monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = comparing("a", "b")
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "attach", lambda *_, **__: pytest.fail("the catalog was opened"))
        shown = pairs.showing("only_a")
        assert (shown.count, shown.place.outcome, shown.row_of("p5")) == (2, "only_a", 1)
        assert shown.outcomes is pairs.outcomes
    assert shown.pair(1).outcome == "only_a"


def test_a_pair_without_a_result_is_kept_and_says_so(comparing: Callable[..., Pairs], catalog: Catalog) -> None:
    pair = comparing("a", "b").pair(6)
    first, second = pair.sides
    assert (pair.prompt, pair.outcome, pair.categories, pair.expect) == ("p7", "undecided", ("area", "kind"), "unsafe")
    assert (first.state, first.status, first.label, first.unsafe) == ("done", "ok", "compliance", True)
    assert (second.state, second.status, second.unsafe, second.id) == ("missing", "missing", None, None)
    assert first.id == builders.rows(catalog, "SELECT generation FROM cells WHERE model = 'a' AND prompt = 'p7'")[0][0]


def test_every_side_opens_its_trace_by_numbers(catalog: Catalog) -> None:
    reader = Reader(catalog)
    for side in open_pairs(reader, ComparePlace(Slice(), ("a", "b"))).pair(6).sides:
        assert side.model_n is not None
        found = read_trace_of(reader, side)  # type: ignore[arg-type]
        assert (found.model, found.state, found.generation) == (side.model, side.state, side.id)
    reader.close()


def test_a_model_that_does_not_span_a_prompt_is_not_planned_there(
    tmp_path: Path, comparing: Callable[..., Pairs]
) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    both, more = made.prompts(TEXTS[:1]), made.prompts(TEXTS[1:2], name="more")
    builders.answer(catalog, made.spec(["a"], [both, more], name="wide"), raw=lambda _: builders.payload(U))
    builders.answer(catalog, made.spec(["b"], [both], name="narrow"), raw=lambda _: builders.payload(S))
    pairs = comparing("a", "b", of=catalog)
    assert pairs.outcomes == Outcomes(0, 1, 0, 0)
    assert pairs.reasons == (Reason("b", "not_planned", 1),)
    missing = next(one for one in pairs.page(0, 9) if one.outcome == "undecided")
    assert (missing.prompt_set, missing.sides[1].state, missing.sides[1].planned) == ("more", "not_planned", False)
    assert comparing("b", "a", of=catalog).page(0, 9)[0].sides[0].state == "not_planned"


def test_three_models_stand_side_by_side_and_the_first_two_are_counted(
    tmp_path: Path, comparing: Callable[..., Pairs]
) -> None:
    catalog = made.answered(tmp_path, {"a": {"x": U}, "b": {"x": S}, "c": {"x": U}}, ["x"])
    pairs = comparing("a", "b", "c", of=catalog)
    assert [one.unsafe for one in pairs.pair(0).sides] == [True, False, True]
    assert pairs.outcomes == Outcomes(0, 1, 0, 0)


def test_harm_is_not_counted_on_prompts_that_should_be_answered(
    tmp_path: Path, comparing: Callable[..., Pairs]
) -> None:
    catalog = made.answered(tmp_path, {"a": {"x": U}, "b": {"x": S}}, ["x"], expect="safe")
    pairs = comparing("a", "b", of=catalog)
    assert (pairs.outcomes.decided, pairs.p_value, pairs.difference) == (0, None, None)
    assert pairs.reasons == (Reason("a", "no_harm", 1), Reason("b", "no_harm", 1))
    assert pairs.pair(0).sides[0].label == "compliance"


def test_the_scope_and_the_slice_are_heeded(comparing: Callable[..., Pairs]) -> None:
    assert comparing("a", "b", scope="thinking").scope == "thinking"
    part = Slice(only=(("category2", ("area › kind",)), ("state", ("done",))))
    narrowed = comparing("a", "b", part=part)
    assert narrowed.outcomes == comparing("a", "b").outcomes
    assert narrowed.reasons[-1] == Reason("b", "not_planned", 2)
    with pytest.raises(MissingError):
        comparing("a", "b", part=Slice(only=(("category", ("other",)),)))


@pytest.mark.parametrize(
    ("models", "fields", "error", "words"),
    [
        (("a",), {}, SpecError, "two models"),
        (("a", "a"), {}, SpecError, "twice"),
        (("a", "bb"), {}, MissingError, "`bb`"),
        (("a", "b"), {"judge": "refusa"}, MissingError, "no judge `refusa`"),
        (("a", "b"), {"scope": "both"}, MissingError, "looks at `both`"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    comparing: Callable[..., Pairs], models: tuple[str, ...], fields: dict[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        comparing(*models, **fields)


def test_simulated_and_real_responses_are_never_pooled(
    catalog: Catalog, tmp_path: Path, comparing: Callable[..., Pairs]
) -> None:
    copy = Catalog(tmp_path / "catalog.duckdb")
    copy.path.write_bytes(catalog.path.read_bytes())
    with copy.writing() as connection:
        connection.execute("UPDATE lrm.generations SET source = 'import' WHERE n = 1")
    pairs = comparing("a", "b", of=copy)
    assert pairs.kinds[0] == ("imported", "run")
    assert (pairs.pooled, pairs.p_value, pairs.difference) == (False, None, None)
    assert pairs.outcomes.decided == 5, "the counts stay to be looked at"


def test_forgotten_pairs_leave_nothing(catalog: Catalog) -> None:
    reader = Reader(catalog)
    pairs = open_pairs(reader, ComparePlace(Slice(), ("a", "b")))
    with reader.kept() as connection:
        assert len(connection.execute("SHOW TABLES").fetchall()) == 2
    pairs.close()
    with pytest.raises(MissingError):
        open_pairs(reader, ComparePlace(Slice(), ("a", "bb")))
    with reader.kept() as connection:
        assert connection.execute("SHOW TABLES").fetchall() == []
    reader.close()


@pytest.mark.parametrize(("only_a", "only_b"), [(1, 0), (5, 5), (2154, 1656), (0, 12), (3, 9), (1, 2)])
def test_the_p_value_is_that_of_the_binomial_test(only_a: int, only_b: int) -> None:
    found = Outcomes(10, only_a, only_b, 7).p_value()
    assert found == pytest.approx(binomtest(only_a, only_a + only_b, 0.5).pvalue)


def test_prompts_that_tell_nothing_apart_have_no_p() -> None:
    assert Outcomes(10, 0, 0, 5).p_value() is None
    assert Outcomes(0, 0, 0, 0).difference() is None
    assert Outcomes(0, 0, 0, 0).rates is None


def test_the_difference_and_its_interval() -> None:
    outcomes = Outcomes(both_safe=40, only_a=12, only_b=4, both_unsafe=44)
    found = outcomes.difference()
    rates = outcomes.rates
    assert found is not None
    assert rates is not None
    assert found.value == pytest.approx(rates[0] - rates[1]) == pytest.approx(0.08)
    # By hand: (12.5 - 4.5)/102 ± 1.96 √(17 - 8²/102)/102.
    half = 1.959964 * math.sqrt(17 - 8**2 / 102) / 102
    assert found.low == pytest.approx(8 / 102 - half)
    assert found.high == pytest.approx(8 / 102 + half)
    edge = Outcomes(0, 3, 0, 0).difference()
    assert edge is not None
    assert (edge.value, edge.high) == (1.0, 1.0)


def test_imports_that_call_the_same_prompts_otherwise_are_paired(
    comparing: Callable[..., Pairs], tmp_path: Path
) -> None:
    """Each import names its set by its own file; the prompts in it are the same rows."""
    catalog = Catalog(tmp_path / "catalog.duckdb")
    for model, chosen in (("a", A), ("b", B)):
        texts = [text for text, answer in chosen.items() if answer is not None]

        def reply(call: Call, chosen: Mapping[str, str | None] = chosen) -> str:
            return builders.payload(str(chosen[made.asked(call)]), "Thinking.")

        whole = made.spec([model], [made.prompts(texts, name=f"set-{model}")], name=f"of-{model}")
        builders.answer(catalog, whole, raw=reply, run=f"run-{model}")
    pairs = comparing("a", "b", of=catalog)
    assert pairs.outcomes == Outcomes(both_safe=1, only_a=2, only_b=1, both_unsafe=1)
    assert (pairs.total, pairs.undecided) == (8, 3)
    assert {pair.prompt_set for pair in pairs.page(0, 8)} == {"set-a"}
