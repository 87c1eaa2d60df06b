"""Lanes that share an engine: driven together once it is loaded, and again where it dies under them and is started anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lrm.errors import ModelError
from lrm.run.engines import MOST_DEATHS, Engines, Held
from lrm.run.lane import Lane
from lrm.run.progress import EngineState

if TYPE_CHECKING:
    from lrm.run.runner import Runner


async def drive_engine(runner: Runner, lanes: Sequence[Lane]) -> None:
    """Load the engine that lanes share and drive them; load it anew where it dies under them.

    One that dies without having answered anything, or again and again, is given up, and its lanes with it.
    """
    deaths = 0
    while alive := [lane for lane in lanes if not runner.over(lane) and not lane.finished]:
        try:
            held = await _entered(runner, alive[0])
        except ModelError as error:
            for lane in alive:
                _refuse(runner, lane, error)
            return
        if held is None:
            return
        done = _done(alive)
        try:
            for lane in alive:
                _open(runner, lane, held)
            await asyncio.gather(*(runner.drive(lane) for lane in alive if lane.backend is not None))
        finally:
            runner.engines.leave(held)
            for lane in alive:
                lane.held = None
        died = held.engine.died
        if died is None:
            continue
        runner.log.event("engine died", models=[lane.name for lane in alive], said=died)
        deaths += 1
        if deaths >= MOST_DEATHS or _done(alive) == done:
            for lane in alive:
                runner.give_up(lane, f"its engine died: {died}")
        elif not runner.stopping:
            runner.observer.say(f"{alive[0].name}: its engine died and is started again: {died}")


def _done(lanes: Sequence[Lane]) -> int:
    return sum(lane.progress.done for lane in lanes)


async def _entered(runner: Runner, lane: Lane) -> Held | None:
    """Return the engine of a lane, loaded; None where the run is stopped before."""
    loading = asyncio.ensure_future(runner.engines.enter(lane.model))
    halted = asyncio.ensure_future(runner.halted.wait())
    try:
        await asyncio.wait({loading, halted}, return_when=asyncio.FIRST_COMPLETED)
        return loading.result() if loading.done() else None
    finally:
        halted.cancel()
        if not loading.done():
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)


def _open(runner: Runner, lane: Lane, held: Held) -> None:
    """Let a lane ask an engine; a lane that cannot is given up."""
    lane.held, lane.backend = held, None
    try:
        lane.backend = held.engine.backend(lane.model)
    except ModelError as error:
        _refuse(runner, lane, error)


def _refuse(runner: Runner, lane: Lane, error: ModelError) -> None:
    """Give a lane up that cannot be asked at all."""
    lane.refused = error
    runner.give_up(lane, str(error))


def not_loaded(engines: Engines, lane: Lane) -> str | None:
    """Return what a lane waits for whose engine is not loaded; None where it waits for nothing any more."""
    if lane.finished:
        return None
    if engines.loading is not None and engines.loading[0] == lane.settings:
        return f"loading, {time.monotonic() - engines.loading[1]:.0f} s"
    return "waits until its engine can be loaded"


def engine_state(held: Held) -> EngineState:
    """Return what an engine is doing, to be shown."""
    load, device = held.engine.load, held.engine.device
    return EngineState(
        device=None if device is None else device.name,
        gpus=0 if device is None else device.gpus,
        load=load,
        tokens_a_second=held.tokens_a_second(),
    )
