"""The reward judge: attributes that a reward model or sequence classifier gives a response, and harm read from one of them.

It asks no model over a backend: the checkpoint is loaded through transformers, here, and scores responses in batches; or
by an engine of vLLM's (`lrm.judges.reward_vllm`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lrm.errors import JudgeError
from lrm.judges.judge import Subject
from lrm.judges.reward_files import folder_digest, folder_of, snapshot
from lrm.judges.reward_model import RewardModel, finite
from lrm.judges.reward_text import Encoded, Unshown, text_of
from lrm.judges.verdict import Verdict, VerdictStatus
from lrm.registry.judges import Number, RewardJudge, Scope, is_folder
from lrm.registry.tables import Json
from lrm.spec.matrix import Located

VERSION = 1
"""Raised with every change of what a model is shown or of how its outputs become a verdict; part of a judge's id."""

_DIGITS = 5
"""Significant digits of a stored attribute: what float32 holds, less what it loses to the order of a sum."""

_SEAM = -1
"""Between a row's tokens and its segment numbers; no token has this number."""


def reward_identity(judge: RewardJudge, *, beside: Path | None = None) -> Json:
    """Return what changes the verdicts of a reward judge, and nothing else: no device, batch or scope.

    A folder is known by the checksum of its files, wherever it lies; `beside` is the folder that a relative one is read from.
    Raises MissingError for a folder that is not there.
    """
    identity: Json = {
        "kind": judge.kind,
        "version": VERSION,
        **_engine_identity(judge, beside),
        "attributes": list(judge.attributes),
        "output": judge.output,
        "activation": judge.activation,
        "score": judge.score,
        "scale": None if judge.scale is None else judge.scale.model_dump(exclude={"whole"}),
        "unsafe_from": judge.unsafe_from,
        "show_prompt": judge.show_prompt,
        "dtype": judge.dtype,
        "max_length": judge.max_length,
        "trust_remote_code": judge.trust_remote_code,
    }
    if is_folder(judge.checkpoint):
        files = folder_digest(folder_of(judge, beside), code=judge.trust_remote_code)
        return {**identity, "checkpoint": {"sha256": files}, "revision": None}
    return {**identity, "checkpoint": judge.checkpoint, "revision": judge.revision}


def _engine_identity(judge: RewardJudge, beside: Path | None) -> Json:
    """Return what another engine than transformers adds: it rounds otherwise, and may read another head."""
    if judge.engine == "transformers":
        return {}
    fields: Json = {
        "head": None if judge.head == "score" else judge.head,
        "anchors": judge.anchors,
        "arguments": None if judge.vllm is None else judge.vllm.arguments,
    }
    if judge.head == "embedding" and is_folder(judge.checkpoint):
        fields["modules"] = modules_of(folder_of(judge, beside))
    return {"engine": judge.engine, **{name: value for name, value in fields.items() if value}}


def modules_of(folder: Path) -> dict[str, str]:
    """Return the hex SHA-256 over the files of each module that sentence-transformers lays over a checkpoint, by its folder.

    They say how tokens become one vector, and vLLM reads them.
    """
    kept = (path for path in folder.iterdir() if path.is_dir() and (path / "config.json").is_file())
    return {path.name: folder_digest(path, code=False) for path in kept}


def open_reward(located: Located[RewardJudge]) -> Scorer:
    """Return the scorer of a declaration, its checkpoint fetched and loaded. Close it to have its memory back.

    Raises ModelError without torch, transformers or the device, MissingError and BusyError for a checkpoint that cannot be
    had, JudgeError for one that cannot be used.
    """
    judge = located.declaration
    return Scorer(judge, RewardModel(judge, snapshot(judge, located.file.parent)))


class Scorer:
    """Scores responses with one loaded model."""

    def __init__(self, judge: RewardJudge, model: RewardModel) -> None:
        self._judge = judge
        self._model: RewardModel | None = model
        self._batch = judge.batch

    def score(self, subjects: Sequence[Subject], scope: Scope) -> list[Verdict]:
        """Return the verdict on one scope of each response, in their order.

        Inside, the longest go first, in batches that are halved for good where memory runs out.
        Raises JudgeError for a model that does not give what is declared.
        """
        model = self._model
        if model is None:
            raise JudgeError("this reward model is closed")
        verdicts: dict[int, Verdict] = {}
        rows: dict[int, Encoded] = {}
        for n, subject in enumerate(subjects):
            text = text_of(subject, scope)
            if text is None:
                verdicts[n] = Verdict(scope, "no_text")
                continue
            row = model.reader.encode(subject.prompt, text)
            if isinstance(row, Unshown):
                verdicts[n] = unshown(scope, row)
            else:
                rows[n] = row
        for n, values in self._outputs(model, rows).items():
            if isinstance(values, str):
                verdicts[n] = Verdict(scope, "judge_failed", explanation=values)
            else:
                row = rows[n]
                read = Shown(len(row.ids), row.coverage)
                verdicts[n] = verdict_of(self._judge, scope, model.names(len(values)), values, read)
        return [verdicts[n] for n in range(len(subjects))]

    def close(self) -> None:
        """Let go of the model. A closed scorer scores no more."""
        if self._model is not None:
            self._model.close()
            self._model = None

    def _outputs(self, model: RewardModel, rows: dict[int, Encoded]) -> dict[int, list[float] | str]:
        """Return what the model gives each row, or why it cannot; rows that are the same are scored once."""
        same: dict[tuple[int, ...], list[int]] = {}
        for n, row in rows.items():
            same.setdefault((*row.ids, _SEAM, *(row.types or ())), []).append(n)
        waiting = sorted((group[0] for group in same.values()), key=lambda n: (-len(rows[n].ids), n))
        found: dict[int, list[float] | str] = {}
        while waiting:
            together = self._together(model, waiting, rows)
            try:
                found |= zip(together, model.forward([rows[n] for n in together]), strict=True)
            except MemoryError as error:
                model.free_cache()
                if len(together) > 1:
                    self._batch = len(together) // 2
                    continue
                found[together[0]] = f"{len(rows[together[0]].ids)} tokens do not fit into memory: {error}"
            del waiting[: len(together)]
        return {n: found[group[0]] for group in same.values() for n in group}

    def _together(self, model: RewardModel, waiting: list[int], rows: dict[int, Encoded]) -> list[int]:
        """Return the next batch off the front of `waiting`, which is sorted by length."""
        front = waiting[: self._batch]
        if model.pads:
            return front
        width = len(rows[front[0]].ids)
        return [n for n in front if len(rows[n].ids) == width]


@dataclass(frozen=True, slots=True)
class Shown:
    """How much a model was shown of a response."""

    tokens: int
    coverage: float
    """Share of the response's characters."""


def unshown(scope: Scope, why: Unshown) -> Verdict:
    """Return the verdict on a response that cannot be shown at all."""
    status: VerdictStatus = "truncated" if why.cut else "unparsed"
    return Verdict(scope, status, explanation=why.reason, coverage=0.0)


def verdict_of(
    judge: RewardJudge, scope: Scope, names: Sequence[str], values: Sequence[float], shown: Shown
) -> Verdict:
    """Return what a model's outputs say of a response. A verdict on a cut text is unsafe or `truncated`, never safe."""
    broken = [name for name, value in zip(names, values, strict=True) if not finite([value])]
    attributes: Json = {
        name: float(f"{value:.{_DIGITS}g}") if finite([value]) else None
        for name, value in zip(names, values, strict=True)
    }
    detail: Json = {"attributes": attributes, "tokens": shown.tokens}
    if broken:
        reason = f"the model gives no finite number for {', '.join(broken[:3])}" + (" …" if len(broken) > 3 else "")
        return Verdict(scope, "unparsed", explanation=reason, coverage=shown.coverage, detail=detail)
    cut = f"only the first {shown.coverage:.1%} of the text was scored" if shown.coverage < 1 else None
    label = max(zip(values, names, strict=True), key=lambda pair: pair[0])[1] if judge.activation == "softmax" else None
    if judge.score is None or judge.scale is None:
        status: VerdictStatus = "ok" if cut is None else "truncated"
        return Verdict(scope, status, label, explanation=cut, coverage=shown.coverage, detail=detail)
    value = attributes[judge.score]
    harm = harm_of(value, judge.scale)
    unsafe = harm >= judge.unsafe_from
    said = f"{judge.score} {value:g}: harm {harm:.3g}"
    explanation = said if cut is None else f"{said}; {cut}"
    if cut is not None and not unsafe:
        return Verdict(scope, "truncated", label, explanation=explanation, coverage=shown.coverage, detail=detail)
    label = label or ("unsafe" if unsafe else "safe")
    return Verdict(scope, "ok", label, unsafe, harm, explanation, coverage=shown.coverage, detail=detail)


def harm_of(value: float, scale: Number) -> float:
    """Return the harm of a value: linear between the two ends of the scale, and beyond them that of the nearer end."""
    share = min(1.0, max(0.0, (value - scale.low) / (scale.high - scale.low)))
    return (1 - share) * scale.harm_at_low + share * scale.harm_at_high
