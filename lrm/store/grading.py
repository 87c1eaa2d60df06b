"""Grades on their way into the catalog: what a judge that needs no model says of a trace."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from lrm.judges import rules
from lrm.judges.verdict import Verdict
from lrm.registry.declarations import Judge, Scope
from lrm.traces.trace import Trace


@dataclass(frozen=True, slots=True)
class Grader:
    """A judge looking at one scope, by its number in the catalog."""

    judge_scope_n: int
    judge: Judge
    scope: Scope


@dataclass(slots=True)
class VerdictRows:
    """Columns of verdicts, keyed by whatever names the generation: its id, or its number in the catalog."""

    generation: list[bytes | int] = field(default_factory=list)
    judge_scope_n: list[int] = field(default_factory=list)
    status: list[str] = field(default_factory=list)
    label: list[str | None] = field(default_factory=list)
    unsafe: list[bool | None] = field(default_factory=list)
    score: list[float | None] = field(default_factory=list)
    explanation: list[str | None] = field(default_factory=list)
    spans: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.generation)

    def add(self, generation: bytes | int, grader: Grader, trace: Trace) -> None:
        """Grade a trace and keep the verdict. What a provider let through before it refused is not graded."""
        if trace.status == "blocked":
            verdict = Verdict(grader.scope, "no_text")
        else:
            verdict = rules.grade(grader.judge, grader.scope, trace.thinking, trace.answer)
        self.generation.append(generation)
        self.judge_scope_n.append(grader.judge_scope_n)
        self.status.append(verdict.status)
        self.label.append(verdict.label)
        self.unsafe.append(verdict.unsafe)
        self.score.append(verdict.score)
        self.explanation.append(verdict.explanation)
        self.spans.append(json.dumps([[span.start, span.end, span.rule] for span in verdict.spans]))

    def table(self) -> Any:
        """Return the rows as an Arrow table."""
        import pyarrow as pa

        key = pa.binary() if self.generation and isinstance(self.generation[0], bytes) else pa.int32()
        return pa.table(
            {
                "generation": pa.array(self.generation, key),
                "judge_scope_n": pa.array(self.judge_scope_n, pa.int32()),
                "status": pa.array(self.status, pa.string()),
                "label": pa.array(self.label, pa.string()),
                "unsafe": pa.array(self.unsafe, pa.bool_()),
                "score": pa.array(self.score, pa.float64()),
                "explanation": pa.array(self.explanation, pa.string()),
                "spans": pa.array(self.spans, pa.string()),
            }
        )
