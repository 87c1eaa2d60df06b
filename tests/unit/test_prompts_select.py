"""Filter, sample and limit."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrm.errors import SpecError
from lrm.prompts.prompt import Prompt
from lrm.prompts.select import select
from lrm.registry.declarations import PromptSet, Selection
from lrm.spec.matrix import Located
from tests.prompt_sets import jsonl_bytes, located, prompts_of

ROWS: list[dict[str, Any]] = [
    {"id": "a1", "text": "one", "area": ["food", "eggs"], "label": "safe", "n": 1, "hot": True, "tags": ["x", "y"], "big": 2**60},
    {"id": "a2", "text": "two", "area": ["food"], "label": "unsafe", "n": 2.0, "hot": False, "tags": [], "src": {"lang": "en"}},
    {"id": "b1", "text": "three", "area": ["fire"], "label": "unsafe", "n": "2", "hot": "true", "src": {"lang": "[de]"}},
]  # fmt: skip
COLUMNS = {"id": "id", "category": "area", "expect": "label"}


def chosen(tmp_path: Path, rows: list[dict[str, Any]] = ROWS, columns: Any = COLUMNS, **fields: Any) -> list[str]:
    (tmp_path / "a.jsonl").write_bytes(jsonl_bytes(rows))
    return [prompt.key for prompt in prompts_of(tmp_path, file="a.jsonl", columns=columns, **fields)]


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        ({"id": "a*"}, ["a1", "a2"]),
        ({"id": ["b1", "a1"]}, ["a1", "b1"]),
        ({"id": "?1"}, ["a1", "b1"]),
        ({"id": "[b-z]1"}, ["b1"]),
        ({"text": "t*"}, ["a2", "b1"]),
        ({"category": "eggs"}, ["a1"]),
        ({"category": "f*"}, ["a1", "a2", "b1"]),
        ({"category": ["eggs", "fire"]}, ["a1", "b1"]),
        ({"expect": "unsafe"}, ["a2", "b1"]),
        ({"expect": "unsafe", "id": "a*"}, ["a2"]),
        ({"n": 1}, ["a1"]),
        ({"n": 2}, ["a2"]),
        ({"n": 2.0}, ["a2"]),
        ({"n": "2"}, ["b1"]),
        ({"n": [1, "2"]}, ["a1", "b1"]),
        ({"hot": True}, ["a1"]),
        ({"hot": False}, ["a2"]),
        ({"hot": "true"}, ["b1"]),
        ({"tags": "y"}, ["a1"]),
        ({"src.lang": "en"}, ["a2"]),
        ({"src.lang": "[de]"}, ["b1"]),
        ({"big": 2**60}, ["a1"]),
    ],
)
def test_filters(tmp_path: Path, wanted: dict[str, Any], keys: list[str]) -> None:
    assert chosen(tmp_path, filter=wanted) == keys


@pytest.mark.parametrize(
    ("wanted", "message", "hint"),
    [
        ({"expct": "safe"}, "no column `expct`", "did you mean `expect`"),
        ({"src.lng": "en"}, "no column `src.lng`", "did you mean `src.lang`"),
        ({"label": "safe"}, "no column `label`", "filter = { expect = … }"),
        ({"area": "food"}, "no column `area`", "filter = { category = … }"),
        ({"category": "fod"}, "keeps no prompt: of 3", "did you mean `food`"),
        ({"id": "a1", "expect": "unsafe"}, "of 1 none has expect", "known: safe"),
        ({"n": 3}, "keeps no prompt", None),
        ({"n": True}, "keeps no prompt", None),
        ({"hot": 1}, "keeps no prompt", None),
        ({"text": "nothing"}, "keeps no prompt", None),
    ],
)
def test_a_filter_that_cannot_be_meant(tmp_path: Path, wanted: dict[str, Any], message: str, hint: str | None) -> None:
    with pytest.raises(SpecError) as caught:
        chosen(tmp_path, filter=wanted)
    assert message in str(caught.value)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "set.toml"), 7)
    assert (caught.value.key or "").startswith("filter.")
    assert hint is None or hint in (caught.value.hint or "")


def test_hints_about_types(tmp_path: Path) -> None:
    rows = [{"text": "a", "level": "3", "n": 4}]
    with pytest.raises(SpecError, match="put the value in quotes"):
        chosen(tmp_path, rows, {}, filter={"level": 3})
    with pytest.raises(SpecError, match="take the quotes away"):
        chosen(tmp_path, rows, {}, filter={"n": "4"})


def test_a_metadata_column_that_is_called_like_a_field(tmp_path: Path) -> None:
    rows = [{"text": "a", "category": "x", "system": "s", "expect": "e"}, {"text": "b", "category": "y"}]
    assert chosen(tmp_path, rows, {}, filter={"category": "y"}) == ["2"]
    assert chosen(tmp_path, rows, {}, filter={"system": "s", "expect": "e"}) == ["1"]
    with pytest.raises(SpecError, match="keeps no prompt"):
        chosen(tmp_path, rows, {}, filter={"expect": "e"}, expect="safe")


def test_filters_of_inline_rows(tmp_path: Path) -> None:
    rows = [{"text": "a", "meta": {"lang": "en"}}, {"text": "b", "category": ["x", "y"]}]
    assert [prompt.text for prompt in prompts_of(tmp_path, rows=rows, filter={"lang": "en"})] == ["a"]
    assert [prompt.text for prompt in prompts_of(tmp_path, rows=rows, filter={"category": "y"})] == ["b"]


def many(count: int) -> list[dict[str, Any]]:
    return [{"id": f"p{number}", "text": f"Question {number}", "odd": number % 2} for number in range(count)]


def test_limit_comes_after_sample_after_filter(tmp_path: Path) -> None:
    odd = [row["id"] for row in many(100) if row["odd"]]
    sampled = chosen(tmp_path, many(100), {"id": "id"}, filter={"odd": 1}, sample={"n": 10})
    assert len(sampled) == 10
    assert sampled == [key for key in odd if key in sampled]
    assert chosen(tmp_path, many(100), {"id": "id"}, filter={"odd": 1}, sample={"n": 10}, limit=3) == sampled[:3]
    assert chosen(tmp_path, many(100), {"id": "id"}, limit=3) == ["p0", "p1", "p2"]
    assert chosen(tmp_path, many(5), {"id": "id"}, sample={"n": 50}, limit=50) == ["p0", "p1", "p2", "p3", "p4"]


def test_the_sample_is_golden(tmp_path: Path) -> None:
    assert chosen(tmp_path, many(50), {"id": "id"}, sample={"n": 4, "seed": 7}) == ["p6", "p21", "p27", "p30"]


def test_another_seed_is_another_sample_and_a_bigger_one_keeps_the_smaller(tmp_path: Path) -> None:
    def sample(n: int, seed: int) -> set[str]:
        return set(chosen(tmp_path, many(100), {"id": "id"}, sample={"n": n, "seed": seed}))

    assert sample(20, 1) != sample(20, 2)
    assert sample(10, 1) < sample(20, 1)


def test_an_edited_text_stays_in_the_sample_where_rows_have_ids(tmp_path: Path) -> None:
    before = chosen(tmp_path, many(50), {"id": "id"}, sample={"n": 10})
    edited = [{**row, "text": row["text"] + "?"} for row in many(50)]
    assert chosen(tmp_path, edited, {"id": "id"}, sample={"n": 10}) == before


def test_samples_are_even(tmp_path: Path) -> None:
    prompts = [Prompt(f"p{number}", "x") for number in range(40)]
    prompt_set = located(tmp_path, rows=[{"id": "p", "text": "x"}])
    counts = dict.fromkeys([prompt.key for prompt in prompts], 0)
    for seed in range(400):
        for prompt in select(prompts, Selection.model_validate({"sample": {"n": 10, "seed": seed}}), prompt_set):
            counts[prompt.key] += 1
    # Each is drawn 100 times of 400 on average, standard deviation 8.7.
    assert all(60 < count < 140 for count in counts.values())


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.sampled_from("abcdefghij"), min_size=2, max_size=20), n=st.integers(1, 19), seed=st.integers(0, 3)
)
def test_a_sample_does_not_depend_on_the_order_of_the_file(texts: list[str], n: int, seed: int) -> None:
    selection = Selection.model_validate({"sample": {"n": n, "seed": seed}})
    by_number = Located("set", PromptSet.model_validate({"rows": [{"text": "x"}]}), Path("set.toml"))
    by_id = Located("set", PromptSet.model_validate({"rows": [{"id": "x", "text": "x"}]}), Path("set.toml"))
    shuffled = random.Random(seed).sample(list(enumerate(texts)), len(texts))

    def sent(order: list[tuple[int, str]]) -> list[str]:
        prompts = [Prompt(str(place), text) for place, (_, text) in enumerate(order, start=1)]
        return sorted(prompt.text for prompt in select(prompts, selection, by_number))

    def named(order: list[tuple[int, str]]) -> list[str]:
        prompts = [Prompt(f"own{number}", text) for number, text in order]
        return sorted(prompt.key for prompt in select(prompts, selection, by_id))

    assert sent(list(enumerate(texts))) == sent(shuffled)
    assert named(list(enumerate(texts))) == named(shuffled)
    assert len(sent(shuffled)) == min(n, len(texts))
