"""`lrm matrix resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lrm_cli import steering
from lrm_cli.command import Command

if TYPE_CHECKING:
    from lrm.run.desk import RunState


@click.command(
    "resume", cls=Command, examples=("lrm matrix resume", "lrm matrix resume quickstart"), keys=steering.KEYS
)
@steering.run_argument
def command(run: str | None, catalog_file: str | None, as_json: bool) -> int:
    """Let a paused fill go on.

    Nothing happens to a fill that is not paused. RUN is a run's name or the beginning of it, or a spec's name; with one
    fill running it may be left out.
    """
    from lrm.run.wishes import Resume

    return steering.steer(catalog_file, run, Resume(), obeyed=_obeyed, as_json=as_json)


def _obeyed(state: RunState) -> str:
    return "is stopping, and begins no new call" if state.state == "stopping" else "goes on"
