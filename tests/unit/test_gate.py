"""The gate before a pool: its limit, its waits and its rates, against simulated providers."""

from __future__ import annotations

import asyncio
import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrm.backends.base import Quota
from lrm.run.capacity import BEGIN, LONGEST_CLOSED_S, ROW
from lrm.run.gate import LIMITED, OTHER, SERVED, UNREACHED, UNUSED, Gate, Outcome, Turnstile
from tests.gating import Clock, Provider, enter_all, fill, play, way_in

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

    for _ in range(100):
        ask(SERVED)
    for _ in range(2):
        ask(LIMITED)
    clock.now += 0.26  # the pause is over
    tickets = enter_all(way)
    assert len(tickets) == 2
    assert gate.reason == "spaced as the provider served them"
    assert gate.capacity.pace is not None
    assert gate.capacity.pace.rate == pytest.approx(9.5, rel=0.1)
    for ticket in tickets:
        way.leave(ticket, SERVED)
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
