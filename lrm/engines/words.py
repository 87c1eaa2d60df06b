"""Engines in words, for every front end: what one is doing, and what a plan makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrm.plan.plan import Plan
    from lrm.run.progress import EngineState

_GIB = 2**30


def doing(engine: EngineState) -> str:
    """Return what an engine does: tokens a second, memory and use of its GPUs, how full its cache is; empty when unknown."""
    load = engine.load
    parts = []
    if engine.tokens_a_second is not None:
        parts.append(f"{engine.tokens_a_second:,.0f} tokens/s")
    if load.memory_used is not None and load.memory_total:
        what = f"{engine.gpus} GPUs" if engine.gpus > 1 else "GPU" if engine.gpus else "memory"
        parts.append(f"{what} {load.memory_used / _GIB:.1f} of {load.memory_total / _GIB:.1f} GiB")
    if load.busy is not None:
        parts.append(f"{100 * load.busy:.0f} % busy")
    if load.cache is not None:
        parts.append(f"cache {100 * load.cache:.0f} % full")
    if load.waiting:
        parts.append(f"{load.waiting:,} wait for room")
    return ", ".join(parts)


def engines_line(plan: Plan) -> str:
    """Return in a sentence which engines a plan loads, in which order, and what GPU time that takes. Not made safe to show."""
    times = sum(one.loads for one in plan.engines)
    names = ", then ".join(one.checkpoint for one in plan.engines)
    known = "unknown until each has run once" if plan.gpu_hours is None else f"about {hours(plan.gpu_hours)}"
    rounds = "; attacks may load theirs again in each round" if plan.pursuits and len(plan.engines) > 1 else ""
    return f"engines: {times} {'load' if times == 1 else 'loads'}: {names}{rounds}; GPU-hours: {known}"


def hours(value: float) -> str:
    """Return hours with as many digits as mean something."""
    return f"{value:,.1f}" if value >= 1 else f"{value:.2g}" if value >= 0.001 else "less than 0.001"
