"""Judging by reward models: the pending responses of each judge, scored in batches by weights that are loaded for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from lrm.errors import CatalogError, LrmError, ModelError
from lrm.judges.judge import Subject
from lrm.judges.open import OpenJudge
from lrm.judges.reward_text import text_of
from lrm.judges.verdict import Verdict
from lrm.plan.scoring import reward_of
from lrm.registry.judges import RewardJudge, Scope
from lrm.run.pending import take_off
from lrm.run.subjects import Item, chunks, lay_out_pending
from lrm.spec.matrix import Located
from lrm.store.grading import VerdictRows, put_verdicts

if TYPE_CHECKING:
    from lrm.judges.reward_vllm import VllmScorer
    from lrm.run.engines import Held
    from lrm.run.session import Session


class Scores(Protocol):
    """What gives verdicts by a reward model."""

    def score(self, subjects: Sequence[Subject], scope: Scope) -> list[Verdict]:
        """Return the verdict on one scope of each response, in their order."""
        ...

    def close(self) -> None:
        """Need the weights no more."""
        ...


def score_missing(
    session: Session, judges: Mapping[int, tuple[OpenJudge, Scope]], counts: dict[str, int], *, only_run: str | None
) -> None:
    """Have every wanted verdict of these judges given, and count them by status into `counts`.

    A judge that cannot be loaded or used keeps none of the others from theirs; its error is raised at the end.
    """
    refused: LrmError | None = None
    space = session.space
    # Those that share an engine come one after the other, and what needs a GPU for itself comes last.
    for n, (judge, scope) in sorted(judges.items(), key=lambda item: _place(item[1][0])):
        if session.over:
            break
        space.attach()
        if not lay_out_pending(space, [n], only_run=only_run):
            continue
        try:
            score_pending(session, judge, scope, counts)
        except CatalogError:
            raise
        except LrmError as error:
            if refused is not None:
                session.watch.say(f"{judge.name}: {error}")
            refused = refused or error
    if refused is not None:
        raise refused


def score_pending(session: Session, judge: OpenJudge, scope: Scope, counts: dict[str, int]) -> None:
    """Score what the table `pending` holds and count the verdicts by status into `counts`.

    Verdicts are kept chunk by chunk; ends early where the session is over. Raises ModelError where the model cannot be
    loaded or its engine dies again and again, JudgeError where it does not give what is declared.
    """
    space = session.space
    scorer = _opened(session, reward_of(judge))
    try:
        for items in chunks(space):
            space.detach()
            graded = [item for item in items if not item.blocked]
            verdicts = dict(zip([item.seq for item in graded], scorer.score(_subjects(graded), scope), strict=True))
            rows = VerdictRows()
            for item in items:
                verdict = verdicts.get(item.seq, Verdict(scope, "no_text"))
                rows.add(item.generation_n, item.judge_scope_n, verdict, prompt_n=item.prompt_n)
                counts[verdict.status] = counts.get(verdict.status, 0) + 1
            with space.catalog.writing() as connection:
                put_verdicts(connection, rows)
            take_off(space, "pending", [item.seq for item in items])
            session.beat()
            if session.over:
                return
    finally:
        scorer.close()


def _opened(session: Session, located: Located[RewardJudge]) -> Scores:
    declaration = located.declaration
    if declaration.engine == "vllm":
        return _ByEngine(session, located)
    from lrm.judges.reward import open_reward

    if declaration.device != "cpu" and session.uses:
        session.loop.run(session.engines.close())  # they hold the memory of the GPU that it is loaded on
    session.watch.say(f"{located.name}: loading {declaration.checkpoint}")
    return open_reward(located)


class _ByEngine:
    """Scores by an engine of the session's: loaded with the first text that there is, and anew where it dies."""

    def __init__(self, session: Session, located: Located[RewardJudge]) -> None:
        from lrm.judges.reward_vllm import weights_of

        self._session = session
        self._located = located
        self._model = weights_of(located)
        self._held: Held | None = None
        self._scorer: VllmScorer | None = None
        self._deaths = 0

    def score(self, subjects: Sequence[Subject], scope: Scope) -> list[Verdict]:
        """Return the verdict on one scope of each response, in their order. Raises ModelError, JudgeError."""
        if all(text_of(subject, scope) is None for subject in subjects):
            return [Verdict(scope, "no_text") for _ in subjects]
        return self._session.loop.run(self._scored(subjects, scope))

    def close(self) -> None:
        """Leave the engine, which stays loaded until its room is needed."""
        self._scorer = None
        if self._held is not None:
            self._session.engines.leave(self._held)
            self._held = None

    async def _scored(self, subjects: Sequence[Subject], scope: Scope) -> list[Verdict]:
        while True:
            scorer, held = await self._entered()
            verdicts = await scorer.score(subjects, scope)
            died = held.engine.died
            if died is None:
                return verdicts
            self._mourn(died)

    async def _entered(self) -> tuple[VllmScorer, Held]:
        """Return what scores, and its engine, loaded."""
        from lrm.judges.reward_vllm import VllmScorer

        if self._scorer is not None and self._held is not None:
            return self._scorer, self._held
        engines, declaration = self._session.engines, self._located.declaration
        self._session.watch.say(f"{self._located.name}: loading {declaration.checkpoint}")
        self._held = await engines.enter(self._model)
        scorer = VllmScorer(declaration, self._held.engine.backend(self._model))
        await scorer.begin()
        self._scorer = scorer
        return scorer, self._held

    def _mourn(self, died: str) -> None:
        """Have a dead engine loaded anew, but not for ever."""
        from lrm.run.engines import MOST_DEATHS

        self.close()
        self._deaths += 1
        if self._deaths >= MOST_DEATHS:
            raise ModelError(
                f"`{self._located.declaration.checkpoint}`: its engine died {MOST_DEATHS} times: {died}",
                hint="where it is memory that it lacks, lower `max_length` or `vllm.max_num_seqs`; its logs lie in "
                f"{self._session.space.catalog.runs_folder}",
            )
        self._session.watch.say(f"{self._located.name}: its engine died and is started again: {died}")


def _place(judge: OpenJudge) -> tuple[bool, str]:
    """Return by what judges are ordered: engines of vLLM's first, those of one checkpoint together."""
    declaration = reward_of(judge).declaration
    return declaration.engine != "vllm", declaration.checkpoint


def _subjects(items: list[Item]) -> list[Subject]:
    return [item.subject for item in items]
