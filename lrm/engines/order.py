"""In which order engines are loaded, so that they are loaded as few times as possible.

Engines stay loaded side by side as long as their shares of a GPU's memory fit together. What has to make room is the one
that was used longest ago.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from lrm.engines.engine import Settings

ROUNDING = 1e-9
"""What shares that add up to the whole may be above it."""


def arranged(
    needed: Iterable[Settings], *, loaded: Collection[Settings], later: Collection[Settings]
) -> list[Settings]:
    """Return what is needed, each once: first what is loaded already, last what is needed again later."""
    once = dict.fromkeys(needed)
    return sorted(once, key=lambda one: (one not in loaded, one in later))


def displaced(settings: Settings, loaded: Sequence[Settings]) -> list[Settings]:
    """Return which of the loaded engines, the one used longest ago first, have to go so that another fits."""
    gone: list[Settings] = []
    room = 1 + ROUNDING - settings.memory - sum(one.memory for one in loaded)
    for one in loaded:
        if room >= 0:
            break
        gone.append(one)
        room += one.memory
    return gone


def loads(stages: Sequence[Sequence[Settings]]) -> list[Settings]:
    """Return the engines that stages load one after the other, in that order; one that is loaded twice stands there twice."""
    loaded: list[Settings] = []
    made: list[Settings] = []
    for number, needed in enumerate(stages):
        later = {one for stage in stages[number + 1 :] for one in stage}
        for settings in arranged(needed, loaded=loaded, later=later):
            if settings in loaded:
                loaded.remove(settings)
            else:
                made.append(settings)
                for one in displaced(settings, loaded):
                    loaded.remove(one)
            loaded.append(settings)
    return made
