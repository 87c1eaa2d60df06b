"""What an engine is doing: vLLM's counters, and the driver's view of its GPUs. Runs in the process of an engine only."""

from __future__ import annotations

from typing import Any

from lrm.engines.gpus import Gpus


class Meter:
    """Adds up what vLLM's engines report after each step."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._now: dict[int, tuple[int, int, float]] = {}
        self._prompt = 0
        self._cached = 0
        self._output = 0
        self._gpus: Gpus | None = None

    def logger(self, vllm_config: Any, engine_index: int = 0) -> Any:
        """Return a logger of statistics for one of the engines (there are several with data parallelism)."""
        from vllm.v1.metrics.loggers import StatLoggerBase

        meter = self

        class Logger(StatLoggerBase):  # type: ignore[misc] # Any where vllm is not installed
            def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
                del vllm_config, engine_index

            def record(
                self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
            ) -> None:
                del mm_cache_stats
                meter.add(engine_idx, scheduler_stats, iteration_stats)

            def log_engine_initialized(self) -> None:
                pass

        return Logger(vllm_config, engine_index)

    def add(self, engine: int, scheduled: Any, iterated: Any) -> None:
        """Take in one report: `SchedulerStats` and `IterationStats` of vLLM's, either of which may be None."""
        if scheduled is not None:
            waiting = scheduled.num_waiting_reqs + getattr(scheduled, "num_skipped_waiting_reqs", 0)
            self._now[engine] = (scheduled.num_running_reqs, waiting, scheduled.kv_cache_usage)
        if iterated is not None:
            prompts = iterated.prompt_token_stats
            self._prompt += prompts.total
            self._cached += prompts.cached_tokens
            self._output += iterated.num_generation_tokens

    def read(self, gpus: int) -> dict[str, Any]:
        """Return the fields of `lrm.engines.engine.Load`. Asks the driver where there are GPUs, for some microseconds."""
        now = list(self._now.values())
        if self._gpus is None:
            self._gpus = Gpus(gpus)
        devices = self._gpus.read()
        return {
            "running": sum(running for running, _, _ in now) if now else None,
            "waiting": sum(waiting for _, waiting, _ in now) if now else None,
            "cache": round(sum(cache for _, _, cache in now) / len(now), 4) if now else None,
            "prompt_tokens": self._prompt,
            "cached_tokens": self._cached,
            "output_tokens": self._output,
            "memory_used": devices.memory_used,
            "memory_total": devices.memory_total,
            "busy": devices.busy,
        }
