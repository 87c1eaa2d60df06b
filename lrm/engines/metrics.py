"""What a server of vLLM's says of itself at /metrics, in Prometheus' text format."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lrm.engines.engine import Load
from lrm.engines.gpus import Reading

_SAMPLE = re.compile(r"^(?P<name>[A-Za-z_:][\w:]*)(?:\{.*\})? (?P<value>\S+)(?: -?\d+)?$")
"""A line of the text format 0.0.4: name, labels, value, and perhaps a time."""


def load_of(text: str, gpus: Reading) -> Load:
    """Return an engine's load from the text of /metrics, by the names of vLLM 0.32. What is not there is not known.

    With data parallelism each copy of the weights has samples of its own: they are added up, and shares averaged.
    """
    found: dict[str, list[float]] = {}
    for name, value in _samples(text.splitlines()):
        found.setdefault(name, []).append(value)
    shares = found.get("vllm:kv_cache_usage_perc")
    return Load(
        running=_sum(found.get("vllm:num_requests_running")),
        waiting=_sum(found.get("vllm:num_requests_waiting")),
        cache=None if not shares else round(sum(shares) / len(shares), 4),
        prompt_tokens=_sum(found.get("vllm:prompt_tokens_total")) or 0,
        cached_tokens=_sum(found.get("vllm:prefix_cache_hits_total")) or 0,
        output_tokens=_sum(found.get("vllm:generation_tokens_total")) or 0,
        memory_used=gpus.memory_used,
        memory_total=gpus.memory_total,
        busy=gpus.busy,
    )


def _samples(lines: Iterable[str]) -> Iterable[tuple[str, float]]:
    for line in lines:
        sample = _SAMPLE.match(line) if line.startswith("vllm:") else None
        if sample is not None:
            try:
                yield sample["name"], float(sample["value"])
            except ValueError:
                continue


def _sum(values: list[float] | None) -> int | None:
    return None if values is None else int(sum(values))
