"""Where a fill's calls are carried out, as it was told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from lrm.engines.engine import Executor
from lrm.run.progress import Observer
from lrm.store.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Local:
    """In this process; engines in processes of their own beside it."""


@dataclass(frozen=True, slots=True)
class OnRay:
    """On a Ray cluster."""

    address: str | None = None
    """As `ray.init` takes it; None: the cluster that RAY_ADDRESS names, else one started on this machine."""


Choice = Local | OnRay


def open_executor(choice: Choice, catalog: Catalog, run: str, watch: Observer) -> Executor:
    """Return what carries out the calls of a run. Raises ModelError where it cannot be had."""
    match choice:
        case Local():
            from lrm.engines.local import LocalExecutor

            return LocalExecutor()
        case OnRay(address):
            from lrm.ray.executor import RayExecutor

            return RayExecutor(address, catalog, run, watch.say)
        case _:
            assert_never(choice)
