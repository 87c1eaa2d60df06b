"""The gate before a pool, against simulated providers, in time that passes only when nobody has anything to do."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import selectors
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrm.backends.base import Quota
from lrm.registry.declarations import Limits
from lrm.run.capacity import BEGIN, LONGEST_CLOSED_S, ROW
from lrm.run.gate import LIMITED, OTHER, SERVED, UNREACHED, UNUSED, Closed, Gate, Outcome, Turnstile


class Clock:
    """Seconds that pass by leaps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.turns = 0

    def __call__(self) -> float:
        return self.now


class Leaping(selectors.SelectSelector):
    """Does not wait for the next timer, but moves the clock there."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        self.clock.turns += 1
        if timeout is None:
            raise RuntimeError("everybody waits and nothing will ever happen")
        self.clock.now += max(0.0, timeout)
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock) -> None:
        super().__init__(Leaping(clock))
        self.clock = clock

    def time(self) -> float:
        return self.clock.now


def play(work: Callable[[Clock], Coroutine[Any, Any, None]], clock: Clock | None = None) -> Clock:
    """Run `work` in time of its own."""
    clock = clock or Clock()
    with asyncio.Runner(loop_factory=lambda: Loop(clock)) as runner:
        runner.run(work(clock))
    return clock


def limits(most: int = 10_000, **others: float) -> Limits:
    return Limits.model_validate({"max_in_flight": most, **others})


def way_in(gate: Gate, most: int = 10_000, *, tokens: float | None = None, **others: float) -> Turnstile:
    return gate.join(limits(most, **others), expected_tokens=tokens)


def enter_all(way: Turnstile) -> list[int]:
    tickets = []
    while (ticket := way.try_enter()) is not None:
        tickets.append(ticket)
    return tickets


@dataclass
class Provider:
    """Answers so many at a time, so many a minute, and 429 above."""

    clock: Clock
    places: int = 1_000_000
    per_minute: float | None = None
    window: str = "sliding"
    names: bool = False
    """Whether a 429 says when to come again."""
    latency: tuple[float, float] = (0.5, 1.5)
    busy: int = 0
    most: int = 0
    served: int = 0
    refused: int = 0
    arrivals: list[float] = field(default_factory=list)
    not_before: float = 0.0
    """When it has told somebody to come again."""
    early: int = 0
    """Requests that came before."""
    _level: float | None = None
    _level_at: float = 0.0
    _dice: random.Random = field(default_factory=lambda: random.Random(7))
    _window: deque[float] = field(default_factory=deque)

    async def ask(self) -> tuple[Outcome, float | None]:
        now = self.clock.now
        self.arrivals.append(now)
        wait = self._wait(now)
        if self.busy >= self.places or wait > 0:
            self.refused += 1
            await asyncio.sleep(0.02)
            return LIMITED, (wait or 1.0) if self.names else None
        self._window.append(now)
        if self._level is not None:
            self._level -= 1
        self.busy += 1
        self.most = max(self.most, self.busy)
        await asyncio.sleep(self._dice.uniform(*self.latency))
        self.busy -= 1
        self.served += 1
        return SERVED, None

    def _wait(self, now: float) -> float:
        """Seconds until the rate allows one more."""
        if self.per_minute is None:
            return 0.0
        match self.window:
            case "sliding":
                while self._window and self._window[0] <= now - 60:
                    self._window.popleft()
                return self._window[0] + 60 - now if len(self._window) >= self.per_minute else 0.0
            case "fixed":
                begin = now // 60 * 60
                there = sum(1 for at in self._window if at >= begin)
                return begin + 60 - now if there >= self.per_minute else 0.0
            case _:
                size = max(1.0, self.per_minute / 6)
                level = size if self._level is None else self._level
                self._level = min(size, level + (now - self._level_at) * self.per_minute / 60)
                self._level_at = now
                return 0.0 if self._level >= 1 else (1 - self._level) * 60 / self.per_minute


async def fill(way: Turnstile, provider: Provider, calls: int) -> None:
    """Ask until so many were served, as the runner does: what was refused is asked again."""
    todo, done = calls, 0
    bell = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def ask(ticket: int) -> None:
        nonlocal todo, done
        provider.early += provider.clock.now < provider.not_before
        outcome, told = await provider.ask()
        provider.not_before = max(provider.not_before, provider.clock.now + (told or 0.0))
        if outcome == LIMITED:
            todo += 1
        else:
            done += 1
        way.leave(ticket, outcome, retry_after_s=told)
        bell.set()

    while done < calls:
        if not todo:
            bell.clear()
            await bell.wait()
            continue
        ticket = way.try_enter()
        if ticket is None:
            ticket = await way.enter()
        todo -= 1
        task = asyncio.create_task(ask(ticket))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)


# --- the adaptive limit -----------------------------------------------------------------------------------------------


def test_the_limit_doubles_each_round_trip_until_it_is_too_much() -> None:
    way = way_in(gate := Gate(Clock()))
    widths = []
    for _ in range(5):
        tickets = enter_all(way)
        widths.append(len(tickets))
        for ticket in tickets:
            way.leave(ticket, SERVED)
    assert widths == [BEGIN, 32, 64, 128, 256]
    assert gate.limit == 512
    assert gate.in_flight == way.in_flight == 0


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    way = way_in(gate := Gate(Clock()), BEGIN - 1)
    for _ in range(100):
        for ticket in enter_all(way):
            way.leave(ticket, SERVED)
    assert gate.limit == BEGIN


def test_a_round_trip_of_refusals_halves_once() -> None:
    way = way_in(gate := Gate(Clock()))
    tickets = enter_all(way)
    for ticket in tickets:
        way.leave(ticket, LIMITED)
    assert gate.limit == BEGIN // 2
    (new, *others) = enter_all(way)
    assert len(others) == BEGIN // 2 - 1
    way.leave(new, LIMITED)
    assert gate.limit == BEGIN // 4


def test_replies_to_calls_from_before_a_cut_do_not_raise_the_limit() -> None:
    way = way_in(gate := Gate(Clock()))
    first, *others = enter_all(way)
    way.leave(first, LIMITED)
    for ticket in others:
        way.leave(ticket, SERVED)
    assert gate.limit == BEGIN // 2


def test_after_a_cut_the_limit_climbs_by_the_round_trip() -> None:
    way = way_in(gate := Gate(Clock()))
    for ticket in enter_all(way):
        way.leave(ticket, LIMITED)
    seen = []
    for _ in range(16):
        for ticket in enter_all(way):
            way.leave(ticket, SERVED)
        seen.append(gate.limit)
    # By one, with patience before it was too much, and faster and faster where it is not any more.
    assert seen == [9, 10, 11, 12, 13, 14, 15, 15, 15, 16, 17, 19, 23, 28, 35, 43]


def test_far_below_where_it_was_too_much_the_limit_climbs_faster() -> None:
    way = way_in(gate := Gate(Clock()))
    gate.capacity.limit = 1000
    for ticket in enter_all(way):
        way.leave(ticket, LIMITED)
    rounds = 0
    while gate.limit < 990:
        rounds += 1
        for ticket in enter_all(way):
            way.leave(ticket, SERVED)
    assert rounds < 50  # one by one: 490


def test_the_limit_stays_at_least_one() -> None:
    clock = Clock()
    way = way_in(gate := Gate(clock))
    for _ in range(20):
        clock.now += 100
        ticket = way.try_enter()
        assert ticket is not None
        way.leave(ticket, LIMITED)
    assert gate.limit == 1


@pytest.mark.parametrize(
    ("outcomes", "limit"),
    [
        ([UNREACHED] * (ROW - 1), BEGIN),
        ([UNREACHED] * ROW, BEGIN // 2),
        ([UNREACHED] * (ROW - 1) + [SERVED, UNREACHED], BEGIN + 1),
        ([UNREACHED] * (ROW - 1) + [OTHER, UNREACHED], BEGIN),
        ([UNREACHED] * (ROW - 1) + [UNUSED, UNREACHED], BEGIN // 2),
        ([UNREACHED] * BEGIN, BEGIN // 2),  # all of one round trip
        ([OTHER] * BEGIN, BEGIN),
    ],
)
def test_calls_that_do_not_reach_the_provider_in_a_row(outcomes: list[Outcome], limit: int) -> None:
    gate = Gate(Clock())
    ways = [way_in(gate), way_in(gate)]
    tickets = [(way, ticket) for way in (*ways, *ways) for ticket in enter_all(way)]
    assert len(tickets) == BEGIN
    for (way, ticket), outcome in zip(tickets, outcomes, strict=False):
        way.leave(ticket, outcome)
    assert gate.limit == limit


@pytest.mark.parametrize("places", [1, 2, 5, 10, 100, 1000])
@pytest.mark.parametrize("names", [False, True])
def test_a_provider_with_so_many_places_is_used_well_and_seldom_overrun(places: int, names: bool) -> None:
    calls = 60 * places

    async def work(clock: Clock) -> None:
        provider = Provider(clock, places, names=names)
        gate = Gate(clock)
        await fill(way_in(gate), provider, calls)
        taken = clock.now - 1000.0
        assert provider.served == calls
        assert provider.early == 0
        assert provider.refused <= 0.02 * calls + 2 * BEGIN
        assert calls / taken > 0.7 * places
        assert gate.in_flight == 0

    play(work)


def test_more_places_are_found() -> None:
    async def work(clock: Clock) -> None:
        provider = Provider(clock, 20, latency=(1.0, 1.0))
        gate = Gate(clock)
        filling = asyncio.create_task(fill(way_in(gate), provider, 1_000_000))
        await asyncio.sleep(120)
        assert 10 <= gate.limit <= 25
        provider.places = 400
        await asyncio.sleep(60)
        assert provider.most > 300
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)

    play(work)


@pytest.mark.parametrize("window", ["sliding", "fixed", "bucket"])
@pytest.mark.parametrize("latency", [0.05, 5.0])
@pytest.mark.parametrize("names", [False, True])
def test_a_provider_that_counts_by_the_minute(window: str, latency: float, names: bool) -> None:
    calls, rate = 3000, 120.0

    async def work(clock: Clock) -> None:
        provider = Provider(clock, per_minute=rate, window=window, names=names, latency=(latency, latency))
        await fill(way_in(Gate(clock)), provider, calls)
        minutes = (clock.now - 1000.0) / 60
        assert provider.early == 0
        assert calls / minutes > 0.75 * rate
        assert provider.refused < 0.17 * calls

    play(work)


def test_a_pace_that_was_found_is_forgotten_when_it_does_not_bind_any_more() -> None:
    clock = Clock()
    way = way_in(gate := Gate(clock))

    def ask(outcome: Outcome) -> None:
        clock.now += max(0.1, gate.waiting_s)
        ticket = way.try_enter()
        assert ticket is not None
        way.leave(ticket, outcome)

    for outcome in (*[SERVED] * 100, LIMITED, LIMITED):
        ask(outcome)
    clock.now += 0.26  # the pause is over
    assert gate.reason == "spaced as the provider served them"
    assert gate.capacity.pace is not None
    assert gate.capacity.pace.rate == pytest.approx(9.5, rel=0.1)
    for _ in range(1000):
        ask(SERVED)
    assert gate.capacity.pace is None
    assert gate.reason is None


# --- when a provider says to wait -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.4, 3.0, 61.0, LONGEST_CLOSED_S])
def test_nobody_enters_before_the_time_that_was_named(seconds: float) -> None:
    async def work(clock: Clock) -> None:
        gate = Gate(clock)
        ways = [way_in(gate), way_in(gate)]
        tickets = [way.try_enter() for way in ways]
        for way, ticket in zip(ways, tickets, strict=True):
            assert ticket is not None
            way.leave(ticket, LIMITED, retry_after_s=seconds)
            assert all(other.try_enter() is None for other in ways)
        until = clock.now + seconds
        assert gate.waiting_s == pytest.approx(seconds)
        assert gate.reason == "the provider asked to wait"
        turns = clock.turns

        async def enter(way: Turnstile) -> float:
            await way.enter()
            return clock.now

        times = await asyncio.gather(*(enter(way) for way in ways for _ in range(3)))
        assert times == [pytest.approx(until, abs=0.002)] * 6
        assert min(times) >= until
        assert clock.turns - turns < 10  # nobody polled
        assert gate.waiting_s == 0
        assert gate.reason is None

    play(work)


def test_the_longest_wait_counts() -> None:
    clock = Clock()
    way = way_in(gate := Gate(clock))
    for seconds in (5.0, 30.0, 10.0):
        ticket = gate.capacity.issued + 1
        gate.capacity.shut_until, shut = 0.0, gate.capacity.shut_until
        assert way.try_enter() == ticket
        gate.capacity.shut_until = shut
        way.leave(ticket, LIMITED, retry_after_s=seconds)
    assert gate.waiting_s == 30.0


def test_a_provider_that_names_hours_does_not_close_the_pool() -> None:
    way = way_in(gate := Gate(Clock()))
    ticket = way.try_enter()
    assert ticket is not None
    way.leave(ticket, LIMITED, retry_after_s=LONGEST_CLOSED_S + 1)
    assert gate.waiting_s == 0
    assert gate.limit == BEGIN // 2


def test_without_a_named_time_the_pauses_double_and_end_with_a_reply() -> None:
    clock = Clock()
    way = way_in(gate := Gate(clock))
    pauses = []
    for _ in range(10):
        ticket = way.try_enter()
        assert ticket is not None
        way.leave(ticket, LIMITED)
        pauses.append(gate.waiting_s)
        clock.now += gate.waiting_s
    assert pauses == [0, 0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]
    for outcome in (SERVED, LIMITED):
        ticket = way.try_enter()
        assert ticket is not None
        way.leave(ticket, outcome)
    assert gate.waiting_s == 0


# --- what headers say is left -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "quota",
    [
        Quota(requests=0, requests_reset_s=3.0),
        Quota(tokens=0, tokens_reset_s=3.0),
        Quota(requests=100, requests_reset_s=1.0, tokens=0, tokens_reset_s=3.0),
        Quota(requests=0, requests_reset_s=1.0, tokens=50, tokens_reset_s=3.0),
    ],
)
def test_a_used_up_quota_is_waited_for(quota: Quota) -> None:
    async def work(clock: Clock) -> None:
        gate = Gate(clock)
        way = way_in(gate, tokens=100)
        ticket = way.try_enter()
        assert ticket is not None
        way.leave(ticket, SERVED, tokens=100, quota=quota)
        assert way.try_enter() is None
        assert way.reason == "the provider's quota is used up"
        began = clock.now
        await way.enter()
        assert 0 <= clock.now - began - 3.0 < 0.002
        assert way.reason is None

    play(work)


def test_what_is_left_is_handed_out_and_no_more() -> None:
    clock = Clock()
    way = way_in(Gate(clock))
    first, *others = [way.try_enter() for _ in range(5)]
    assert first is not None
    way.leave(first, SERVED, quota=Quota(requests=len(others) + 2, requests_reset_s=10.0))
    assert len(enter_all(way)) == 2
    clock.now += 9.9
    assert way.try_enter() is None
    clock.now += 0.2
    assert len(enter_all(way)) == BEGIN - 6


@pytest.mark.parametrize(
    "quota",
    [
        Quota(requests=0),
        Quota(requests=0, requests_reset_s=0.0),
        Quota(requests=0, requests_reset_s=LONGEST_CLOSED_S * 2),
        Quota(tokens_reset_s=3.0),
        Quota(requests=50_000, requests_reset_s=3.0, tokens=1_000_000, tokens_reset_s=9.0),
    ],
)
def test_a_quota_that_forbids_nothing(quota: Quota) -> None:
    way = way_in(Gate(Clock()))
    ticket = way.try_enter()
    assert ticket is not None
    way.leave(ticket, SERVED, quota=quota)
    assert way.try_enter() is not None


def test_a_newer_quota_counts_and_a_slow_reply_s_does_not() -> None:
    way = way_in(Gate(Clock()))
    slow, second, third, *_ = enter_all(way)
    way.leave(second, SERVED, quota=Quota(requests=0, requests_reset_s=60.0))
    assert way.try_enter() is None
    way.leave(third, SERVED, quota=Quota(requests=500, requests_reset_s=60.0))
    assert way.try_enter() is not None
    way.leave(slow, SERVED, quota=Quota(requests=0, requests_reset_s=60.0))
    assert way.try_enter() is not None


def test_one_model_s_quota_does_not_stop_another() -> None:
    gate = Gate(Clock())
    one, other = way_in(gate), way_in(gate)
    ticket = one.try_enter()
    assert ticket is not None
    assert other.try_enter() is not None
    one.leave(ticket, SERVED, quota=Quota(requests=0, requests_reset_s=60.0))
    assert one.try_enter() is None
    assert other.try_enter() is not None


# --- so many a minute -------------------------------------------------------------------------------------------------


def most_within(times: list[float], weights: list[float], seconds: float = 60.0) -> float:
    """The most that falls into any half-open window."""
    most = total = 0.0
    first = 0
    for at, weight in zip(times, weights, strict=True):
        total += weight
        while times[first] <= at - seconds + 1e-4:
            total -= weights[first]
            first += 1
        most = max(most, total)
    return most


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 150) | st.sampled_from([1, 60, 61, 300]), st.integers(0, 2**32))
def test_requests_a_minute_are_never_more(per_minute: float, seed: int) -> None:
    dice = random.Random(seed)
    times: list[float] = []

    async def work(clock: Clock) -> None:
        way = way_in(Gate(clock), requests_per_minute=per_minute)

        async def one() -> None:
            ticket = await way.enter()
            times.append(clock.now)
            await asyncio.sleep(dice.uniform(0, 2))
            way.leave(ticket, SERVED)

        for _ in range(3):  # bursts with pauses between, in which nothing is saved up but a second's worth
            await asyncio.gather(*(one() for _ in range(int(per_minute * 1.5) + 2)))
            await asyncio.sleep(dice.uniform(0, 100))

    play(work)
    assert most_within(times, [1.0] * len(times)) <= math.ceil(per_minute)


def test_requests_a_minute_are_made_use_of() -> None:
    async def work(clock: Clock) -> None:
        provider = Provider(clock, latency=(1.0, 1.0))
        await fill(way_in(Gate(clock), requests_per_minute=600), provider, 6000)
        assert 600 <= clock.now - 1000 < 615

    play(work)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([None, 50.0, 200.0, 3000.0]), st.floats(2_000, 30_000), st.integers(0, 2**32))
def test_tokens_a_minute_are_kept(expected: float | None, per_minute: float, seed: int) -> None:
    dice = random.Random(seed)
    began: list[float] = []
    took: list[float] = []

    async def work(clock: Clock) -> None:
        way = way_in(Gate(clock), tokens=expected, tokens_per_minute=per_minute)

        async def one() -> None:
            ticket = await way.enter()
            tokens = dice.randint(150, 250)
            began.append(clock.now)
            took.append(tokens)
            await asyncio.sleep(0.5)
            way.leave(ticket, SERVED, tokens=tokens)

        await asyncio.gather(*(one() for _ in range(int(per_minute / 60))))
        # What was paid in the long run is what was allowed.
        assert sum(took) / (clock.now - 1000 + 60) <= per_minute / 60
        assert sum(took) / (clock.now - 1000) >= 0.85 * per_minute / 60 or clock.now < 1070

    play(work)
    # Where too little was expected, what was in flight before the first replies is too much; it is waited for.
    later = next((n for n, at in enumerate(began) if at > 1060), len(began))
    if expected is None or expected == 50:
        began, took = began[later:], took[later:]
    assert most_within(began, took) <= per_minute + 250


def test_a_refused_call_gives_its_tokens_back_and_an_unused_one_its_request() -> None:
    clock = Clock()
    way = way_in(Gate(clock), tokens=900, tokens_per_minute=1000)
    ticket = way.try_enter()
    assert ticket is not None
    assert way.try_enter() is None
    assert way.reason == "tokens a minute"
    way.leave(ticket, LIMITED)
    assert way.try_enter() is not None

    way = way_in(Gate(clock), requests_per_minute=1)
    ticket = way.try_enter()
    assert ticket is not None
    assert way.try_enter() is None
    assert way.reason == "requests a minute"
    way.leave(ticket, UNUSED)
    assert way.try_enter() is not None


def test_a_call_larger_than_a_minute_s_tokens_goes_alone() -> None:
    async def work(clock: Clock) -> None:
        way = way_in(Gate(clock), tokens=5000, tokens_per_minute=1000)
        times = []
        for _ in range(3):
            ticket = await way.enter()
            times.append(clock.now)
            way.leave(ticket, SERVED, tokens=5000)
        assert [b - a for a, b in itertools.pairwise(times)] == [pytest.approx(300, rel=0.05)] * 2

    play(work)


# --- turnstiles of one gate -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.1, 0.0])
def test_a_slow_model_does_not_starve_a_fast_one(spread: float) -> None:
    async def work(clock: Clock) -> None:
        gate = Gate(clock)
        gate.capacity.limit = 10
        gate.capacity._slow_start = False  # a limit that is near what the provider has
        gate.capacity._ceiling = 10_000_000
        gate.capacity._credit = -(10**9)
        slow = Provider(clock, latency=(10 - 10 * spread, 10 + 10 * spread))
        fast = Provider(clock, latency=(0.1 - 0.1 * spread, 0.1 + 0.1 * spread))
        filling = [
            asyncio.create_task(fill(way_in(gate), slow, 1_000_000)),
            asyncio.create_task(fill(way_in(gate), fast, 1_000_000)),
        ]
        await asyncio.sleep(300)
        assert gate.limit == 10
        # Five places each: a call in ten seconds, and ten in one.
        assert slow.served >= 0.85 * 5 * 300 / 10
        assert fast.served >= 0.85 * 5 * 300 / 0.1
        assert slow.most + fast.most <= 13
        for task in filling:
            task.cancel()
        await asyncio.gather(*filling, return_exceptions=True)

    play(work)


def test_what_one_cannot_use_others_may() -> None:
    async def work(clock: Clock) -> None:
        gate = Gate(clock)
        narrow, wide = Provider(clock, latency=(1.0, 1.0)), Provider(clock, latency=(1.0, 1.0))
        filling = [
            asyncio.create_task(fill(way_in(gate, 2), narrow, 100_000)),
            asyncio.create_task(fill(way_in(gate), wide, 100_000)),
        ]
        await asyncio.sleep(3.5)
        assert narrow.most == 2
        assert wide.most == gate.in_flight - 2 > BEGIN
        for task in filling:
            task.cancel()
        await asyncio.gather(*filling, return_exceptions=True)

    play(work)


def test_the_places_of_the_beginning_are_shared() -> None:
    async def work(clock: Clock) -> None:
        gate = Gate(clock)
        providers = [Provider(clock, latency=(10.0, 10.0)) for _ in range(4)]
        filling = [asyncio.create_task(fill(way_in(gate), one, 1000)) for one in providers]
        await asyncio.sleep(1)
        assert [one.most for one in providers] == [4, 4, 4, 4]
        for task in filling:
            task.cancel()
        await asyncio.gather(*filling, return_exceptions=True)

    play(work)


def test_a_model_that_never_comes_keeps_no_place() -> None:
    async def work(clock: Clock) -> None:
        gate = Gate(clock)
        way_in(gate)
        way_in(gate).close()
        provider = Provider(clock, latency=(1.0, 1.0))
        filling = asyncio.create_task(fill(way_in(gate), provider, 1000))
        await asyncio.sleep(0.5)
        assert provider.most == BEGIN
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)

    play(work)


def test_the_cap_can_be_changed_while_it_runs() -> None:
    async def work(clock: Clock) -> None:
        gate = Gate(clock)
        way = way_in(gate, 3)
        held = enter_all(way)
        assert len(held) == way.cap == 3
        waiting = [asyncio.create_task(way.enter()) for _ in range(5)]
        await asyncio.sleep(1)
        assert not any(task.done() for task in waiting)
        way.cap = 5
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [True, True, False, False, False]  # first come, first served
        way.cap = 1
        for ticket in held:
            way.leave(ticket, SERVED)
        await asyncio.sleep(1)
        assert way.in_flight == 2
        way.leave(waiting[0].result(), SERVED)
        way.leave(waiting[1].result(), SERVED)
        await asyncio.sleep(1)
        assert way.in_flight == 1
        assert sum(task.done() for task in waiting) == 3
        way.cap = 0
        way.leave(waiting[2].result(), SERVED)
        await asyncio.sleep(1)
        assert gate.in_flight == 0
        way.cap = 10
        await asyncio.gather(*waiting)
        assert gate.in_flight == 2

    play(work)


def test_only_caps_where_it_is_not_paced() -> None:
    gate = Gate(Clock(), paced=False)
    way = way_in(gate, 5000, requests_per_minute=1, tokens_per_minute=1, tokens=100)
    tickets = enter_all(way)
    assert len(tickets) == 5000
    quota = Quota(requests=0, requests_reset_s=60.0)
    for ticket in tickets:
        way.leave(ticket, LIMITED, retry_after_s=60.0, quota=quota, tokens=100)
    assert gate.waiting_s == 0
    assert gate.reason is None
    assert len(enter_all(way)) == 5000


# --- waiters ----------------------------------------------------------------------------------------------------------


def test_closing_sends_the_waiters_away() -> None:
    async def work(clock: Clock) -> None:
        gate = Gate(clock)
        way, other = way_in(gate, 1), way_in(gate, 1)
        ticket = await way.enter()
        waiting = [asyncio.create_task(way.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        way.close()
        way.close()
        assert [type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)] == [Closed] * 3
        assert way.try_enter() is None
        with pytest.raises(Closed):
            await way.enter()
        way.cap = 100
        assert way.try_enter() is None
        way.leave(ticket, SERVED)
        assert gate.in_flight == 0
        assert other.try_enter() is not None

    play(work)


def test_who_comes_first_is_let_in_first() -> None:
    async def work(clock: Clock) -> None:
        way = way_in(Gate(clock), requests_per_minute=1)
        await way.enter()
        first = asyncio.create_task(way.enter())
        await asyncio.sleep(1)
        clock.now += 60  # there is one more, and the timer has not rung yet
        second = asyncio.create_task(way.enter())
        await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
        assert first.done()
        assert not second.done()
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)

    play(work)


@pytest.mark.parametrize("moment", ["waiting", "let in", "closed"])
def test_a_cancelled_waiter_loses_no_place(moment: str) -> None:
    async def work(clock: Clock) -> None:
        gate = Gate(clock)
        way = way_in(gate, 1)
        ticket = await way.enter()
        first, second = asyncio.create_task(way.enter()), asyncio.create_task(way.enter())
        await asyncio.sleep(0)
        match moment:
            case "waiting":
                first.cancel()
                way.leave(ticket, SERVED)
            case "let in":  # it has the place, and has not run since
                way.leave(ticket, SERVED)
                first.cancel()
            case _:
                way.leave(ticket, SERVED)
                first.cancel()
                way.close()
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        if moment == "closed":
            assert isinstance(results[1], Closed)
            assert gate.in_flight == 0
        else:
            assert isinstance(results[1], int)
            assert gate.in_flight == way.in_flight == 1
        assert not way.waiters

    play(work)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_happens_no_place_is_lost_and_none_is_made(seed: int) -> None:
    dice = random.Random(seed)
    outcomes: list[Outcome] = [SERVED, SERVED, SERVED, LIMITED, UNREACHED, OTHER, UNUSED]

    async def work(clock: Clock) -> None:
        gate = Gate(clock)
        rates = [{}, {"requests_per_minute": 600.0}, {"tokens_per_minute": 6000.0}]
        ways = [way_in(gate, dice.randint(1, 20), **dice.choice(rates)) for _ in range(3)]

        async def one(way: Turnstile) -> None:
            ticket = await way.enter()
            outcome = dice.choice(outcomes)
            told, quota = None, None
            try:
                await asyncio.sleep(dice.choice([0.0, 0.0, 0.1, 3.0]))
                told = 2.0 if outcome == LIMITED and dice.random() < 0.5 else None
                quota = Quota(requests=dice.randint(0, 5), requests_reset_s=2.0) if dice.random() < 0.2 else None
            finally:
                way.leave(ticket, outcome, retry_after_s=told, quota=quota, tokens=dice.randint(1, 20))

        tasks = [asyncio.create_task(one(dice.choice(ways))) for _ in range(150)]
        for _ in range(40):
            await asyncio.sleep(dice.choice([0.0, 0.05, 1.0]))
            dice.choice(tasks).cancel()
            dice.choice(ways).cap = dice.randint(1, 20)
            assert gate.in_flight == sum(way.in_flight for way in ways) >= 0
        ways[0].close()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert gate.in_flight == 0
        assert not gate.queues
        assert [way.in_flight for way in ways] == [0, 0, 0]

    play(work)


class Counter:
    """Counts Python calls while it is on."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> Self:
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, frame: object, event: str, arg: object) -> None:
        self.calls += event == "call"


def calls_for(waiters: int, how: str) -> int:
    counter = Counter()

    async def work(clock: Clock) -> None:
        gate = Gate(clock, paced=False)
        way = way_in(gate, 1)
        ticket = await way.enter()

        async def one() -> None:
            way.leave(await way.enter(), SERVED)

        tasks = [asyncio.create_task(one()) for _ in range(waiters)]
        await asyncio.sleep(0)
        with counter:
            match how:
                case "one by one":
                    way.leave(ticket, SERVED)
                case "all at once":
                    way.cap = 10_000
                case "cancelled":
                    for task in tasks:
                        task.cancel()
                case _:
                    way.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    play(work)
    return counter.calls


@pytest.mark.parametrize("how", ["one by one", "all at once", "cancelled", "closed"])
def test_ten_thousand_waiters_cost_ten_times_a_thousand(how: str) -> None:
    assert calls_for(10_000, how) < 12 * calls_for(1_000, how)


def test_a_gate_outlives_the_loop_it_was_used_in() -> None:
    clock = Clock()
    gate = Gate(clock)

    async def work(clock: Clock) -> None:
        way = way_in(gate)
        ticket = await way.enter()
        way.leave(ticket, LIMITED, retry_after_s=20.0)
        waiting = asyncio.create_task(way.enter())
        await asyncio.sleep(5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        way.close()

    async def again(clock: Clock) -> None:
        way = way_in(gate)
        ticket = await way.enter()
        assert clock.now == pytest.approx(1020, abs=0.002)
        way.leave(ticket, SERVED)

    play(work, clock)
    play(again, clock)
    assert gate.in_flight == 0


async def test_in_the_time_of_the_world() -> None:
    gate = Gate()
    way = way_in(gate, requests_per_minute=60_000)
    until = time.monotonic() + 0.05
    ticket = await way.enter()
    way.leave(ticket, LIMITED, retry_after_s=0.05)
    ticket = await way.enter()
    assert time.monotonic() >= until
    way.leave(ticket, SERVED)


@pytest.fixture(autouse=True)
def _no_profile() -> Iterator[None]:
    yield
    sys.setprofile(None)
