"""The palette: every action of the view, every view, spec, model, set and judge, and any cell by its id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.command import DiscoveryHit, Hit, Hits, Provider

from lrm.browse.axes import Slice
from lrm.browse.places import MatrixPlace, MonitorPlace, Place, SamplesPlace, SearchPlace, SqlPlace, TracePlace, parse
from lrm.errors import LrmError
from lrm.text import visible
from lrm_tui.actions import of, sign
from lrm_tui.base import View

if TYPE_CHECKING:
    from lrm_tui.app import LrmApp

MOST = 40


class Palette(Provider):
    """What the palette finds."""

    async def discover(self) -> Hits:
        """Offer the actions of the view before anything is typed."""
        for words, said, do in self._actions():
            yield DiscoveryHit(Text(words), do, text=words, help=said)

    async def search(self, query: str) -> Hits:
        """Offer what fits what was typed."""
        matcher = self.matcher(query)
        found = 0
        for words, said, do in self._everything(query):
            score = matcher.match(words)
            if score > 0:
                shown = visible(words, one_line=True)
                yield Hit(score, Text(shown), do, text=shown, help=visible(said, one_line=True))
                found += 1
                if found >= MOST:
                    return

    def _actions(self) -> Iterator[tuple[str, str, Callable[[], None]]]:
        view = self.screen
        if not isinstance(view, View):
            return
        for action in of(view.view):
            if not view.can(action):
                continue
            keys = view.lrm.settings.keys.get(action.name, action.keys)
            key = f"  ({sign(keys[0])})" if keys else ""
            yield f"{action.label}{key}", action.help, partial(view.do, action)

    def _everything(self, query: str) -> Iterator[tuple[str, str, Callable[[], None]]]:
        lrm = cast("LrmApp", self.app)
        word = query.strip()
        if word[:3] in ("c1:", "g1:"):
            yield word, "open this response", partial(lrm.open, TracePlace(word))
        try:
            words = word.split()
            if words and words[0] in ("lrm", "tui"):
                words = words[2:] if words[:2] == ["lrm", "tui"] else words[1:]
            place = parse(words) if words else None
        except LrmError:
            place = None
        if place is not None:
            yield word, "open this view", partial(lrm.open, place)
        yield from self._actions()
        for name, said, place in self._places(lrm):
            yield name, said, partial(lrm.open, place)

    def _places(self, lrm: LrmApp) -> Iterator[tuple[str, str, Place]]:
        yield "matrix", "the matrix", MatrixPlace()
        yield "samples", "all samples", SamplesPlace()
        yield "monitor", "the fills that are running", MonitorPlace()
        yield "sql", "the SQL console", SqlPlace()
        yield "search", "search all thinking texts", SearchPlace()
        names = lrm.names
        for spec in names.specs:
            yield f"spec {spec}", "its matrix", MatrixPlace(Slice(spec))
        for axis, values in (("model", names.models), ("prompt_set", names.prompt_sets), ("attack", names.attacks)):
            for value in values:
                yield f"{axis} {value}", "its samples", SamplesPlace(Slice(None, ((axis, (value,)),)))
