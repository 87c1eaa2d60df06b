"""`lrm matrix resume`."""

from __future__ import annotations

import click

from lrm_cli import steering
from lrm_cli.command import Command


@click.command(
    "resume", cls=Command, examples=("lrm matrix resume", "lrm matrix resume quickstart"), keys=steering.KEYS
)
@steering.run_argument
def command(run: str | None, catalog_file: str | None, as_json: bool) -> int:
    """Let a paused fill go on.

    Nothing happens to a fill that is not paused. RUN is a run's
    name or the beginning of it, or a spec's name; with one fill running it may be left out.
    """
    from lrm.run.wishes import Resume

    return steering.steer(
        catalog_file, run, Resume(), told="goes on", obeyed=lambda now: now.state != "paused", as_json=as_json
    )
