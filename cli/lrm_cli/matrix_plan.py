"""`lrm matrix plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrm_cli import exits, options, plan_page, retrying
from lrm_cli.chosen import choose, planned
from lrm_cli.output import put_json

if TYPE_CHECKING:
    from lrm.backends.base import FailureClass
    from lrm.run.budget import Caps
    from lrm.store.trust import Trust


@click.command(
    "plan",
    cls=retrying.Retrying,
    examples=(
        "lrm matrix plan specs/quickstart.toml",
        "lrm matrix plan specs/quickstart.toml --only model='sim-*' --only attack=none --replicates 3",
        "lrm matrix plan specs/quickstart.toml --trust none",
    ),
    keys=plan_page.KEYS,
)
@options.spec_options
@options.budget_options
@retrying.option
@options.trust_option
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
    retry_failed: tuple[FailureClass, ...] | bool,
    trust: Trust | None,
    catalog_file: str | None,
    registry_folders: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Say what is there, what is missing and what it will cost.

    Asks no model and changes nothing. SPEC is a TOML file; cells of it that the catalog lacks are missing.
    """
    chosen = choose(spec, registry_folders, only=only, replicates=replicates, update=update, budget=budget)
    plan = planned(options.open_catalog(catalog_file), chosen, limit, retry_failed, trust=trust)
    if as_json:
        put_json(plan_page.plan_object(plan))
    else:
        plan_page.put_plan(plan)
    return exits.OK
