"""How vLLM runs the checkpoint of a reward judge, as it is declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, JsonValue, PositiveInt, model_validator

from lrm.key_names import names_a_key
from lrm.registry.tables import Strict

if TYPE_CHECKING:
    from lrm.registry.judges import RewardJudge

Head = Literal["score", "reward", "embedding"]
"""`score`: a sequence classifier's numbers; `reward`: a reward model's numbers at the last token; `embedding`: a vector."""
_WRITTEN = frozenset({
    "model", "revision", "tokenizer", "tokenizer_revision", "dtype", "seed", "runner", "convert", "pooler_config",
    "max_model_len", "trust_remote_code", "tensor_parallel_size", "gpu_memory_utilization", "max_num_seqs",
    "max_num_batched_tokens", "enforce_eager", "enable_prefix_caching", "enable_lora", "load_format",
})  # fmt: skip
"""Arguments of vLLM's engine that lrm writes itself, or that have a field of their own."""


class Pooling(Strict):
    """How vLLM runs the weights of a reward judge."""

    memory: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of each GPU's memory; default: vLLM's own (0.9). Not part of an id.",
    )
    tensor_parallel: PositiveInt = Field(
        default=1, description="GPUs that each layer is split over; not part of an id."
    )
    max_num_seqs: PositiveInt | None = Field(default=None, description="Texts read at once; not part of an id.")
    max_num_batched_tokens: PositiveInt | None = Field(
        default=None, description="Tokens of one step, at most; not part of an id."
    )
    enforce_eager: bool = Field(
        default=False, description="No compiled graphs: starts sooner, runs slower; not part of an id."
    )
    arguments: dict[str, JsonValue] = Field(
        default_factory=dict, description="More arguments of vLLM's engine, by their names in Python. Part of an id."
    )
    start_timeout_s: float = Field(default=3600, gt=0, description="Seconds within which the engine must have started.")

    @model_validator(mode="after")
    def _arguments_are_others(self) -> Pooling:
        own = next((name for name in self.arguments if name.replace("-", "_") in _WRITTEN), None)
        if own is not None:
            raise ValueError(f"`arguments` sets `{own}`, which has a field of its own or is written by lrm")
        key = next(
            (name for name, value in self.arguments.items() if isinstance(value, str) and names_a_key(name)), None
        )
        if key is not None:
            raise ValueError(
                f"`arguments` holds `{key}`, which looks like a key; the Hub's token is read from HF_TOKEN"
            )
        return self


def check_pooling(judge: RewardJudge) -> None:
    """Raise ValueError for what one of the engines of reward judges cannot do, and for heads that lack what they need."""
    if judge.engine == "transformers":
        if judge.vllm is not None:
            raise ValueError("`vllm` is only for engine = 'vllm'")
        if judge.head != "score":
            raise ValueError(f"`head = '{judge.head}'` needs engine = 'vllm'")
    elif judge.output != "logits":
        raise ValueError(
            "`output` is for engine = 'transformers'; with vLLM a checkpoint has the outputs of its `head`"
        )
    elif judge.device != "auto":
        raise ValueError("`device` is for engine = 'transformers'; vLLM takes the GPUs that CUDA_VISIBLE_DEVICES names")
    if (judge.head == "embedding") != bool(judge.anchors):
        raise ValueError("`anchors` and `head = 'embedding'` belong together")
    if judge.head != "embedding":
        return
    empty = next((name for name, texts in judge.anchors.items() if not texts), None)
    if empty is not None:
        raise ValueError(f"`anchors` has no text for `{empty}`")
    if judge.attributes:
        raise ValueError("with `anchors` there are no `attributes`: their names are the attributes")
    if judge.activation != "none":
        raise ValueError(f"`activation = '{judge.activation}'` is for outputs of a classifier; similarities have none")
    if judge.show_prompt:
        raise ValueError("an embedding is of the response alone, as those of the anchors are: leave out `show_prompt`")
    if judge.score is not None and judge.score not in judge.anchors:
        raise ValueError(f"`score` is `{judge.score}`, which is not among `anchors`")
