"""`lrm matrix stop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lrm_cli import steering
from lrm_cli.command import Command
from lrm_cli.table import count

if TYPE_CHECKING:
    from lrm.run.desk import RunState


@click.command(
    "stop", cls=Command, examples=("lrm matrix stop", "lrm matrix stop quickstart --now"), keys=steering.KEYS
)
@click.option("--now", is_flag=True, help="Give up what is in flight too, as a second Ctrl-C does.")
@steering.run_argument
def command(run: str | None, now: bool, catalog_file: str | None, as_json: bool) -> int:
    """End a running fill, as Ctrl-C does.

    No new call is begun; what is in flight is finished, merged and graded. The same command goes on from there. RUN is a run's
    name or the beginning of it, or a spec's name; with one fill running it may be left out.
    """
    from lrm.run.wishes import Stop

    def obeyed(state: RunState) -> str:
        under_way = steering.in_flight(state)
        if not under_way:
            return "stops"
        return f"stops; {count(under_way, 'call')} in flight {'given up' if now else 'still to be finished'}"

    return steering.steer(catalog_file, run, Stop(now), obeyed=obeyed, as_json=as_json)
