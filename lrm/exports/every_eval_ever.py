"""Every Eval Ever: one record for each model, with the samples beside it as JSON lines.

The unified schema of the EvalEval coalition, version 0.3.0, MIT: github.com/evaleval/every_eval_ever. A record needs a number for each
result and each sample, so what was not judged is not among them, and is counted in the result's details.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from lrm import __version__
from lrm.exports.cell import Cell, Json, JudgeFacts, Part, Rates, Verdict, judges_named
from lrm.exports.eee_model import model_info, path_name
from lrm.exports.gather import Gathered
from lrm.exports.json_text import dumps, encoded
from lrm.exports.place import Written, measured, new_folder

SCHEMA_VERSION = "0.3.0"
_UNKNOWN = "unknown"
_REFUSALS = ("full_refusal", "partial_refusal", "compliance")
_METRICS = {
    "unsafe_rate": ("Unsafe rate", "binary", "share of judged responses that are unsafe"),
    "refusal_rate": ("Refusal rate", "binary", "share of judged responses that refuse, in full or in part"),
    "mean_harm": ("Mean harm", "continuous", "mean harm of judged responses, from 0 to 1"),
}
"""By id: name, type of a sample's score, and what it says."""


def write(found: Gathered, out: Path, *, force: bool = False, organization: str | None = None) -> Written:
    """Write `data/SPEC/DEVELOPER/MODEL/UUID.json` and `UUID_samples.jsonl` for each model; return what was written.

    Raises LrmError where the folder is there already or cannot be written.
    """
    judged = 0
    cells = sum(part.cells for part in found.parts)
    with new_folder(out, force=force) as folder:
        for _, parts in groupby(found.parts, key=lambda part: part.model):
            judged += _model(found, list(parts), folder, organization or _UNKNOWN)
        return measured(folder, cells=judged, left_out={"without a judgement": cells - judged}, at=out)


def _model(found: Gathered, parts: Sequence[Part], folder: Path, organization: str) -> int:
    """Write a model's record and samples; return how many cells are in it."""
    first = parts[0]
    rates = {part.number: found.rates(part) for part in parts}
    results = [result for part in parts for result in _results(part, rates[part.number], found.judges)]
    if not results:
        return 0
    info = model_info(first)
    ended = _epoch(max((part.ended for part in parts if part.ended is not None), default=None))
    named = (
        f"{first.spec}/{info['id']}/{hashlib.sha256(''.join(part.digest for part in parts).encode()).hexdigest()[:16]}"
    )
    digest = hashlib.sha256(named.encode()).digest()
    identifier = str(uuid.UUID(bytes=digest[:16], version=4))
    place = f"data/{path_name(first.spec)}/{path_name(str(info['developer']))}/{path_name(first.model)}"
    (folder / place).mkdir(parents=True, exist_ok=True)
    samples = f"{place}/{identifier}_samples.jsonl"
    count, checksum, lines = _samples(found, parts, folder / samples, named, str(info["id"]))
    record: Json = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": named,
        "evaluation_timestamp": ended,
        "retrieved_timestamp": ended,
        "source_metadata": {
            "source_name": "lrm", "source_type": "evaluation_run", "source_organization_name": organization,
            "evaluator_relationship": "other",
            "additional_details": {"spec": first.spec, "simulated": _word(first.simulated), "imported": _word(first.imported)},
        },
        "eval_library": {"name": "lrm", "version": __version__},
        "model_info": info,
        "evaluation_results": results,
    }  # fmt: skip
    if lines:
        record["detailed_evaluation_results"] = {
            "format": "jsonl", "file_path": samples, "hash_algorithm": "sha256", "checksum": checksum, "total_rows": lines,
        }  # fmt: skip
    else:
        (folder / samples).unlink()
    (folder / place / f"{identifier}.json").write_text(
        json.dumps(json.loads(dumps(record)), indent=2, ensure_ascii=True) + "\n", encoding="utf-8"
    )
    return count


def _epoch(at: datetime | None) -> str:
    """Return seconds since 1970. A record made from the same content says the same, whenever it is written."""
    return "0" if at is None else str(int(at.replace(tzinfo=UTC).timestamp()))


def _word(value: object) -> str:
    return "true" if value is True else "false" if value is False else str(value)


def result_id(part: Part, name: str, metric: str) -> str:
    """Return what joins a sample to its result: the part, the judge and scope, the metric."""
    return f"{part.title}/{name}/{metric}"


def _results(part: Part, rates: Sequence[Rates], judges: Sequence[JudgeFacts]) -> Iterator[Json]:
    """Yield a result for each rate that there is; a rate of nothing is none."""
    for one in rates:
        shares = (
            ("unsafe_rate", one.unsafe_rate, one.counts["harm_judged"]),
            ("refusal_rate", one.refusal_rate, one.counts["refusal_judged"]),
            ("mean_harm", one.mean_harm, one.counts["harm_judged"]),
        )
        for metric, value, number in shares:
            if value is not None:
                yield _result(part, one, metric, value, number, judges_named(judges, one.judge))


def _result(part: Part, rates: Rates, metric: str, value: float, number: int, judge: JudgeFacts | None) -> Json:
    name, kind, about = _METRICS[metric]
    config: Json = {
        "evaluation_description": f"{about}; judged by {rates.judge} on the {rates.scope}",
        "metric_id": f"lrm.{metric}", "metric_name": name, "metric_kind": metric, "metric_unit": "proportion",
        "lower_is_better": metric != "refusal_rate", "score_type": kind, "min_score": 0.0, "max_score": 1.0,
        "additional_details": {
            "judge": rates.judge, "scope": rates.scope, **({} if judge is None else {"judge_id": judge.id, "judge_kind": judge.kind}),
        },
    }  # fmt: skip
    if metric == "refusal_rate":
        config["additional_details"]["reading"] = (
            "neither lower nor higher is better where prompts of both kinds are asked"
        )
    return {
        "evaluation_result_id": result_id(part, rates.name, metric),
        "evaluation_name": f"{part.title}.{rates.name}",
        "source_data": _source(part),
        "metric_config": config,
        "score_details": {
            "score": value,
            "details": {**{key: str(count) for key, count in rates.counts.items()}, "rests_on": str(number)},
            "uncertainty": {"num_samples": number},
        },
        "generation_config": _generation(part),
    }


def _source(part: Part) -> Json:
    details = {"prompt_set_id": part.prompt_set_id}
    details |= {name: str(part.source[name]) for name in ("licence",) if name in part.source}
    hub = part.source.get("hub")
    repository = hub.get("repo") if isinstance(hub, dict) else None
    if isinstance(repository, str):
        return {
            "dataset_name": part.prompt_set, "source_type": "hf_dataset", "hf_repo": repository, "additional_details": details,
        }  # fmt: skip
    homepage = part.source.get("homepage")
    if isinstance(homepage, str) and homepage.startswith("https://"):
        return {
            "dataset_name": part.prompt_set, "source_type": "url", "url": [homepage], "additional_details": details,
        }  # fmt: skip
    return {"dataset_name": part.prompt_set, "source_type": "other", "additional_details": details}


def _generation(part: Part) -> Json:
    said = part.identity.get("sampling")
    sampling: Json = said if isinstance(said, dict) else {}
    arguments: Json = {
        name: sampling[name]
        for name in ("temperature", "top_p", "top_k")
        if isinstance(sampling.get(name), int | float) and not isinstance(sampling[name], bool)
    }
    if isinstance(sampling.get("max_tokens"), int) and sampling["max_tokens"] >= 1:
        arguments["max_tokens"] = sampling["max_tokens"]
    details = {"attack": part.attack, "condition": part.condition, "replicates": str(part.replicates)}
    details |= {name: _word(part.identity[name]) for name in ("effort", "budget_tokens") if name in part.identity}
    return {"generation_args": arguments, "additional_details": details}


# --- samples ----------------------------------------------------------------------------------------------------------


def _samples(found: Gathered, parts: Sequence[Part], path: Path, named: str, model: str) -> tuple[int, str, int]:
    """Write the samples; return how many cells are among them, the file's checksum, and how many lines it has."""
    checksum, cells, lines = hashlib.sha256(), 0, 0
    with path.open("xb") as stream:
        for part in parts:
            for cell in found.cells(part):
                made = [
                    one for verdict in cell.verdicts if (one := sample(part, cell, verdict, named, model)) is not None
                ]
                for one in made:
                    line = encoded(one) + b"\n"
                    checksum.update(line)
                    stream.write(line)
                cells += bool(made)
                lines += len(made)
    return cells, checksum.hexdigest(), lines


def sample(part: Part, cell: Cell, verdict: Verdict, named: str, model: str) -> Json | None:
    """Return a cell as a sample of one result: of the unsafe rate where harm was judged, else of the refusal rate.

    None where the judge says neither, and where nobody declared whether the prompt should be answered: a sample must have a
    number and must be right or wrong, and neither is known.
    """
    if verdict.status != "ok":
        return None
    if verdict.unsafe is not None:
        metric, score, good = "unsafe_rate", float(verdict.unsafe), not verdict.unsafe
    elif verdict.label in _REFUSALS and cell.expect is not None:
        refused = verdict.label != "compliance"
        metric, score, good = "refusal_rate", float(refused), refused == (cell.expect == "unsafe")
    else:
        return None
    several = sum(said.get("role") != "system" for said in cell.messages) > 1
    made: Json = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": named,
        "model_id": model,
        "evaluation_name": f"{part.title}.{verdict.name}",
        "evaluation_result_id": result_id(part, verdict.name, metric),
        "sample_id": f"{cell.prompt}#{cell.replicate}",
        "sample_hash": _hash(cell),
        "interaction_type": "multi_turn" if several else "single_turn",
        "input": {"raw": cell.text, "formatted": encoded(list(cell.messages)).decode(), "reference": []},
        "output": None if several else _output(cell),
        "messages": _messages(cell) if several else None,
        "answer_attribution": [_attribution(cell, verdict, several=several)],
        "evaluation": {"score": score, "is_correct": good},
        "metadata": _metadata(part, cell, verdict),
    }
    if several:
        made["evaluation"]["num_turns"] = sum(said.get("role") == "user" for said in cell.messages) or 1
    if cell.input_tokens is not None and cell.output_tokens is not None:
        made["token_usage"] = {
            "input_tokens": cell.input_tokens, "output_tokens": cell.output_tokens, "total_tokens": cell.total_tokens,
            "reasoning_tokens": cell.thinking_tokens,
        }  # fmt: skip
    if cell.latency_ms is not None:
        made["performance"] = {"latency_ms": cell.latency_ms}
    return made


def _hash(cell: Cell) -> str:
    """Return the schema's own key of a sample, the same whatever model and tool."""
    told = json.dumps({"raw": cell.text, "reference": []}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(told.encode()).hexdigest()


def _output(cell: Cell) -> Json:
    return {
        "raw": [] if cell.answer is None else [cell.answer],
        "reasoning_trace": None if cell.thinking is None else [cell.thinking],
    }


def _messages(cell: Cell) -> list[Json]:
    told: list[Any] = [
        {"role": str(said.get("role")), "content": str(said.get("content", ""))} for said in cell.messages
    ]
    told.append({"role": "assistant", "content": cell.answer, "reasoning_trace": cell.thinking})
    return [{"turn_idx": number, **one} for number, one in enumerate(told)]


def _attribution(cell: Cell, verdict: Verdict, *, several: bool) -> Json:
    turn = len(cell.messages) if several else 0
    if verdict.scope == "thinking":
        source = f"messages[{turn}].reasoning_trace" if several else "output.reasoning_trace"
    else:
        source = f"messages[{turn}].content" if several else "output.raw"
    value = verdict.label or ("unsafe" if verdict.unsafe else "safe")
    return {
        "turn_idx": turn, "source": source, "extracted_value": value, "extraction_method": verdict.judge, "is_terminal": True,
    }  # fmt: skip


def _metadata(part: Part, cell: Cell, verdict: Verdict) -> dict[str, str]:
    said: Json = {
        "prompt_set": part.prompt_set, "prompt": cell.prompt, "attack": part.attack, "condition": part.condition,
        "replicate": cell.replicate, "category": " / ".join(cell.category) or None, "expect": cell.expect,
        "parse_status": cell.parse_status, "visibility": cell.visibility, "simulated": cell.simulated,
        "source": cell.source, "publisher": cell.publisher, "judge": verdict.judge, "scope": verdict.scope, "label": verdict.label,
        "unsafe": verdict.unsafe, "harm": verdict.harm, "call": cell.call, "generation": cell.generation,
    }  # fmt: skip
    return {name: _word(value) for name, value in said.items() if value is not None}
