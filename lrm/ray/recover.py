"""Takes in what workers of dead runs wrote down and no driver has: their spools become segments of the catalog's journal.

A spool that this machine sees is moved; one on a node's own disk is fetched where that node is in the cluster that a fill
is told to use. Whoever merges dead runs' journals (`lrm.store.merge`) does the rest: a reply that the catalog has already
changes nothing there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lrm.errors import CatalogError
from lrm.ray import spool
from lrm.store.catalog import Catalog
from lrm.store.live import live_runs

FETCH_S = 300.0
"""Seconds within which a node has to hand over one spool."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A spool on a node's own disk."""

    node: str
    host: str
    folder: str


def recover(catalog: Catalog, say: Callable[[str], None], *, on_ray: bool = False, address: str | None = None) -> int:
    """Bring the spools of dead runs into the catalog's journal folder, and return how many segments there were.

    The caller has the turn to number rows and merges dead runs' journals next. With `on_ray`, spools on nodes' own disks
    are fetched from the cluster at `address`; otherwise it is said where they are. Raises CatalogError where a folder
    cannot be written, and ModelError where the cluster cannot be reached.
    """
    top = catalog.spool_folder
    if not top.is_dir():
        return 0
    live = live_runs(catalog)
    taken = 0
    for folder in sorted(path for path in top.iterdir() if path.is_dir() and path.name not in live):
        taken += _taken_in(catalog, folder.name, spool.segments_in(folder))
        elsewhere = _elsewhere(folder / spool.NODES)
        left = _fetched(catalog, folder.name, elsewhere, say, on_ray=on_ray, address=address) if elsewhere else 0
        taken += len(elsewhere) - left
        if not left:
            shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        top.rmdir()
    return taken


def _taken_in(catalog: Catalog, run: str, paths: tuple[Path, ...]) -> int:
    """Move segments into the journal folder, under numbers that the run did not use."""
    for path in paths:
        try:
            path.rename(_free(catalog, run))
        except OSError as error:
            raise CatalogError(
                f"{path} cannot be moved into {catalog.journal_folder}: {error.strerror or error}"
            ) from error
    return len(paths)


def _free(catalog: Catalog, run: str) -> Path:
    """Return the path of a segment that is not there."""
    folder = catalog.journal_folder
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [
        int(number)
        for path in folder.iterdir()
        if path.name.startswith(f"{run}-") and (number := path.name.removeprefix(f"{run}-").partition(".")[0]).isdigit()
    ]
    return folder / f"{run}-{max(numbers, default=0) + 1:06d}.jsonl"


def _elsewhere(path: Path) -> tuple[Elsewhere, ...]:
    found = []
    with suppress(OSError):
        for line in path.read_bytes().splitlines():
            with suppress(orjson.JSONDecodeError, TypeError):
                found.append(Elsewhere(**orjson.loads(line)))
    return tuple(found)


def _fetched(
    catalog: Catalog,
    run: str,
    spools: tuple[Elsewhere, ...],
    say: Callable[[str], None],
    *,
    on_ray: bool,
    address: str | None,
) -> int:
    """Fetch spools from their nodes; return how many are left for a later fill."""
    from lrm.ray.cluster import connect

    named = address or os.environ.get("RAY_ADDRESS")
    hosts = ", ".join(sorted({one.host for one in spools}))
    if not on_ray or not named:
        say(
            f"run {run} on Ray ended without its driver; what its workers had received and not sent lies on {hosts}. "
            "A fill with `--executor ray --address …` takes it in; this one asks for it again"
        )
        return len(spools)
    cluster = connect(address)
    try:
        by_host = {node.host: node.id for node in cluster.nodes()}
        for one in spools:
            node = by_host.get(one.host)
            if node is None or not _fetch(cluster, node, one, catalog, run):
                say(
                    f"{one.host} is not there any more, with what a worker of run {run} had received: it is asked for again"
                )
    finally:
        cluster.close()
    return 0


def _fetch(cluster: Any, node: str, one: Elsewhere, catalog: Catalog, run: str) -> bool:
    """Copy a spool's segments into the journal folder, then remove it; return whether that went well."""
    ray = cluster.ray

    def on_node(what: Callable[..., Any], *arguments: Any) -> Any:
        made = ray.remote(what).options(num_cpus=0, scheduling_strategy=cluster.at(node, soft=False))
        return ray.get(made.remote(*arguments), timeout=FETCH_S)

    folder = Path(one.folder)
    try:
        for path in on_node(spool.segments_in, folder):
            text: bytes = on_node(Path.read_bytes, path)
            target = _free(catalog, run)
            draft = target.with_suffix(".part")
            draft.write_bytes(text)
            draft.rename(target)
        on_node(spool.remove, folder)
    except (ray.exceptions.RayError, TimeoutError):
        return False
    return True
