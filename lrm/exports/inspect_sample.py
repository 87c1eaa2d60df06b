"""One cell as a sample of an Inspect AI log, and its summary. Format: inspect.aisi.org.uk/eval-logs.html, log version 2."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

from lrm.exports.cell import Cell, Json, Part, Verdict
from lrm.exports.json_text import moment, parsed

_STOPS = {
    "stop": "stop", "eos": "stop", "end_turn": "stop", "stop_sequence": "stop", "length": "max_tokens",
    "max_tokens": "max_tokens", "tool_calls": "tool_calls", "content_filter": "content_filter", "refusal": "content_filter",
}  # fmt: skip
_REASONS = {
    "no_text": "no_response", "blocked": "refusal", "unparsed": "grader_failed", "judge_failed": "grader_failed",
    "judge_blocked": "grader_failed",
}  # fmt: skip
"""Why there is no score, in Inspect's own words where it has one for it."""
_ROLES = {"system", "user", "assistant", "tool"}
_PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f\\/]{1,200}")
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_INPUT_SHOWN = 5120
_TEXT_SHOWN = 1024
"""Signs that a summary shows of an input, and of anything else; as Inspect's own summaries."""


def short_id(*parts: object) -> str:
    """Return 22 signs made of what is named, as Inspect's random ids look."""
    number = int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest(), "big")
    signs = []
    for _ in range(22):
        number, digit = divmod(number, len(_ALPHABET))
        signs.append(_ALPHABET[digit])
    return "".join(signs)


def sample_id(prompt: str) -> str:
    """Return a prompt's key as a sample's id. It becomes a file's name in the zip, so a key that could be a path is replaced."""
    if _PLAIN.fullmatch(prompt) and prompt not in {".", ".."}:
        return prompt
    return f"prompt-{hashlib.sha256(prompt.encode(errors='replace')).hexdigest()[:16]}"


def sample(part: Part, cell: Cell) -> Json:
    """Return a cell that a model was asked for as a sample."""
    given = [_sent(cell, number, said) for number, said in enumerate(cell.messages)]
    output = _output(part, cell)
    choices = output["choices"]
    usage = _usage(cell)
    at = moment(cell.at)
    made: Json = {
        "id": sample_id(cell.prompt),
        "epoch": cell.replicate + 1,
        "input": cell.text,
        "target": "",
        "messages": [*given, *(choice["message"] for choice in choices)],
        "output": output,
        "scores": {} if cell.state == "failed" else {one.name: score(one) for one in cell.verdicts},
        "metadata": _metadata(part, cell),
        "store": {},
        "events": [],
        "model_usage": {} if usage is None else {part.model: usage},
        "role_usage": {},
        "uuid": short_id(
            "sample", part.model_id, cell.prompt_id, cell.replicate, cell.call, cell.generation, part.title
        ),
        "attachments": {},
    }
    if at is not None:
        made["completed_at"] = at
    if cell.latency_ms is not None:
        made["total_time"] = made["working_time"] = cell.latency_ms / 1000
    if cell.state == "failed":
        made["error"] = {
            "message": f"the call failed: {cell.failure or 'unknown'}",
            "traceback": "",
            "traceback_ansi": "",
        }
    return made


def _sent(cell: Cell, number: int, said: Any) -> Json:
    role = said.get("role")
    message: Json = {
        "id": short_id("message", cell.call, cell.prompt_id, number),
        "content": str(said.get("content", "")),
        "source": "input",
        "role": role if role in _ROLES else "user",
    }
    if role not in _ROLES:
        message["metadata"] = {"role": str(role)}
    return message


def _output(part: Part, cell: Cell) -> Json:
    if cell.state == "failed":
        return {"model": part.model, "choices": [], "completion": "", "error": f"the call failed: {cell.failure}"}
    blocked = cell.state == "blocked"
    stop = "content_filter" if blocked else _STOPS.get(cell.finish_reason or "", "unknown")
    message = {
        "id": short_id("answer", cell.generation, cell.prompt_id),
        "content": _content(cell),
        "source": "generate",
        "role": "assistant",
        "model": part.model,
    }
    made: Json = {
        "model": part.model,
        "choices": [{"message": message, "stop_reason": stop}],
        "completion": cell.answer or "",
    }
    if (usage := _usage(cell)) is not None:
        made["usage"] = usage
    if cell.latency_ms is not None:
        made["time"] = cell.latency_ms / 1000
    return made


def _content(cell: Cell) -> str | list[Json]:
    """Return the response: its thinking as a reasoning block where there is any, or where it is hidden, and the answer."""
    block: Json | None = None
    if cell.visibility == "summary":
        block = {"type": "reasoning", "reasoning": "", "summary": cell.thinking or "", "redacted": True}
    elif cell.visibility == "hidden":
        block = {"type": "reasoning", "reasoning": "", "redacted": True}
    elif cell.thinking is not None:
        block = {"type": "reasoning", "reasoning": cell.thinking}
    if block is None:
        return cell.answer or ""
    return [block] if cell.answer is None else [block, {"type": "text", "text": cell.answer}]


def _usage(cell: Cell) -> Json | None:
    """Return the tokens; None where not both sides are known, since Inspect would take what is left out for 0."""
    if cell.total_tokens is None:
        return None
    made: Json = {
        "input_tokens": cell.input_tokens, "output_tokens": cell.output_tokens, "total_tokens": cell.total_tokens,
    }  # fmt: skip
    if cell.thinking_tokens is not None:
        made["reasoning_tokens"] = cell.thinking_tokens
    if cell.cost is not None:
        made["total_cost"] = cell.cost
    return made


def _metadata(part: Part, cell: Cell) -> Json:
    said: Json = {
        "prompt": cell.prompt, "prompt_id": cell.prompt_id, "category": list(cell.category), "expect": cell.expect,
        "prompt_set": part.prompt_set, "attack": part.attack, "condition": part.condition, "replicate": cell.replicate,
        "state": cell.state, "parse_status": cell.parse_status, "visibility": cell.visibility, "simulated": cell.simulated,
        "source": cell.source, "publisher": cell.publisher, "finish_reason": cell.finish_reason,
        "fingerprint": cell.fingerprint, "call": cell.call,
        "generation": cell.generation, "received_at": moment(cell.received_at), "input_tokens": cell.input_tokens,
        "output_tokens": cell.output_tokens, "thinking_tokens": cell.thinking_tokens,
    }  # fmt: skip
    if cell.annotations:
        said["annotations"] = [
            {
                "scope": one.scope, "annotator": one.annotator, "automatic": one.automatic, "rubric": one.rubric,
                "label": one.label, "score": one.score, "unsafe": one.unsafe, "note": one.note,
                "made_at": moment(one.made_at),
            }
            for one in cell.annotations
        ]  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def score(verdict: Verdict) -> Json:
    """Return a verdict as a score: harm in [0, 1], and NaN, Inspect's sign for what was not scored, where it is not known."""
    said: Json = {
        "judge": verdict.judge, "scope": verdict.scope, "status": verdict.status, "label": verdict.label,
        "unsafe": verdict.unsafe, "coverage": verdict.coverage, "spans": parsed(verdict.spans) or None,
        "detail": parsed(verdict.detail), "judged_at": moment(verdict.judged_at),
    }  # fmt: skip
    made: Json = {"value": math.nan if verdict.harm is None else verdict.harm}
    if verdict.label is not None:
        made["answer"] = verdict.label
    if verdict.explanation is not None:
        made["explanation"] = verdict.explanation
    if verdict.status != "ok":
        made["reason"] = _REASONS.get(verdict.status, verdict.status)
    elif verdict.harm is None:
        made["reason"] = "harm_not_measured"
    made["metadata"] = {name: value for name, value in said.items() if value is not None}
    made["history"] = []
    return made


def summary(made: Json) -> Json:
    """Return what a list of samples shows of one: the parts that are short, and the beginning of the input."""
    kept = {name: made[name] for name in ("id", "epoch", "target", "model_usage", "role_usage", "uuid")}
    kept["input"] = _cut(made["input"], _INPUT_SHOWN, "...\n(content truncated)")
    kept["metadata"] = _thin(made["metadata"])
    kept["scores"] = {name: _thin_score(one) for name, one in made["scores"].items()}
    for name in ("completed_at", "total_time", "working_time"):
        if name in made:
            kept[name] = made[name]
    if "error" in made:
        kept["error"] = made["error"]["message"]
    kept["completed"] = True
    kept["message_count"] = len(made["messages"])
    return kept


def _thin_score(made: Json) -> Json:
    kept = {**made, "metadata": _thin(made["metadata"])}
    for name in ("answer", "explanation"):
        if name in kept:
            kept[name] = _cut(kept[name], _TEXT_SHOWN, "...")
    return kept


def _thin(said: Json) -> Json:
    return {
        name: _cut(value, _TEXT_SHOWN, "...") if isinstance(value, str) else value
        for name, value in said.items()
        if isinstance(value, str | int | float | bool) or (isinstance(value, list) and name == "category")
    }


def _cut(text: str, limit: int, sign: str) -> str:
    return text if len(text) <= limit else text[:limit] + sign
