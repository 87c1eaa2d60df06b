"""Turnstiles of one gate: who is let in, who waits, and that no place is lost."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Iterator
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrm.backends.base import Quota
from lrm.run.capacity import BEGIN
from lrm.run.gate import LIMITED, OTHER, SERVED, UNREACHED, UNUSED, Closed, Gate, Outcome, Turnstile
from tests.gating import Clock, Provider, enter_all, fill, play, way_in

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
        assert slow.served >= 0.9 * 5 * 300 / 10
        assert fast.served >= 0.95 * 5 * 300 / 0.1
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
