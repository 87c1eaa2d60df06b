"""`lrm catalog info`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import cut, put, put_json, put_table, say
from lrm_cli.table import count, money, pairs, table

if TYPE_CHECKING:
    from lrm.store.holdings import Holdings


@click.command(
    "info",
    cls=Command,
    examples=("lrm catalog info", "lrm catalog info --catalog shared.duckdb --json"),
    keys=(
        "path", "bytes", "schema", "holder", "journal", "counts", "responses", "models", "specs", "runs",
        "imports", "annotators", "snapshots",
    ),
)  # fmt: skip
@options.catalog_option
@options.json_option
def command(catalog_file: str | None, as_json: bool) -> int:
    """Say what the catalog holds and who is using it.

    Changes nothing: a journal that waits to be merged is listed, and stays.
    """
    from lrm.store.holdings import holdings

    held = holdings(options.open_catalog(catalog_file, merge=False))
    if as_json:
        put_json(held)
    else:
        _put(held)
    return exits.OK


def _put(held: Holdings) -> None:
    waiting = f"{count(len(held.journal), 'segment')}, {sum(one.bytes for one in held.journal):,} bytes"
    put_table(
        pairs(
            (
                ("catalog", held.path),
                ("size", f"{held.bytes:,} bytes"),
                ("schema", held.schema[-1] if held.schema else "none"),
                ("being filled by", "nobody" if held.holder is None else str(held.holder)),
                ("journal not merged", waiting if held.journal else "none"),
                *((name.replace("_", " "), f"{number:,}") for name, number in held.counts.items()),
                *(
                    (f"responses, {'simulated' if one.simulated else 'real'}, {one.source}", f"{one.count:,}")
                    for one in held.responses
                ),
            ),
            widest=200,
        )
    )
    if held.specs:
        put()
        specs = [(one.name, f"{one.filled_at:%Y-%m-%d %H:%M}", one.file) for one in held.specs]
        put_table(table(("spec", "filled (UTC)", "file"), cut(specs), widest=100))
    if held.imports:
        put()
        imports = [
            (
                one.name,
                f"{one.imported_at:%Y-%m-%d %H:%M}",
                one.format,
                one.responses,
                one.labels,
                one.skipped,
                one.file,
            )
            for one in held.imports
        ]
        put_table(table(("import", "made (UTC)", "format", "responses", "labels", "skipped", "file"), cut(imports)))
    if held.snapshots:
        put()
        snapshots = [
            (
                one.name,
                None if one.commit is None else one.commit[:12],
                one.publisher,
                "yes" if one.trusted else "no",
                one.responses,
                f"{one.pulled_at:%Y-%m-%d %H:%M}",
            )
            for one in held.snapshots
        ]
        put_table(table(("snapshot", "commit", "publisher", "trusted", "responses", "pulled (UTC)"), cut(snapshots)))
    if held.annotators:
        put()
        annotators = [
            (one.name, "machine" if one.automatic else "person", one.scope, one.rubric, one.labels)
            for one in held.annotators
        ]
        put_table(table(("annotator", "is", "scope", "rubric", "labels"), cut(annotators)))
    if held.models:
        put()
        models = [
            (one.name, one.id[:15], one.visibility, one.responses, "simulated" if one.simulated else "real")
            for one in held.models
        ]
        put_table(table(("model", "id", "thinking", "responses", "data"), cut(models)))
    for one in held.models:
        if one.fingerprints > 1:
            say(f"drift: {one.name} answered under {one.fingerprints} fingerprints; a new `epoch` would ask it anew")
    if held.runs:
        put()
        runs = [
            (
                one.id,
                one.spec,
                f"{one.started_at:%Y-%m-%d %H:%M}",
                one.state,
                one.done,
                one.failed,
                one.requests,
                money(one.cost) if one.ended_at else None,
            )
            for one in held.runs
        ]
        put_table(table(("run", "spec", "started (UTC)", "state", "done", "failed", "requests", "cost"), cut(runs, 20)))
