"""Reads a folder of logs as Inspect AI does, and prints what it found as JSON. Run by the Python that has it: read_logs.py FOLDER.

Of each log: its header, its samples, what Inspect says of them in its summaries, and the results and reductions as they are written
and as Inspect's own API computes them again from the scores.
"""

from __future__ import annotations

import copy
import importlib
import json
import sys
from typing import Any

log: Any = importlib.import_module("inspect_ai.log")
convert: Any = importlib.import_module("inspect_ai.log._convert")


def results(one: Any) -> dict[str, Any]:
    """Return what a log says came of it."""
    scores = {
        score.name: {
            "mean": score.metrics["mean"].value if "mean" in score.metrics else None,
            "metrics": {name: metric.value for name, metric in score.metrics.items()},
            "scored": score.scored_samples,
            "unscored": score.unscored_samples,
        }
        for score in one.results.scores
    }
    reductions = {
        reduced.scorer: {str(sample.sample_id): sample.value for sample in reduced.samples}
        for reduced in one.reductions or []
    }
    return {
        "total": one.results.total_samples, "completed": one.results.completed_samples, "logged": one.results.logged_samples,
        "scores": scores, "reductions": reductions,
    }  # fmt: skip


def sample(one: Any) -> dict[str, Any]:
    """Return a sample: what was asked and answered, as Inspect takes it apart."""
    choices = one.output.choices
    content = choices[0].message.content if choices else None
    parts = [] if content is None or isinstance(content, str) else content
    reasoning = [part for part in parts if part.type == "reasoning"]
    return {
        "id": one.id, "epoch": one.epoch, "input": one.input, "uuid": one.uuid, "metadata": one.metadata,
        "sent": [[message.role, message.text] for message in one.messages if message.source == "input"],
        "completion": one.output.completion,
        "stop": choices[0].stop_reason if choices else None,
        "reasoning": [[part.reasoning, part.summary, part.redacted] for part in reasoning],
        "text": content if isinstance(content, str) else "".join(part.text for part in parts if part.type == "text"),
        "usage": one.output.usage.model_dump(exclude_none=True) if one.output.usage else None,
        "error": one.error.message if one.error else None,
        "time": one.total_time,
        "scores": {
            name: {
                "value": score.value, "answer": score.answer, "explanation": score.explanation, "reason": score.reason,
                "metadata": score.metadata,
            }
            for name, score in (one.scores or {}).items()
        },
    }  # fmt: skip


def main(folder: str) -> None:
    """Print what is in the folder's logs."""
    found = []
    for info in log.list_eval_logs(folder):
        header = log.read_eval_log(info, header_only=True)
        whole = log.read_eval_log(info)
        alone = log.read_eval_log_sample(info, id=whole.samples[-1].id, epoch=whole.samples[-1].epoch)
        summaries = log.read_eval_log_sample_summaries(info)
        again = copy.deepcopy(whole)
        log.recompute_metrics(again)
        found.append(
            {
                "name": info.name, "task": info.task, "task_id": info.task_id, "status": header.status,
                "eval": header.eval.model_dump(mode="json", exclude_none=True), "tags": header.tags,
                "samples": [sample(one) for one in whole.samples], "alone": sample(alone),
                "summaries": [[one.id, one.epoch, one.completed, one.message_count, one.error] for one in summaries],
                "written": results(whole), "computed": results(again),
                "usage": {name: used.model_dump(exclude_none=True) for name, used in header.stats.model_usage.items()},
            }
        )  # fmt: skip
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
