"""`lrm matrix status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import cut, plain, put, put_json, put_table, say
from lrm_cli.rates import results
from lrm_cli.table import count, table

if TYPE_CHECKING:
    from lrm.store.summary import Summary

KEYS = ("spec", "file", "filled_at", "cells", "done", "blocked", "failed", "missing", "tallies", "parsed", "failures",
        "verdicts", "rates", "pulled")  # fmt: skip


@click.command(
    "status",
    cls=Command,
    examples=("lrm matrix status", "lrm matrix status quickstart", "lrm matrix status specs/quickstart.toml --json"),
    keys=KEYS,
    json_is="a list of objects",
)
@click.argument("spec", required=False, shell_complete=options.complete_files)
@options.catalog_option
@options.json_option
def command(spec: str | None, catalog_file: str | None, as_json: bool) -> int:
    """Say how far the specs in the catalog have come.

    SPEC is a spec's name or file; all of them without it. Cells by model, prompt set and attack; what the splitter made of the
    responses; verdicts; rates with their denominators; failures. Reads the catalog alone: a spec counts as it was last filled, and
    `lrm matrix plan` compares it with its file as it is now.
    """
    from lrm.store.summary import summaries

    catalog = options.open_catalog(catalog_file)
    with catalog.reading() as connection:
        found = summaries(connection, spec)
    if as_json:
        put_json([_object(one) for one in found])
        return exits.OK
    for number, one in enumerate(found):
        if number:
            put()
        _put_summary(one)
    if not found:
        say("the catalog knows no spec yet; a fill makes it known")
    return exits.OK


def _object(one: Summary) -> dict[str, object]:
    totals = plain(one.total)
    values = {**plain(one), **{key: totals[key] for key in ("cells", "done", "blocked", "failed", "missing")}}
    return {key: values[key] for key in KEYS}


def _put_summary(one: Summary) -> None:
    total = one.total
    put(
        f"{one.spec}: {count(total.cells, 'cell')}: {total.done:,} done, {total.blocked:,} blocked, {total.failed:,} failed, "
        f"{total.missing:,} missing"
    )
    put(f"as last filled, {one.filled_at:%Y-%m-%d %H:%M} UTC, from {one.file or 'a file that is not named'}\n")
    rows = [
        (each.axis.replace("_", " "), each.value, each.cells, each.done, each.blocked, each.failed, each.missing,
         "simulated" if each.simulated and each.axis == "model" else "")
        for each in one.tallies if each.axis != "spec"
    ]  # fmt: skip
    put_table(table(("axis", "name", "cells", "done", "blocked", "failed", "missing", ""), cut(rows)))
    if one.pulled:
        put()
        pulled = [(each.snapshot, each.cells) for each in one.pulled]
        put_table(table(("came with", "cells"), cut(pulled)))
    if one.parsed:
        put()
        parsed = [(each.model, each.visibility, each.parse_status, each.cells) for each in one.parsed]
        put_table(table(("model", "thinking", "parse status", "cells"), cut(parsed)))
    if one.verdicts:
        put()
        verdicts = [(each.judge, each.scope, each.status, each.cells) for each in one.verdicts]
        put_table(table(("judge", "scope", "verdict", "cells"), cut(verdicts)))
    if one.rates:
        put()
        headings, rates = results(one.rates)
        put_table(table(headings, cut(rates)))
    if one.failures:
        put()
        failures = [(each.model, each.failure, each.cells, each.message) for each in one.failures]
        put_table(table(("model", "failure", "cells", "a message"), cut(failures)))
