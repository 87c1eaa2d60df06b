"""What `lrm matrix ps` shows: running fills, their models, and what became of runs that died."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lrm import clock
from lrm.engines.words import doing
from lrm.text import visible
from lrm_cli.output import plain
from lrm_cli.table import Cell, count, money, table

if TYPE_CHECKING:
    from lrm.run.desk import Died, LaneState, RunState

KEYS = (
    "run", "spec", "state", "doing", "host", "pid", "since", "updated", "total", "done", "blocked", "failed", "in_flight",
    "limit", "speed", "input_tokens", "output_tokens", "cost", "budget", "note", "lanes", "journal",
)  # fmt: skip
SILENT_S = 30.0
"""Seconds without a word from a fill after which that is shown."""
_SUMS = ("total", "done", "blocked", "failed", "in_flight", "input_tokens", "output_tokens")


def run_object(one: RunState) -> dict[str, Any]:
    """Return what `--json` prints of a running fill."""
    values = {**plain(one), **_totals(one), "journal": None}
    return {key: values[key] for key in KEYS}


def died_object(one: Died) -> dict[str, Any]:
    """Return what `--json` prints of a run that died; `journal` is the bytes that wait to be merged."""
    from lrm.run.desk import RunState

    last = run_object(one.last or RunState(one.run))
    return {**last, "state": "died", "in_flight": 0, "limit": None, "speed": None, "journal": one.bytes}


def page(found: Sequence[RunState], dead: Sequence[Died], *, lanes: bool | None, lines: int) -> str:
    """Return the whole page. `lanes` shows each model's part; None shows it where it fits into so many lines."""
    parts = []
    if found:
        parts.append(_runs(found))
        rows = sum(len(one.lanes) for one in found)
        if rows and (lanes or (lanes is None and rows + len(found) + 8 <= lines)):
            parts.append(_lanes(found))
        notes = [f"{_shown(one.run)}: {_shown(one.note)}" for one in found if one.note]
        if notes:
            parts.append("\n".join(notes))
    if dead:
        parts.append("\n".join(_fate(one) for one in dead))
    return "\n\n".join(parts)


def _runs(found: Sequence[RunState]) -> str:
    rows: list[tuple[Cell, ...]] = []
    for one in found:
        totals = _totals(one)
        known = bool(one.lanes)
        rows.append(
            (
                one.run, one.spec, _state(one), _since(one.since), _process(one),
                written_of(totals["done"] + totals["failed"], totals["total"]) if known else None,
                totals["failed"] if known else None,
                written_of(totals["in_flight"], totals["limit"]) if known else None,
                None if one.speed is None else round(one.speed, 1),
                money(totals["cost"]) if known else None,
                one.budget,
            )
        )  # fmt: skip
    headings = (
        "run", "spec", "state", "since (UTC)", "process", "calls", "failed", "in flight", "calls/s", "cost", "budget",
    )  # fmt: skip
    return table(headings, rows)


def _lanes(found: Sequence[RunState]) -> str:
    several = len(found) > 1
    rows: list[tuple[Cell, ...]] = [
        (
            *((one.run,) if several else ()), lane.label, written_of(lane.done + lane.failed, lane.total), lane.blocked, lane.failed,
            lane.retries, written_of(lane.in_flight, lane.limit if _asks(lane) else None),
            lane.input_tokens + lane.output_tokens, money(lane.cost), _held_up(lane),
        )
        for one in found for lane in one.lanes
    ]  # fmt: skip
    headings = ("model", "calls", "blocked", "failed", "retries", "in flight", "tokens", "cost", "")
    return table((*(("run",) if several else ()), *headings), rows, widest=80)


def written_of(part: int, whole: int | None) -> str:
    """Return `3 of 12`; the part alone where the whole is not known."""
    return f"{part:,}" if whole is None else f"{part:,} of {whole:,}"


def _totals(one: RunState) -> dict[str, Any]:
    costs = [lane.cost for lane in one.lanes]
    asking = [lane for lane in one.lanes if _asks(lane)]
    return {
        **{name: sum(getattr(lane, name) for lane in one.lanes) for name in _SUMS},
        # Models that share a provider's limit have no sum of limits.
        "limit": asking[0].limit if len(asking) == 1 else None,
        "cost": None if None in costs else sum(cost for cost in costs if cost is not None),
    }


def _asks(lane: LaneState) -> bool:
    return lane.stopped is None and lane.done + lane.failed < lane.total


def _held_up(lane: LaneState) -> str:
    if lane.stopped is not None:
        return f"stopped: {lane.stopped}"
    if not _asks(lane):
        return ""
    return lane.waiting or ("" if lane.engine is None else doing(lane.engine))


def _state(one: RunState) -> str:
    silent = _seconds_since(one.updated)
    # A fill plans and grades without a word, but not for as long while it says that it makes calls.
    if silent is None or silent < SILENT_S or one.state == "planning":
        return one.state
    return f"{one.state}, silent for {silent:,.0f} s"


def _seconds_since(moment: str | None) -> float | None:
    then = _moment(moment)
    return None if then is None else (clock.now() - then).total_seconds()


def _moment(text: str | None) -> datetime | None:
    try:
        found = None if text is None else datetime.fromisoformat(text)
        return None if found is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _since(text: str | None) -> str | None:
    moment = _moment(text)
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _process(one: RunState) -> str | None:
    if one.pid is None:
        return None
    return str(one.pid) if one.host == socket.gethostname() else f"{one.pid} on {one.host}"


def _fate(one: Died) -> str:
    last = one.last
    who = _shown(one.run)
    if last is not None:
        where = "" if last.host in (None, socket.gethostname()) else f" on {last.host}"
        who += _shown(f" ({last.spec}, process {last.pid}{where})")
    how = "is over" if last is None else "died"
    if not one.segments:
        return f"{who} died; what it received is in the catalog, and the same command goes on from there"
    waiting = f"{count(one.segments, 'segment')} of its journal ({one.bytes:,} bytes)"
    return f"{who} {how} and left {waiting}: the next command that opens the catalog merges it, or `lrm catalog merge`"


def _shown(text: str | None) -> str:
    return visible(text or "", one_line=True)
