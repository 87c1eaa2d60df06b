"""What an engine is doing: vLLM's counters, and the driver's view of its GPUs. Runs in the process of an engine only."""

from __future__ import annotations

from typing import Any


class Meter:
    """Adds up what vLLM's engines report after each step."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._now: dict[int, tuple[int, int, float]] = {}
        self._prompt = 0
        self._cached = 0
        self._output = 0
        self._gpus: list[Any] | None = None

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
        return {
            "running": sum(running for running, _, _ in now) if now else None,
            "waiting": sum(waiting for _, waiting, _ in now) if now else None,
            "cache": round(sum(cache for _, _, cache in now) / len(now), 4) if now else None,
            "prompt_tokens": self._prompt,
            "cached_tokens": self._cached,
            "output_tokens": self._output,
            **self._devices(gpus),
        }

    def _devices(self, gpus: int) -> dict[str, Any]:
        """Return memory and use of the GPUs; nothing where there are none, or no NVIDIA driver tells."""
        if self._gpus is None:
            self._gpus = _handles(gpus)
        if not self._gpus:
            return {}
        try:
            import pynvml

            memory = [pynvml.nvmlDeviceGetMemoryInfo(gpu) for gpu in self._gpus]
            use = [pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu for gpu in self._gpus]
        except Exception:  # a driver that does not tell (MIG, WSL) is no reason to end
            self._gpus = []
            return {}
        return {
            "memory_used": sum(one.used for one in memory),
            "memory_total": sum(one.total for one in memory),
            "busy": round(sum(use) / len(use) / 100, 3),
        }


def _handles(gpus: int) -> list[Any]:
    """Return the driver's handles of the first GPUs that this process may use."""
    if not gpus:
        return []
    try:
        import pynvml
        from vllm.platforms import current_platform

        pynvml.nvmlInit()
        numbers = [current_platform.device_id_to_physical_device_id(number) for number in range(gpus)]
        return [pynvml.nvmlDeviceGetHandleByIndex(number) for number in numbers]
    except Exception:  # AMD and others have no such library
        return []
