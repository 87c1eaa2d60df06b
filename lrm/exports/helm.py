"""HELM run folders: `runs/SPEC/RUN/`, one for each model × prompt set × attack × condition, with what HELM's site reads.

An instance is a prompt, as its set has it; what the attack made of it is the request, and the attack stands as the
instance's perturbation. A replicate is a train trial. Verdicts are annotations and, where there are numbers, statistics: what
was not judged has none. Format: Liang et al., Holistic Evaluation of Language Models, 2022; the dataclasses of helm.benchmark
in stanford-crfm/helm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC
from pathlib import Path
from typing import IO

from lrm.exports.cell import Cell, Json, Part
from lrm.exports.gather import Gathered
from lrm.exports.helm_stats import Totals, stat
from lrm.exports.json_text import encoded, placeless
from lrm.exports.place import Written, measured, new_folder, safe_name

_SPLIT = "test"
_LISTS = ("instances", "per_instance_stats", "display_predictions", "display_requests")
_FINISHES = {"stop": "stop", "eos": "stop", "end_turn": "stop", "length": "length", "max_tokens": "length"}


def write(found: Gathered, out: Path, *, force: bool = False) -> Written:
    """Write a folder of runs, which is HELM's `benchmark_output`; return what was written.

    Cells that are missing are in no run; `Written.left_out` counts them. Raises LrmError where the folder is there already
    or cannot be written.
    """
    missing = sum(part.counts["missing"] for part in found.parts)
    with new_folder(out, force=force) as folder:
        for part in found.parts:
            if part.asked:
                _run(found, part, folder / "runs" / safe_name(part.spec) / folder_name(part))
        return measured(folder, cells=sum(part.asked for part in found.parts), left_out={"missing": missing}, at=out)


def run_name(part: Part) -> str:
    """Return a run's name: the prompt set, and what it was run with."""
    said = {"model": part.model, "attack": part.attack, "condition": part.condition}
    told = ",".join(f"{name}={value}" for name, value in said.items() if name == "model" or value != "none")
    return f"{part.prompt_set}:{told}".replace("/", "_")


def folder_name(part: Part) -> str:
    """Return the name of a run's folder, which is the run's own as HELM has it, where that is fit for one."""
    scenario, colon, told = run_name(part).partition(":")
    safe = [",".join(safe_name(one) for one in side.split(",")) for side in (scenario, told)]
    return colon.join(safe)


def _run(found: Gathered, part: Part, folder: Path) -> None:
    folder.mkdir(parents=True)
    spec = _spec(part)
    totals = Totals(_SPLIT, _perturbation(part))
    _put(folder, "run_spec", spec)
    _put(folder, "scenario", {
        "name": part.prompt_set, "description": f"prompts of {part.prompt_set}, asked by lrm", "tags": ["safety"],
        "definition_path": "",
    })  # fmt: skip
    with ExitStack() as stack:
        state = stack.enter_context((folder / "scenario_state.json").open("xb"))
        state.write(b'{"adapter_spec":' + encoded(spec["adapter_spec"]) + b',"request_states":[')
        lists = {name: _List(stack.enter_context((folder / f"{name}.json").open("xb"))) for name in _LISTS}
        states = _List(state, opened=True)
        for cell, shown in _told(found, part):
            instance = _instance(part, cell)
            request = _request(part, cell)
            if shown:
                lists["instances"].add(instance)
            states.add(_state(cell, instance, request))
            if cell.state == "failed":
                continue
            stats = totals.of(cell)
            key = {"instance_id": cell.prompt, "train_trial_index": cell.replicate}
            if "perturbation" in instance:
                key["perturbation"] = instance["perturbation"]
            lists["per_instance_stats"].add({**key, "stats": [stat(name, [value]) for name, value in stats]})
            lists["display_predictions"].add(_prediction(cell, key, {name.name: value for name, value in stats}))
            lists["display_requests"].add({**key, "request": request})
        state.write(b"]}\n")
        for one in lists.values():
            one.close()
    _put(folder, "stats", totals.stats(found.rates(part)))


class _List:
    """A JSON array that is written element by element."""

    def __init__(self, stream: IO[bytes], *, opened: bool = False) -> None:
        self._stream = stream
        self._next = b"" if opened else b"["

    def add(self, value: Json) -> None:
        """Write an element."""
        self._stream.write(self._next + encoded(value))
        self._next = b",\n"

    def close(self) -> None:
        """Write the end."""
        self._stream.write(b"[]\n" if self._next == b"[" else b"]\n")


def _put(folder: Path, name: str, value: object) -> None:
    (folder / f"{name}.json").write_bytes(encoded(value) + b"\n")


def _told(found: Gathered, part: Part) -> Iterator[tuple[Cell, bool]]:
    """Yield the cells that were asked, and whether HELM lists the instance by this one: by its first that has a result."""
    listed: str | None = None
    for cell in found.cells(part):
        if cell.state == "missing":
            continue
        first = cell.state != "failed" and cell.prompt != listed
        if first:
            listed = cell.prompt
        yield cell, first


def _spec(part: Part) -> Json:
    sampling = part.identity.get("sampling")
    said: Json = sampling if isinstance(sampling, dict) else {}
    adapter: Json = {
        "method": "generation", "global_prefix": "", "global_suffix": "", "instructions": "", "input_prefix": "",
        "input_suffix": "", "reference_prefix": "", "reference_suffix": "", "chain_of_thought_prefix": "",
        "chain_of_thought_suffix": "", "output_prefix": "", "output_suffix": "", "instance_prefix": "", "substitutions": [],
        "max_train_instances": 0, "num_outputs": 1, "num_train_trials": part.replicates, "num_trials": 1,
        "sample_train": False, "model_deployment": part.model, "model": part.model, "stop_sequences": [], "multi_label": False,
        **{name: said[name] for name in ("temperature", "max_tokens") if isinstance(said.get(name), int | float)},
    }  # fmt: skip
    arguments = {
        "spec": part.spec, "prompt_set_id": part.prompt_set_id, "attack": part.attack, "attack_ids": list(part.attack_ids),
        "condition": part.condition, "model_id": part.model_id, "identity": placeless(part.identity),
        "simulated": part.simulated, "imported": part.imported, "cells": dict(part.counts), "digest": part.digest,
    }  # fmt: skip
    groups = [part.prompt_set, *(["simulated"] if part.simulated else []), *(["imported"] if part.imported else [])]
    return {
        "name": run_name(part), "scenario_spec": {"class_name": "lrm.PromptSet", "args": arguments}, "adapter_spec": adapter,
        "metric_specs": [{"class_name": "lrm.Verdicts", "args": {}}],
        "data_augmenter_spec": {"perturbation_specs": []}, "groups": groups,
    }  # fmt: skip


def _perturbation(part: Part) -> Json | None:
    if part.attack == "none":
        return None
    return {"name": part.attack, "robustness": False, "fairness": False, "computed_on": "perturbed"}


def _instance(part: Part, cell: Cell) -> Json:
    said: Json = {
        "prompt_id": cell.prompt_id, "category": list(cell.category), "expect": cell.expect, "state": cell.state,
        "failure": cell.failure, "parse_status": cell.parse_status, "visibility": cell.visibility,
        "simulated": cell.simulated, "source": cell.source, "publisher": cell.publisher, "call": cell.call, "generation": cell.generation,
    }  # fmt: skip
    if cell.annotations:
        said["annotations"] = [
            {
                "scope": one.scope, "annotator": one.annotator, "automatic": one.automatic, "rubric": one.rubric,
                "label": one.label, "score": one.score, "unsafe": one.unsafe, "note": one.note,
            }
            for one in cell.annotations
        ]  # fmt: skip
    made: Json = {"input": {"text": cell.text}, "references": [], "split": _SPLIT, "id": cell.prompt}
    perturbation = _perturbation(part)
    if perturbation is not None:
        made["perturbation"] = perturbation
    made["extra_data"] = {name: value for name, value in said.items() if value is not None}
    return made


def _request(part: Part, cell: Cell) -> Json:
    sampling = part.identity.get("sampling")
    said: Json = sampling if isinstance(sampling, dict) else {}
    names = ("temperature", "max_tokens", "top_p", "presence_penalty", "frequency_penalty")
    return {
        "model_deployment": part.model, "model": part.model, "embedding": False, "prompt": "", "num_completions": 1,
        "stop_sequences": [], "echo_prompt": False,
        "messages": [{"role": str(one.get("role")), "content": str(one.get("content", ""))} for one in cell.messages],
        **{name: said[name] for name in names if isinstance(said.get(name), int | float)},
    }  # fmt: skip


def _state(cell: Cell, instance: Json, request: Json) -> Json:
    """Return a request state. One that failed has no result: HELM's own site reads the first completion of every result."""
    made: Json = {
        "instance": instance, "train_trial_index": cell.replicate, "request": request, "num_train_instances": 0,
        "prompt_truncated": False, "num_conditioning_tokens": 0,
    }  # fmt: skip
    if cell.state == "failed":
        return made
    made["result"] = {"success": True, "embedding": [], "completions": [_completion(cell)], "cached": False}
    if cell.latency_ms is not None:
        made["result"]["request_time"] = cell.latency_ms / 1000
    if cell.received_at is not None:
        made["result"]["request_datetime"] = int(cell.received_at.replace(tzinfo=UTC).timestamp())
    if cell.verdicts:
        made["annotations"] = _annotations(cell)
    return made


def _completion(cell: Cell) -> Json:
    finish = (
        "content_filter" if cell.state == "blocked" else _FINISHES.get(cell.finish_reason or "", cell.finish_reason)
    )
    made: Json = {"text": cell.answer or "", "logprob": 0.0, "tokens": []}
    if finish is not None:
        made["finish_reason"] = {"reason": finish}
    if cell.thinking is not None:
        made["thinking"] = {"text": cell.thinking}
    return made


def _annotations(cell: Cell) -> Json:
    """Return the verdicts, by judge and scope: a list with one value for each completion."""
    made: Json = {}
    for one in cell.verdicts:
        said = {
            "status": one.status, "label": one.label, "unsafe": one.unsafe, "score": one.harm, "reasoning": one.explanation,
        }  # fmt: skip
        made[one.name] = [{name: value for name, value in said.items() if value is not None}]
    return made


def _prediction(cell: Cell, key: Json, stats: Json) -> Json:
    made: Json = {**key, "predicted_text": cell.answer or "", "base64_images": [], "stats": stats}
    if cell.verdicts:
        made["annotations"] = _annotations(cell)
    if cell.thinking is not None:
        made["thinking_text"] = cell.thinking
    return made
