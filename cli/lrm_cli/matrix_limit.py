"""`lrm matrix limit`."""

from __future__ import annotations

from fnmatch import fnmatchcase

import click

from lrm_cli import steering
from lrm_cli.command import Command


@click.command(
    "limit",
    cls=Command,
    examples=("lrm matrix limit --in-flight 200", "lrm matrix limit r1 --in-flight 4 --model 'qwen*'"),
    keys=steering.KEYS,
)
@click.option(
    "--in-flight",
    "most",
    type=click.IntRange(0, 10_000),
    required=True,
    help="Calls under way at the same time, at most.",
)
@click.option("--model", default="*", help="Only these models of the fill: a name or a glob.")
@steering.run_argument
def command(run: str | None, most: int, model: str, catalog_file: str | None, as_json: bool) -> int:
    """Change how many calls of a running fill may be under way.

    It holds until the fill ends; `limits.max_in_flight` of the declaration is what the next one begins with. The provider's own
    limit, as it was found, still counts. RUN is a run's name or the beginning of it, or a spec's name; with one fill running it may
    be left out.
    """
    from lrm.run.wishes import InFlight

    return steering.steer(
        catalog_file,
        run,
        InFlight(model, most),
        told=f"{most:,} calls at most",
        obeyed=lambda state: all(
            lane.limit is not None and lane.limit <= most for lane in state.lanes if fnmatchcase(lane.label, model)
        ),
        as_json=as_json,
    )
