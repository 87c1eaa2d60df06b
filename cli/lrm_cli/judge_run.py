"""`lrm judge run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrm_cli import exits, fill_page, options, plan_page
from lrm_cli.command import Command
from lrm_cli.output import put_json

if TYPE_CHECKING:
    from lrm.run.budget import Caps
    from lrm.run.executors import Choice


@click.command(
    "run",
    cls=Command,
    examples=(
        "lrm judge run refusal --spec quickstart",
        "lrm judge run xstest-three-class --spec xstest-gpt4 --limit 20",
        "lrm judge run safety-thinking --scope thinking --dry-run",
    ),
    keys=fill_page.KEYS,
)
@click.argument("judges", nargs=-1, required=True, metavar="JUDGE...")
@click.option("--spec", help="A filled spec or an import in the catalog; needed where it has several.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(["thinking", "answer", "both"]),
    help="What the judges look at; default: what each declares. Repeatable.",
)  # fmt: skip
@click.option("--prompt-set", "prompt_sets", multiple=True, help="Only cells of this prompt set. Repeatable.")
@click.option("--limit", type=click.IntRange(min=0), help="Ask judge models at most so many questions.")
@options.budget_options
@options.executor_options
@click.option("--dry-run", is_flag=True, help="Only say which verdicts are missing and what they take.")
@click.option("--quiet", is_flag=True, help="No progress and no talk on stderr.")
@options.catalog_option
@options.registry_option
@options.json_option
def command(
    judges: tuple[str, ...],
    spec: str | None,
    scopes: tuple[str, ...],
    prompt_sets: tuple[str, ...],
    limit: int | None,
    budget: Caps,
    executor: Choice,
    dry_run: bool,
    quiet: bool,
    catalog_file: str | None,
    registry_folders: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Have judges grade the responses of a spec or an import that the catalog holds.

    No subject model is asked. Judge models are asked only what the catalog has no reply to, and the judges stay with the
    spec until its next fill.
    """
    from lrm.run.judge import bench_of, judge
    from lrm_cli.progress import open_observer

    catalog = options.open_catalog(catalog_file, merge=False)
    bench = bench_of(options.open_registry(registry_folders), judges, scopes, prompt_sets)  # type: ignore[arg-type]
    with open_observer(quiet=quiet or dry_run) as observer:
        outcome = judge(
            catalog, spec, bench, limit=limit, budget=budget, executor=executor, dry_run=dry_run, observer=observer
        )
    if dry_run:
        put_json(plan_page.plan_object(outcome.plan)) if as_json else plan_page.put_plan(outcome.plan)
        return exits.OK
    return fill_page.conclude(outcome, catalog, catalog_file, quiet=quiet, as_json=as_json)
