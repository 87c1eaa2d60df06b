"""What every part of the view `compare` stands on: its columns, and the pairs they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from textual.app import ComposeResult
from textual.containers import Container

from lrm.browse.ids import At
from lrm.browse.pairs import Pair, Pairs
from lrm.browse.places import ComparePlace, Outcome, Place
from lrm.browse.reader import Reader, Stop
from lrm.browse.trace import Trace, read_trace_of
from lrm_tui.base import View
from lrm_tui.panes import Items
from lrm_tui.screens.compare_state import CompareState
from lrm_tui.screens.trace_panel import WordsLine
from lrm_tui.widgets.text_view import TextView


@dataclass(frozen=True, slots=True)
class Shown:
    """A pair with the traces of its sides."""

    pair: Pair
    traces: tuple[Trace | None, ...]
    """None for a side that no spec plans."""


class Column(Container):
    """One model: its verdict row, and its text."""

    DEFAULT_CSS = """
    Column { layout: vertical; width: 1fr; height: 1fr; }
    Column.-right { border-left: vkey $border; }
    Column TextView.-why { color: $secondary; text-style: italic; }
    Column.-here > WordsLine { background: $panel; text-style: bold; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.head = WordsLine()
        self.shown = TextView()

    def compose(self) -> ComposeResult:
        """Make both."""
        yield self.head
        yield self.shown


class Comparing(View):
    """Models side by side, and the pair that is shown of them."""

    def __init__(self, place: Place, *, items: Items | None = None, row: int | None = None) -> None:
        super().__init__(place, items=items, row=row)
        self.state = CompareState()
        self.pairs: Pairs | None = None
        self._all: Pairs | None = None
        """The joined pairs, of which others are another filter's; closing these forgets both."""
        self._files: Mapping[str, str | None] = {}
        self._kept: dict[tuple[Outcome, int], Shown] = {}
        self._ahead = Stop()

    @property
    def at(self) -> ComparePlace:
        """The place, as what it is."""
        return cast("ComparePlace", self.place)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, from the left."""
        return tuple(self.query(Column))


def read_pair(reader: Reader, pairs: Pairs, row: int, stop: Stop | None = None) -> Shown:
    """Return a pair with the traces of its sides."""
    pair = pairs.pair(row, stop)
    traces: list[Trace | None] = []
    for side in pair.sides:
        if side.model_n is None:
            traces.append(None)
            continue
        at = At(side.model_n, side.attack_n, side.prompt_n, side.replicate, side.generation_n, side.call_n)
        traces.append(read_trace_of(reader, at, stop, spec=pairs.place.slice.spec))
    return Shown(pair, tuple(traces))
