"""Telling a running fill something, and waiting a moment for it to obey."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from lrm.errors import LrmError
from lrm.text import visible
from lrm_cli import exits, options
from lrm_cli.output import put_json, say

if TYPE_CHECKING:
    from lrm.run.desk import RunState
    from lrm.run.wishes import Wish

KEYS = ("run", "spec", "answer", "state", "in_flight")
PATIENCE_S = 3.0
"""Seconds to wait for an answer; a fill that makes calls looks a few times a second."""
F = TypeVar("F", bound=Callable[..., Any])


def run_argument(command: F) -> F:
    """Add what every steering command takes: RUN, the catalog, `--json`."""
    command = options.catalog_option(options.json_option(command))
    return click.argument("run", required=False, shell_complete=_complete_runs)(command)


def steer(
    catalog_file: str | None,
    run: str | None,
    wish: Wish,
    *,
    obeyed: Callable[[RunState], str],
    as_json: bool,
) -> int:
    """Tell a running fill a wish and say what became of it; `obeyed` says what a fill in such a state has done."""
    from lrm.run.desk import tell

    told = tell(options.open_catalog(catalog_file, merge=False), run, wish, patience_s=PATIENCE_S)
    state, ended = told.state, told.answer == "ended"
    if as_json:
        put_json(
            {
                "run": state.run,
                "spec": state.spec,
                "answer": told.answer,
                "state": "ended" if ended else state.state,
                "in_flight": 0 if ended else in_flight(state),
            }
        )
        return exits.OK
    match told.answer:
        case "obeyed":
            text = obeyed(state)
        case "ended":
            text = "has ended"
        case "none":
            text = "has been told, and has not answered yet; `lrm matrix ps` shows what it does"
    say(f"{visible(name_of(state), one_line=True)} {text}")
    return exits.OK


def in_flight(state: RunState) -> int:
    """Return how many calls of a fill are under way."""
    return sum(lane.in_flight for lane in state.lanes)


def name_of(state: RunState) -> str:
    """Return how a fill is called in a sentence: its spec, and its run."""
    return state.run if not state.spec else f"{state.spec} ({state.run})"


def _complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Return the running fills that begin so, by spec and by run; none where they cannot be read."""
    from lrm.run.desk import running

    try:
        found = running(options.open_catalog(ctx.params.get("catalog_file"), merge=False))
    except (LrmError, OSError):
        return []
    names = {
        label for one in found for label in (one.spec, one.run) if label and label == visible(label, one_line=True)
    }
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
