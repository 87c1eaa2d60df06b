"""What an Inspect AI log says of the evaluation: what was run, on which model, and what came of it in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lrm import __version__
from lrm.exports.cell import Json, JudgeFacts, Part, Rates
from lrm.exports.inspect_sample import short_id
from lrm.exports.json_text import moment, placeless

_SAMPLING = {
    "temperature": float, "top_p": float, "top_k": int, "max_tokens": int, "seed": int, "frequency_penalty": float,
    "presence_penalty": float, "num_choices": int,
}  # fmt: skip
"""Settings that Inspect's `GenerateConfig` has by the same name."""
_EFFORTS = {"none", "minimal", "low", "medium", "high", "xhigh", "max"}
_NEVER = "1970-01-01T00:00:00.000000+00:00"
_METRICS = ("mean",)


def spec(part: Part, judges: Sequence[JudgeFacts], names: Sequence[str]) -> Json:
    """Return the log's `eval`; `names` are those of the scores in it."""
    identity = placeless(part.identity)
    arguments = {
        "spec": part.spec, "prompt_set": part.prompt_set, "attack": part.attack, "condition": part.condition,
    }  # fmt: skip
    tags = [name for name, holds in (("simulated", part.simulated), ("imported", part.imported)) if holds]
    return {
        "eval_id": short_id("eval", part.spec, part.model_id, part.title, part.digest),
        "run_id": short_id("run", part.spec, part.model_id),
        "created": moment(part.began) or _NEVER,
        "task": part.title,
        "task_id": task_id(part),
        "task_version": 0,
        "task_attribs": {},
        "task_args": arguments,
        "task_args_passed": arguments,
        "tags": tags,
        "dataset": {"name": part.prompt_set, "samples": part.cells // max(part.replicates, 1), "shuffled": False},
        "model": part.model,
        "model_generate_config": _settings(part.identity),
        "model_args": {},
        "config": {"epochs": part.replicates, "epochs_reducer": ["mean"], "fail_on_error": False},
        "packages": {"lrm": __version__},
        "scorers": [
            {"name": name, "options": {}, "metrics": [{"name": f"inspect_ai/{one}", "options": {}} for one in _METRICS]}
            for name in names
        ],
        "metadata": {
            "lrm": {
                "spec": part.spec, "model": {"name": part.model, "id": part.model_id, "identity": identity},
                "prompt_set": {"name": part.prompt_set, "id": part.prompt_set_id, **placeless(part.source)},
                "attack": {"name": part.attack, "ids": list(part.attack_ids)}, "condition": part.condition,
                "judges": [{"name": one.name, "id": one.id, "kind": one.kind} for one in judges],
                "simulated": part.simulated, "imported": part.imported, "cells": dict(part.counts), "digest": part.digest,
            }
        },
    }  # fmt: skip


def task_id(part: Part) -> str:
    """Return the id that all models' logs of one task have together."""
    return short_id("task", part.spec, part.prompt_set_id, *part.attack_ids, part.title)


def plan() -> Json:
    """Return the log's `plan`: one step, which is ours."""
    step = {"solver": "lrm", "params": {}, "params_passed": {}}
    return {"name": "plan", "steps": [step], "config": {}}


def header(part: Part, told: Json, rates: Sequence[Rates]) -> Json:
    """Return the log without its samples; `told` is its `eval`."""
    at = moment(part.began) or _NEVER
    usage = _usage(part)
    return {
        "version": 2,
        "status": "success",
        "eval": told,
        "plan": plan(),
        "results": _results(part, rates),
        "stats": {
            "started_at": at, "completed_at": moment(part.ended) or at,
            "model_usage": {} if usage is None else {part.model: usage}, "role_usage": {},
        },
        "invalidated": False,
        "tags": sorted(told["tags"]),
        "metadata": told["metadata"],
    }  # fmt: skip


def _results(part: Part, rates: Sequence[Rates]) -> Json:
    made: Json = {"total_samples": part.cells, "completed_samples": part.counts["done"] + part.counts["blocked"]}
    if part.counts["missing"]:
        made["logged_samples"] = part.asked
    made["scores"] = [_score(one) for one in rates]
    made["metadata"] = {"lrm": dict(part.counts)}
    return made


def _score(rates: Rates) -> Json:
    """Return a score's metrics. A rate of nothing is left out: it is not 0."""
    counts = rates.counts
    metrics: Json = {}
    if rates.mean_by_prompt is not None:
        metrics["mean"] = _metric("mean", rates.mean_by_prompt, prompts=rates.prompts_scored)
    if rates.unsafe_rate is not None:
        metrics["unsafe_rate"] = _metric(
            "unsafe_rate", rates.unsafe_rate, unsafe=counts["unsafe"], harm_judged=counts["harm_judged"]
        )
    if rates.refusal_rate is not None:
        refusals = counts["full_refusals"] + counts["partial_refusals"]
        metrics["refusal_rate"] = _metric(
            "refusal_rate", rates.refusal_rate, refusals=refusals, refusal_judged=counts["refusal_judged"]
        )
    for name in ("judged", "harm_judged", "unsafe", "refusal_judged"):
        metrics[name] = _metric(name, counts[name], cells=counts["cells"])
    return {
        "name": rates.name, "scorer": rates.name, "reducer": "mean", "scored_samples": rates.prompts_scored,
        "unscored_samples": rates.prompts_unscored, "params": {}, "metrics": metrics,
        "metadata": {"judge": rates.judge, "scope": rates.scope, **counts},
    }  # fmt: skip


def _metric(name: str, value: float, **rests_on: int) -> Json:
    return {"name": name, "value": value, "params": {}, "metadata": dict(rests_on)}


def _usage(part: Part) -> Json | None:
    taken, given = part.usage["input_tokens"], part.usage["output_tokens"]
    if taken is None or given is None:
        return None
    made: Json = {"input_tokens": taken, "output_tokens": given, "total_tokens": taken + given}
    if part.usage["thinking_tokens"] is not None:
        made["reasoning_tokens"] = part.usage["thinking_tokens"]
    return made


def _settings(identity: Json) -> Json:
    """Return how the model was told to answer, as far as Inspect has words for it. The rest is in the metadata."""
    said: Any = identity.get("sampling")
    sampling: Json = said if isinstance(said, dict) else {}
    made: Json = {
        name: kind(sampling[name])
        for name, kind in _SAMPLING.items()
        if isinstance(sampling.get(name), int | float) and not isinstance(sampling[name], bool)
    }
    if identity.get("effort") in _EFFORTS:
        made["reasoning_effort"] = identity["effort"]
    if isinstance(identity.get("budget_tokens"), int):
        made["reasoning_tokens"] = identity["budget_tokens"]
    return made
