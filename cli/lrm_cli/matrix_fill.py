"""`lrm matrix fill`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrm_cli import exits, fill_page, options, plan_page, retrying, snapshot_from
from lrm_cli.chosen import choose, planned
from lrm_cli.output import put_json

if TYPE_CHECKING:
    from lrm.backends.base import FailureClass
    from lrm.run.budget import Caps
    from lrm.run.executors import Choice
    from lrm.store.trust import Trust


@click.command(
    "fill",
    cls=retrying.Retrying,
    examples=(
        "lrm matrix fill specs/quickstart.toml",
        "lrm matrix fill specs/quickstart.toml --only attack=none --limit 50",
        "lrm matrix fill specs/quickstart.toml --max-cost 5 --max-time 2h",
        "lrm matrix fill specs/quickstart.toml --retry-failed=timeout,server",
        "lrm matrix fill specs/quickstart.toml --executor ray",
        "lrm matrix fill specs/r1.toml --from my-lab/r1",
        "lrm matrix fill specs/quickstart.toml --dry-run",
    ),
    keys=fill_page.KEYS,
)
@options.spec_options
@options.budget_options
@options.executor_options
@retrying.option
@snapshot_from.option
@options.trust_option
@click.option("--dry-run", is_flag=True, help="Only say what would be done, as `lrm matrix plan` does.")
@click.option("--quiet", is_flag=True, help="No progress and no talk on stderr.")
@options.catalog_option
@options.registry_option
@options.json_option
def command(
    spec: Path,
    only: tuple[str, ...],
    limit: int | None,
    replicates: int | None,
    update: bool,
    budget: Caps,
    executor: Choice,
    retry_failed: tuple[FailureClass, ...] | bool,
    sources: tuple[str, ...],
    trust: Trust | None,
    dry_run: bool,
    quiet: bool,
    catalog_file: str | None,
    registry_folders: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Ask for what is missing, store and judge it.

    Makes the catalog if there is none. A first Ctrl-C finishes what is in flight, a second stops at once; neither loses
    a response, and the same command goes on from there.
    """
    chosen = choose(spec, registry_folders, only=only, replicates=replicates, update=update, budget=budget)
    catalog = options.open_catalog(catalog_file, merge=dry_run)  # a fill merges by itself
    if dry_run:
        with snapshot_from.tried_on(catalog, sources) as tried:
            snapshot_from.take(sources, tried, chosen, trust, quiet=quiet)
            plan = planned(tried, chosen, limit, retry_failed, trust=trust)
        put_json(plan_page.plan_object(plan)) if as_json else plan_page.put_plan(plan)
        return exits.OK

    snapshot_from.take(sources, catalog, chosen, trust, quiet=quiet)
    from lrm.run.fill import fill
    from lrm_cli.progress import open_observer

    with open_observer(quiet=quiet) as observer:
        outcome = fill(
            chosen.matrix, catalog, whole=chosen.whole, pins=chosen.pins, limit=limit, observer=observer,
            budget=chosen.matrix.budget, retry_failed=retry_failed, executor=executor, doing=f"lrm matrix fill {spec}",
            trust=trust,
        )  # fmt: skip
    return fill_page.conclude(outcome, catalog, catalog_file, quiet=quiet, as_json=as_json)
