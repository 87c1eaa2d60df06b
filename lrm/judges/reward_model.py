"""A reward model in memory: loading it through transformers, and one forward pass over a batch."""

from __future__ import annotations

import gc
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lrm.errors import JudgeError, ModelError, known_names_hint
from lrm.judges.reward_files import read_json
from lrm.judges.reward_text import Encoded, Reader
from lrm.registry.judges import RewardJudge

_NEVER = -1
"""A token that no row holds: it stands for «padding» where a checkpoint has none, and rows are then never padded."""

_READS_LAST_POSITION = {"xlnet"}
"""Architectures that read their score at the last position, padding or not."""


class RewardModel:
    """A loaded checkpoint. `reader` makes its rows; `forward` gives its outputs."""

    def __init__(self, judge: RewardJudge, folder: Path) -> None:
        """Load a checkpoint out of a folder that `reward_files.snapshot` has passed.

        Raises ModelError without torch and transformers, or without the device; JudgeError for a checkpoint that is none.
        """
        self._judge = judge
        self._torch, transformers = _libraries()
        self.device = self._chosen_device(judge.device)
        with _quiet(transformers):
            tokenizer = tokenizer_of(judge.checkpoint, folder, trusted=judge.trust_remote_code)
            self._model: Any = self._loaded(transformers, folder)
        text = self._model.config.get_text_config()
        accepted = inspect.signature(self._model.forward).parameters
        self._segments = "token_type_ids" in accepted
        pad = text.pad_token_id
        self._pad = pad if isinstance(pad, int) and pad >= 0 else _NEVER
        if self._pad == _NEVER:
            # Without one, transformers refuses more than one row at a time, even of one length.
            self._model.config.pad_token_id = text.pad_token_id = _NEVER
        self.pads = (
            self._pad != _NEVER
            and not judge.trust_remote_code
            and self._model.config.model_type not in _READS_LAST_POSITION
        )
        """Whether rows of several lengths may stand in one batch. Code of a checkpoint's own may read its score at padding;
        so its rows are only put together where they are equally long."""
        limit = getattr(text, "max_position_embeddings", None)
        window = min(judge.max_length, limit) if isinstance(limit, int) and limit > 0 else judge.max_length
        self.reader = Reader(
            judge.checkpoint, tokenizer, window=window, show_prompt=judge.show_prompt, segments=self._segments
        )

    def names(self, outputs: int) -> tuple[str, ...]:
        """Return the names of so many outputs: those declared, or the checkpoint's own labels.

        Raises JudgeError where there are more or fewer.
        """
        labels = self._model.config.id2label or {}
        named = tuple(str(label) for _, label in sorted(labels.items(), key=lambda item: int(item[0])))
        return names_of(self._judge, named, outputs)

    def forward(self, rows: Sequence[Encoded]) -> list[list[float]]:
        """Return the declared outputs of each row, after the activation.

        Raises MemoryError where the rows do not fit together, JudgeError for a model that fails or has no such output.
        """
        torch = self._torch
        try:
            with torch.inference_mode():
                output = self._model(**self._tensors(rows))
                values = self._activated(self._named(output), len(rows))
                return [[float(value) for value in row] for row in values.cpu().tolist()]
        except JudgeError:
            raise
        except Exception as error:
            if _is_out_of_memory(torch, error):
                raise MemoryError(str(error)) from None
            raise JudgeError(
                f"{self._judge.checkpoint} fails on what it is shown: {type(error).__name__}: {error}",
                hint="see what prompt format, `max_length` and version of transformers the checkpoint wants",
            ) from error

    def free_cache(self) -> None:
        """Give back memory that the allocator keeps for later."""
        gc.collect()
        if self.device.type == "cuda":
            self._torch.cuda.empty_cache()

    def close(self) -> None:
        """Let go of the weights."""
        self._model = None
        self.free_cache()

    def _tensors(self, rows: Sequence[Encoded]) -> dict[str, Any]:
        """Return rows as tensors, padded on the right: what a causal model reads before padding is what it reads without."""
        torch = self._torch
        width = max(len(row.ids) for row in rows)
        filler = max(self._pad, 0)
        shape = (len(rows), width)
        ids = torch.full(shape, filler, dtype=torch.long)
        mask = torch.zeros(shape, dtype=torch.long)
        types = torch.zeros(shape, dtype=torch.long)
        for n, row in enumerate(rows):
            ids[n, : len(row.ids)] = torch.tensor(row.ids)
            mask[n, : len(row.ids)] = 1
            if row.types is not None:
                types[n, : len(row.ids)] = torch.tensor(row.types)
        given = {"input_ids": ids, "attention_mask": mask}
        if self._segments and rows[0].types is not None:
            given["token_type_ids"] = types
        return {name: tensor.to(self.device) for name, tensor in given.items()}

    def _named(self, output: Any) -> Any:
        """Return the tensor that the declaration names out of a model's output."""
        name = self._judge.output
        values = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if not isinstance(values, self._torch.Tensor):
            there = list(output) if isinstance(output, Mapping) else [key for key in vars(output) if key[0] != "_"]
            raise JudgeError(
                f"the output of {self._judge.checkpoint} has no tensor `{name}`",
                hint=known_names_hint(name, [str(key) for key in there]),
            )
        return values

    def _activated(self, values: Any, rows: int) -> Any:
        torch = self._torch
        if values.dim() == 1 and values.shape[0] == rows:
            values = values.unsqueeze(1)
        if values.dim() != 2 or values.shape[0] != rows:
            raise JudgeError(
                f"`{self._judge.output}` of {self._judge.checkpoint} has the shape {tuple(values.shape)} for {rows} responses",
                hint="a reward judge reads one row of numbers for each response: choose another `output`",
            )
        values = values.to(torch.float32)
        match self._judge.activation:
            case "sigmoid":
                return torch.sigmoid(values)
            case "softmax":
                return torch.softmax(values, dim=1)
            case "none":
                return values

    def _chosen_device(self, name: str) -> Any:
        torch = self._torch
        try:
            device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
            torch.zeros(1, device=device)
        except Exception as error:
            raise ModelError(
                f"there is no device `{name}` here: {str(error).splitlines()[0]}",
                hint="`device = 'auto'` takes a GPU where there is one",
            ) from error
        return device

    def _loaded(self, transformers: Any, folder: Path) -> Any:
        judge = self._judge
        if judge.trust_remote_code:
            _bring_back_removed_names()
        try:
            loaded = transformers.AutoModelForSequenceClassification.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=judge.trust_remote_code,
                use_safetensors=True,
                dtype=getattr(self._torch, judge.dtype),
                output_loading_info=True,
            )
        except Exception as error:
            raise _unusable(judge.checkpoint, "model", error, trusted=judge.trust_remote_code) from error
        # Code of a checkpoint's own may load in its own way and return the model alone.
        model, info = loaded if isinstance(loaded, tuple) else (loaded, {})
        missing = sorted(info.get("missing_keys", ()))
        if missing:
            shown = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
            raise JudgeError(
                f"{judge.checkpoint} has no weights for {shown}: they would be random, and so would every score",
                hint="this is no sequence classifier, or one with code of its own; its architecture is "
                f"{', '.join(read_json(folder / 'config.json').get('architectures') or ['not said'])}",
            )
        return model.to(self.device).eval()


def names_of(judge: RewardJudge, labels: Sequence[str], outputs: int) -> tuple[str, ...]:
    """Return the names of so many outputs: those declared, or the checkpoint's own labels.

    Raises JudgeError where there are more or fewer.
    """
    names = tuple(judge.attributes or labels)
    if len(names) != outputs:
        said = "the declaration names" if judge.attributes else "the checkpoint has labels for"
        held = f"`{judge.output}` holds" if judge.engine == "transformers" else "the model gives"
        other = ", or choose another `output`" if judge.engine == "transformers" else ""
        raise JudgeError(
            f"{judge.checkpoint}: {held} {outputs} numbers a response, and {said} {len(names)}",
            hint=f"give `attributes` {outputs} names, in the order of the model's outputs{other}",
        )
    if judge.score is not None and judge.score not in names:
        raise JudgeError(
            f"`score` is `{judge.score}`, and {judge.checkpoint} has no such output",
            hint=known_names_hint(judge.score, names),
        )
    if judge.activation == "softmax" and outputs == 1:
        raise JudgeError(f"{judge.checkpoint} has one output, and `softmax` over one is always 1", hint="use `sigmoid`")
    return names


def tokenizer_of(checkpoint: str, folder: Path, *, trusted: bool) -> Any:
    """Return the tokenizer in a checkpoint's folder; `trusted`: its own Python code may run.

    Raises ModelError without transformers, JudgeError for a tokenizer that cannot be loaded or says no offsets.
    """
    transformers = _transformers()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trusted)
    except Exception as error:
        raise _unusable(checkpoint, "tokenizer", error, trusted=trusted) from error
    if not tokenizer.is_fast:
        raise JudgeError(
            f"the tokenizer of {checkpoint} cannot say where its tokens stand in the text",
            hint="it needs a tokenizer.json; load and save the tokenizer once with transformers to make one",
        )
    return tokenizer


def finite(values: Sequence[float]) -> bool:
    """Return whether all values are numbers that mean something."""
    return all(math.isfinite(value) for value in values)


def _libraries() -> tuple[Any, Any]:
    try:
        import torch
    except ImportError as error:
        raise _lacking(error) from error
    return torch, _transformers()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise _lacking(error) from error
    return transformers


def _lacking(error: ImportError) -> ModelError:
    return ModelError(
        f"a reward judge needs torch and transformers, which are not installed ({error.name} is missing)",
        hint="pip install 'lrm[reward]'",
    )


def _unusable(checkpoint: str, part: str, error: Exception, *, trusted: bool) -> JudgeError:
    said = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
    hint = "check that the folder or commit holds a sequence classifier for transformers"
    if isinstance(error, ImportError) and trusted:
        hint = "the checkpoint's own code was written for other versions of its libraries; install what it names"
    return JudgeError(f"the {part} of {checkpoint} cannot be loaded: {type(error).__name__}: {said}", hint=hint)


def _is_out_of_memory(torch: Any, error: Exception) -> bool:
    # On the CPU the allocator raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _bring_back_removed_names() -> None:
    """Let code of checkpoints import a constant that transformers has dropped.

    It was a docstring. ArmoRM and QRM, the best known reward models with code of their own, import it and nothing else that is gone.
    """
    from transformers.models.llama import modeling_llama

    if not hasattr(modeling_llama, "LLAMA_INPUTS_DOCSTRING"):
        setattr(modeling_llama, "LLAMA_INPUTS_DOCSTRING", "")  # noqa: B010 - typed where transformers is installed


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers from drawing bars and talking while a model loads."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
