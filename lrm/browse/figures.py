"""What a grid shows: one figure with its interval, its denominator and everything that is not in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lrm.browse.places import MatrixPlace
from lrm.browse.reader import Stamp

LEFT_OUT = {
    "no_text": "the part of the trace that the judge looks at is absent or empty",
    "unparsed": "the judge's reply could not be read",
    "truncated": "only part of the text was judged, and nothing unsafe was in it",
    "judge_blocked": "the judge's provider refused to let it reply",
    "judge_failed": "the judge could not be asked",
    "not_judged": "there is a response, and no verdict on it yet",
    "not_looked_at": "the judge does not look at this prompt set or model",
    "not_measured": "judged or received, and it says nothing of this measure: harm of a prompt that should be answered, a label that "
    "is no refusal label, tokens that the provider does not count",
    "not_paired": "one of the two sides of the difference is not known",
    "fewer_than_two": "fewer than two judges say whether it is unsafe",
}
"""Why a cell with a response is in no figure's `n`, as `Figure.left_out` names it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a grid. Its cells are in `n`, or missing, failed, blocked or left out; `coverage` has all cells in `n`."""

    value: float | None
    """The measure: a share, a difference of shares, a mean, or the sum of what it cost. None is unknown."""
    n: int
    """How many cells the value rests on."""
    low: float | None
    high: float | None
    """Ends of the 95 % interval; None where there is none: of sums and coverage, and where too little is known."""
    cells: int
    done: int
    """Cells with a response that the provider did not refuse."""
    missing: int
    """Cells without a response and without a failure; those that run or are stale are among them."""
    running: int
    """Missing or failed cells that a living fill has claimed."""
    failed: int
    blocked: int
    """Cells whose prompt the provider refused."""
    stale: int
    """Missing cells whose name was done before a declaration changed."""
    left_out: tuple[tuple[str, int], ...]
    """Why cells with a response are not in `n`, and how many; see LEFT_OUT."""
    kinds: tuple[str, ...]
    """Kinds of what is in `n` (of all cells where nothing is): `run`, `simulated`, `imported`, `summary`, or two of them with +."""
    against_kinds: tuple[str, ...] = ()
    """Kinds of what was taken off; empty where nothing was."""

    @property
    def pooled(self) -> bool:
        """False where there is no value because results of several kinds would be mixed."""
        return self.value is not None or (len(self.kinds) <= 1 and len(self.against_kinds) <= 1)


NOTHING = Figure(None, 0, None, None, 0, 0, 0, 0, 0, 0, 0, (), ())


class Figures(Mapping[tuple[int, int], Figure]):
    """The figures of a grid by row and column, each made when it is first looked at."""

    def __init__(self, keys: Mapping[tuple[int, int], object], make: Callable[[tuple[int, int]], Figure]) -> None:
        self._keys = keys
        self._make = make
        self._made: dict[tuple[int, int], Figure] = {}

    def __getitem__(self, key: tuple[int, int]) -> Figure:
        found = self._made.get(key)
        if found is None:
            if key not in self._keys:
                raise KeyError(key)
            found = self._made[key] = self._make(key)
        return found

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


@dataclass(frozen=True, slots=True)
class Grid:
    """A matrix of figures, as far as it has been counted."""

    place: MatrixPlace
    """What was asked for, with judge and scope as they were chosen where nothing was said."""
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    figures: Mapping[tuple[int, int], Figure]
    """By row and column; where the slice has no cells there is none."""
    row_totals: tuple[Figure, ...]
    column_totals: tuple[Figure, ...]
    """Over all rows, or all columns. A difference has no value here: its rows would be counted against one another."""
    total: Figure
    complete: bool
    """Whether nothing more comes: all cells are counted, and the catalog has not changed since."""
    share: float
    """Share of the cells that are counted, from 0 to 1."""
    paired: bool
    """Whether differences are taken prompt by prompt; False without `against`."""
    stamp: Stamp
    """The state of the catalog's file that was counted."""
