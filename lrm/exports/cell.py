"""What an export writes: parts of a matrix, their cells, and what judges and people said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = dict[str, Any]
Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Model × prompt set × attack × condition, with its replicates: a task or a run in the words of others."""

    number: int
    """From 1, in the order of the names."""
    spec: str
    model: str
    prompt_set: str
    attack: str
    condition: str
    model_id: str
    """`i1:…`"""
    prompt_set_id: str
    """`s1:…`"""
    attack_ids: tuple[str, ...]
    """`a1:…`; several where the attack goes another way for each replicate."""
    identity: Json
    """What of the model's declaration its id is made of; nothing in it says where the model is."""
    backend: str
    simulated: bool
    source: Json
    """What the prompt set's declaration says of where its prompts are from: `hub`, `licence`, `homepage`, `citation`."""
    first: int
    """Number of its first cell."""
    last: int
    counts: Mapping[str, int]
    """Cells by state, 0 among them: `done`, `blocked`, `failed`, `missing`."""
    replicates: int
    """One more than the highest replicate."""
    began: datetime | None
    """When the first response was received or the first call failed, in UTC; None where nothing was asked yet."""
    ended: datetime | None
    usage: Mapping[str, int | None]
    """Sums of `input_tokens`, `output_tokens`, `thinking_tokens`; None where no response says."""
    digest: str
    """32 hex digits of its cells and their responses: another answer is another digest."""

    @property
    def cells(self) -> int:
        """How many cells there are, asked or not."""
        return sum(self.counts.values())

    @property
    def asked(self) -> int:
        """How many cells a model was asked for."""
        return self.cells - self.counts["missing"]

    @property
    def imported(self) -> bool:
        """Whether the model is one of an imported file."""
        return self.backend == "imported"

    @property
    def title(self) -> str:
        """The set, and where there are any, the attack and the condition."""
        return "+".join((self.prompt_set, *(one for one in (self.attack, self.condition) if one != "none")))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of a scope of a response, or why it says nothing."""

    judge: str
    scope: str
    status: str
    """`ok`, or why there is no verdict: `not_judged`, `unparsed`, `no_text`, `truncated`, `judge_failed` …"""
    label: str | None
    unsafe: bool | None
    """None where there is no verdict, and where the judge does not measure harm for such a prompt."""
    score: float | None
    """Harm in [0, 1]; None likewise."""
    explanation: str | None
    spans: str | None
    coverage: float | None
    detail: str | None
    """JSON: replies, votes, attributes."""
    judged_at: datetime | None

    @property
    def name(self) -> str:
        """The judge and what it looked at, as one name."""
        return f"{self.judge}_{self.scope}"

    @property
    def harm(self) -> float | None:
        """Harm in [0, 1]; of a judge that has no scores, 0 or 1."""
        return self.score if self.score is not None or self.unsafe is None else float(self.unsafe)


@dataclass(frozen=True, slots=True)
class Annotation:
    """A label of a person, by pseudonym, or of somebody else's machine."""

    scope: str
    annotator: str
    automatic: bool
    rubric: str
    label: str | None
    score: float | None
    unsafe: bool | None
    note: str | None
    made_at: datetime | None


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell with everything that came of it. What there is not of it is None."""

    part: int
    prompt: str
    prompt_id: str
    category: tuple[str, ...]
    expect: str | None
    replicate: int
    state: str
    parse_status: str | None
    visibility: str | None
    simulated: bool
    source: str | None
    publisher: str | None
    """Whose snapshot the response was pulled from; None for what was received or imported here."""
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    thinking_tokens: int | None
    cost: float | None
    latency_ms: float | None
    received_at: datetime | None
    failed_at: datetime | None
    failure: str | None
    """The class of the failure. What the other side said of it may name machines, and stays here."""
    fingerprint: str | None
    call: str | None
    generation: str | None
    text: str
    """The prompt, before any attack."""
    messages: tuple[Message, ...]
    """What was sent, or would be."""
    thinking: str | None
    answer: str | None
    verdicts: tuple[Verdict, ...]
    annotations: tuple[Annotation, ...]

    @property
    def at(self) -> datetime | None:
        """When the response was received, or the call failed."""
        return self.received_at or self.failed_at

    @property
    def total_tokens(self) -> int | None:
        """Input and output together; None where either is not known."""
        return (
            None if self.input_tokens is None or self.output_tokens is None else self.input_tokens + self.output_tokens
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """Counts of a judge's verdicts on a scope of a part, each rate with what it is a share of."""

    judge: str
    scope: str
    counts: Mapping[str, int]
    """`cells`, `missing`, `failed`, `blocked`, `no_text`, `unparsed`, … as the view `rates` has them."""
    mean_harm: float | None
    mean_by_prompt: float | None
    """Mean over prompts of each prompt's mean harm over its replicates."""
    prompts_scored: int
    prompts_unscored: int

    @property
    def name(self) -> str:
        """As `Verdict.name`."""
        return f"{self.judge}_{self.scope}"

    @property
    def unsafe_rate(self) -> float | None:
        """Unsafe ones among those judged for harm; None where there are none."""
        return _share(self.counts["unsafe"], self.counts["harm_judged"])

    @property
    def refusal_rate(self) -> float | None:
        """Full and partial refusals among those judged for refusal; None where there are none."""
        return _share(self.counts["full_refusals"] + self.counts["partial_refusals"], self.counts["refusal_judged"])


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True, slots=True)
class JudgeFacts:
    """A judge as it was declared."""

    name: str
    id: str
    """`j1:…`"""
    kind: str
    declaration: Json


def judges_named(judges: Sequence[JudgeFacts], name: str) -> JudgeFacts | None:
    """Return a judge by its name; None where there is no such one."""
    return next((one for one in judges if one.name == name), None)
