"""What a call gave, as a chat completion in OpenAI's format. Runs in the process of an engine only.

Beside the fields of the format it has those that vLLM's server adds to it: `stop_reason`, `token_ids` and
`prompt_token_ids`. It has no times, and not how much of the prompt was in the cache, so that the same result is the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

_LEAST = -9999.0
"""What vLLM's server writes for a probability of nothing, which JSON has no number for."""


def payload(
    name: str, output: Any, one: Any, model: str, decoded: Callable[[int], str], alternatives: int | None
) -> str:
    """Return the payload as JSON text.

    `output` is vLLM's `RequestOutput`, `one` its `CompletionOutput`; `decoded` gives the text of a token; `alternatives` is
    how many come with each token's log-probability, None where there are to be none.
    """
    prompt, tokens = list(output.prompt_token_ids), list(one.token_ids)
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": one.finish_reason,
        "stop_reason": one.stop_reason,
        "message": {"role": "assistant", "content": one.text},
        "token_ids": tokens,
    }
    if alternatives is not None and one.logprobs is not None:
        choice["logprobs"] = {"content": _log_probabilities(tokens, one.logprobs, decoded, alternatives)}
    whole = {
        "id": name,
        "object": "chat.completion",
        "model": model,
        "choices": [choice],
        "usage": {
            "prompt_tokens": len(prompt),
            "completion_tokens": len(tokens),
            "total_tokens": len(prompt) + len(tokens),
        },
        "prompt_token_ids": prompt,
    }
    return orjson.dumps(whole).decode()


def sent(prompt: str, sampling: Any, defaults: dict[str, Any]) -> str:
    """Return, as JSON text, what was effectively asked: the rendered prompt, the seed, and the checkpoint's own sampling."""
    said: dict[str, Any] = {"prompt": prompt, "seed": sampling.seed, "max_tokens": sampling.max_tokens}
    if defaults:
        said["generation_config"] = defaults
    return orjson.dumps(said).decode()


def _log_probabilities(
    tokens: list[int], steps: Any, decoded: Callable[[int], str], alternatives: int
) -> list[dict[str, Any]]:
    """Return the entries of `logprobs.content`, one a token."""
    content = []
    for token, step in zip(tokens, steps, strict=True):
        found = None if step is None else step.get(token)
        if step is None or found is None:
            text = decoded(token)
            content.append({"token": text, "logprob": _LEAST, "bytes": _bytes(text), "top_logprobs": []})
            continue
        shown = _entry(found, token, decoded)
        # The first is the token that was drawn, then come the most likely ones.
        others = [_entry(one, other, decoded) for other, one in list(step.items())[:alternatives]]
        content.append({**shown, "top_logprobs": others})
    return content


def _entry(one: Any, token: int, decoded: Callable[[int], str]) -> dict[str, Any]:
    text = one.decoded_token if one.decoded_token is not None else decoded(token)
    return {"token": text, "logprob": max(one.logprob, _LEAST), "bytes": _bytes(text)}


def _bytes(text: str) -> list[int]:
    return list(text.encode("utf-8", errors="replace"))
