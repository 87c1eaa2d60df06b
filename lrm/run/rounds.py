"""Judging by models: questions gathered for all verdicts that are wanted, asked in one run, and read; round by round.

A judge is a generator (`lrm.judges.judge`), and rounds go as `lrm.run.replay` says: so a judge that reads replies otherwise
gives new verdicts without asking.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lrm.judges.open import OpenJudge
from lrm.judges.verdict import Verdict
from lrm.plan.plan import Plan
from lrm.plan.planner import match_cells
from lrm.plan.verdicts import lay_out_wanted
from lrm.plan.workspace import Workspace
from lrm.registry.declarations import Model
from lrm.registry.identity import model_id
from lrm.registry.judges import RewardJudge, Scope
from lrm.run.pending import take_off
from lrm.run.replay import Going, ask_in_rounds, replay
from lrm.run.replies import Replies
from lrm.run.session import Session
from lrm.run.subjects import Item, chunks, lay_out_pending
from lrm.store.grading import VerdictRows, put_verdicts

MOST_ROUNDS = 100
"""A judge that still asks after so many rounds never ends."""


@dataclass(slots=True)
class Judged:
    """What judging came to."""

    verdicts: dict[str, int] = field(default_factory=dict)
    """New verdicts by status."""
    left: int = 0
    """Verdicts that are still wanted: their questions were not asked, or not finished."""


def judge_missing(session: Session, planned: Plan, *, limit: int | None = None) -> Judged:
    """Have every wanted verdict given that needs a model; `limit` caps the questions asked.

    The catalog is detached afterwards. Raises ModelError where no judge model can be asked at all, BusyError, CatalogError.
    """
    space = session.space
    judged = Judged()
    asking = {n: one for n, one in space.judges.items() if one[0].asking is not None}
    scoring = {n: one for n, one in space.judges.items() if isinstance(one[0].declaration, RewardJudge)}
    if not asking and not scoring:
        return judged
    space.attach()
    match_cells(space)
    lay_out_wanted(space)
    only_run = session.run if planned.retry_failed else None
    if asking and lay_out_pending(space, asking, only_run=only_run):
        _rounds(session, planned, asking, judged, limit)
    if scoring and not session.over:
        from lrm.run.scoring import score_missing

        score_missing(session, scoring, judged.verdicts, only_run=only_run)
    space.detach()
    return judged


def _rounds(
    session: Session,
    planned: Plan,
    judges: dict[int, tuple[OpenJudge, Scope]],
    judged: Judged,
    limit: int | None,
) -> None:
    space = session.space
    replies = Replies(space.connection, _names(space), [session.run])

    def scan(limit: int | None) -> None:
        judged.left = _scan(space, judges, replies, judged, limit=limit)

    ask_in_rounds(
        session, replies, scan, suffix=" as judge", what="questions to judges",
        expected=lambda name: planned.expected(name, as_judge=True), kept=session.judges, most=MOST_ROUNDS, limit=limit,
    )  # fmt: skip


def _scan(
    space: Workspace,
    judges: dict[int, tuple[OpenJudge, Scope]],
    replies: Replies,
    judged: Judged,
    *,
    limit: int | None,
) -> int:
    """Run every pending case as far as it goes, keep the verdicts, note the questions; return how many cases wait."""
    waiting = 0
    for items in chunks(space):
        rows = VerdictRows()
        seqs: list[int] = []
        cases: list[Going[Item, Verdict]] = []
        for item in items:
            judge, scope = judges[item.judge_scope_n]
            assert judge.asking is not None
            if item.blocked:
                _keep(rows, seqs, item, Verdict(scope, "no_text"), judged)
            else:
                cases.append(Going(item, judge.asking.judge(scope, item.subject)))
        for case, verdict in replay(cases, replies, limit=limit):
            if verdict is None:
                waiting += 1
            else:
                _keep(rows, seqs, case.item, verdict, judged)
        if len(rows):
            space.detach()
            with space.catalog.writing() as connection:
                put_verdicts(connection, rows)
            take_off(space, "pending", seqs)
            space.attach()
    return waiting


def _keep(rows: VerdictRows, seqs: list[int], item: Item, verdict: Verdict, judged: Judged) -> None:
    rows.add(item.generation_n, item.judge_scope_n, verdict, prompt_n=item.prompt_n, against_n=item.against_n)
    seqs.append(item.seq)
    judged.verdicts[verdict.status] = judged.verdicts.get(verdict.status, 0) + 1


def _names(space: Workspace) -> dict[bytes, str]:
    """Return the declared names of judge models by identity; a model as a judge changes it keeps its name."""
    declared = {located.declaration.model: name for name, located in space.matrix.judge_models.items()}
    models: list[Model] = [model for judge, _ in space.judges.values() if judge.asking for model in judge.asking.models]
    return {model_id(model): declared.get(model.model, model.model) for model in models}
