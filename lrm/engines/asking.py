"""Asks a loaded engine, call by call. Runs in the process of an engine only."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import orjson

from lrm.engines import frames
from lrm.engines.engine import Device
from lrm.engines.forms import Form, Limits, Way, Wrong, form_of
from lrm.engines.payload import payload, sent
from lrm.engines.telemetry import Meter


class Asker:
    """A loaded engine (vLLM's AsyncLLM) and the forms by which its models are asked."""

    def __init__(self, engine: Any, meter: Meter, *, name: str, template: str | None, adapter: Path | None) -> None:
        """Take over an engine.

        `name`: what payloads call its weights. `template`: text of a chat template, where it is not the checkpoint's.
        """
        from vllm.utils.mistral import is_mistral_tokenizer

        self._engine = engine
        self._name = name
        self._renderer = engine.renderer
        self._meter = meter
        config = engine.model_config
        defaults: dict[str, Any] = config.get_diff_sampling_param()
        # A generation_config that was named, and not found beside the weights, also says how long a reply may be.
        named = config.generation_config not in {"auto", "vllm"}
        most = defaults.get("max_tokens") if named else (config.override_generation_config or {}).get("max_new_tokens")
        tokens = bool(is_mistral_tokenizer(self._renderer.tokenizer) or config.enable_prompt_embeds)
        self._limits = Limits(config, defaults, most, template, tokens)
        self._forms: dict[int, Form] = {}
        self._adapter = None if adapter is None else _adapter(adapter)
        self._down: asyncio.Event | None = None

    async def begin(self) -> None:
        """Have the engine listen; called in the event loop that asks it."""
        self._down = asyncio.Event()

    def device(self) -> Device:
        """Return where the engine runs."""
        from vllm import __version__
        from vllm.platforms import current_platform

        if current_platform.is_cpu():
            return Device("CPU", 0, __version__)
        parallel = self._engine.vllm_config.parallel_config
        return Device(
            str(current_platform.get_device_name()), parallel.world_size * parallel.data_parallel_size, __version__
        )

    def enter(self, form: frames.Form) -> frames.Verdict:
        """Keep a form, and say what is wrong with it. Called in any thread."""
        try:
            self._forms[form["form"]] = form_of(form["chat"], form["raw"], self._limits)
        except Wrong as wrong:
            return {"wrong": wrong.said, "hint": wrong.hint}
        except Exception as error:
            return {"wrong": f"{type(error).__name__}: {error}", "hint": None}
        return {"wrong": None, "hint": None}

    async def answer(self, ask: frames.Ask) -> frames.Answered | frames.Failed | None:
        """Carry out one call; None where the engine died, which concerns more than this call."""
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            return await self._answer(ask)
        except EngineDeadError:
            pass
        except Exception as error:
            if not self.dead():
                return _failed(ask["n"], error)
        assert self._down is not None
        self._down.set()
        return None

    async def _answer(self, ask: frames.Ask) -> frames.Answered | frames.Failed:
        form = self._forms[ask["form"]]
        way = form.raw if ask["raw"] else form.prefill if ask["prefill"] else form.chat
        prompt = await self._rendered(ask, way)
        ids: list[int] = prompt["prompt_token_ids"]
        sampling = copy.copy(way.sampling)
        sampling.__dict__.pop("sampling_type", None)  # it is worked out of the seed, once
        sampling.seed = ask["seed"] if ask["seed"] is not None else way.seed
        sampling.max_tokens = self._room(len(ids), way)
        output: Any = None
        async for received in self._engine.generate(prompt, sampling, f"{ask['n']}", lora_request=self._adapter):
            output = received
        one = output.outputs[0] if output is not None and output.outputs else None
        if output is None or one is None or one.finish_reason not in {"stop", "length", "repetition"}:
            reason = "nothing" if one is None else one.finish_reason
            return {"do": "failed", "n": ask["n"], "kind": "server", "said": f"the engine gave the call up: {reason}"}
        text: str = prompt.get("prompt") or self._renderer.get_tokenizer().decode(ids)
        return {
            "do": "answered",
            "n": ask["n"],
            "raw": payload(ask["id"], output, one, self._name, self._decoded, form.logprobs),
            "sent": sent(text, sampling, self._limits.defaults),
            "prompt_tokens": len(ids),
            "cached_tokens": output.num_cached_tokens or 0,
            "completion_tokens": len(one.token_ids),
        }

    async def _rendered(self, ask: frames.Ask, way: Way) -> Any:
        """Return the engine's input for a call: its prompt as text and as tokens."""
        said = orjson.loads(ask["messages"])
        if ask["raw"]:
            from vllm.renderers.inputs.preprocess import parse_model_prompt

            parsed = parse_model_prompt(self._limits.model, said)
            (prompt,) = await self._renderer.render_cmpl_async([parsed], way.tokenizing)
            return prompt
        _, (prompt,) = await self._renderer.render_chat_async([said], way.template, way.tokenizing)
        return prompt

    def _room(self, prompt_tokens: int, way: Way) -> int:
        """Return the tokens that the reply may have; raises _TooLong where those that were declared do not fit."""
        left = self._limits.context - prompt_tokens
        if left < max(way.max_tokens or 1, 1):
            wanted = "a reply" if way.max_tokens is None else f"max_tokens = {way.max_tokens}"
            said = (
                f"the prompt has {prompt_tokens} tokens, and with {wanted} it does not fit into {self._limits.context}"
            )
            raise _TooLong(said)
        caps = (way.max_tokens or self._limits.defaults.get("max_tokens"), self._limits.most_tokens)
        return min([left, *(int(cap) for cap in caps if cap is not None)])

    def _decoded(self, token: int) -> str:
        text: str = self._renderer.get_tokenizer().decode([token])
        return text

    def load(self) -> dict[str, Any]:
        """Return the fields of `lrm.engines.engine.Load`."""
        return self._meter.read(self.device().gpus)

    def dead(self) -> bool:
        """Whether the engine does not run any more."""
        return bool(self._engine.errored)

    async def ended(self, within_s: float) -> None:
        """Wait until a call has found the engine dead, or so many seconds have passed."""
        assert self._down is not None
        try:
            await asyncio.wait_for(self._down.wait(), within_s)
        except TimeoutError:
            return

    def close(self, timeout_s: float) -> None:
        """End the processes of the engine. Blocks."""
        self._engine.shutdown(timeout=timeout_s)


class _TooLong(Exception):  # noqa: N818 - it is what is said of a call
    """A prompt and its reply do not fit into the model's context."""


def _failed(n: int, error: Exception) -> frames.Failed:
    """Return what is said of a call that the engine did not take, or gave up."""
    from vllm.exceptions import VLLMClientError

    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, _TooLong) or _about_length(error):
        return {"do": "failed", "n": n, "kind": "context_too_long", "said": said}
    if isinstance(error, VLLMClientError | ValueError):
        return {"do": "failed", "n": n, "kind": "bad_request", "said": said}
    return {"do": "failed", "n": n, "kind": "internal", "said": f"{type(error).__name__}: {said}"}


def _about_length(error: Exception) -> bool:
    """Whether vLLM refuses a prompt for its length; it says so by the name of the parameter, in 0.32."""
    return getattr(error, "parameter", None) in {"input_tokens", "input_text"} or "maximum context length" in str(error)


def _adapter(folder: Path) -> Any:
    from vllm.lora.request import LoRARequest

    return LoRARequest("adapter", 1, str(folder))
