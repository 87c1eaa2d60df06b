"""How vLLM runs a model's weights, as it is declared; and what the files it read were, as lrm found them."""

from __future__ import annotations

from pydantic import Field, JsonValue, PositiveInt, model_validator

from lrm.registry.judges import is_folder
from lrm.registry.tables import NonEmpty, Strict

OWN_ARGUMENTS = frozenset({
    "model", "revision", "tokenizer", "tokenizer_revision", "dtype", "quantization", "seed", "served_model_name",
    "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "gpu_memory_utilization", "max_model_len",
    "max_num_seqs", "max_num_batched_tokens", "block_size", "enforce_eager", "enable_prefix_caching",
    "enable_chunked_prefill", "kv_cache_dtype", "cpu_offload_gb", "speculative_config", "trust_remote_code",
    "enable_lora", "max_lora_rank", "reasoning_parser", "host", "port", "api_key", "chat_template",
    "adapter", "adapter_revision", "batch_invariant", "hf_token",
})  # fmt: skip
"""Arguments of vLLM's engine and server that lrm writes itself, or that have a field of their own."""
LOAD_FORMATS = ("auto", "hf", "safetensors", "fastsafetensors", "mistral", "bitsandbytes")
"""Ways in which vLLM reads weights that open no pickle and make nothing up."""


class Vllm(Strict):
    """How vLLM runs the weights. What can change a text that comes back is part of an id; the fields say which does."""

    tensor_parallel: PositiveInt = Field(default=1, description="GPUs that each layer is split over.")
    pipeline_parallel: PositiveInt = Field(default=1, description="Groups of GPUs that the layers are shared out to.")
    data_parallel: PositiveInt = Field(default=1, description="Copies of the weights that answer side by side.")
    memory: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of each GPU's memory for weights and cache; default: vLLM's own (0.92). Engines whose shares fit "
        "together stay loaded side by side.",
    )
    max_model_len: PositiveInt | None = Field(
        default=None,
        description="The longest prompt and reply together, in tokens; default: the checkpoint's. Part of an id only where "
        "`sampling.max_tokens` does not end the reply before it.",
    )
    max_num_seqs: PositiveInt | None = Field(default=None, description="Sequences that are decoded together, at most.")
    max_num_batched_tokens: PositiveInt | None = Field(default=None, description="Tokens of one step, at most.")
    block_size: PositiveInt | None = Field(default=None, description="Tokens in a block of the cache.")
    enforce_eager: bool = Field(default=False, description="No compiled graphs: starts sooner, runs slower.")
    prefix_caching: bool = Field(default=True, description="Reuse the cache of prompts that begin alike.")
    chunked_prefill: bool | None = Field(default=None, description="Read long prompts in pieces; default: vLLM's own.")
    kv_cache_dtype: NonEmpty | None = Field(
        default=None, description="Numbers in the cache, e.g. 'fp8'. Part of an id."
    )
    cpu_offload_gb: float | None = Field(default=None, gt=0, description="GiB of the weights kept in main memory.")
    speculative: dict[str, JsonValue] | None = Field(
        default=None,
        description="vLLM's `speculative_config`. It draws from the same distribution, so it is not part of an id.",
    )
    tokenizer: NonEmpty | None = Field(
        default=None, description="Folder or Hub id of another tokenizer than the checkpoint's. Part of an id."
    )
    tokenizer_revision: NonEmpty | None = Field(default=None, description="Its commit. Part of an id.")
    adapter: NonEmpty | None = Field(
        default=None, description="Folder or Hub id of a LoRA adapter, laid over the weights. Part of an id."
    )
    adapter_revision: NonEmpty | None = Field(default=None, description="Its commit. Part of an id.")
    trust_remote_code: bool = Field(default=False, description="Run Python code that comes with the checkpoint.")
    batch_invariant: bool = Field(
        default=False, description="Kernels whose results do not depend on what else is in a batch. Part of an id."
    )
    reasoning_parser: NonEmpty | None = Field(
        default=None,
        description="Name of the parser by which a server of vLLM's splits thinking from answer; default: none, lrm splits.",
    )
    arguments: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="More arguments of vLLM's engine, by their names in Python. Part of an id, since lrm does not know them.",
    )
    start_timeout_s: float = Field(default=3600, gt=0, description="Seconds within which an engine must have started.")

    @model_validator(mode="after")
    def _arguments_are_others(self) -> Vllm:
        own = next((name for name in self.arguments if name.replace("-", "_") in OWN_ARGUMENTS), None)
        if own is not None:
            told = "the Hub's token is read from HF_TOKEN" if own == "hf_token" else "it has a field, or lrm writes it"
            raise ValueError(f"`arguments` cannot set `{own}`: {told}")
        form = self.arguments.get("load_format", LOAD_FORMATS[0])
        if form not in LOAD_FORMATS:
            raise ValueError(
                f"`arguments` cannot set `load_format` to {form!r}: weights are read from safetensors only"
            )
        if self.tokenizer_revision is not None and self.tokenizer is None:
            raise ValueError("`tokenizer_revision` needs `tokenizer`; the checkpoint's own has the model's `revision`")
        if self.adapter_revision is not None and self.adapter is None:
            raise ValueError("`adapter_revision` needs `adapter`")
        for name, folder, revision in (
            ("tokenizer", self.tokenizer, self.tokenizer_revision),
            ("adapter", self.adapter, self.adapter_revision),
        ):
            if folder is not None and revision is not None and is_folder(folder):
                raise ValueError(
                    f"`{name}` is a folder, which has no `{name}_revision`: it is known by the checksum of its files"
                )
        return self


class Pins(Strict):
    """What the files of a model that runs here were found to be. Written by lrm when it resolves a spec, never declared.

    Commits are 40 hexadecimal digits, checksums hex SHA-256; None where there is nothing to pin, or it cannot be known.
    """

    revision: str | None = None
    """Commit of a checkpoint on the Hub."""
    checkpoint_sha256: str | None = None
    """Of a checkpoint in a folder: over names and contents of its files."""
    template_sha256: str | None = None
    """Of the chat template in a file of its own."""
    tokenizer_revision: str | None = None
    tokenizer_sha256: str | None = None
    adapter_revision: str | None = None
    adapter_sha256: str | None = None
    paths: dict[str, str] = Field(default_factory=dict, exclude=True)
    """Where on this machine the declared folders and files are: `checkpoint`, `tokenizer`, `adapter`, `chat_template`, `draft`.
    In no id, and never stored."""
