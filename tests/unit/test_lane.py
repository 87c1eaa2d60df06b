from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest

from lrm.backends.base import Call, CallFailure, FailureClass
from lrm.registry.declarations import Limits
from lrm.run.budget import Budget, Caps
from lrm.run.feed import Affordable
from lrm.run.gate import Gate
from lrm.run.lane import SILENT_S, STREAK, Lane, pause_s
from lrm.run.progress import ModelProgress
from tests import builders

NOW = 1000.0


@dataclass
class Few:
    """A queue of so many calls."""

    left: deque[Call] = field(default_factory=deque)

    def next(self) -> Call | None:
        return self.left.popleft() if self.left else None


def few(count: int) -> Few:
    return Few(deque(Call(bytes([n]) * 32, "[]", 0) for n in range(count)))


def lane(calls: int = 5, in_flight: int = 3) -> Lane:
    gate = Gate(lambda: NOW)
    way = gate.join(Limits(max_in_flight=in_flight))
    account = Budget(Caps()).account("m", "m")
    model = builders.model("m").declaration
    return Lane("m", model, "00", few(calls), None, None, ModelProgress("m", calls), gate, way, account)


def failure(kind: FailureClass, status: int | None = None) -> CallFailure:
    return CallFailure(kind, "said so", status=status)


def test_a_parked_call_comes_again_when_it_is_due_and_before_new_ones() -> None:
    one = lane()
    first = one.next(NOW)
    assert first is not None
    one.park(first, NOW + 10)
    second = one.next(NOW)
    assert second is not None
    assert second is not first
    assert one.due == NOW + 10
    assert one.next(NOW + 10) is first
    assert one.due is None


def test_parked_calls_are_bounded_by_what_may_be_in_flight() -> None:
    one = lane(calls=100, in_flight=3)
    while (call := one.next(NOW)) is not None:
        one.park(call, NOW + 10)
    assert one.due == NOW + 10
    assert len(one.feed.left) == 97  # type: ignore[attr-defined]
    one.way.cap = 5
    assert one.next(NOW) is not None


def test_a_lane_is_finished_when_nothing_is_left_in_any_place() -> None:
    one = lane(calls=1)
    call = one.next(NOW)
    assert call is not None
    assert one.next(NOW) is None
    one.progress.in_flight = 1
    assert not one.finished
    one.progress.in_flight = 0
    one.park(call, NOW + 1)
    assert not one.finished
    assert one.next(NOW + 1) is call
    assert one.finished


@pytest.mark.parametrize(
    ("kind", "status", "heard", "stops"),
    [
        ("auth", 401, False, True),
        ("auth", 401, True, True),
        ("auth", 403, False, True),
        ("auth", 403, True, False),  # a firewall or moderation, that lets others in
        ("not_found", 404, False, False),
        ("bad_request", 400, False, False),
        ("context_too_long", 400, False, False),
        ("server", 500, False, False),
    ],
)
def test_what_stops_a_model_at_once(kind: FailureClass, status: int, heard: bool, stops: bool) -> None:
    one = lane()
    one.heard_at = NOW if heard else None
    assert (one.given_up(failure(kind, status), NOW) is not None) is stops


def test_a_model_that_never_answers_is_given_up_after_a_row_of_failures() -> None:
    one = lane()
    said = [one.given_up(failure("connection"), NOW + n) for n in range(STREAK)]
    assert said[:-1] == [None] * (STREAK - 1)
    assert said[-1] is not None
    assert "none was answered" in said[-1]
    assert "said so" in said[-1]


@pytest.mark.parametrize("kind", ["bad_request", "context_too_long", "internal"])
def test_failures_of_single_calls_are_no_row(kind: FailureClass) -> None:
    one = lane()
    assert [one.given_up(failure(kind), NOW) for _ in range(5 * STREAK)] == [None] * 5 * STREAK


def test_a_model_that_answered_lately_is_not_given_up() -> None:
    one = lane()
    one.heard_at = NOW
    assert [one.given_up(failure("server"), NOW + SILENT_S) for _ in range(5 * STREAK)] == [None] * 5 * STREAK
    assert one.given_up(failure("server"), NOW + SILENT_S + 1) is not None


@pytest.mark.parametrize(("kind", "first"), [("server", 0.5), ("timeout", 0.5), ("rate_limited", 2.0)])
def test_pauses_grow_and_are_jittered(kind: FailureClass, first: float) -> None:
    for attempts in range(1, 6):
        pauses = {pause_s(failure(kind), attempts) for _ in range(20)}
        assert all(first * 2 ** (attempts - 1) <= pause <= first * 2 ** (attempts - 1) + first for pause in pauses)
        assert len(pauses) > 1
    assert pause_s(failure(kind), 50) <= 60


def test_a_pause_is_at_least_what_the_provider_names() -> None:
    asked = CallFailure("rate_limited", "slow down", retry_after_s=90)
    assert pause_s(asked, 1) == 90


def test_a_queue_for_batches_ends_with_the_budget() -> None:
    budget = Budget(Caps(calls=3))
    calls = Affordable(few(5), budget.account("m", "m"))
    given = [call for _ in range(5) if (call := calls.next()) is not None]
    assert len(given) == 3
    assert budget.reached is not None
    assert (budget.calls, budget.in_flight) == (3, 3)
    for call in given:
        calls.came_back(call.id)
        calls.account.end(10, 0.0, replied=True)
    calls.came_back(b"\xff" * 32)  # sent by an earlier fill: no call of this one, but its tokens count
    calls.account.end(10, 0.0, replied=True)
    assert (budget.calls, budget.in_flight, budget.tokens) == (3, 0, 40)
