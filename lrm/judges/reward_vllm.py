"""Scores responses by an engine of vLLM's: what is loaded for a reward judge, what it is asked, and what its vectors say.

The engine makes tokens of prompts and responses itself, by the same reader that transformers' rows come from
(`lrm.engines.pooling`); activations, similarities and verdicts are made here.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

import orjson

from lrm import hashing
from lrm.backends.base import Backend, Call, CallFailure
from lrm.engines.folders import folder_at
from lrm.errors import JudgeError
from lrm.judges.judge import Subject
from lrm.judges.reward import Shown, unshown, verdict_of
from lrm.judges.reward_model import names_of
from lrm.judges.reward_text import Unshown, text_of
from lrm.judges.verdict import Verdict
from lrm.registry.judges import RewardJudge, Scope, is_folder
from lrm.registry.models import Limits, Model
from lrm.registry.pooling import Head, Pooling
from lrm.registry.vllm import Pins, Vllm
from lrm.spec.matrix import Located
from lrm.text import without_surrogates

IN_FLIGHT = 512
"""Responses that an engine is given at once: more than it reads together, so that one is ready when another ends."""
PATIENCE_S = 86_400.0
"""Seconds for one response: it may wait behind all that are in flight."""
_TASKS: dict[Head, str] = {"score": "classify", "reward": "token_classify", "embedding": "embed"}
"""vLLM's words for what is read off a checkpoint."""


def weights_of(located: Located[RewardJudge]) -> Model:
    """Return the model whose engine a judge is asked by: the key by which a session's engines know it.

    Judges of one checkpoint, number format and window share one engine.
    """
    judge, options = located.declaration, located.declaration.vllm or Pooling()
    paths = {}
    if is_folder(judge.checkpoint):
        paths["checkpoint"] = str(folder_at(judge.checkpoint, located.file.absolute().parent))
    return Model(
        backend="vllm",
        model=judge.checkpoint,
        revision=judge.revision,
        dtype=judge.dtype,
        vllm=Vllm(
            tensor_parallel=options.tensor_parallel,
            memory=options.memory,
            max_model_len=judge.max_length,
            max_num_seqs=options.max_num_seqs,
            max_num_batched_tokens=options.max_num_batched_tokens,
            enforce_eager=options.enforce_eager,
            # A prefix out of the cache was summed in another order; encoders cannot share one at all.
            prefix_caching=False,
            trust_remote_code=judge.trust_remote_code,
            start_timeout_s=options.start_timeout_s,
            arguments={**options.arguments, "runner": "pooling"},
        ),
        extra_body={"task": _TASKS[judge.head], "show_prompt": judge.show_prompt, "max_length": judge.max_length},
        limits=Limits(max_in_flight=IN_FLIGHT, timeout_s=PATIENCE_S),
        pins=Pins(revision=judge.revision, paths=paths),
    )


@dataclass(frozen=True, slots=True)
class Vector:
    """What a model gives a text."""

    values: tuple[float, ...]
    """NaN for what is no number."""
    labels: tuple[str, ...]
    shown: Shown


class VllmScorer:
    """Scores responses with one loaded engine. Belongs to its event loop."""

    def __init__(self, judge: RewardJudge, backend: Backend) -> None:
        """Score by a backend that the judge's engine gave for `weights_of` it. Call `begin` before anything else."""
        self._judge = judge
        self._backend = backend
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._anchors: dict[str, list[tuple[float, ...]]] = {}

    async def begin(self) -> None:
        """Have the anchors' vectors. Raises JudgeError for an anchor that the model cannot be shown whole."""
        names = [(name, text) for name, texts in self._judge.anchors.items() for text in texts]
        found = await self._vectors([("", text) for _, text in names])
        for (name, text), vector in zip(names, found, strict=True):
            if not isinstance(vector, Vector) or vector.shown.coverage < 1 or not _length(vector.values):
                why = vector if isinstance(vector, str) else "it is too long, or nothing that the model can read"
                raise JudgeError(
                    f"the anchor `{name}` cannot be embedded: {why}", hint=f"shorten or change the text «{text[:60]}»"
                )
            self._anchors.setdefault(name, []).append(_unit(vector.values))

    async def score(self, subjects: Sequence[Subject], scope: Scope) -> list[Verdict]:
        """Return the verdict on one scope of each response, in their order. All are asked for at once, the same once only.

        Where the engine dies under them, what it did not answer is `judge_failed`. Raises JudgeError for a model that does
        not give what is declared.
        """
        texts = [text_of(subject, scope) for subject in subjects]
        keys = [self._key(subject, text) for subject, text in zip(subjects, texts, strict=True)]
        once = list(dict.fromkeys(key for key in keys if key is not None))
        found = dict(zip(once, await self._vectors(once), strict=True))
        return [Verdict(scope, "no_text") if key is None else self._verdict(scope, found[key]) for key in keys]

    def _key(self, subject: Subject, text: str | None) -> tuple[str, str] | None:
        return None if text is None else (subject.prompt if self._judge.show_prompt else "", text)

    async def _vectors(self, texts: Sequence[tuple[str, str]]) -> list[Vector | Unshown | str]:
        """Return what the model gives prompts and responses, all of which are asked for side by side."""
        asking = [asyncio.ensure_future(self._vector(*text)) for text in texts]
        try:
            return await asyncio.gather(*asking)
        finally:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _vector(self, prompt: str, response: str) -> Vector | Unshown | str:
        """Return what the model gives a response, or why it gives nothing."""
        told = orjson.dumps({"prompt": without_surrogates(prompt), "response": response}).decode()
        messages = hashing.canonical([{"role": "raw", "content": told}]).decode()
        async with self._room:
            try:
                reply = await self._backend.ask(Call(secrets.token_bytes(32), messages, 0))
            except CallFailure as failure:
                if failure.kind == "bad_request":
                    raise JudgeError(
                        f"{self._judge.checkpoint} fails on what it is shown: {failure.message}"
                    ) from failure
                return failure.message
        said = orjson.loads(reply.raw)
        if "unshown" in said:
            return Unshown(said["unshown"], said["cut"])
        values = tuple(math.nan if value is None else float(value) for value in said["data"])
        return Vector(values, tuple(said["labels"]), Shown(said["tokens"], said["coverage"]))

    def _verdict(self, scope: Scope, found: Vector | Unshown | str) -> Verdict:
        judge = self._judge
        if isinstance(found, str):
            return Verdict(scope, "judge_failed", explanation=found)
        if isinstance(found, Unshown):
            return unshown(scope, found)
        if judge.head == "embedding":
            alike = {name: self._likeness(found.values, name) for name in judge.anchors}
            return verdict_of(judge, scope, tuple(alike), tuple(alike.values()), found.shown)
        names = names_of(judge, found.labels, len(found.values))
        return verdict_of(judge, scope, names, activated(judge, found.values), found.shown)

    def _likeness(self, values: tuple[float, ...], name: str) -> float:
        """Return the cosine similarity to the nearest of an attribute's texts: they are wordings of one thing."""
        if not _length(values):
            return math.nan
        unit = _unit(values)
        return max(math.fsum(map(mul, unit, anchor)) for anchor in self._anchors[name])


def activated(judge: RewardJudge, values: Sequence[float]) -> list[float]:
    """Return outputs after a judge's activation. NaN stays NaN."""
    match judge.activation:
        case "none":
            return list(values)
        case "sigmoid":
            return [_sigmoid(value) for value in values]
        case "softmax":
            highest = max(values)
            shares = [math.exp(value - highest) if math.isfinite(highest) else math.nan for value in values]
            return [share / sum(shares) for share in shares]


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def _length(values: Sequence[float]) -> float:
    """Return the length of a vector; 0 for one that has none."""
    length = math.sqrt(sum(value * value for value in values))
    return length if math.isfinite(length) else 0.0


def _unit(values: Sequence[float]) -> tuple[float, ...]:
    length = _length(values)
    return tuple(value / length for value in values)
