"""`lrm snapshot list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lrm_cli import exits, options, snapshot_options, snapshot_page
from lrm_cli.command import Command
from lrm_cli.output import put_json, say

if TYPE_CHECKING:
    from lrm.store.catalog import Catalog
    from lrm.store.trust import Snapshot

KEYS = (
    "name", "modified", "private", "gated", "downloads", "bytes", "pulled_at", "commit", "changed_since", "publisher",
    "trusted", "responses", "specs",
)  # fmt: skip


@click.command(
    "list",
    cls=Command,
    examples=("lrm snapshot list --author my-lab", "lrm snapshot list --search r1", "lrm snapshot list --pulled"),
    keys=KEYS,
    json_is="a list of objects",
)
@click.option("--author", metavar="ORG", help="Only those of this account or organisation.")
@click.option("--search", metavar="WORDS", help="Only those with this in their name.")
@click.option("--pulled", is_flag=True, help="What this catalog has pulled; asks nobody.")
@snapshot_options.quiet_option
@options.catalog_option
@options.json_option
def command(
    author: str | None, search: str | None, pulled: bool, quiet: bool, catalog_file: str | None, as_json: bool
) -> int:
    """List the snapshots on the Hub, and those that were pulled.

    Those of the Hub come last changed first, as far as this account sees them.
    """
    known = _known(options.open_catalog(catalog_file, merge=False))
    if pulled:
        words = (author or "").lower(), (search or "").lower()
        rows = [
            _row(one.name, one)
            for one in known
            if words[0] in (one.publisher or "").lower() and words[1] in one.name.lower()
        ]
    else:
        rows = _on_the_hub(author, search, {one.name: one for one in known})
    if as_json:
        put_json(rows)
        return exits.OK
    if not rows:
        if not quiet:
            say("nothing was pulled" if pulled else "there are none that this account sees, or none that fit")
        return exits.OK
    shown = KEYS[:1] + KEYS[6:8] + KEYS[9:] if pulled else KEYS[:8]
    snapshot_page.put_list(
        [[_cell(key, row[key]) for key in shown] for row in rows], [_HEADS.get(one, one) for one in shown]
    )
    changed = [row["name"] for row in rows if row["changed_since"]]
    if changed and not quiet:
        say(f"changed since they were pulled: {', '.join(changed[:10])}{' …' if len(changed) > 10 else ''}")
    return exits.OK


_HEADS = {"name": "snapshot", "modified": "changed (UTC)", "pulled_at": "pulled (UTC)", "bytes": "size"}


def _known(catalog: Catalog) -> tuple[Snapshot, ...]:
    if not catalog.exists():
        return ()
    from lrm.store.trust import snapshots

    with catalog.reading() as connection:
        return snapshots(connection)


def _on_the_hub(author: str | None, search: str | None, known: dict[str, Snapshot]) -> list[dict[str, Any]]:
    from lrm.snapshot.hub.repository import listing

    found = []
    for one in listing(author=author, search=search):
        row = _row(one.repo, known.get(one.repo))
        row |= {"modified": one.modified, "private": one.private, "gated": one.gated, "downloads": one.downloads}
        here = row["pulled_at"]
        since = None if here is None or one.modified is None else one.modified[:19] > f"{here:%Y-%m-%dT%H:%M:%S}"
        found.append(row | {"bytes": one.bytes, "changed_since": since})
    return found


def _row(name: str, pulled: Snapshot | None) -> dict[str, Any]:
    """Return a row in which nothing is known of the Hub. `pulled` is the last one of that name."""
    fields = ("pulled_at", "commit", "publisher", "trusted", "responses", "specs")
    here = {} if pulled is None else {field: getattr(pulled, field) for field in fields}
    return dict.fromkeys(KEYS) | {"name": name} | here


def _cell(key: str, value: Any) -> Any:
    match key:
        case "pulled_at" | "modified" if value is not None:
            return str(value)[:16].replace("T", " ")
        case "commit" if value is not None:
            return value[:12]
        case "bytes" if value is not None:
            return snapshot_page.size(value)
        case "specs":
            return ", ".join(value or ())
        case _:
            return value
