"""What leaves the comparison: copies of a column, the pair as text or JSON, and all pairs as CSV."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from lrm.browse.pairs import Pairs, Side
from lrm.browse.trace import Trace
from lrm_tui.screens.compare_columns import Comparing
from lrm_tui.screens.compare_state import LETTERS, counts, prompt_words, side_words, tested, why_empty
from lrm_tui.screens.trace_state import Words, badge, part_text, prompt_text


class Leaving(Comparing):
    """The part of the comparison that is copied and written to files."""

    def _side(self) -> tuple[Side | None, Trace | None]:
        pair, at = self.state.pair, self.state.active
        return (None, None) if pair is None else (pair.sides[at], self.state.traces[at])

    def copies(self) -> dict[str, tuple[str, Callable[[], str | None]]]:
        """Return texts and id of the active column."""
        side, trace = self._side()
        letter = LETTERS[self.state.active]
        return {
            "a": (f"answer of {letter}", lambda: None if trace is None else part_text(trace, "answer")),
            "t": (f"thinking of {letter}", lambda: None if trace is None else part_text(trace, "thinking")),
            "p": ("prompt", lambda: None if trace is None else part_text(trace, "prompt")),
            "i": (f"id of {letter}", lambda: None if side is None else side.id),
            **super().copies(),
        }

    def text(self) -> str | None:
        """Return the pair as text with headings."""
        pair = self.state.pair
        if pair is None or self.pairs is None:
            return None
        blocks = [
            "  ".join(text for text, _ in [*counts(self.pairs), *tested(self.pairs)]),
            "  ".join(text for text, _ in prompt_words(pair)),
        ]
        trace = next((one for one in self.state.traces if one is not None), None)
        blocks += ["── PROMPT ──", "" if trace is None else prompt_text(trace.messages)]
        for at, (side, one) in enumerate(zip(pair.sides, self.state.traces, strict=True)):
            words: list[Words] = side_words(at, side, one)
            blocks.append(f"── {'  '.join(text for text, _ in words)}  {side.id or ''} ──")
            text = None if one is None else part_text(one, self.state.part)
            blocks.append(text or why_empty(side, pair, one, self.state.part, None))
        return "\n\n".join(blocks) + "\n"

    def exports(self) -> dict[str, Callable[[], str]]:
        """Return the pair as text or JSON, and the list of all pairs under the filter as CSV."""
        if self.pairs is None:
            return {}
        pairs = self.pairs
        found: dict[str, Callable[[], str]] = {"csv": lambda: as_csv(pairs)}
        text, pair = self.text(), self.state.pair
        if text is not None and pair is not None:
            found = {
                "txt": lambda: text,
                "json": lambda: json.dumps(asdict(pair), ensure_ascii=False, indent=2) + "\n",
                **found,
            }
        return found


def as_csv(pairs: Pairs) -> str:
    """Return all pairs under the filter as CSV: for a worker, since it reads them page by page."""
    import csv
    import io

    written = io.StringIO()
    rows = csv.writer(written)
    head = ["prompt_set", "prompt", "attack", "replicate", "outcome"]
    rows.writerow([*head, *(name for model in pairs.models for name in (f"{model} verdict", f"{model} id"))])
    for offset in range(0, pairs.count, 500):
        for pair in pairs.page(offset, 500):
            row = [pair.prompt_set, pair.prompt, pair.attack, str(pair.replicate), pair.outcome]
            rows.writerow([*row, *(value for side in pair.sides for value in (badge(side)[0], side.id or ""))])
    return written.getvalue()
