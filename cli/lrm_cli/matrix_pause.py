"""`lrm matrix pause`."""

from __future__ import annotations

import click

from lrm_cli import steering
from lrm_cli.command import Command


@click.command("pause", cls=Command, examples=("lrm matrix pause", "lrm matrix pause quickstart"), keys=steering.KEYS)
@steering.run_argument
def command(run: str | None, catalog_file: str | None, as_json: bool) -> int:
    """Let a running fill begin no new call.

    What is in flight is finished, merged and kept; the process stays, and `lrm matrix resume` lets it go on. RUN is a run's
    name or the beginning of it, or a spec's name; with one fill running it may be left out.
    """
    from lrm.run.wishes import Pause

    return steering.steer(
        catalog_file,
        run,
        Pause(),
        told="paused",
        obeyed=lambda now: now.state == "paused",
        as_json=as_json,
    )
