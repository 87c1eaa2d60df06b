"""`lrm matrix ps`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import cut, plain, put, put_json, put_table, say
from lrm_cli.table import Cell, count, money, table

if TYPE_CHECKING:
    from lrm.run.desk import RunState

KEYS = (
    "run", "spec", "state", "doing", "host", "pid", "since", "updated", "total", "done", "failed", "in_flight", "cost",
    "budget", "note", "lanes",
)  # fmt: skip
WATCH_S = 2.0


@click.command(
    "ps",
    cls=Command,
    examples=("lrm matrix ps", "lrm matrix ps --watch", "lrm matrix ps --json"),
    keys=KEYS,
    json_is="a list of objects",
)
@click.option("--watch", is_flag=True, help="Again every two seconds, until Ctrl-C or no fill is running.")
@options.catalog_option
@options.json_option
def command(watch: bool, catalog_file: str | None, as_json: bool) -> int:
    """Show the fills that are running.

    Those of this catalog, and what each model of theirs does. The catalog itself is not opened. A run is known by the beginning of its name to `lrm matrix pause`, `resume`, `limit` and `stop`.
    """
    from lrm.run.desk import running

    catalog = options.open_catalog(catalog_file, merge=False)
    while True:
        found = running(catalog)
        if as_json:
            put_json([_object(one) for one in found])
        elif found:
            _put(found)
        else:
            say("no fill is running in this catalog")
        if not watch or not found:
            break
        time.sleep(WATCH_S)
        put()
    if not found and not as_json and catalog.journal_folder.is_dir():
        from lrm.store.merge import leftovers

        left = len(leftovers(catalog))
        if left:
            say(
                f"{count(left, 'journal segment')} of a run that died; the next command that opens the catalog merges it"
            )
    return exits.OK


def _object(one: RunState) -> dict[str, Any]:
    values = {**plain(one), **_totals(one)}
    return {key: values[key] for key in KEYS}


def _totals(one: RunState) -> dict[str, Any]:
    costs = [lane.cost for lane in one.lanes]
    return {
        "total": sum(lane.total for lane in one.lanes),
        "done": sum(lane.done for lane in one.lanes),
        "failed": sum(lane.failed for lane in one.lanes),
        "in_flight": sum(lane.in_flight for lane in one.lanes),
        "cost": None if None in costs else sum(cost for cost in costs if cost is not None),
    }


def _put(found: tuple[RunState, ...]) -> None:
    rows: list[tuple[Cell, ...]] = []
    for one in found:
        totals = _totals(one)
        rows.append(
            (
                one.run, one.spec, one.state, f"{totals['done']:,} of {totals['total']:,}", totals["failed"] or None,
                totals["in_flight"], None, money(totals["cost"]), one.note or one.budget or "",
            )
        )  # fmt: skip
        rows += [
            (
                "", f"  {lane.label}", "stopped" if lane.stopped else "", f"{lane.done:,} of {lane.total:,}",
                lane.failed or None, lane.in_flight, lane.limit, money(lane.cost), lane.stopped or lane.waiting or "",
            )
            for lane in one.lanes
        ]  # fmt: skip
    put_table(table(("run", "spec", "state", "calls", "failed", "in flight", "of", "cost", "note"), cut(rows)))
    for one in found:
        put(f"{one.run}: `{one.doing}`, process {one.pid} on {one.host}, since {one.since}")
