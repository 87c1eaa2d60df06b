"""Bootstrap intervals of clustered items, and Holm's correction."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from lrm.browse.intervals import wilson
from lrm.quality import bootstrap
from lrm.quality.bootstrap import clustered, of_tables
from lrm.quality.holm import holm, holm_of


def test_items_of_their_own_have_the_interval_of_scipys_percentile_bootstrap() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 6, 400).astype(float)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    ours = clustered(values, range(400), resamples=20_000)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_many_kinds_of_clusters_have_the_same_interval_as_scipys(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).normal(2.0, 1.0, 900)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=9_999, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert len(values) > bootstrap.MANY
    ours = clustered(values, range(900), resamples=9_999)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.006)
    # Drawing in several parts gives what drawing at once gives.
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 900 * 100)
    assert clustered(values, range(900), resamples=9_999) == pytest.approx(ours, abs=0.006)


def test_copies_of_an_item_make_nothing_surer() -> None:
    once = [1.0] * 30 + [0.0] * 70
    copied = once * 5
    alone = clustered(once, range(100), statistic="share")
    together = clustered(copied, list(range(100)) * 5, statistic="share")
    assert together == alone
    free = clustered(copied, range(500), statistic="share")
    assert free is not None
    assert alone is not None
    assert free[1] - free[0] < 0.6 * (alone[1] - alone[0])


def test_the_same_seed_gives_the_same_interval_and_another_gives_another() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert clustered(values, range(50), seed=1) == clustered(values, range(50), seed=1)
    assert clustered(values, range(50), seed=1) != clustered(values, range(50), seed=2)


def test_the_order_of_items_and_the_names_of_clusters_do_not_matter() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]
    first = clustered(values, ["a", "a", "b", "b", "c", "c"])
    assert first == clustered(values[::-1], ["z", "z", "y", "y", "x", "x"])


@pytest.mark.parametrize("statistic", ["mean", "difference"])
def test_nothing_that_varies_and_too_little_have_no_interval(statistic: bootstrap.Statistic) -> None:
    width = 2 if statistic == "difference" else 1
    for values in ([[0.5] * width] * 20, [[1.0] * width], [[math.nan] * width] * 5, np.empty((0, width))):
        assert clustered(np.asarray(values), range(len(values)), statistic=statistic) is None


def test_a_share_of_none_or_all_has_wilsons_interval_of_the_clusters() -> None:
    assert clustered([0.0] * 60, [n // 3 for n in range(60)], statistic="share") == wilson(0, 20)
    assert clustered([1.0] * 60, [n // 3 for n in range(60)], statistic="share") == wilson(20, 20)


def test_unknown_values_are_in_no_mean() -> None:
    values = [1.0, math.nan, 0.0, math.nan, 1.0, 1.0, 0.0]
    assert clustered(values, [1, 1, 2, 3, 4, 5, 6]) == clustered([1.0, 0.0, 1.0, 1.0, 0.0], [1, 2, 4, 5, 6])


def test_a_difference_is_paired_where_clusters_are() -> None:
    rng = np.random.default_rng(5)
    common = rng.normal(0, 5, 300)
    columns = np.stack([common + rng.normal(1, 0.1, 300), common], axis=1)
    found = clustered(columns, range(300), statistic="difference")
    assert found is not None
    assert 0.97 < found[0] < 1.0 < found[1] < 1.03


def test_strata_count_alike_whatever_their_size() -> None:
    values = [1.0] * 90 + [0.0] * 10 + [1.0, 0.0, 0.0, 0.0] * 5
    strata = ["large"] * 100 + ["small"] * 20
    found = clustered(values, range(120), strata=strata)
    assert found is not None
    low, high = found
    assert low < (0.9 + 0.25) / 2 < high
    assert high - low < 0.25
    spread = math.sqrt(0.9 * 0.1 / 100 + 0.25 * 0.75 / 20) / 2
    assert (high - low) / 2 == pytest.approx(1.96 * spread, rel=0.1)
    assert clustered(values, range(120), strata=["large"] * 119 + ["one"]) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12)), min_size=1, max_size=40))
def test_an_interval_of_shares_lies_in_the_range_of_values(items: list[tuple[float, int]]) -> None:
    values, clusters = zip(*items, strict=True)
    found = clustered(values, clusters, resamples=200)
    if found is not None:
        assert min(values) - 1e-9 <= found[0] <= found[1] <= max(values) + 1e-9


def test_a_table_of_kinds_is_the_same_as_its_clusters_one_by_one() -> None:
    kinds = [np.array([[3.0, 1.0], [3.0, 2.0], [2.0, 0.0]])]
    counts = [np.array([10, 5, 7])]
    clusters = [np.repeat(kinds[0], counts[0], axis=0)]
    assert of_tables(kinds, counts) == of_tables(clusters)


@pytest.mark.parametrize(("values", "statistic"), [([1.0], "difference"), ([[1.0, 2.0]], "mean")])
def test_a_wrong_shape_is_said(values: list[float], statistic: bootstrap.Statistic) -> None:
    with pytest.raises(ValueError, match="numbers an item"):
        clustered(values, range(1), statistic=statistic)
    with pytest.raises(ValueError, match="differ in length"):
        clustered([1.0, 2.0], range(3))


def test_coverage_of_clustered_items() -> None:
    """Of intervals of clustered yes and no, about 95 % hold what was planted; of items taken as independent, far fewer."""
    rng = np.random.default_rng(6)
    held = naive = 0
    for _ in range(200):
        chances = rng.beta(0.6, 0.9, 80)
        items = (rng.random((80, 6)) < chances[:, None]).astype(float)
        clusters = np.repeat(np.arange(80), 6)
        found = clustered(items.ravel(), clusters, statistic="share", resamples=400)
        plain = wilson(items.sum(), items.size)
        assert found is not None
        assert plain is not None
        held += found[0] <= 0.4 <= found[1]
        naive += plain[0] <= 0.4 <= plain[1]
    assert held >= 180
    assert naive < 160


def test_holms_procedure_by_hand() -> None:
    found = holm([0.01, 0.04, 0.03, 0.005], "four tests")
    assert found.p_values == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert str(found.family) == "four tests (4 tests)"


def test_a_test_that_was_not_made_is_not_in_the_family() -> None:
    found = holm([None, 0.02, None], "one")
    assert found.p_values == (None, 0.02, None)
    assert str(found.family) == "one (1 test)"
    assert holm([], "none").p_values == ()
    family, of = holm_of({"a": 0.02, "b": None, "c": 0.5}, "named")
    assert (family.size, of) == (2, {"a": 0.04, "b": None, "c": 0.5})


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
def test_what_is_no_p_value_is_said(wrong: float) -> None:
    with pytest.raises(ValueError, match="lies in"):
        holm([0.5, wrong], "wrong")


@pytest.fixture(scope="module")
def little_garbage() -> Iterator[None]:
    """The library that corrects p values collects garbage each time, which takes a second where much is in memory already."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("little_garbage")
@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_corrected_p_values_are_never_smaller_and_keep_their_order(p_values: list[float]) -> None:
    found = [value for value in holm(p_values, "any").p_values if value is not None]
    assert all(value <= corrected <= 1 for value, corrected in zip(p_values, found, strict=True))
    by_size = [corrected for _, corrected in sorted(zip(p_values, found, strict=True))]
    assert by_size == sorted(by_size)
