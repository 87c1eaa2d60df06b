"""A plan: what is there, what is missing, what it will cost. A value, with no connection in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lrm.run.budget import PRIOR, Caps, Expected
from lrm.spec.matrix import UNCONDITIONED

NAMED = 10
"""Snapshots that a sentence about pulled results names."""


@dataclass(frozen=True, slots=True)
class Block:
    """One slice of the matrix and how far it has come, in cells."""

    model: str
    prompt_set: str
    attack: str
    cells: int
    done: int
    """Cells with a response, the blocked ones among them."""
    blocked: int
    failed: int
    """Cells whose call failed for good and has no response; they are missing too, and are asked again."""
    not_applicable: int
    """Combinations for which the attack has nothing; they are no cells."""
    condition: str = UNCONDITIONED

    @property
    def missing(self) -> int:
        """Cells that a fill would ask for."""
        return self.cells - self.done


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model's missing calls will take. None is unknown."""

    model: str
    calls: int
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    """Dollars."""
    basis: str
    """Where the figures come from."""
    seen: int = 0
    """Responses that they are the mean of; 0 where they come from lengths and limits."""

    @property
    def tokens(self) -> int | None:
        """Tokens of prompts and replies."""
        return (
            None if self.input_tokens is None or self.output_tokens is None else self.input_tokens + self.output_tokens
        )

    @property
    def each(self) -> Expected:
        """What one call is expected to take, as a budget takes it."""
        if not self.calls:
            return Expected()
        tokens, cost = (None if total is None else total / self.calls for total in (self.tokens, self.cost))
        return Expected(tokens, cost, max(1, min(PRIOR, self.seen)))


@dataclass(frozen=True, slots=True)
class JudgeBlock:
    """One judge looking at one scope, and how many of the responses at hand it has graded."""

    judge: str
    scope: str
    graded: int
    ungraded: int
    calls: int = 0
    """Questions to judge models that the missing verdicts take at most, unless replies have to be repaired."""
    later: int = 0
    """The same for the cells that have no response yet."""
    judge_scope_n: int = 0
    """Its number in the workspace."""


@dataclass(frozen=True, slots=True)
class PulledCells:
    """Cells whose response came with a snapshot."""

    snapshot: str
    """Its name, and the first digits of its commit where it has one: `acme/r1@1a2b3c4d5e6f`."""
    publisher: str
    """What `--trust` calls whoever published it: an organisation, or a folder's name."""
    cells: int


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """An engine that a fill would load, for the models that are asked through it."""

    checkpoint: str
    models: tuple[str, ...]
    gpus: int
    """GPUs that it takes."""
    kind: str
    """`process` or `server`."""
    loads: int
    """Times that it is loaded."""
    output_tokens: int | None
    """Tokens of the replies that it is to give; None is unknown."""
    device: str | None
    """Where earlier ones ran; this and what follows is None where there were none."""
    load_s: float | None
    """Seconds that they took to start, on average."""
    tokens_a_second: float | None
    """Tokens of replies that they gave a second."""
    hours: float | None
    """Hours that it will take by these, its loads among them; None is unknown."""

    @property
    def gpu_hours(self) -> float | None:
        """The same for each of its GPUs; an engine on a CPU counts as one."""
        return None if self.hours is None else self.hours * self.gpus


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fill would do."""

    spec: str
    blocks: tuple[Block, ...]
    estimates: tuple[Estimate, ...]
    judges: tuple[JudgeBlock, ...]
    calls: int
    """Distinct calls to make; cells that render to the same messages share one."""
    shared: int = 0
    """Missing calls that are not among `calls`, because another running fill makes them."""
    at_provider: int = 0
    """Missing calls that are not among `calls`, because a batch of an earlier fill will answer them."""
    judge_estimates: tuple[Estimate, ...] = ()
    """What judge models will take, at most; apart from `estimates`, and not in `cost`."""
    pursuits: int = 0
    """Cells that an attack with other models in it has not come to its end for; they are missing."""
    pursuit_estimates: tuple[Estimate, ...] = ()
    """What such attacks will take of each model, at most; apart from `estimates`, and not in `cost`."""
    engines: tuple[EngineLoad, ...] = ()
    """Engines that have to be loaded, in the order in which they are."""
    pulled: tuple[PulledCells, ...] = ()
    """Cells of `done` that rest on pulled results, by snapshot, most first."""
    budget: Caps = field(default_factory=Caps)
    """What the fill may take at most."""
    retry_failed: bool = False
    """Whether only calls that failed are to be made, and none that is merely missing."""

    @property
    def cells(self) -> int:
        """Cells spanned."""
        return sum(block.cells for block in self.blocks)

    @property
    def done(self) -> int:
        """Cells with a response."""
        return sum(block.done for block in self.blocks)

    @property
    def blocked(self) -> int:
        """Cells that the provider refused; they count as done."""
        return sum(block.blocked for block in self.blocks)

    @property
    def failed(self) -> int:
        """Cells whose last attempt failed; they count as missing."""
        return sum(block.failed for block in self.blocks)

    @property
    def done_by_others(self) -> int:
        """Cells whose response came with a snapshot."""
        return sum(one.cells for one in self.pulled)

    @property
    def pulled_said(self) -> str:
        """How many of the cells that are there rest on pulled results, and on whose, in a sentence."""
        first = [f"{one.cells:,} {one.snapshot}" for one in self.pulled[:NAMED]]
        more = [f"{len(self.pulled) - NAMED:,} other snapshots"] if len(self.pulled) > NAMED else []
        cells = "cell" if self.done == 1 else "cells"
        were = "was" if self.done_by_others == 1 else "were"
        return f"{self.done_by_others:,} of {self.done:,} present {cells} {were} pulled: {', '.join((*first, *more))}"

    @property
    def missing(self) -> int:
        """Cells without a response."""
        return self.cells - self.done

    @property
    def not_applicable(self) -> int:
        """Combinations for which an attack has nothing."""
        return sum(block.not_applicable for block in self.blocks)

    @property
    def ungraded(self) -> int:
        """Verdicts missing on responses that are there."""
        return sum(judge.ungraded for judge in self.judges)

    @property
    def judge_calls(self) -> int:
        """Questions to judge models that verdicts will take at most, those on responses to come among them."""
        return sum(judge.calls + judge.later for judge in self.judges)

    @property
    def pursuit_calls(self) -> int:
        """Calls to all models that attacks with other models in them will take at most."""
        return sum(one.calls for one in self.pursuit_estimates)

    @property
    def nothing_to_do(self) -> bool:
        """Whether a fill would make no call and no verdict."""
        asks = self.calls or self.pursuits or self.shared or self.at_provider
        return not asks and self.ungraded == 0

    @property
    def cost(self) -> float | None:
        """Dollars for the missing calls; None when any model's price is unknown."""
        return _sum([one.cost for one in self.estimates])

    @property
    def judge_cost(self) -> float | None:
        """Dollars for the questions to judge models, at most; None when any is unknown."""
        return _sum([one.cost for one in self.judge_estimates])

    @property
    def pursuit_cost(self) -> float | None:
        """Dollars for attacks with other models in them, at most; None when any is unknown."""
        return _sum([one.cost for one in self.pursuit_estimates])

    @property
    def total_cost(self) -> float | None:
        """Dollars for all of it, at most; None when any is unknown."""
        return _sum([self.cost, self.pursuit_cost, self.judge_cost])

    @property
    def gpu_hours(self) -> float | None:
        """GPU-hours of all engines, as far as estimates go; None when any is unknown, or none is loaded."""
        return _sum([one.gpu_hours for one in self.engines]) if self.engines else None

    @property
    def total_tokens(self) -> int | None:
        """Tokens of all calls and questions, at most; None when any model's are unknown."""
        each = (*self.estimates, *self.pursuit_estimates, *self.judge_estimates)
        tokens = _sum([one.tokens for one in each])
        return None if tokens is None else round(tokens)

    def expected_in_attacks(self, model: str) -> Expected:
        """Return what one call of a model that an attack makes is expected to take, by its name; as `expected` does."""
        return next((one.each for one in self.pursuit_estimates if one.model == model), self.expected(model))

    def expected(self, model: str, *, as_judge: bool = False) -> Expected:
        """Return what one call of a model is expected to take, by its name; unknown where nothing was planned for it."""
        for one in self.judge_estimates if as_judge else self.estimates:
            if one.model == model:
                return one.each
        return Expected()


def _sum(amounts: Sequence[float | None]) -> float | None:
    """Return a sum; None when anything of it is unknown."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
