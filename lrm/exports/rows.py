"""CSV and JSON lines: one row a cell of the spec, missing and failed ones among them.

CSV is for spreadsheets: UTF-8 with CRLF after each row (RFC 4180), columns for each judge and scope, texts only where they are asked
for. A text that a spreadsheet would take for a formula has an apostrophe before it, and signs that cannot be seen are shown as
pictures; so exact texts are in the JSON lines only. There, what a cell lacks is null.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lrm.exports.cell import Cell, Json, Part
from lrm.exports.gather import Gathered
from lrm.exports.json_text import encoded, moment, parsed
from lrm.exports.place import Written, measured, new_file
from lrm.text import visible

FACTS = (
    "spec", "model", "prompt_set", "prompt", "prompt_id", "category", "expect", "attack", "condition", "replicate", "state",
    "failure", "parse_status", "visibility", "simulated", "source", "publisher", "finish_reason", "input_tokens", "output_tokens",
    "thinking_tokens", "cost", "latency_ms", "received_at", "fingerprint", "model_id", "call", "generation",
)  # fmt: skip
"""Columns of every row, in both formats."""
TEXTS = ("text", "messages", "thinking", "answer")
"""Columns of CSV with `texts`; JSON lines always have them."""
SAID = ("status", "label", "unsafe", "score")
"""Columns of CSV for each judge and scope, `JUDGE_SCOPE_status` and so on."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def write_csv(found: Gathered, out: Path, *, force: bool = False, texts: bool = False) -> Written:
    """Write one row a cell; return what was written. Raises LrmError where that cannot be."""
    judged = found.columns
    names = [*FACTS, *(f"{judge}_{scope}_{one}" for judge, scope in judged for one in SAID)]
    if texts:
        names += TEXTS
    with new_file(out, force=force) as path:
        count = 0
        with path.open("x", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\r\n")
            writer.writerow([_shown(name) for name in names])
            for part, cell in _all(found):
                writer.writerow([_shown(value) for value in _columns(part, cell, judged, texts=texts)])
                count += 1
        return measured(path, cells=count, at=out)


def write_jsonl(found: Gathered, out: Path, *, force: bool = False) -> Written:
    """Write one object a cell, with its messages, verdicts and labels; return what was written. Raises LrmError."""
    with new_file(out, force=force) as path:
        count = 0
        with path.open("xb") as stream:
            for part, cell in _all(found):
                stream.write(encoded(row(part, cell)) + b"\n")
                count += 1
        return measured(path, cells=count, at=out)


def row(part: Part, cell: Cell) -> Json:
    """Return a cell as an object of JSON."""
    return {
        **facts(part, cell),
        "text": cell.text,
        "messages": list(cell.messages),
        "thinking": cell.thinking,
        "answer": cell.answer,
        "verdicts": [
            {
                "judge": one.judge, "scope": one.scope, "status": one.status, "label": one.label, "unsafe": one.unsafe,
                "score": one.score, "explanation": one.explanation, "spans": parsed(one.spans), "coverage": one.coverage,
                "detail": parsed(one.detail), "judged_at": moment(one.judged_at),
            }
            for one in cell.verdicts
        ],
        "annotations": [
            {
                "scope": one.scope, "annotator": one.annotator, "automatic": one.automatic, "rubric": one.rubric,
                "label": one.label, "unsafe": one.unsafe, "score": one.score, "note": one.note, "made_at": moment(one.made_at),
            }
            for one in cell.annotations
        ],
    }  # fmt: skip


def facts(part: Part, cell: Cell) -> Json:
    """Return what is known of a cell but its texts and what was said of it, as `FACTS` orders it."""
    return {
        "spec": part.spec, "model": part.model, "prompt_set": part.prompt_set, "prompt": cell.prompt,
        "prompt_id": cell.prompt_id, "category": list(cell.category), "expect": cell.expect, "attack": part.attack,
        "condition": part.condition, "replicate": cell.replicate, "state": cell.state, "failure": cell.failure,
        "parse_status": cell.parse_status, "visibility": cell.visibility, "simulated": cell.simulated, "source": cell.source,
        "publisher": cell.publisher,
        "finish_reason": cell.finish_reason, "input_tokens": cell.input_tokens, "output_tokens": cell.output_tokens,
        "thinking_tokens": cell.thinking_tokens, "cost": cell.cost, "latency_ms": cell.latency_ms,
        "received_at": moment(cell.received_at), "fingerprint": cell.fingerprint, "model_id": part.model_id,
        "call": cell.call, "generation": cell.generation,
    }  # fmt: skip


def _all(found: Gathered) -> Iterator[tuple[Part, Cell]]:
    for part in found.parts:
        for cell in found.cells(part):
            yield part, cell


def _columns(part: Part, cell: Cell, judged: tuple[tuple[str, str], ...], *, texts: bool) -> Iterator[Any]:
    told = facts(part, cell)
    for name in FACTS:
        yield " / ".join(told[name]) if name == "category" else told[name]
    said = {(one.judge, one.scope): one for one in cell.verdicts}
    for column in judged:
        one = said.get(column)
        for name in SAID:
            yield None if one is None else getattr(one, name)
    if texts:
        yield cell.text
        yield encoded(list(cell.messages)).decode()
        yield cell.thinking
        yield cell.answer


def _shown(value: Any) -> str:
    """Return a value as a spreadsheet may have it: nothing for what is not known, no live formula, no live sign."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            text = visible(value)
            return f"'{text}" if text.startswith(_FORMULA) else text
        case _:
            return repr(value)
