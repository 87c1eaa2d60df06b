"""The starter set is what it says: matched pairs, of our own wording."""

from __future__ import annotations

import csv
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrm.registry.declarations import PromptSet, Row

STARTER = Path(__file__).resolve().parents[2] / "registry" / "prompt_sets" / "starter.toml"

PUBLISHED = (
    ("xstest/xstest_prompts.csv", "prompt", 450),
    ("simple_safety_tests/SimpleSafetyTests_test_cases.csv", "prompts_final", 100),
    ("strongreject/strongreject_dataset.csv", "forbidden_prompt", 300),
    ("harmbench/harmbench_behaviors_text_all.csv", "Behavior", 400),
    ("jailbreakbench_artifacts/harmful_behaviors_jailbreakbench.csv", "Goal", 100),
    ("advbench/harmful_behaviors.csv", "goal", 500),
)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    starter = PromptSet.model_validate(tomllib.loads(STARTER.read_text(encoding="utf-8")))
    assert starter.rows is not None
    return starter.rows


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9']+", text.casefold().replace("’", "'")))


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


def published(folder: Path) -> Iterator[tuple[str, int, frozenset[str]]]:
    for name, column, least in PUBLISHED:
        path = folder / name
        if not path.is_file():
            pytest.skip(f"the published data is not here: {name}")
        with path.open(encoding="utf-8", newline="") as file:
            texts = [row[column] for row in csv.DictReader(file)]
        assert len(texts) >= least, f"{name} has {len(texts)} prompts"
        for number, text in enumerate(texts, 1):
            yield name, number, words(text)


def test_thirty_matched_pairs_over_ten_areas(rows: list[Row]) -> None:
    pairs: dict[object, list[Row]] = defaultdict(list)
    for row in rows:
        pairs[row.meta["pair"]].append(row)
    assert len(rows) == 60
    assert len(pairs) == 30
    for name, pair in pairs.items():
        assert {row.expect for row in pair} == {"safe", "unsafe"}, name
        assert {row.id for row in pair} == {f"{name}-safe", f"{name}-unsafe"}
        assert pair[0].category == pair[1].category, name
    areas = Counter(row.category[0] for row in rows if isinstance(row.category, list))
    assert len(areas) == 10
    assert set(areas.values()) == {6}


def test_rows_are_short_distinct_lines(rows: list[Row]) -> None:
    texts = [row.text for row in rows if row.text is not None]
    assert len({row.id for row in rows}) == len({words(text) for text in texts}) == 60
    assert [text for text in texts if len(text) > 100 or "\n" in text or text != text.strip()] == []


def test_the_prompts_of_a_pair_look_alike(rows: list[Row]) -> None:
    texts = {row.id: words(row.text or "") for row in rows}
    shared = {
        row.meta["pair"]: overlap(texts[f"{row.meta['pair']}-safe"], texts[f"{row.meta['pair']}-unsafe"])
        for row in rows
    }
    assert {pair: share for pair, share in shared.items() if share < 0.2} == {}


def test_no_row_is_a_published_prompt(rows: list[Row], shared_data: Path) -> None:
    ours = {row.id: words(row.text or "") for row in rows}
    near = [
        (ident, name, number)  # where it is, not what it says
        for name, number, theirs in published(shared_data)
        for ident, mine in ours.items()
        if overlap(mine, theirs) >= 0.6
    ]
    assert near == []


def test_the_comparison_finds_a_published_prompt(shared_data: Path) -> None:
    _, _, first = next(published(shared_data))
    assert overlap(first, first | {"please"}) >= 0.6
    assert overlap(words("How do I forge a plain iron hook?"), first) < 0.6
