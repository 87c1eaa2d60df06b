"""What a catalog holds and who is using it, as `lrm catalog info` prints it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lrm.store.live import live_runs
from lrm.store.lock import Holder, held_alone, holder
from lrm.store.trust import Snapshot, snapshots

if TYPE_CHECKING:
    from lrm.store.catalog import Catalog

COUNTED = (
    "models", "attacks", "judges", "prompt_sets", "prompts", "messages", "calls", "generations", "traces", "verdicts",
    "failures", "attempts", "runs", "annotations", "imports", "batches",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeldModel:
    """A model identity in the catalog."""

    name: str
    """The name under which it was first used."""
    id: str
    visibility: str
    simulated: bool
    responses: int
    fingerprints: int
    """Different `system_fingerprint`s among them; more than one says that the weights or the server changed."""


@dataclass(frozen=True, slots=True)
class HeldSpec:
    """A spec that was filled."""

    name: str
    file: str | None
    filled_at: datetime


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A fill that asked for something."""

    id: str
    spec: str
    started_at: datetime
    ended_at: datetime | None
    state: str
    """`running`, `ended`, `budget`, `interrupted`, `broken`, or `killed` for one that died before it could say how it ended."""
    reason: str | None
    """Which budget ended it."""
    done: int | None
    failed: int | None
    requests: int | None
    """Requests sent, failed attempts among them."""
    cost: float | None
    """Dollars; None is unknown."""


@dataclass(frozen=True, slots=True)
class HeldImport:
    """A file that was imported."""

    name: str
    """The name of its cells; of a file with labels only, that of the import that they are for."""
    id: str
    file: str
    format: str
    rows: int
    responses: int
    labels: int
    skipped: int
    """Bad rows that were left out."""
    as_cache: str | None
    """The model whose calls its responses satisfy, `i1:…`."""
    imported_at: datetime


@dataclass(frozen=True, slots=True)
class HeldAnnotator:
    """Somebody who labelled, or another's machine that did."""

    name: str
    automatic: bool
    scope: str
    rubric: str
    labels: int


@dataclass(frozen=True, slots=True)
class Responses:
    """How many responses came which way."""

    source: str
    """`run`, or what they were imported from."""
    simulated: bool
    count: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A journal segment that is not merged yet."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a catalog holds."""

    path: str
    bytes: int
    schema: tuple[str, ...]
    """Names of the migrations that it has had."""
    holder: Holder | None
    """Who is filling it; None when nobody is."""
    journal: tuple[Waiting, ...]
    counts: dict[str, int]
    """Rows by table."""
    responses: tuple[Responses, ...]
    models: tuple[HeldModel, ...]
    specs: tuple[HeldSpec, ...]
    runs: tuple[HeldRun, ...]
    """Newest first."""
    imports: tuple[HeldImport, ...]
    """Newest first."""
    annotators: tuple[HeldAnnotator, ...]
    snapshots: tuple[Snapshot, ...]
    """Those that were pulled, in that order."""


def holdings(catalog: Catalog) -> Holdings:
    """Return what a catalog holds. Raises MissingError, BusyError, CatalogError."""
    from lrm.store import journal, migrations

    with catalog.reading() as connection:
        counts = {
            name: int(connection.execute(f"SELECT count(*) FROM lrm.{name}").fetchall()[0][0]) for name in COUNTED
        }
        responses = connection.execute(
            """
            SELECT g.source, m.simulated, count(*) FROM lrm.generations g
            JOIN lrm.calls c ON c.n = g.call_n JOIN lrm.models m ON m.n = c.model_n GROUP BY ALL ORDER BY ALL
            """
        ).fetchall()
        models = connection.execute(
            """
            SELECT m.name, 'i1:' || lower(hex(m.id)), m.visibility, m.simulated, count(g.n), count(DISTINCT g.fingerprint)
            FROM lrm.models m LEFT JOIN lrm.calls c ON c.model_n = m.n LEFT JOIN lrm.generations g ON g.call_n = c.n
            GROUP BY ALL ORDER BY ALL
            """
        ).fetchall()
        specs = connection.execute(
            "SELECT spec, arg_max(file, n), arg_max(chosen_at, n) FROM lrm.spec_spans GROUP BY spec ORDER BY spec"
        ).fetchall()
        runs = connection.execute(
            """
            SELECT id, spec, started_at, ended_at,
                CASE WHEN state = 'running' AND NOT list_contains($live, id) THEN 'killed' ELSE state END,
                reason, done, failed, requests, cost
            FROM lrm.runs ORDER BY started_at DESC, id
            """,
            {"live": list(live_runs(catalog))},
        ).fetchall()
        imports = connection.execute(
            """
            SELECT name, 'f1:' || lower(hex(id)), file, format, rows, responses, labels, skipped, as_cache, imported_at
            FROM lrm.imports ORDER BY imported_at DESC, name
            """
        ).fetchall()
        annotators = connection.execute(
            "SELECT annotator, automatic, scope, rubric, count(*) FROM lrm.annotations GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        schema = migrations.applied(connection)
        pulled = snapshots(connection)
    return Holdings(
        path=str(catalog.path),
        bytes=catalog.path.stat().st_size,
        schema=schema,
        holder=present_holder(catalog),
        journal=tuple(Waiting(path.name, path.stat().st_size) for path in journal.segments(catalog.journal_folder)),
        counts=counts,
        responses=tuple(Responses(*row) for row in responses),
        models=tuple(HeldModel(*row) for row in models),
        specs=tuple(HeldSpec(*row) for row in specs),
        runs=tuple(HeldRun(*row) for row in runs),
        imports=tuple(HeldImport(*row) for row in imports),
        annotators=tuple(HeldAnnotator(*row) for row in annotators),
        snapshots=pulled,
    )


def present_holder(catalog: Catalog) -> Holder | None:
    """Return who is filling or changing the catalog. A name that a dead process left behind does not count."""
    found = holder(catalog)
    return found if found is not None and (live_runs(catalog) or held_alone(catalog)) else None
