"""Intervals, against another implementation and against what must hold of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint  # type: ignore[import-untyped]

from lrm.browse.intervals import Tally, agresti_min, newcombe, of_difference, of_mean, wilson

SHARES = [(part, whole) for whole in (1, 2, 7, 30, 1000) for part in {0, 1, whole // 3, whole - 1, whole}]


@pytest.mark.parametrize(("part", "whole"), SHARES)
def test_wilson_is_that_of_statsmodels(part: int, whole: int) -> None:
    expected = proportion_confint(part, whole, alpha=0.05, method="wilson")
    assert wilson(part, whole) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("one", SHARES[::3])
@pytest.mark.parametrize("other", SHARES[::4])
def test_newcombe_is_that_of_statsmodels(one: tuple[int, int], other: tuple[int, int]) -> None:
    expected = confint_proportions_2indep(*one, *other, method="newcomb", compare="diff")
    assert newcombe(one, other) == pytest.approx(expected, abs=1e-9)


def test_nothing_has_no_interval() -> None:
    assert wilson(0, 0) is None
    assert newcombe((0, 0), (1, 2)) is None
    assert agresti_min(0, 0, 0) is None
    assert of_mean(Tally(1, 3.0, 9.0)) is None
    assert of_difference(Tally(5, 3.0, 9.0), Tally()) is None


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_a_paired_interval_turns_round_with_its_sides(one: int, other: int, alike: int) -> None:
    n = one + other + alike
    found, turned = agresti_min(one, other, n), agresti_min(other, one, n)
    if not n:
        assert found is None
        return
    assert found is not None
    assert turned is not None
    assert found == pytest.approx((-turned[1], -turned[0]))
    assert -1 <= found[0] < found[1] <= 1


def test_the_paired_interval_of_a_table_by_hand() -> None:
    # Half an item in each of four ways: differences 2.5 and 8.5 of 22, so (8.5 - 2.5) / 22 ± z √(11 - 36/22) / 22.
    half = 1.959963984540054 * math.sqrt(11 - 36 / 22) / 22
    assert agresti_min(8, 2, 20) == pytest.approx((6 / 22 - half, 6 / 22 + half))


def test_tallies_add_up() -> None:
    values = [0.5, 1.5, 4.0]
    whole = sum((Tally(1, value, value * value) for value in values), Tally())
    assert whole.mean == pytest.approx(2.0)
    assert whole.variance == pytest.approx(3.25)
