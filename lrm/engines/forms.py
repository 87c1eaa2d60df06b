"""How a model is asked, as vLLM's own server would understand the same request. Runs in the process of an engine only.

A form is made once for a model out of the fields of an HTTP request (`lrm.backends.http.request_fields`, `extra_body`), by
vLLM's own classes of requests, so that prompts and sampling are what `vllm serve` makes of them; a call adds its seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lrm.engines.fault_rules import shortened
from lrm.errors import known_names_hint

NOT_HERE = frozenset({
    "messages", "model", "prompt", "n", "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls",
    "use_beam_search", "length_penalty", "echo", "suffix", "prompt_embeds", "prompt_logprobs", "request_id", "session_id",
    "priority", "mm_payload", "mm_processor_kwargs", "media_io_kwargs", "return_mm_kwargs", "return_token_offsets",
    "return_prompt_text", "return_tokens_as_token_ids", "kv_transfer_params", "ec_transfer_params", "stream_interval",
    "truncate_prompt_tokens", "truncation_side", "routed_experts_prompt_start",
})  # fmt: skip
"""Fields of requests to vLLM's server that ask for something other than one text for one prompt, or for the server itself."""
IGNORED = frozenset({"return_token_ids", "include_reasoning", "user", "cache_salt"})
"""Fields that change nothing here."""


class Wrong(Exception):  # noqa: N818 - it is what is said of a form
    """A form cannot be used: what is wrong, and what would be right."""

    def __init__(self, said: str, hint: str | None = None) -> None:
        super().__init__(said)
        self.said = said
        self.hint = hint


@dataclass(slots=True)
class Way:
    """One way of asking: a conversation, one whose reply is begun, or a whole prompt."""

    template: Any
    """vLLM's `ChatParams`; None for a whole prompt."""
    tokenizing: Any
    """vLLM's `TokenizeParams`."""
    sampling: Any
    """vLLM's `SamplingParams`, without a seed."""
    max_tokens: int | None
    """As declared; None where it is not."""
    seed: int | None
    """Where the form has one of its own."""


@dataclass(slots=True)
class Form:
    """How a model is asked."""

    chat: Way
    prefill: Way
    raw: Way
    logprobs: int | None
    """Alternatives to each token that go into the payload; None: no log-probabilities at all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for everything that is asked of an engine."""

    model: Any
    """vLLM's `ModelConfig`."""
    defaults: dict[str, Any]
    """Sampling by the checkpoint's generation_config."""
    most_tokens: int | None
    """Tokens of a reply at most, where the engine was started with such a limit."""
    template: str | None
    """The chat template, where it is not the checkpoint's."""
    tokenizes: bool
    """The template gives tokens and no text, as Mistral's own tokenizer does."""

    @property
    def context(self) -> int:
        """The longest prompt and reply together, in tokens."""
        length: int = self.model.max_model_len
        return length


def form_of(chat: dict[str, Any], raw: dict[str, Any], limits: Limits) -> Form:
    """Return the form that fields of requests are. Raises Wrong."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    known = {*ChatCompletionRequest.model_fields} - NOT_HERE
    for name in chat:
        if name not in known:
            raise Wrong(*_unknown(name, known))
    spoken = {"skip_special_tokens": False, **chat}
    messages = [{"role": "user", "content": "x"}]
    asked = _made(ChatCompletionRequest, {"messages": messages, **spoken})
    begun = {"add_generation_prompt": False, "continue_final_message": True, **spoken}
    of_prompt = {name: value for name, value in raw.items() if name in CompletionRequest.model_fields}
    if isinstance(of_prompt.get("logprobs"), bool):
        of_prompt["logprobs"] = (raw.get("top_logprobs") or 0) if of_prompt["logprobs"] else None
    most = raw.get("max_completion_tokens") or raw.get("max_tokens")
    # Its default is 16, and null means the default; a prompt is completed as far as an answer goes.
    completed = {"skip_special_tokens": False, **of_prompt, "max_tokens": most or limits.context, "prompt": "x"}
    logprobs = (asked.top_logprobs or 0) if asked.logprobs else None
    return Form(
        _chat_way(asked, most, limits),
        _chat_way(_made(ChatCompletionRequest, {"messages": messages, **begun}), most, limits),
        _way(_made(CompletionRequest, completed), None, most, limits),
        logprobs,
    )


def _unknown(name: str, known: set[str]) -> tuple[str, str]:
    if name in NOT_HERE:
        return (
            f"`extra_body` sets `{name}`, which an engine in lrm's own hands is not asked for",
            "leave it out, or run the model by engine = 'vllm-server'",
        )
    return f"`extra_body` sets `{name}`, which vLLM does not know", known_names_hint(name, known)


def _made(kind: Any, fields: dict[str, Any]) -> Any:
    """Return a request of vLLM's; raises Wrong for what it refuses."""
    try:
        return kind(**fields)
    except Exception as error:
        raise Wrong(_said(error)) from error


def _chat_way(request: Any, most: int | None, limits: Limits) -> Way:
    params = request.build_chat_params(limits.template, "auto")
    return _way(request, params.with_defaults({"tools": None, "tokenize": limits.tokenizes}), most, limits)


def _way(request: Any, template: Any, most: int | None, limits: Limits) -> Way:
    try:
        tokenizing = request.build_tok_params(limits.model)
        sampling = request.to_sampling_params(most or limits.context, limits.defaults)
    except Exception as error:
        raise Wrong(_said(error)) from error
    seed, sampling.seed = sampling.seed, None
    # Copies made for calls are deep otherwise; what a copy shares with the form is only read.
    sampling.skip_clone = True
    return Way(template, tokenizing, sampling, most, seed)


def _said(error: Exception) -> str:
    """Return what is wrong in a line: pydantic's first finding, or the exception's own words."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return shortened(f"`{place}`: {first['msg']}" if place else first["msg"])
    return shortened(" ".join(str(error).split()) or type(error).__name__)
