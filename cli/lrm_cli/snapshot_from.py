"""`--from` of `lrm matrix fill`: what others have published of a spec is taken before anything is asked for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import click

from lrm_cli.chosen import Chosen, planned
from lrm_cli.output import say
from lrm_cli.snapshot_options import talk
from lrm_cli.snapshot_page import say_waiting
from lrm_cli.table import count

if TYPE_CHECKING:
    from lrm.snapshot.pull import Pulled
    from lrm.store.catalog import Catalog
    from lrm.store.trust import Trust

option = click.option(
    "--from",
    "sources",
    metavar="ORG/NAME[@REV]|DIR",
    multiple=True,
    help="First pull this snapshot, and ask only for what is still missing then. Repeatable.",
)


def tried_on(catalog: Catalog, sources: tuple[str, ...]) -> AbstractContextManager[Catalog]:
    """Return the catalog that a dry run works on: a copy, where it would pull something."""
    if not sources:
        return nullcontext(catalog)
    from lrm.snapshot.reuse import copied

    return copied(catalog)


def take(sources: tuple[str, ...], catalog: Catalog, chosen: Chosen, trust: Trust | None, *, quiet: bool) -> None:
    """Pull the snapshots into the catalog, and say how many cells came from each and what is left."""
    if not sources:
        return
    from lrm.snapshot.place import place_of
    from lrm.snapshot.reuse import reuse

    places = [place_of(one) for one in sources]
    before = {one.snapshot: one.cells for one in planned(catalog, chosen, None).pulled}
    try:
        came = reuse(catalog, places, chosen.matrix, chosen.pins, all_of_it=chosen.whole, say=talk(quiet=quiet))
    except KeyboardInterrupt:
        say("what was fetched is kept, and the same command goes on from there")
        raise
    if quiet:
        return
    plan = planned(catalog, chosen, None, trust=trust)
    now = {one.snapshot: one.cells for one in plan.pulled}
    for one in came:
        label = one.origin.label
        new = now.get(label, 0) - before.get(label, 0)
        say(f"{count(max(new, 0), 'cell')} came from {label}{_more(one, now.get(label, 0), new)}")
        say_waiting(one)
    say(
        f"{count(plan.missing, 'cell')} of {plan.cells:,} left to ask for"
        if plan.missing
        else "no cell is left to ask for"
    )


def _more(one: Pulled, now: int, new: int) -> str:
    if one.merged is not None and not one.merged.trusted:
        return f": {one.origin.publisher or one.origin.name} is not trusted (--trust)"
    return f" ({now - new:,} were here from it before)" if now > new >= 0 else ""
