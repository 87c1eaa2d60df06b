"""Places: the words that open a view open the same view."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm.browse import places
from lrm.browse.axes import AXES, CELL_AXES, SCOPES, Slice, axis, level
from lrm.browse.places import (
    MEASURES,
    OUTCOMES,
    AnnotatePlace,
    ComparePlace,
    MatrixPlace,
    MonitorPlace,
    Place,
    PlanPlace,
    SamplesPlace,
    SearchPlace,
    SqlPlace,
    TracePlace,
    arguments,
    command,
    parse,
)
from lrm.errors import SpecError

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
names = texts.filter(lambda text: not text.startswith("-"))
maybe = st.none() | texts
slices = st.builds(
    lambda spec, only: Slice(spec, tuple(sorted(only.items()))),
    maybe,
    st.dictionaries(st.sampled_from(AXES), st.lists(texts, min_size=1, max_size=3).map(tuple), max_size=3),
)
scopes = st.none() | st.sampled_from(SCOPES)
samples = st.builds(SamplesPlace, slices, st.text(max_size=9), st.text(max_size=9), maybe, scopes)
every: st.SearchStrategy[Place] = st.one_of(
    st.builds(
        MatrixPlace,
        slices,
        st.sampled_from(AXES),
        st.sampled_from(AXES),
        st.sampled_from(MEASURES),
        maybe,
        scopes,
        maybe,
    ),
    samples,
    st.builds(TracePlace, names, maybe),
    st.builds(
        ComparePlace, slices, st.lists(names, max_size=3).map(tuple), st.sampled_from(OUTCOMES), maybe, scopes, maybe
    ),
    st.builds(MonitorPlace, st.none() | names),
    st.builds(AnnotatePlace, names, st.none(), maybe, maybe),
    st.builds(AnnotatePlace, st.none(), samples, maybe, maybe),
    st.builds(SqlPlace, st.just("") | names),
    st.builds(PlanPlace, names),
    st.builds(SearchPlace, st.just("") | names, slices, st.sampled_from(("thinking", "answer", "prompt"))),
)


@given(every)
def test_the_words_of_a_place_open_it(place: Place) -> None:
    assert parse(arguments(place)) == place


@given(every)
def test_its_command_is_one_line_of_shell(place: Place) -> None:
    assert shlex.split(command(place))[2:] == arguments(place)


def test_no_words_are_the_matrix() -> None:
    assert parse([]) == MatrixPlace()


@given(st.lists(st.text(max_size=8), max_size=5))
def test_any_words_are_a_place_or_refused(words: list[str]) -> None:
    try:
        found = parse(words)
    except SpecError:
        return
    assert parse(arguments(found)) == found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("matrx", "did you mean `matrix`"),
        ("matrix --rows modle", "did you mean `model`"),
        ("matrix --measure unsave", "did you mean `unsafe`"),
        ("matrix --scope answr", "did you mean `answer`"),
        ("samples --only model", "names no value"),
        ("samples --only modle=x", "did you mean `model`"),
        ("cell", "needs an id"),
        ("cell a b", "`b` means nothing"),
        ("plan", "needs a spec"),
        ("sql --spec x", "`--spec` means nothing"),
        ("samples --where", "needs a value"),
        ("compare --outcome only_c", "did you mean `only_"),
    ],
)
def test_what_is_not_understood_is_said(words: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(shlex.split(words))
    assert said in str(caught.value)


def test_every_word_is_a_view() -> None:
    assert set(places.WORDS) == {arguments(place)[0] for place in (
        MatrixPlace(), SamplesPlace(), TracePlace("x"), ComparePlace(), MonitorPlace(), AnnotatePlace(), SqlPlace(),
        PlanPlace("x"), SearchPlace(),
    )}  # fmt: skip


def test_axes_by_short_names() -> None:
    assert [axis(name) for name in ("set", "models", "category1", "scope")] == [
        "prompt_set",
        "model",
        "category",
        "scope",
    ]
    assert [level(name) for name in ("category", "category3", "model")] == [1, 3, None]


def test_a_slice_is_narrowed_and_widened() -> None:
    part = Slice("s").narrowed("model", ["a"]).narrowed("attack", ["x", "y"]).narrowed("model", ["b"])
    assert part.only == (("attack", ("x", "y")), ("model", ("b",)))
    assert part.narrowed("attack", None).only == (("model", ("b",)),)
    assert part.values("model") == ("b",)
    assert part.values("expect") is None
    assert set(CELL_AXES) < set(AXES)
