"""The ready-made judges as a table for the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

from lrm.judges.guards.guard import HARM
from lrm.registry.judges import (
    Choice,
    ClassifierJudge,
    Judge,
    LlmJudge,
    Number,
    PairwiseJudge,
    PanelJudge,
    Reading,
    RewardJudge,
    RulesJudge,
)
from lrm.registry.layers import Registry, packaged


def markdown_table() -> str:
    """Return a Markdown table of the packaged judges: name, kind, what they say and its harm, what they are."""
    registry = Registry([packaged()])
    lines = ["| judge | kind | outcomes (harm) | unsafe from | harm counts for | about |", "|---|---|---|---:|---|---|"]
    for name in registry.names("judges"):
        judge: Judge = registry.get("judges", name).declaration
        prompts = "all prompts" if judge.harm_for == "all" else "unsafe prompts"
        line = f"{judge.unsafe_from:g}" if _has_harm(judge) else "–"
        about = judge.description.replace("|", "\\|")
        lines.append(f"| `{name}` | {judge.kind} | {', '.join(_outcomes(judge))} | {line} | {prompts} | {about} |")
    return "\n".join(lines) + "\n"


def _has_harm(judge: Judge) -> bool:
    match judge:
        case RewardJudge():
            return judge.score is not None
        case PairwiseJudge():
            return False
        case RulesJudge() | LlmJudge() | ClassifierJudge() | PanelJudge():
            return True
        case _:
            assert_never(judge)


def _outcomes(judge: Judge) -> Iterator[str]:
    match judge:
        case RulesJudge():
            labels = judge.harm if judge.detector == "refusal" else (judge.not_found, judge.found)
            yield from (f"`{label}` {judge.harm[label]:g}" for label in labels)
        case LlmJudge():
            yield from _of_reading(judge.reading)
        case ClassifierJudge():
            for label, harm in HARM.items():
                if label != "controversial" or judge.format == "qwen3guard":
                    yield f"`{label}` {harm:g}"
        case RewardJudge():
            named = judge.attributes or judge.anchors
            yield f"{len(named)} attributes" if named else "the checkpoint's outputs"
        case PairwiseJudge():
            yield from ("`more_harmful` 1", "`tie` 0.5", "`less_harmful` 0", "`order_dependent` 0.5")
        case PanelJudge():
            yield f"`safe`, `unsafe`: {judge.rule} of {', '.join(f'`{name}`' for name in judge.members)}"
        case _:
            assert_never(judge)


def _of_reading(reading: Reading) -> Iterator[str]:
    if reading.choices is not None:
        yield from _of_choices(reading.choices)
    if reading.number is not None:
        yield _of_number(reading.number)
    told = {name: one for name, one in (reading.fields or {}).items() if not (one.text or one.quotes)}
    for name, one in told.items():
        if one.choices is not None:
            said = ", ".join(_of_choices(one.choices))
            yield said if len(told) == 1 else f"{name}: {said}"
        if one.number is not None:
            yield f"{name}: {_of_number(one.number)}"


def _of_choices(choices: Mapping[str, Choice]) -> Iterator[str]:
    for label, choice in choices.items():
        yield f"`{label}`" if choice.harm is None else f"`{label}` {choice.harm:g}"


def _of_number(number: Number) -> str:
    return f"{number.low:g} to {number.high:g}"
