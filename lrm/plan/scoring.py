"""Reward judges whose weights an engine of vLLM's runs: what a fill has to load for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from lrm.judges.open import OpenJudge
from lrm.plan.engines import Wanted
from lrm.plan.plan import Estimate, JudgeBlock
from lrm.registry.judges import RewardJudge
from lrm.registry.models import Model
from lrm.spec.matrix import Located

if TYPE_CHECKING:
    from lrm.plan.workspace import Workspace


def scorers(space: Workspace) -> tuple[Model, ...]:
    """Return the models whose engines the chosen reward judges score by; none where they score without one."""
    found = (weights(judge) for judge, _ in space.judges.values())
    return tuple(model for model in found if model is not None)


def scorings(space: Workspace, blocks: Sequence[JudgeBlock], *, coming: bool) -> tuple[Wanted, ...]:
    """Return the judges whose engines have something to score; `coming`: the fill asks for more responses.

    They give numbers and no tokens, so how long they take is not estimated.
    """
    wanted: dict[str, Wanted] = {}
    for block in blocks:
        model = weights(space.judges[block.judge_scope_n][0])
        if model is not None and (block.ungraded or coming):
            estimate = Estimate(block.judge, block.ungraded, None, 0, None, "one vector a response")
            wanted[block.judge] = Wanted(block.judge, (model,), estimate)
    return tuple(wanted.values())


def weights(judge: OpenJudge) -> Model | None:
    """Return the model whose engine a judge scores by; None for one that needs no engine."""
    if not isinstance(judge.declaration, RewardJudge) or judge.declaration.engine != "vllm":
        return None
    from lrm.judges.reward_vllm import weights_of

    return weights_of(reward_of(judge))


def reward_of(judge: OpenJudge) -> Located[RewardJudge]:
    """Return a reward judge's declaration, with where it is written."""
    assert isinstance(judge.declaration, RewardJudge)
    return cast("Located[RewardJudge]", judge.located)
