"""The stages of a fill, and which engines each of them needs. Imported only where a model of the matrix runs here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lrm.engines.engine import Settings
from lrm.engines.settings import settings_of
from lrm.plan.engines import Wanted
from lrm.plan.estimate import Asked, asked_by
from lrm.plan.plan import Estimate, JudgeBlock
from lrm.plan.scoring import scorers, scorings
from lrm.plan.workspace import Workspace
from lrm.registry.declarations import Model


def later(space: Workspace, *stages: Literal["attacks", "judges"]) -> frozenset[Settings]:
    """Return the engines that these stages of a fill may ask; loading them last before keeps them for it."""
    models: list[Model] = []
    if "attacks" in stages and space.against:
        models += [one.declaration for one in space.matrix.attack_models.values()]
        models += [space.matrix.models[one.model].declaration for one in space.against.values()]
    if "judges" in stages:
        models += [model for judge, _ in space.judges.values() if judge.asking for model in judge.asking.models]
        models += scorers(space)
    return frozenset(settings_of(model) for model in models if model.runs_here)


def stages(
    space: Workspace,
    subjects: Sequence[Estimate],
    in_attacks: Sequence[Estimate],
    of_judges: Sequence[Estimate],
    blocks: Sequence[JudgeBlock],
) -> tuple[tuple[Wanted, ...], ...]:
    """Return whom each stage of a fill asks, in order: the models under test, attacks, judges, reward judges."""
    models, others = space.matrix.models, space.matrix.attack_models
    asked: dict[str, Asked] = {}
    for block in blocks:
        if block.calls + block.later:
            asked_by(space, block, asked)
    return (
        tuple(Wanted(one.model, (models[one.model].declaration,), one) for one in subjects),
        tuple(
            Wanted(one.model, ((models.get(one.model) or others[one.model]).declaration,), one) for one in in_attacks
        ),
        tuple(Wanted(one.model, tuple(asked[one.model].models), one) for one in of_judges),
        scorings(space, blocks, coming=bool(subjects or in_attacks)),
    )
