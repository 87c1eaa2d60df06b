"""Progress and outcome of a fill, as values that a front end can draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lrm.engines.engine import Load
from lrm.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class EngineState:
    """What the engine that a model is asked through is doing."""

    device: str | None
    """As the driver calls it; None is unknown."""
    gpus: int
    """0 without a GPU."""
    load: Load
    tokens_a_second: float | None
    """Tokens of replies, of all models that share it, over the last seconds; None while that cannot be told."""


@dataclass(slots=True)
class ModelProgress:
    """How far one model's queue has come. Counts are calls."""

    model: str
    total: int
    done: int = 0
    """Responses on disk, the blocked ones among them."""
    blocked: int = 0
    failed: int = 0
    in_flight: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0
    """Dollars so far; None when a response's price is unknown."""
    stopped: str | None = None
    """Why the rest of this model's queue is not asked; None while it is."""
    limit: int | None = None
    """Calls that may be in flight at the moment; None where nothing limits them yet."""
    waiting: str | None = None
    """What it waits for: a provider that asked for a pause, a quota, a batch, its engine; None when it does not."""
    engine: EngineState | None = None
    """The engine that it is asked through; None without one, and while that is not loaded."""

    @property
    def left(self) -> int:
        """Calls not finished yet."""
        return self.total - self.done - self.failed


@dataclass(slots=True)
class Progress:
    """How far a fill has come."""

    models: dict[str, ModelProgress] = field(default_factory=dict)
    started: float = 0.0
    """Monotonic seconds."""
    stopping: bool = False
    """Whether no new call is begun any more."""
    paused: bool = False
    """Whether no new call is begun until somebody lets the run go on."""
    budget: str | None = None
    """How much of the budget is used; None without one."""


class Observer(Protocol):
    """What a front end may do while a fill goes on. Every method may do nothing."""

    def planned(self, plan: Plan) -> None:
        """Take the plan, before the first call."""

    def tick(self, progress: Progress) -> None:
        """Take the state, a few times a second and once at the end."""

    def say(self, line: str) -> None:
        """Take a line for the user."""


class Silent:
    """An observer that does nothing."""

    def planned(self, plan: Plan) -> None:
        """Do nothing."""

    def tick(self, progress: Progress) -> None:
        """Do nothing."""

    def say(self, line: str) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a fill did."""

    plan: Plan
    """The plan that it carried out."""
    run: str | None
    """The run's id; None when nothing had to be done."""
    done: int = 0
    blocked: int = 0
    failed: int = 0
    failures: tuple[tuple[str, str, int], ...] = ()
    """(model, failure class, calls)."""
    left: int = 0
    """Calls that were planned and not finished."""
    graded: int = 0
    """Verdicts of judges without a model, made on responses that were there before."""
    judged: Mapping[str, int] = field(default_factory=dict)
    """New verdicts of judges that ask models, by status."""
    judge_calls: int = 0
    """Questions to judge models that were answered."""
    judge_failed: int = 0
    """Questions to judge models that failed for good."""
    judge_left: int = 0
    """Verdicts of judges that ask models which are still to be given."""
    not_shown: tuple[tuple[str, int, int], ...] = ()
    """(model, responses of this fill that show neither thinking nor a count of it though it is declared, all its responses)."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0
    interrupted: bool = False
    budget: str | None = None
    """Which cap of the budget was reached and what was used; None while none was."""
    notes: tuple[str, ...] = ()

    @property
    def incomplete(self) -> bool:
        """Whether something that was planned has no result, or a model does not show the thinking that it declares."""
        return bool(self.failed or self.left or self.judge_failed or self.judge_left or self.not_shown)
