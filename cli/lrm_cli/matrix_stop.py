"""`lrm matrix stop`."""

from __future__ import annotations

import click

from lrm_cli import steering
from lrm_cli.command import Command


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

    return steering.steer(
        catalog_file, run, Stop(now), told="stops", obeyed=lambda state: state.state == "stopping", as_json=as_json
    )
