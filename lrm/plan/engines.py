"""The engines that a plan has to load: in which order, how often, and for how long, by what earlier ones took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrm.engines.engine import Settings
from lrm.engines.order import loads
from lrm.engines.settings import settings_of
from lrm.plan.plan import EngineLoad, Estimate
from lrm.registry.models import Model
from lrm.store.engines import measured

if TYPE_CHECKING:
    from lrm.plan.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model that a stage of a fill asks, and what that is expected to take."""

    name: str
    models: tuple[Model, ...]
    """As it is asked; judges may ask it in several ways."""
    estimate: Estimate


def engine_loads(space: Workspace, stages: Sequence[Sequence[Wanted]]) -> tuple[EngineLoad, ...]:
    """Return the engines that the stages of a fill load, each once, in the order of their first load.

    The catalog is attached. A stage of attacks goes round by round and may load its engines again in each; that is not
    counted, because how many rounds it takes is not known.
    """
    order: list[list[Settings]] = []
    names: dict[Settings, dict[str, None]] = {}
    tokens: dict[Settings, int | None] = {}
    for stage in stages:
        needed: dict[Settings, None] = {}
        for wanted in stage:
            each = dict.fromkeys(settings_of(model) for model in wanted.models if model.runs_here)
            for settings in each:
                needed[settings] = None
                names.setdefault(settings, {})[wanted.name] = None
                known, more = tokens.get(settings, 0), wanted.estimate.output_tokens
                tokens[settings] = None if known is None or more is None else known + more
        order.append(list(needed))
    made = loads(order)
    return tuple(
        _load(space, settings, tuple(names[settings]), tokens[settings], made.count(settings))
        for settings in dict.fromkeys(made)
    )


def _load(space: Workspace, settings: Settings, names: tuple[str, ...], tokens: int | None, times: int) -> EngineLoad:
    seen = measured(space.connection, settings.checkpoint, settings.arguments)
    hours = None
    if seen is not None and seen.tokens_a_second is not None and tokens is not None:
        hours = (times * seen.load_s + tokens / seen.tokens_a_second) / 3600
    return EngineLoad(
        checkpoint=settings.checkpoint,
        models=names,
        gpus=settings.gpus,
        kind=settings.kind,
        loads=times,
        output_tokens=tokens,
        device=None if seen is None else seen.device,
        load_s=None if seen is None else seen.load_s,
        tokens_a_second=None if seen is None else seen.tokens_a_second,
        hours=hours,
    )
