"""Asks weights that run here: each call goes to the process of an engine and comes back as a chat completion."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lrm.backends.base import Call, CallFailure, Reply, raw_prompt
from lrm.backends.http import raw_request_fields, request_fields
from lrm.backends.seeds import seed_of
from lrm.registry.declarations import Model
from lrm.traces import prefill
from lrm.traces.trace import Usage

if TYPE_CHECKING:
    from lrm.engines.process import ProcessEngine


def timeout_of(model: Model) -> float | None:
    """Return the seconds that a call of a model that runs here may take; None is as long as it does.

    Calls wait in the engine's own queue, and nobody is paid for it, so only a declared limit counts.
    """
    return model.limits.timeout_s if "timeout_s" in model.limits.model_fields_set else None


class VllmBackend:
    """Carries out calls of one model by an engine that its settings started. Closing it leaves the engine running."""

    def __init__(self, engine: ProcessEngine, model: Model) -> None:
        """Hand in how the model is asked; blocks for some milliseconds. Raises ModelError for what vLLM does not know."""
        chat: dict[str, Any] = {**request_fields(model), **model.extra_body}
        raw: dict[str, Any] = {**raw_request_fields(model), **model.extra_body}
        self._engine = engine
        self._model = model
        self._form = engine.enter(chat, raw)
        self._timeout_s = timeout_of(model)

    async def ask(self, call: Call) -> Reply:
        """Return the reply to one call; raises CallFailure. Cancelling it takes the call out of the engine's batch."""
        prompt = raw_prompt(call.messages)
        try:
            async with asyncio.timeout(self._timeout_s):
                answered = await self._engine.ask(
                    self._form,
                    name=call.id.hex(),
                    messages=call.messages if prompt is None else prompt,
                    raw=prompt is not None,
                    prefill=prompt is None and call.messages.endswith(prefill.END),
                    seed=seed_of(self._model, call),
                )
        except TimeoutError as error:
            raise CallFailure("timeout", f"no answer within {self._timeout_s:g} s") from error
        used = Usage(answered["prompt_tokens"], answered["completion_tokens"])
        return Reply(answered["raw"], sent=answered["sent"], usage=used)

    async def close(self) -> None:
        """Leave the engine as it is: others may ask it too."""
