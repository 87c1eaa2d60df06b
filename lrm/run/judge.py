"""Judging what a catalog holds: judges added to a spec that was filled or imported, without its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from lrm import clock
from lrm.errors import MissingError
from lrm.plan.estimate import check_prices, judge_estimates
from lrm.plan.plan import Plan
from lrm.plan.planner import engines_of, match_cells
from lrm.plan.verdicts import judge_blocks
from lrm.plan.workspace import Workspace, add_judges, bare
from lrm.registry.declarations import Model
from lrm.registry.judges import Judge, Scope
from lrm.registry.layers import Registry
from lrm.registry.source import Place
from lrm.run.budget import Caps
from lrm.run.executors import Choice
from lrm.run.fill import begun, merge_leftovers, outcome_of, reparse_redeclared
from lrm.run.judging import grade_missing
from lrm.run.progress import Observer, Outcome, Silent
from lrm.run.rounds import judge_missing
from lrm.spec.bench import Bench, Use, seat
from lrm.spec.matrix import Located, Matrix
from lrm.store.catalog import Catalog
from lrm.store.lock import arranging, sharing
from lrm.store.register import register_judges
from lrm.store.specs import KnownSpec, find_spec, known_specs


class _Declared:
    """Declarations from a registry alone."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def model(self, name: str, *, asked_from: Place | None) -> Located[Model]:
        return self.registry.get("models", name, asked_from=asked_from)

    def judge(self, name: str, *, asked_from: Place | None) -> Located[Judge]:
        return self.registry.get("judges", name, asked_from=asked_from)


def bench_of(registry: Registry, names: Sequence[str], scopes: Sequence[Scope], prompt_sets: Sequence[str]) -> Bench:
    """Return judges of a registry by name, with what they need. Raises MissingError and SpecError.

    `scopes` and `prompt_sets` are for all of them; empty is each judge's own scopes, and every set.
    """
    use = Use(None, tuple(dict.fromkeys(scopes)) or None, tuple(prompt_sets) or None)
    return seat(dict.fromkeys(names, use), _Declared(registry))


def judge(
    catalog: Catalog,
    spec: str | None,
    bench: Bench,
    *,
    limit: int | None = None,
    budget: Caps | None = None,
    dry_run: bool = False,
    observer: Observer | None = None,
    doing: str = "lrm judge run",
    executor: Choice | None = None,
) -> Outcome:
    """Have the judges of `bench` grade every response in the current span of a spec or import; return what was done.

    `spec` is a name or a spec's file; None where the catalog knows only one. The judges become part of the span, so that
    `rates` and `verdicts` show them. `limit` caps the questions asked, `budget` what they
    take; `executor` says where they are asked; `dry_run` only plans. Raises MissingError, SpecError,
    BusyError, CatalogError, ModelError.
    """
    watch = observer or Silent()
    started = clock.monotonic()
    caps = budget or Caps()
    catalog.require()
    if dry_run:
        with bare(catalog) as connection:
            return Outcome(_planned(_open(Workspace(connection, catalog, _matrix(bench, caps)), spec)[0]), None)
    with sharing(catalog, doing), ExitStack() as stack:
        with arranging(catalog):
            merge_leftovers(catalog, watch, executor)
            connection = stack.enter_context(bare(catalog))
            space, file = _open(Workspace(connection, catalog, _matrix(bench, caps)), spec)
            planned = _planned(space)
            check_prices(space, planned, caps)
            watch.planned(planned)
            span = register_judges(space, file)
            reread = reparse_redeclared(space, watch) if space.redeclared else 0
            ungraded = bool(planned.ungraded or reread)
            asks = ungraded and space.asks_judges
            session = begun(stack, space, span, planned, caps, watch, doing, executor) if asks else None
        graded = grade_missing(space) if ungraded else 0
        judged = None if session is None else judge_missing(session, planned, limit=limit)
        outcome = outcome_of(space, planned, session, judged, graded)
    return replace(outcome, seconds=clock.monotonic() - started)


def _matrix(bench: Bench, caps: Caps) -> Matrix:
    return Matrix(
        "",
        Path(),
        judges=tuple(bench.judges.values()),
        judge_models=bench.models,
        panel_members=bench.members,
        budget=caps,
    )


def _open(space: Workspace, spec: str | None) -> tuple[Workspace, str | None]:
    """Lay out the current span of a spec and number the judges; return what the catalog knows as the spec's file too."""
    found = _chosen(spec, known_specs(space.connection, "cat.lrm"))
    space.matrix = replace(space.matrix, name=found.name, file=Path(found.file or found.name))
    space.connection.execute(
        """
        INSERT INTO slices
            SELECT row_number() OVER () - 1, model_n, model, set_n, prompt_set, attack_n, attack, replicates, condition,
                first_replicate
            FROM cat.lrm.slices WHERE span_n = ?
        """,
        [found.span],
    )
    add_judges(space)
    match_cells(space)
    return space, found.file


def _chosen(spec: str | None, known: Mapping[str, KnownSpec]) -> KnownSpec:
    if spec is not None:
        return find_spec(spec, known)
    if len(known) == 1:
        return next(iter(known.values()))
    listed = ", ".join(known) if known else "none; fill a spec or import a file first"
    raise MissingError("which spec or import is to be judged?", hint=f"name it with --spec; the catalog has: {listed}")


def _planned(space: Workspace) -> Plan:
    judges = judge_blocks(space, missing={}, most=0)
    expected = judge_estimates(space, judges)
    engines = engines_of(space, (), (), expected, judges)
    return Plan(
        space.matrix.name, (), (), judges, 0, budget=space.matrix.budget, judge_estimates=expected, engines=engines
    )
