"""Budgets: how much a fill may spend, and whether one more call may be begun.

Calls and time are kept exactly. What a call takes in tokens and dollars is known only when it has come back, so a call is
begun while what was spent, what the calls in flight are expected to take and what it is expected to take itself stay
within the cap. What was expected is wrong by what single replies exceed it by, and by no more than that a cap is passed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Literal

Answer = Literal["yes", "wait", "no"]
"""Whether a call may be begun: `wait` for what is in flight, which may leave room; `no` for good."""

PRIOR = 8
"""Replies of this fill that the mean of earlier ones weighs as much as, at most: the first to come back are the short ones,
so they are not believed at once."""
BLIND = 3
"""Replies without a count after which a model of which nothing else is known cannot be kept within a budget."""

_PIECE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(d|days?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|seconds?)(?![a-z])")
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def seconds_of(text: str) -> float:
    """Return the seconds that a text such as `90m`, `2h 30m`, `1.5 days` or `5400` means. Raises ValueError."""
    plain = " ".join(text.casefold().split())
    if re.fullmatch(r"\d+(\.\d*)?|\.\d+", plain):
        total = float(plain)
    else:
        pieces = _PIECE.findall(plain)
        units = [unit[0] for _, unit in pieces]
        if not pieces or _PIECE.sub("", plain).strip(" ,") or len(set(units)) < len(units):
            raise ValueError(f"`{text[:40]}` is no length of time; write seconds, or text such as 90m, 2h 30m, 1d")
        total = sum(float(number) * _SECONDS[unit[0]] for number, unit in pieces)
    if not 0 < total < float("inf"):
        raise ValueError("a length of time is more than 0 seconds")
    return total


@dataclass(frozen=True, slots=True)
class Caps:
    """What a fill may take at most, judges included. None is no limit."""

    cost: float | None = None
    """Dollars."""
    tokens: int | None = None
    """Tokens of prompts and replies together, as the replies count them."""
    calls: int | None = None
    """Requests sent, those that failed and were made again among them."""
    seconds: float | None = None
    """Seconds from the begin of the fill; what is in flight then is finished."""

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return any(cap is not None for cap in (self.cost, self.tokens, self.calls, self.seconds))

    def over(self, other: Caps) -> Caps:
        """Return these caps, and the other's where these say nothing."""
        return Caps(
            other.cost if self.cost is None else self.cost,
            other.tokens if self.tokens is None else self.tokens,
            other.calls if self.calls is None else self.calls,
            other.seconds if self.seconds is None else self.seconds,
        )

    def said(self) -> str:
        """Return the limits in a line, e.g. `$5.00, 10,000 calls, 1:30:00`; `no limit` without any."""
        parts = [] if self.cost is None else [_dollars(self.cost)]
        parts += [] if self.tokens is None else [f"{self.tokens:,} tokens"]
        parts += [] if self.calls is None else [f"{self.calls:,} {'call' if self.calls == 1 else 'calls'}"]
        parts += [] if self.seconds is None else [_time(self.seconds)]
        return ", ".join(parts) or "no limit"


@dataclass(frozen=True, slots=True)
class Expected:
    """What one call of a model is expected to take. None is unknown."""

    tokens: float | None = None
    """Of prompt and reply."""
    cost: float | None = None
    """Dollars."""
    weight: int = 1
    """Replies that this weighs as much as: 1 for a guess or an upper bound, more for a mean over replies."""


@dataclass(slots=True)
class Mean:
    """A mean over replies that begins with what was expected, as if that were so many replies."""

    before: float | None = None
    weight: int = 1
    total: float = 0.0
    counted: int = 0

    @property
    def value(self) -> float | None:
        """The mean; None while nothing is known."""
        if self.before is None:
            return self.total / self.counted if self.counted else None
        return (self.before * self.weight + self.total) / (self.weight + self.counted)

    def add(self, amount: float) -> None:
        """Take what one reply took."""
        self.total += amount
        self.counted += 1


@dataclass(slots=True)
class Account:
    """One model's part of a budget: what its calls are expected to take, and what they took. For one event loop."""

    budget: Budget
    label: str
    tokens: Mean
    cost: Mean
    in_flight: int = 0
    blind: int = 0
    """Replies that say nothing of what they took, while nothing is known of the model either."""

    def admits(self) -> Answer:
        """Return whether this model may be asked one thing more. To be asked when there is a call to make: `no` is noted."""
        return self.budget.admits(self)

    def begin(self) -> None:
        """Note that a request is being sent."""
        self.in_flight += 1
        self.budget.calls += 1

    def adopt(self) -> None:
        """Note that what an earlier fill has sent comes back to this one: no call of this one, but its tokens and cost are."""
        self.in_flight += 1

    def end(self, tokens: int | None = None, cost: float | None = None, *, replied: bool = False) -> None:
        """Note that a request came to an end, and what it took; None is unknown.

        `replied` says that the model generated something, so that it took something even where no count came with it: what
        is expected counts then. A failed attempt and a refusal by the provider are no such replies.
        """
        budget = self.budget
        self.in_flight -= 1
        blind = False
        if tokens is not None:
            budget.tokens += tokens
            self.tokens.add(tokens)
        elif replied and budget.caps.tokens is not None:
            blind = self.tokens.value is None
            budget.assumed_tokens += self.tokens.value or 0
        if cost is not None:
            budget.cost += cost
            self.cost.add(cost)
        elif replied and budget.caps.cost is not None:
            blind = blind or self.cost.value is None
            budget.assumed_cost += self.cost.value or 0.0
        self.blind = self.blind + 1 if blind else 0 if replied else self.blind


@dataclass(slots=True)
class Budget:
    """What a whole fill has spent, and what it may still spend. One a fill, for one event loop; it does not wait itself."""

    caps: Caps
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    calls: int = 0
    """Requests sent."""
    tokens: int = 0
    """Tokens of the replies that count them."""
    cost: float = 0.0
    """Dollars for the replies of which they are known."""
    assumed_tokens: float = 0.0
    """Tokens that replies without a count are taken to have cost."""
    assumed_cost: float = 0.0
    """The same in dollars."""
    reached: str | None = None
    """Which cap a call was refused for and what was used, in a sentence; None while none was."""
    accounts: dict[Hashable, Account] = field(default_factory=dict)
    began: float = field(init=False)
    """When the fill began, by the clock."""

    def __post_init__(self) -> None:
        """Start the clock."""
        self.began = self.clock()

    def account(self, key: Hashable, label: str, expected: Expected | None = None) -> Account:
        """Return the account of a model, by whatever names it; made with what is expected of it when first asked for."""
        found = self.accounts.get(key)
        if found is None:
            each = expected or Expected()
            tokens, cost = Mean(each.tokens, each.weight), Mean(each.cost, each.weight)
            found = self.accounts[key] = Account(self, label, tokens, cost)
        return found

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return sum(one.in_flight for one in self.accounts.values())

    @property
    def seconds(self) -> float:
        """Seconds since the fill began."""
        return self.clock() - self.began

    @property
    def seconds_left(self) -> float | None:
        """Seconds until no call is begun any more; None without a cap on time."""
        return None if self.caps.seconds is None else max(0.0, self.caps.seconds - self.seconds)

    def out_of_time(self) -> bool:
        """Return whether the time is up, and note it."""
        if self.seconds_left != 0:
            return False
        self._no(f"max_time: {_time(self.caps.seconds or 0.0)} have passed")
        return True

    def line(self) -> str:
        """Return what is used of what, for progress, e.g. `$1.20 of $5.00, 80 of 100 calls`."""
        caps = self.caps
        parts = [] if caps.cost is None else [f"{_dollars(self.cost + self.assumed_cost)} of {_dollars(caps.cost)}"]
        if caps.tokens is not None:
            parts.append(f"{round(self.tokens + self.assumed_tokens):,} of {caps.tokens:,} tokens")
        if caps.calls is not None:
            parts.append(f"{self.calls:,} of {caps.calls:,} calls")
        if caps.seconds is not None:
            parts.append(f"{_time(self.seconds)} of {_time(caps.seconds)}")
        return ", ".join(parts)

    def admits(self, account: Account) -> Answer:
        """Return whether a model may be asked one thing more; `no` sets `reached`."""
        caps = self.caps
        if caps.calls is not None and self.calls >= caps.calls:
            return self._no(f"max_calls: {self.calls:,} of {caps.calls:,} calls are made")
        if caps.seconds is not None and self.seconds >= caps.seconds:
            return self._no(f"max_time: {_time(caps.seconds)} have passed")
        if caps.tokens is not None:
            answer = self._within(account, _TOKENS, caps.tokens, self.tokens, self.assumed_tokens)
            if answer != "yes":
                return answer
        if caps.cost is not None:
            return self._within(account, _COST, caps.cost, self.cost, self.assumed_cost)
        return "yes"

    def _within(self, account: Account, of: _Measure, cap: float, counted: float, assumed: float) -> Answer:
        """Return whether what this model's next call is expected to take fits below a cap."""
        expected = of.mean(account).value
        spent = counted + assumed
        under_way = sum(one.in_flight * (of.mean(one).value or 0.0) for one in self.accounts.values() if one.in_flight)
        if expected is None:
            if account.blind >= BLIND and not account.in_flight:
                return self._no(f"{of.cap} cannot be kept: the replies of {account.label} do not say their {of.unit}")
            fits = spent + under_way < cap and not account.in_flight
        else:
            # Ten calls of ten cents fit into a dollar, whatever binary fractions make of them.
            fits = expected == 0 or spent + under_way + expected <= cap * (1 + 1e-9)
        if fits or self.in_flight:
            return "yes" if fits else "wait"
        told = f"{of.cap}: {of.written(spent)} of {of.written(cap)} are spent"
        told += f" ({of.written(assumed)} of it taken for replies that do not say)" if assumed else ""
        more = f", and a call of {account.label} is expected to take {of.written(expected)}" if expected else ""
        return self._no(told + more)

    def _no(self, sentence: str) -> Answer:
        if self.reached is None:
            self.reached = sentence
        return "no"


@dataclass(frozen=True, slots=True)
class _Measure:
    """Tokens or dollars: what is alike about them."""

    cap: str
    unit: str
    mean: Callable[[Account], Mean]
    written: Callable[[float], str]


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 0.01 or amount == 0 else f"${amount:.6f}"


def _tokens(amount: float) -> str:
    return f"{round(amount):,} tokens"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


_TOKENS = _Measure("max_tokens", "tokens", lambda account: account.tokens, _tokens)
_COST = _Measure("max_cost", "cost", lambda account: account.cost, _dollars)
