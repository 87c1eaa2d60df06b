"""`lrm snapshot publish`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from lrm_cli import exits, options, snapshot_options, snapshot_page
from lrm_cli.command import Command
from lrm_cli.output import put, put_json, say
from lrm_cli.table import count

if TYPE_CHECKING:
    from lrm.snapshot.choice import Choice
    from lrm.snapshot.hub.publish import Gated
    from lrm.snapshot.publishing import Outgoing


@click.command(
    "publish",
    cls=Command,
    examples=(
        "lrm snapshot publish quickstart my-lab/quickstart --dry-run",
        "lrm snapshot publish specs/r1.toml my-lab/r1",
        "lrm snapshot publish specs/r1.toml my-lab/r1 --public --gate manual --gated 'For safety research.'",
    ),
    keys=(
        "repo", "url", "commit", "exists", "public", "gated", "unchanged", "uploaded", "bytes", "others", "harm", "tables",
        "withheld", "dry_run",
    ),
)  # fmt: skip
@snapshot_options.spec_argument
@click.argument("repo", metavar="ORG/NAME")
@snapshot_options.choice_options
@click.option("--public/--private", default=None, help="Who sees it. A new one is private, others stay as they are.")
@click.option(
    "--gate", type=click.Choice(("auto", "manual")), help="Have readers ask for access: all get it, or whom you let."
)
@click.option("--dry-run", is_flag=True, help="Only compare it with the repository; send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before everybody can read it.")
@snapshot_options.quiet_option
@options.catalog_option
@options.json_option
def command(
    spec: str,
    repo: str,
    choice: Choice,
    public: bool | None,
    gate: Gated | None,
    dry_run: bool,
    yes: bool,
    quiet: bool,
    catalog_file: str | None,
    as_json: bool,
) -> int:
    """Publish what the catalog has of a spec on the Hub.

    SPEC is a spec's file, or the name of a spec or import in the catalog; ORG/NAME a dataset repository of the Hugging Face
    Hub, made where it is not there: private unless told otherwise. Only new shards are sent. What others have published
    there is kept and made one with it; what was published once is not taken back. Log in with `hf auth login`, or set
    HF_TOKEN.
    """
    from lrm.snapshot.publishing import outgoing, passing, send

    private = None if public is None else not public
    talk = snapshot_options.talk(quiet=quiet)
    with passing(options.open_catalog(catalog_file), spec, choice) as exported:
        plan = outgoing(exported, repo, private=private, gated=gate)
        told = exported.finished.manifest
        if not as_json and (dry_run or not quiet):
            snapshot_page.put_sizes(plan.tables)
        if not quiet:
            snapshot_page.say_withheld(told, choice)
            snapshot_page.say_outgoing(plan)
        done = None
        if not dry_run:
            if not _is_meant(plan, yes=yes):
                say("nothing was sent")
                return exits.CELLS_FAILED
            done = send(exported, repo, choice, private=private, gated=gate, say=talk)
    if as_json:
        put_json(snapshot_page.published_object(plan, done, told))
    elif done is None:
        put(f"nothing was sent; it would be {snapshot_page.would_be(plan)}")
    elif done.unchanged:
        put(f"nothing to upload: {done.url} has it all, at {done.commit[:12]}")
    else:
        files = f"{count(len(done.uploaded), 'file')}, {snapshot_page.size(done.bytes)}"
        put(f"{done.url}  {'private' if done.private else 'public'}, commit {done.commit[:12]}, {files} uploaded")
        if not quiet:
            say(f"others get it with: lrm snapshot pull {repo}")
    return exits.OK


def _is_meant(plan: Outgoing, *, yes: bool) -> bool:
    """Ask before everybody can read what is sent. Raises a usage error where nobody can be asked."""
    if yes or not plan.public or (plan.unchanged and not plan.becomes_public):
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"{plan.repo} {snapshot_page.public_said(plan)}: say --yes if that is meant")
    return click.confirm(f"{plan.repo} {snapshot_page.public_said(plan)}. Publish?", err=True)
