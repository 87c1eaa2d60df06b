"""`lrm matrix ps`."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from lrm_cli import exits, options, ps_page
from lrm_cli.command import Command
from lrm_cli.output import json_text, put, put_json, put_table, say

if TYPE_CHECKING:
    from lrm.run.desk import Died, RunState

WATCH_S = 1.0
"""Seconds between two looks, at a terminal and for programs."""
WATCH_PLAIN_S = 5.0
"""Seconds between two looks where they are printed below each other."""


@click.command(
    "ps",
    cls=Command,
    examples=("lrm matrix ps", "lrm matrix ps --watch", "lrm matrix ps --json"),
    keys=ps_page.KEYS,
    json_is="a list of objects",
)
@click.option(
    "--watch", is_flag=True, help="Again and again, until no fill is running; --json prints one line each time."
)
@click.option("--lanes/--no-lanes", default=None, help="Each model of each fill too; by default where it fits.")
@options.catalog_option
@options.json_option
def command(watch: bool, lanes: bool | None, catalog_file: str | None, as_json: bool) -> int:
    """Show the fills that are running.

    What each does, how far it has come, what it spent and what it waits for; and runs that died and left something behind, whose
    `state` is `died` in JSON. The catalog itself is not opened. Where several models are asked, `limit` is known of each, not of all.
    """
    from lrm.run.desk import died, running

    catalog = options.open_catalog(catalog_file, merge=False)
    while True:
        found, dead = running(catalog), died(catalog)
        if as_json:
            objects = [*(ps_page.run_object(one) for one in found), *(ps_page.died_object(one) for one in dead)]
            put_table(json_text(objects, indent=None)) if watch else put_json(objects)
        else:
            _show(found, dead, lanes=lanes, again=watch)
        if not watch or not found:
            return exits.OK
        time.sleep(WATCH_S if as_json or sys.stdout.isatty() else WATCH_PLAIN_S)


def _show(found: tuple[RunState, ...], dead: tuple[Died, ...], *, lanes: bool | None, again: bool) -> None:
    text = ps_page.page(found, dead, lanes=lanes, lines=shutil.get_terminal_size().lines)
    if again:
        click.clear()  # does nothing where no terminal is
    if text:
        put_table(text)
    if not found:
        say("no fill is running in this catalog")
    if again and found and not sys.stdout.isatty():
        put()
