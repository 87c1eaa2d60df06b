"""How often each value of a column stands in a list of samples; one of them can be kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lrm_tui.dialogs import Choose

if TYPE_CHECKING:
    from lrm.browse.samples import Frequency
    from lrm_tui.base import View

NOTHING = "— (none)"
"""What stands for a value that is not there."""
_BAR = 16


def lines(found: Sequence[Frequency]) -> list[tuple[str, str]]:
    """Return each value with its count, share and a bar, as a question offers them."""
    total = sum(one.count for one in found) or 1
    most = max((one.count for one in found), default=1) or 1
    width = max((len(f"{one.count:,}") for one in found), default=1)
    return [
        (
            said(one.value),
            f"{one.count:>{width},} {one.count / total:>6.1%} {'█' * max(round(one.count / most * _BAR), 1 if one.count else 0)}",
        )
        for one in found
    ]


def said(value: object) -> str:
    """Return how a value is written in the list of counts."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def ask(view: View, column: str, found: Sequence[Frequency], then: Callable[[str | None], None]) -> None:
    """Show the values of a column; the one that is chosen goes to `then`, None where it is the absence of one."""
    if not found:
        view.lrm.tell(f"{column} has no values here")
        return
    values = {said(one.value): None if one.value is None else said(one.value) for one in found}

    def chosen(answer: object) -> None:
        if isinstance(answer, tuple):
            then(values[answer[0]])

    total = sum(one.count for one in found)
    view.app.push_screen(Choose(f"{column}: {len(found):,} values of {total:,} samples", lines(found)), chosen)
