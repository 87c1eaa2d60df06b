"""Intervals of 95 % for what a grid shows: shares, means, and differences of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z = 1.959963984540054
"""0.975 quantile of the normal distribution."""

Interval = tuple[float, float]
"""Lower and upper end."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What was summed up of some values: enough for a mean, a share of zeros and ones, and their intervals."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float | None:
        """The mean, or the share where the values are zeros and ones; None of nothing."""
        return self.total / self.n if self.n else None

    @property
    def variance(self) -> float | None:
        """The sample's variance, with n - 1 below; None of fewer than two."""
        if self.n < 2:
            return None
        return max(0.0, (self.squares - self.total * self.total / self.n) / (self.n - 1))


def wilson(part: float, whole: int) -> Interval | None:
    """Return Wilson's interval of a share; None of nothing.

    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22: the shares p whose
    distance from part / whole is at most z standard errors, taken at p.
    """
    if not whole:
        return None
    share, square = part / whole, Z * Z
    centre = (share + square / (2 * whole)) / (1 + square / whole)
    half = Z / (1 + square / whole) * math.sqrt(share * (1 - share) / whole + square / (4 * whole * whole))
    low = 0.0 if part == 0 else max(0.0, centre - half)
    return low, 1.0 if part == whole else min(1.0, centre + half)


def newcombe(one: tuple[float, int], other: tuple[float, int]) -> Interval | None:
    """Return the interval of the difference of two independent shares, each as (part, whole); None where one is of nothing.

    Newcombe (1998), Interval estimation for the difference between independent proportions, Statistics in Medicine 17:
    method 10, from the Wilson intervals of the two.
    """
    first, second = wilson(*one), wilson(*other)
    if first is None or second is None:
        return None
    a, b = one[0] / one[1], other[0] / other[1]
    return (
        a - b - math.hypot(a - first[0], second[1] - b),
        a - b + math.hypot(first[1] - a, b - second[0]),
    )


def agresti_min(only_one: float, only_other: float, n: int) -> Interval | None:
    """Return the interval of the difference of two shares over the same `n` items; None of no items.

    `only_one` and `only_other` count the items that have it the one way and not the other.

    Agresti and Min (2005), Simple improved confidence intervals for comparing matched proportions, Statistics in Medicine 24:
    Wald's interval after half an item is added to each of the four ways that a pair can fall out.
    """
    if not n:
        return None
    b, c, size = only_one + 0.5, only_other + 0.5, n + 2
    middle = (b - c) / size
    half = Z * math.sqrt(max(0.0, (b + c) - (b - c) ** 2 / size)) / size
    return max(-1.0, middle - half), min(1.0, middle + half)


def of_mean(values: Tally) -> Interval | None:
    """Return the normal interval of a mean: mean ± z × s / √n; None of fewer than two values."""
    mean, variance = values.mean, values.variance
    if mean is None or variance is None:
        return None
    half = Z * math.sqrt(variance / values.n)
    return mean - half, mean + half


def of_difference(one: Tally, other: Tally) -> Interval | None:
    """Return the normal interval of the difference of two independent means, their variances not taken as equal (Welch)."""
    if one.mean is None or other.mean is None or one.variance is None or other.variance is None:
        return None
    half = Z * math.sqrt(one.variance / one.n + other.variance / other.n)
    return one.mean - other.mean - half, one.mean - other.mean + half
