"""Budgets: lengths of time, caps over caps, and which calls may be begun."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrm.run.budget import BLIND, PRIOR, Account, Budget, Caps, Expected, seconds_of


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def account(caps: Caps, expected: Expected | None = None, *, clock: Clock | None = None) -> Account:
    return Budget(caps, clock or Clock()).account("m", "m", expected)


def spend(one: Account, tokens: int | None = None, cost: float | None = None, *, replied: bool = True) -> None:
    one.begin()
    one.end(tokens, cost, replied=replied)


# --- lengths of time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 5400),
        ("2h 30m", 9000),
        ("2h30m", 9000),
        ("2 hours, 30 minutes", 9000),
        ("1.5 days", 129_600),
        ("1d 2h 3m 4s", 93_784),
        ("45", 45),
        (" 0.5 ", 0.5),
        (".5h", 1800),
        ("10 SEC", 10),
    ],
)
def test_a_length_of_time(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "h", "-5", "-5m", "5 parsecs", "5m 6", "5m5m", "1:30", "1e3", "inf", "nan", "5 mh", "0", "0h"]
)
def test_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="length of time"):
        seconds_of(text)


# --- caps -------------------------------------------------------------------------------------------------------------


def test_caps_over_caps_are_the_first_where_they_say_something() -> None:
    given = Caps(cost=0.0, calls=5).over(Caps(cost=9.0, tokens=100))
    assert given == Caps(cost=0.0, tokens=100, calls=5)
    assert given.said() == "$0.00, 100 tokens, 5 calls"
    assert Caps(calls=1, seconds=5400).said() == "1 call, 1:30:00"
    assert Caps(cost=0.0)
    assert not Caps()


def test_without_caps_everything_is_admitted() -> None:
    one = account(Caps())
    for _ in range(50):
        assert one.admits() == "yes"
        one.begin()
    one.end(10**9, 10.0**9)
    assert one.admits() == "yes"
    assert one.budget.reached is None
    assert one.budget.line() == ""


# --- calls and time: exact --------------------------------------------------------------------------------------------


def test_as_many_calls_as_allowed_are_begun_and_not_one_more() -> None:
    one = account(Caps(calls=3))
    for _ in range(3):
        assert one.admits() == "yes"
        one.begin()
    assert one.budget.reached is None  # all that was to be asked may have been asked
    assert one.admits() == "no"
    assert one.budget.reached == "max_calls: 3 of 3 calls are made"
    one.end()
    assert one.admits() == "no"


def test_failed_attempts_are_calls_too_and_take_no_tokens() -> None:
    one = account(Caps(calls=2, tokens=10), Expected(tokens=4))
    spend(one, replied=False)
    spend(one, replied=False)
    assert one.admits() == "no"
    assert one.budget.line() == "0 of 10 tokens, 2 of 2 calls"


def test_no_call_is_begun_after_the_time() -> None:
    clock = Clock()
    one = account(Caps(seconds=60), clock=clock)
    clock.now += 59.9
    assert one.admits() == "yes"
    assert one.budget.seconds_left == pytest.approx(0.1)
    clock.now += 0.1
    assert one.admits() == "no"
    assert one.budget.reached == "max_time: 0:01:00 have passed"
    assert one.budget.seconds_left == 0


# --- tokens and cost: by what is expected -----------------------------------------------------------------------------


def test_calls_are_begun_up_to_what_they_are_expected_to_take() -> None:
    one = account(Caps(tokens=100), Expected(tokens=30))
    for _ in range(3):
        assert one.admits() == "yes"
        one.begin()
    assert one.admits() == "wait"
    assert one.budget.reached is None
    one.end(10, replied=True)  # less than expected: there is room again
    assert one.admits() == "yes"


def test_it_says_no_only_when_nothing_is_in_flight() -> None:
    one = account(Caps(cost=1.0), Expected(cost=0.6))
    one.begin()
    assert one.admits() == "wait"
    one.end(cost=0.6, replied=True)
    assert one.admits() == "no"
    assert one.budget.reached == "max_cost: $0.60 of $1.00 are spent, and a call of m is expected to take $0.60"


def test_ten_calls_of_ten_cents_fit_into_a_dollar() -> None:
    one = account(Caps(cost=1.0), Expected(cost=0.1))
    for _ in range(10):
        assert one.admits() == "yes"
        spend(one, cost=0.1)
    assert one.admits() == "no"


def test_of_an_unknown_model_one_call_is_begun_at_a_time_until_one_came_back() -> None:
    one = account(Caps(tokens=1000))
    one.begin()
    assert one.admits() == "wait"
    one.end(replied=False)  # a failure says nothing of tokens
    assert one.admits() == "yes"
    one.begin()
    assert one.admits() == "wait"
    one.end(100, replied=True)
    begun = 0
    while one.admits() == "yes":
        one.begin()
        begun += 1
    assert begun == 9


def test_an_unknown_model_does_not_hold_up_a_known_one() -> None:
    budget = Budget(Caps(cost=1.0), Clock())
    known, unknown = budget.account("a", "a", Expected(cost=0.1)), budget.account("b", "b")
    unknown.begin()
    assert (unknown.admits(), known.admits()) == ("wait", "yes")


def test_earlier_replies_weigh_as_much_as_a_few_of_this_fill_and_a_guess_as_one() -> None:
    seen, guessed = account(Caps(), Expected(100, 1.0, PRIOR)), account(Caps(), Expected(100, 1.0))
    for one in (seen, guessed):
        for _ in range(PRIOR):
            spend(one, 10, 0.1)
    assert seen.tokens.value == pytest.approx(55)
    assert guessed.tokens.value == pytest.approx((100 + 10 * PRIOR) / (1 + PRIOR))
    assert seen.cost.value == pytest.approx(0.55)


def test_a_model_keeps_what_was_learnt_from_round_to_round() -> None:
    budget = Budget(Caps(tokens=100), Clock())
    spend(budget.account("judge", "judge"), 60)
    again = budget.account("judge", "judge, round 2", Expected(tokens=1))
    assert again.tokens.value == 60
    assert again.admits() == "no"


def test_what_costs_nothing_is_asked_though_the_money_is_spent() -> None:
    budget = Budget(Caps(cost=1.0), Clock())
    paid, free = budget.account("a", "a", Expected(cost=0.5)), budget.account("b", "b", Expected(cost=0.0))
    spend(paid, cost=1.2)
    assert free.admits() == "yes"
    assert paid.admits() == "no"


def test_a_cost_of_zero_allows_nothing_that_costs() -> None:
    assert account(Caps(cost=0.0), Expected(cost=0.001)).admits() == "no"
    assert account(Caps(cost=0.0), Expected(cost=0.0)).admits() == "yes"
    assert account(Caps(cost=0.0)).admits() == "no"


def test_a_reply_without_a_count_is_taken_for_what_is_expected() -> None:
    one = account(Caps(tokens=100), Expected(tokens=40))
    spend(one)
    spend(one)
    assert one.admits() == "no"
    reached = one.budget.reached
    assert reached == (
        "max_tokens: 80 tokens of 100 tokens are spent (80 tokens of it taken for replies that do not say), "
        "and a call of m is expected to take 40 tokens"
    )
    assert one.budget.tokens == 0


@pytest.mark.parametrize(("caps", "unit"), [(Caps(tokens=10**6), "tokens"), (Caps(cost=100.0), "cost")])
def test_a_model_whose_replies_say_nothing_is_not_asked_for_ever(caps: Caps, unit: str) -> None:
    one = account(caps)
    for _ in range(BLIND):
        assert one.admits() == "yes"
        spend(one)
    assert one.admits() == "no"
    assert one.budget.reached is not None
    assert f"do not say their {unit}" in one.budget.reached


def test_refusals_by_the_provider_do_not_count_as_replies_that_say_nothing() -> None:
    one = account(Caps(tokens=100))
    for _ in range(10 * BLIND):
        assert one.admits() == "yes"
        spend(one, replied=False)


@settings(max_examples=200, deadline=None)
@given(
    cap=st.integers(1, 5000),
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=60),
    expected=st.none() | st.integers(0, 300),
    known=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_cap_is_passed_by_no_more_than_replies_exceed_what_was_expected(
    cap: int, sizes: list[int], expected: int | None, known: bool, seed: int
) -> None:
    """Replies come back in any order; where none takes more than expected, the cap holds exactly."""
    order = random.Random(seed)
    most = max(sizes)
    believed = most if known else expected
    budget = Budget(Caps(tokens=cap), Clock())
    one = budget.account("m", "m", None if believed is None else Expected(believed, weight=10**9))
    left, flying = list(sizes), list[int]()
    while left or flying:
        answer = one.admits() if left else "wait"
        if answer == "yes" and order.random() < 0.8:
            one.begin()
            flying.append(left.pop())
        elif flying:
            one.end(flying.pop(order.randrange(len(flying))), replied=True)
        elif answer != "yes":
            assert answer == "no", "it must not wait for nothing"
            break
    if known:
        assert budget.tokens <= cap or most == 0
    if believed == 0 and budget.tokens <= cap:
        assert not left
    if left:
        assert budget.reached is not None
    else:
        assert budget.tokens == sum(sizes)
