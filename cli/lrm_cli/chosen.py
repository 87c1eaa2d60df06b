"""What plan and fill were told to work on: the spec's matrix, the part of it that was chosen, and its lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrm_cli.options import AXES, open_registry

if TYPE_CHECKING:
    from lrm.plan.plan import Plan
    from lrm.spec.lock import Lock
    from lrm.spec.matrix import Matrix
    from lrm.store.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Chosen:
    """A spec as the command line asks for it."""

    matrix: Matrix
    whole: Matrix
    """The spec's matrix without `--only`; the same object as `matrix` where that was not given."""
    pins: Lock


def choose(
    spec: Path, registry_folders: tuple[Path, ...], *, only: Sequence[str], replicates: int | None, update: bool
) -> Chosen:
    """Return what a command was told to work on. Raises SpecError for a spec that is wrong."""
    from lrm.spec.lock import Lock, read_lock
    from lrm.spec.resolve import resolve

    registry = open_registry(registry_folders)
    globs = parsed(only)
    whole = resolve(spec, registry, replicates=replicates)
    matrix = resolve(spec, registry, only=globs, replicates=replicates) if globs else whole
    return Chosen(matrix, whole, Lock() if update else read_lock(spec))


def parsed(only: Sequence[str]) -> dict[str, list[str]]:
    """Return the globs of `--only` by axis. Raises a usage error for anything but AXIS=GLOB."""
    globs: dict[str, list[str]] = {}
    for one in only:
        axis, equals, glob = one.partition("=")
        if not equals or axis not in AXES or not glob:
            raise click.BadParameter(f"`{one}` is not AXIS=GLOB with an axis of {', '.join(AXES)}", param_hint="--only")
        globs.setdefault(axis, []).append(glob)
    return globs


def planned(catalog: Catalog, chosen: Chosen, limit: int | None) -> Plan:
    """Return what a fill would do; changes nothing."""
    from lrm.plan import planner, workspace

    with workspace.opened(catalog, chosen.matrix, chosen.pins) as space:
        return planner.plan(space, limit=limit)
