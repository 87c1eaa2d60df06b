"""What plan and fill were told to work on: the spec's matrix, the part of it that was chosen, and its lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrm_cli.options import AXES, open_registry
from lrm_cli.output import say

if TYPE_CHECKING:
    from lrm.backends.base import FailureClass
    from lrm.plan.plan import Plan
    from lrm.run.budget import Caps
    from lrm.spec.lock import Lock
    from lrm.spec.matrix import Matrix
    from lrm.store.catalog import Catalog
    from lrm.store.trust import Trust


@dataclass(frozen=True, slots=True)
class Chosen:
    """A spec as the command line asks for it."""

    matrix: Matrix
    whole: Matrix
    """The spec's matrix without `--only`; the same object as `matrix` where that was not given."""
    pins: Lock


def choose(
    spec: Path,
    registry_folders: tuple[Path, ...],
    *,
    only: Sequence[str],
    replicates: int | None,
    update: bool,
    budget: Caps | None = None,
) -> Chosen:
    """Return what a command was told to work on; `budget` counts before the spec's. Raises SpecError for a wrong spec."""
    from lrm.spec.lock import Lock, read_lock
    from lrm.spec.resolve import resolve

    registry = open_registry(registry_folders)
    globs = parsed(only)
    whole = resolve(spec, registry, replicates=replicates)
    if budget:
        whole = replace(whole, budget=budget.over(whole.budget))
    matrix = whole
    if globs:
        matrix = replace(resolve(spec, registry, only=globs, replicates=replicates), budget=whole.budget)
    return Chosen(matrix, whole, Lock(moving=True) if update else read_lock(spec))


def parsed(only: Sequence[str]) -> dict[str, list[str]]:
    """Return the globs of `--only` by axis. Raises a usage error for anything but AXIS=GLOB."""
    globs: dict[str, list[str]] = {}
    for one in only:
        axis, equals, glob = one.partition("=")
        if not equals or axis not in AXES or not glob:
            raise click.BadParameter(f"`{one}` is not AXIS=GLOB with an axis of {', '.join(AXES)}", param_hint="--only")
        globs.setdefault(axis, []).append(glob)
    return globs


def planned(
    catalog: Catalog,
    chosen: Chosen,
    limit: int | None,
    retry_failed: tuple[FailureClass, ...] | bool = False,
    *,
    trust: Trust | None = None,
) -> Plan:
    """Return what a fill would do; changes nothing.

    Raises SpecError for a budget that cannot be kept, MissingError for a publisher of whom nothing was pulled.
    """
    from lrm.plan import planner, workspace
    from lrm.plan.estimate import check_prices

    with workspace.opened(catalog, chosen.matrix, chosen.pins, say=say, trust=trust) as space:
        plan = planner.plan(space, limit=limit, retry_failed=retry_failed)
        check_prices(space, plan, plan.budget)
        for note in space.notes:
            say(note)
    return plan
