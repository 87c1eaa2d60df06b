"""`lrm matrix limit`."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from lrm.errors import MissingError, known_names_hint
from lrm_cli import options, steering
from lrm_cli.command import Command
from lrm_cli.table import count

if TYPE_CHECKING:
    from lrm.run.desk import RunState


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
    help="Calls under way at the same time, at most, for each model; 0 lets none begin.",
)
@click.option("--model", default="*", metavar="GLOB", help="Only these models, by their names in `lrm matrix ps`.")
@steering.run_argument
def command(run: str | None, most: int, model: str, catalog_file: str | None, as_json: bool) -> int:
    """Change how many calls of a running fill may be under way.

    It holds until the fill ends, in later rounds too; `limits.max_in_flight` of a declaration is what the next fill begins with. The
    provider's own limit, as it was found, still counts. RUN is a run's name or the beginning of it, or a spec's name;
    with one fill running it may be left out.
    """
    from lrm.run.desk import find
    from lrm.run.wishes import InFlight

    state = find(options.open_catalog(catalog_file, merge=False), run)
    labels = {lane.label for lane in state.lanes}
    if labels and not any(fnmatchcase(label, model) for label in labels):
        raise MissingError(
            f"{steering.name_of(state)} asks no model called `{model}`", hint=known_names_hint(model, labels)
        )

    def obeyed(state: RunState) -> str:
        matching = [lane for lane in state.lanes if fnmatchcase(lane.label, model) and lane.stopped is None]
        asking = [lane for lane in matching if lane.done + lane.failed < lane.total]
        return f"has at most {count(most, 'call')} in flight for each of {count(len(asking), 'model')}"

    return steering.steer(catalog_file, state.run, InFlight(model, most), obeyed=obeyed, as_json=as_json)
