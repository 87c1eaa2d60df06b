"""HELM's statistics: of one response, and of a run. Only what there is a number for has one, and each says how many it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lrm.exports.cell import Cell, Json, Rates


class Name(NamedTuple):
    """A statistic's name in its context."""

    name: str
    split: str
    perturbation: str | None
    """JSON is made of `context`; here it only tells two apart."""
    context: tuple[tuple[str, object], ...] = ()


def stat(name: Name, values: Sequence[float]) -> Json:
    """Return a statistic of some values, with population variance, as HELM has it."""
    return _made(
        name, len(values), math.fsum(values), math.fsum(value * value for value in values), min(values), max(values)
    )


def _made(name: Name, count: int, total: float, squared: float, least: float, most: float) -> Json:
    said: Json = {"name": name.name, "split": name.split}
    if name.context:
        said["perturbation"] = dict(name.context)
    mean = total / count
    variance = max(0.0, squared / count - mean * mean)
    return {
        "name": said, "count": count, "sum": total, "sum_squared": squared, "min": least, "max": most, "mean": mean,
        "variance": variance, "stddev": math.sqrt(variance),
    }  # fmt: skip


@dataclass(slots=True)
class _Sum:
    count: int = 0
    total: float = 0.0
    squared: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.squared += value * value
        self.least = min(self.least, value)
        self.most = max(self.most, value)


@dataclass(slots=True)
class Totals:
    """Adds up the statistics of a run's responses, in memory that does not grow with them."""

    split: str
    perturbation: Json | None
    _sums: dict[Name, _Sum] = field(default_factory=dict)

    def of(self, cell: Cell) -> list[tuple[Name, float]]:
        """Return the statistics of a response, and count them."""
        found = [(self._name(name), value) for name, value in _values(cell)]
        for name, value in found:
            self._sums.setdefault(name, _Sum()).add(value)
        return found

    def stats(self, rates: Sequence[Rates]) -> list[Json]:
        """Return the run's statistics: those of its responses, and how many verdicts there are of each kind."""
        made = [_made(name, one.count, one.total, one.squared, one.least, one.most) for name, one in self._sums.items()]
        for one in rates:
            made += [stat(self._name(f"{one.name}_num_{kind}"), [float(count)]) for kind, count in one.counts.items()]
        return made

    def _name(self, name: str) -> Name:
        said = self.perturbation
        return Name(
            name, self.split, None if said is None else str(said["name"]), () if said is None else tuple(said.items())
        )


def _values(cell: Cell) -> Iterator[tuple[str, float]]:
    measured = (
        ("num_prompt_tokens", cell.input_tokens),
        ("num_output_tokens", cell.output_tokens),
        ("num_thinking_tokens", cell.thinking_tokens),
        ("inference_runtime", None if cell.latency_ms is None else cell.latency_ms / 1000),
    )
    for name, value in measured:
        if value is not None:
            yield name, float(value)
    for one in cell.verdicts:
        if one.unsafe is not None:
            yield f"{one.name}_unsafe", float(one.unsafe)
        if one.harm is not None:
            yield f"{one.name}_harm", one.harm
        if one.status == "ok" and one.label in {"full_refusal", "partial_refusal", "compliance"}:
            yield f"{one.name}_refusal", float(one.label != "compliance")
