"""What the monitor shows of a run: its lines, made from what the run said of itself and when."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lrm.browse.runs import SILENT_S, Desks, Failure, Sight
from lrm.engines.words import doing
from lrm_tui.screens.matrix_text import short
from lrm_tui.screens.monitor_lines import Piece, TextLine, line

if TYPE_CHECKING:
    from lrm.run.desk import Died, LaneState, RunState
    from lrm.store.holdings import HeldRun

_SPARKS = "▁▂▃▄▅▆▇█"
SPARK_WIDTH = 40
MOST_LANES = 40
_STATES = {
    "planning": "plans what is to be asked", "running": "running", "paused": "PAUSED", "waiting": "waits",
    "stopping": "stops: what is in flight is still awaited", "unknown": "is there, and has said nothing yet",
}  # fmt: skip
_ENDS = {
    "ended": "ended: everything that was planned was asked", "budget": "ended: its budget was used up",
    "interrupted": "was stopped; the same command goes on from there",
    "broken": "broke; the same command goes on from there",
    "killed": "was killed; nothing it received is lost, and the same command goes on from there",
}  # fmt: skip


@dataclass(slots=True)
class Speeds:
    """Calls a second over the time that a run was watched, newest last."""

    points: deque[float] = field(default_factory=lambda: deque(maxlen=SPARK_WIDTH))
    _said: str | None = None

    def take(self, state: RunState | None) -> None:
        """Note the speed, once for each state that the run said."""
        if state is not None and state.updated != self._said and state.speed is not None:
            self._said = state.updated
            self.points.append(max(state.speed, 0.0))

    def spark(self) -> str:
        """Return the speeds as a row of bars from nothing to the greatest."""
        top = max(self.points, default=0.0)
        if top <= 0:
            return ""
        return "".join(_SPARKS[min(int(one / top * 7.999), 7)] for one in self.points)


def bar(done: int, failed: int, total: int, width: int) -> tuple[Piece, ...]:
    """Return a bar of what is done, what failed and what is left; something that is there is never without a cell."""
    if width <= 0:
        return ()
    if total <= 0:
        return (Piece("░" * width, "rest"),)
    bad = max(1, round(width * failed / total)) if failed else 0
    good = min(round(width * done / total), width - bad)
    if done and not good and width > bad:
        good = 1
    if done + failed < total and good + bad == width and good > 1:
        good -= 1
    return tuple(
        piece
        for piece in (Piece("█" * good, "bar"), Piece("▓" * bad, "bad"), Piece("░" * (width - good - bad), "rest"))
        if piece.text
    )


def span(seconds: float | None) -> str:
    """Return a length of time: 8 s, 3 min, 2 h 05 min, 3 d 4 h."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def money(cost: float | None) -> str:
    """Return dollars; None is unknown."""
    return "unknown" if cost is None else f"${cost:,.4f}" if 0 < cost < 0.1 else f"${cost:,.2f}"


@dataclass(frozen=True, slots=True)
class Totals:
    """A run's lanes together."""

    total: int
    done: int
    failed: int
    blocked: int
    in_flight: int
    left: int
    """Calls that are still to be made: those of a model that is not asked any more are not among them."""
    given_up: int
    """Calls of models that are not asked any more."""
    input_tokens: int
    output_tokens: int
    cost: float | None


def totals(state: RunState) -> Totals:
    """Return the sums of a run's lanes."""
    lanes = state.lanes
    costs = [lane.cost for lane in lanes]
    return Totals(
        total=sum(lane.total for lane in lanes),
        done=sum(lane.done for lane in lanes),
        failed=sum(lane.failed for lane in lanes),
        blocked=sum(lane.blocked for lane in lanes),
        in_flight=sum(lane.in_flight for lane in lanes),
        left=sum(_left(lane) for lane in lanes if lane.stopped is None),
        given_up=sum(_left(lane) for lane in lanes if lane.stopped is not None),
        input_tokens=sum(lane.input_tokens for lane in lanes),
        output_tokens=sum(lane.output_tokens for lane in lanes),
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
    )


def _left(lane: LaneState) -> int:
    return max(lane.total - lane.done - lane.failed, 0)


def eta_s(state: RunState) -> float | None:
    """Return the seconds that what is left takes at the speed of the last seconds; None where that cannot be told."""
    if state.state != "running" or not state.speed or state.speed <= 0:
        return None
    return totals(state).left / state.speed


def headline(sight: Sight) -> tuple[str, bool]:  # noqa: PLR0911 -- one for each way a run can stand
    """Return how a run stands in a line, and whether that is bad."""
    if sight.end is not None and not sight.alive:
        reason = f" ({sight.end.reason})" if sight.end.reason else ""
        return _ENDS.get(sight.end.state, sight.end.state) + reason, sight.end.state != "ended"
    if sight.died:
        return f"died: {_ENDS['killed'].partition(';')[2].strip()}", True
    if not sight.alive:
        return "is over, and left no log of how it ended", False
    if sight.end is not None:
        return "is ending", False
    state = sight.state
    if state is None:
        return _STATES["unknown"], False
    said = _STATES.get(state.state, state.state)
    if sight.stale and sight.age_s is not None and state.state != "planning":
        return f"SILENT for {span(sight.age_s)}: what follows is what it said last, not how it stands", True
    return said + (f": {state.note}" if state.note else ""), False


def run_lines(
    sight: Sight, speeds: Speeds, failures: tuple[Failure, ...], failed_attempts: int, *, width: int, whole: bool = True
) -> list[TextLine]:
    """Return the lines of one run."""
    said, bad = headline(sight)
    state = sight.state
    spec = "" if state is None or state.spec is None else f"{state.spec}  "
    lines = [line(Piece(f"{spec}{sight.run}", "head")), line(Piece(said, "bad" if bad else "good"))]
    if state is not None:
        where = f"process {state.pid} on {state.host}" if state.pid else ""
        since = f"since {state.since.replace('T', ' ')[:19]} UTC" if state.since else ""
        lines.append(line(Piece("  ".join(one for one in (where, since) if one), "dim")))
        lines.append(line(Piece(state.doing or "", "dim")))
    lines.append(line())
    if state is not None and state.lanes:
        lines += _numbers(sight, state, speeds)
        lines.append(line())
        lines += _lanes(state.lanes, width, old=sight.stale)
        lines.append(line())
    elif sight.end is not None:
        end = sight.end
        known = [f"{end.done:,} done" if end.done is not None else "", f"{end.failed:,} failed" if end.failed else ""]
        lines += [line("  ".join(one for one in (*known, f"cost {money(end.cost)}") if one)), line()]
    lines += _failures(failures, failed_attempts, width, whole=whole)
    return lines


def _numbers(sight: Sight, state: RunState, speeds: Speeds) -> list[TextLine]:
    found = totals(state)
    counts = [
        Piece(f"{found.done:,} done", "good"), Piece("   "),
        Piece(f"{found.failed:,} failed", "bad" if found.failed else "dim"), Piece("   "),
        Piece(f"{found.in_flight if not sight.stale else 0:,} in flight   {found.left:,} left of {found.total:,}"),
    ]  # fmt: skip
    if found.blocked:
        counts.append(Piece(f"   {found.blocked:,} blocked by the provider"))
    if found.given_up:
        counts.append(Piece(f"   {found.given_up:,} not asked any more", "warn"))
    used = f"tokens {short(found.input_tokens)} in, {short(found.output_tokens)} out   cost {money(found.cost)}"
    if state.budget:
        used += f"   budget: {state.budget}"
    if sight.stale:
        # Numbers that may be wrong by now have no speed and no end in sight.
        return [line(*counts), line(used)]
    speed = "speed not known yet" if state.speed is None else f"{state.speed:,.1f} calls/s"
    eta = eta_s(state)
    end = "" if eta is None else f"   about {span(eta)} left"
    return [line(*counts), line(speed, "  ", Piece(speeds.spark(), "bar"), end), line(used)]


def _lanes(lanes: tuple[LaneState, ...], width: int, *, old: bool) -> list[TextLine]:
    shown = lanes[:MOST_LANES]
    name = min(max(len(lane.label) for lane in shown), max(width // 4, 12))
    room = max(min(width - name - 44, 60), 8)
    lines = []
    for lane in shown:
        label = lane.label if len(lane.label) <= name else lane.label[: name - 1] + "…"
        share = (lane.done + lane.failed) / lane.total if lane.total else 1.0
        limit = "" if lane.limit is None or old else f" of {lane.limit:,}"
        tail: list[Piece] = [Piece(f" {_share(share)} {lane.done + lane.failed:,}/{lane.total:,}")]
        if lane.failed:
            tail.append(Piece(f"  {lane.failed:,} failed", "bad"))
        if lane.stopped is not None:
            tail.append(Piece(f"  not asked any more: {lane.stopped}", "warn"))
        elif lane.waiting is not None:
            tail.append(Piece(f"  {lane.waiting}", "warn"))
        elif _left(lane) and not old:
            tail.append(Piece(f"  {lane.in_flight:,}{limit} in flight", "dim"))
            if lane.engine is not None and (busy := doing(lane.engine)):
                tail.append(Piece(f"  {busy}", "dim"))
        if lane.retries:
            tail.append(Piece(f"  {lane.retries:,} retries", "dim"))
        lines.append(line(f"{label:<{name}} ", *bar(lane.done, lane.failed, lane.total, room), *tail))
    if len(lanes) > MOST_LANES:
        lines.append(line(Piece(f"and {len(lanes) - MOST_LANES:,} more models", "dim")))
    return lines


def _share(share: float) -> str:
    whole = 99 if share < 1 and share >= 0.995 else round(100 * share)
    return f"{whole:3d}%"


def _failures(failures: tuple[Failure, ...], count: int, width: int, *, whole: bool) -> list[TextLine]:
    if not failures:
        return [line(Piece("no failed attempts" if whole else "no failed attempts in the end of its log", "dim"))]
    more = "" if whole else " in the end of its log"
    lines = [
        line(
            Piece(f"the last {len(failures)} of {count:,} failed attempts{more}", "head"),
            Piece("   Enter opens it", "dim"),
        )
    ]
    for one in reversed(failures):
        status = f" {one.status}" if one.status is not None else ""
        then = "given up" if one.again_in_s is None else f"tried again after {span(one.again_in_s)}"
        when = one.at[11:19]
        text = f"{when}  {one.model:<{min(20, max(width // 5, 8))}} {one.kind}{status}  attempt {one.attempt}, "
        short_id = f"  {one.call[:15]}…"
        lines.append(
            line(
                text,
                Piece(then, "bad" if one.again_in_s is None else "dim"),
                Piece(short_id, "dim"),
                key=("call", one.call, one.at),
            )
        )
    return lines


def list_lines(desks: Desks, recent: tuple[HeldRun, ...], *, problem: str | None = None) -> list[TextLine]:
    """Return the lines of the list of runs: those that run, those that died, those that ended."""
    lines = []
    if desks.running:
        lines.append(line(Piece(f"{len(desks.running)} running", "head"), Piece("   Enter watches it", "dim")))
        lines += [line(*_running(one), key=("run", one.run)) for one in desks.running]
    else:
        lines.append(line(Piece("no fill is running in this catalog", "head")))
        lines.append(line(Piece("`lrm matrix fill SPEC` begins one; it can be watched here", "dim")))
    if desks.died:
        lines += [line(), line(Piece("died, and left something behind", "head"))]
        lines += [line(*_dead(one), key=("run", one.run)) for one in desks.died]
    lines.append(line())
    if problem is not None:
        lines.append(line(Piece(problem, "warn")))
    elif recent:
        lines.append(line(Piece("earlier runs", "head"), Piece("   Enter shows how they ended", "dim")))
        width = max(len(one.spec) for one in recent)
        live = {one.run for one in desks.running}
        lines += [line(*_earlier(one, width), key=("run", one.id)) for one in recent if one.id not in live]
    else:
        lines.append(line(Piece("no earlier runs", "dim")))
    return lines


def _running(state: RunState) -> tuple[Piece, ...]:
    found = totals(state)
    counts = f"  {found.done + found.failed:,} of {found.total:,}" if state.lanes else ""
    return (
        Piece(f"{state.spec or '?'}  {state.run}  "),
        Piece(_STATES.get(state.state, state.state), "good"),
        Piece(f"{counts}  {found.failed:,} failed" if found.failed else counts),
    )


def _dead(one: Died) -> tuple[Piece, ...]:
    spec = one.last.spec if one.last is not None else None
    left = f"{one.bytes:,} bytes of journal wait: the next fill merges them, or `lrm catalog merge`" if one.segments else (
        "nothing it received is lost"
    )  # fmt: skip
    return (Piece(f"{spec or '?'}  {one.run}  "), Piece("died  ", "bad"), Piece(left, "dim"))


def _earlier(one: HeldRun, width: int) -> tuple[Piece, ...]:
    good = one.state in ("ended", "running")
    said = one.state if one.reason is None else f"{one.state} ({one.reason})"
    counts = "" if one.done is None else f"  {one.done:,} done" + (f", {one.failed:,} failed" if one.failed else "")
    cost = "" if one.cost is None else f"  {money(one.cost)}"
    return (
        Piece(f"{one.started_at:%Y-%m-%d %H:%M}  {one.spec:<{width}}  {one.id}  "),
        Piece(said, "plain" if good else "warn"),
        Piece(counts + cost, "dim"),
    )


def age_words(sight: Sight) -> str:
    """Return how old what is shown is, and what waits in the journal."""
    parts = []
    if sight.alive and sight.state is not None and sight.age_s is not None:
        parts.append(f"as of {span(sight.age_s)} ago" + (f" (more than {SILENT_S:.0f} s: old)" if sight.stale else ""))
    if sight.journal_bytes:
        age = "" if sight.journal_age_s is None else f", grew {span(sight.journal_age_s)} ago"
        parts.append(f"journal {short(sight.journal_bytes)}B{age}")
    return " · ".join(parts)
