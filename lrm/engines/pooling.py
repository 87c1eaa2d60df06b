"""Vectors of texts instead of replies: an engine started with vLLM's `runner = "pooling"`. Runs in its process only.

A form's `raw` says what is wanted: {"task", "show_prompt", "max_length"}. A call is a whole prompt (`raw`) that is the JSON
text of {"prompt", "response"}; what a model is shown of the two is made of them by the reader of reward judges
(`lrm.judges.reward_text`), for whichever engine scores. The payload is `answer_of`'s.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lrm.engines import frames
from lrm.engines.asking import Asker
from lrm.engines.telemetry import Meter
from lrm.errors import JudgeError, LrmError
from lrm.judges.reward_model import tokenizer_of
from lrm.judges.reward_text import Encoded, Reader, Unshown

RUNNER = "pooling"
"""The value of vLLM's argument `runner` that makes an engine of this kind."""
_HEADS = {
    "classify": "a sequence classifier",
    "token_classify": "a reward model that vLLM knows, nor a classifier",
    "embed": "an embedding model",
}
"""vLLM's tasks, and what a checkpoint is that has them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a judge has texts read."""

    task: str
    reader: Reader


class PoolingAsker(Asker):
    """A loaded pooling engine and the forms by which its judges ask."""

    def __init__(self, engine: Any, meter: Meter, *, name: str) -> None:
        """Take over an engine. `name`: what its weights are called."""
        super().__init__(engine, meter, name=name, template=None, adapter=None)
        self._model: Any = engine.model_config
        self._wanted: dict[int, Wanted] = {}
        self._tasks: tuple[str, ...] = ()
        # One thread: tokenizers of one checkpoint are not made to be used by several.
        self._thread = ThreadPoolExecutor(1)
        self._ends_with_pad = self._pad()

    async def begin(self) -> None:
        """Have the engine listen; called in the event loop that asks it."""
        await super().begin()
        self._tasks = tuple(await self._engine.get_supported_tasks())

    def enter(self, form: frames.Form) -> frames.Verdict:
        """Keep a form, and say what is wrong with it. Called in any thread."""
        told = form["raw"]
        task = str(told["task"])
        if task not in self._tasks:
            has = ", ".join(self._tasks) or "none"
            return {
                "wrong": f"this is not {_HEADS[task]}: its architecture is {self._architecture()}",
                "hint": f"vLLM's tasks for it are: {has}; see `head`",
            }
        try:
            self._wanted[form["form"]] = Wanted(task, self._reader(told))
        except LrmError as error:
            return {"wrong": error.message, "hint": error.hint}
        except Exception as error:
            return {"wrong": f"{type(error).__name__}: {error}", "hint": None}
        return {"wrong": None, "hint": None}

    async def _answer(self, ask: frames.Ask) -> frames.Answered | frames.Failed:
        wanted = self._wanted[ask["form"]]
        told = orjson.loads(orjson.loads(ask["messages"]))
        loop = asyncio.get_running_loop()
        try:
            row = await loop.run_in_executor(self._thread, wanted.reader.encode, told["prompt"], told["response"])
        except JudgeError as error:
            return {"do": "failed", "n": ask["n"], "kind": "bad_request", "said": str(error)}
        if isinstance(row, Unshown):
            return _answered(ask, answer_of(row, None, ()), 0)
        values = await self._values(wanted.task, row, f"{ask['n']}")
        return _answered(ask, answer_of(row, values, self._labels()), len(row.ids))

    async def _values(self, task: str, row: Encoded, name: str) -> list[float]:
        from vllm import PoolingParams
        from vllm.inputs.engine import tokens_input

        # Activations are the judge's business: what comes back are logits, or a vector of any length.
        params = PoolingParams(task=task, use_activation=False, extra_kwargs=_segments(row))
        ids = list(row.ids)
        if task == "classify" and self._ends_with_pad is not None:
            while len(ids) > 1 and ids[-1] == self._ends_with_pad:
                ids.pop()
        output: Any = None
        async for received in self._engine.encode(tokens_input(ids), params, name):
            output = received
        data = output.outputs.data
        if task == "token_classify":
            data = data[-1] if len(data) else data
        values: list[float] = data.flatten().float().tolist()
        return values

    def _reader(self, told: dict[str, Any]) -> Reader:
        model, text = self._model, self._model.hf_text_config
        tokenizer = tokenizer_of(self._name, Path(model.tokenizer), trusted=model.trust_remote_code)
        own = getattr(text, "max_position_embeddings", None)
        lengths = [
            int(told["max_length"]),
            int(model.max_model_len),
            *([own] if isinstance(own, int) and own > 0 else []),
        ]
        segments = int(getattr(text, "type_vocab_size", None) or 0) > 1
        return Reader(
            self._name, tokenizer, window=min(lengths), show_prompt=bool(told["show_prompt"]), segments=segments
        )

    def _pad(self) -> int | None:
        """Return the token that transformers skips at the end of a row before it reads a decoder's score; None for no such.

        vLLM reads the score at the last token whatever it is.
        """
        pooler = self._model.pooler_config
        pad = getattr(self._model.hf_text_config, "pad_token_id", None)
        return pad if isinstance(pad, int) and pooler is not None and pooler.seq_pooling_type == "LAST" else None

    def _labels(self) -> list[str]:
        labels = getattr(self._model.hf_config, "id2label", None) or {}
        return [str(label) for _, label in sorted(labels.items(), key=lambda item: int(item[0]))]

    def _architecture(self) -> str:
        return ", ".join(getattr(self._model.hf_config, "architectures", None) or ["not said"])


def fitted(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return an engine's arguments with a window that the checkpoint has: the declared one is the longest that is wanted."""
    from vllm.engine.arg_utils import AsyncEngineArgs

    wanted = arguments.get("max_model_len")
    if wanted is None:
        return arguments
    own = AsyncEngineArgs(**{**arguments, "max_model_len": None}).create_model_config().max_model_len
    return {**arguments, "max_model_len": min(int(wanted), int(own))}


def answer_of(row: Encoded | Unshown, values: list[float] | None, labels: tuple[str, ...] | list[str]) -> str:
    """Return the payload of a call as JSON text.

    {"unshown", "cut"} for a response that cannot be shown; else {"data": the numbers, null for what is none, "labels": the
    checkpoint's names of its outputs, "tokens", "coverage"}.
    """
    if isinstance(row, Unshown):
        return orjson.dumps({"unshown": row.reason, "cut": row.cut}).decode()
    said = {"data": values, "labels": labels, "tokens": len(row.ids), "coverage": row.coverage}
    return orjson.dumps(said).decode()


def _answered(ask: frames.Ask, raw: str, tokens: int) -> frames.Answered:
    return {
        "do": "answered", "n": ask["n"], "raw": raw, "sent": "{}", "prompt_tokens": tokens, "completion_tokens": 0,
        "cached_tokens": 0,
    }  # fmt: skip


def _segments(row: Encoded) -> dict[str, Any] | None:
    """Return where the second segment of a row begins, in vLLM's words; None without segments."""
    if row.types is None or 1 not in row.types:
        return None
    return {"compressed_token_type_ids": row.types.index(1)}
