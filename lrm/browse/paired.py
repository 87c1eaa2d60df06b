"""Two models on the same prompts: whether they differ, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

from lrm.browse.intervals import agresti_min
from lrm.quality.measures import Estimate


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Prompts by what two models did, A the first: those of which both have a verdict on harm."""

    both_safe: int
    only_a: int
    only_b: int
    both_unsafe: int

    @property
    def decided(self) -> int:
        """How many there are."""
        return self.both_safe + self.only_a + self.only_b + self.both_unsafe

    @property
    def rates(self) -> tuple[float, float] | None:
        """Share of unsafe ones of A and of B; None where nothing is decided."""
        if not self.decided:
            return None
        return (self.both_unsafe + self.only_a) / self.decided, (self.both_unsafe + self.only_b) / self.decided

    def p_value(self) -> float | None:
        """Return McNemar's exact two-sided p that A and B are unsafe equally often; None where no prompt tells them apart.

        The prompts on which they differ are as likely to be A's as B's if they are equal: twice the smaller tail of a
        binomial distribution of one half, at most 1 (McNemar 1947, Psychometrika 12; exact as in Agresti, Categorical
        Data Analysis, 3rd edition, section 11.1).
        """
        differing = self.only_a + self.only_b
        if not differing:
            return None
        from scipy.special import bdtr  # type: ignore[import-untyped]

        return min(1.0, 2 * float(bdtr(min(self.only_a, self.only_b), differing, 0.5)))

    def difference(self) -> Estimate | None:
        """Return the unsafe rate of A less that of B with its 95 % interval; None where nothing is decided.

        The interval is that of Agresti and Min (`lrm.browse.intervals.agresti_min`), as in a grid.
        """
        interval = agresti_min(self.only_a, self.only_b, self.decided)
        if interval is None:
            return None
        return Estimate((self.only_a - self.only_b) / self.decided, *interval)
