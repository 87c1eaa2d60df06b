"""`lrm matrix pause`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lrm_cli import steering
from lrm_cli.command import Command
from lrm_cli.table import count

if TYPE_CHECKING:
    from lrm.run.desk import RunState


@click.command("pause", cls=Command, examples=("lrm matrix pause", "lrm matrix pause quickstart"), keys=steering.KEYS)
@steering.run_argument
def command(run: str | None, catalog_file: str | None, as_json: bool) -> int:
    """Let a running fill begin no new call.

    What is in flight is finished, merged and kept; the process stays, and `lrm matrix resume` lets it go on. RUN is a run's
    name or the beginning of it, or a spec's name; with one fill running it may be left out.
    """
    from lrm.run.wishes import Pause

    return steering.steer(catalog_file, run, Pause(), obeyed=_obeyed, as_json=as_json)


def _obeyed(state: RunState) -> str:
    if state.state == "stopping":
        return "is stopping already and begins no new call"
    under_way = steering.in_flight(state)
    return "is paused" + (f"; {count(under_way, 'call')} in flight still to be finished" if under_way else "")
