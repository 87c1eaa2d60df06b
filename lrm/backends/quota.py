"""Reads from a response's headers what a provider still lets be asked.

Names: OpenAI and those who copy it (`x-ratelimit-remaining-requests`, `-tokens`, and by the minute or the day at Mistral,
Cerebras and SambaNova, by prompt and generated tokens at Fireworks), Anthropic (`anthropic-ratelimit-…-remaining`), Together
(`x-tokenlimit-remaining`), OpenRouter and many gateways (`X-RateLimit-Remaining`), and the IETF's drafts
(`RateLimit-Remaining`; from draft 7 on one header, `RateLimit`). litellm writes some of them with `llm_provider-` before.
Where several windows are named, the one with the least left counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lrm.backends.base import Quota
from lrm.backends.moments import seconds_until

_REQUESTS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-remaining-req-minute", "x-ratelimit-reset-req-minute"),
    ("x-ratelimit-remaining-requests-minute", "x-ratelimit-reset-requests-minute"),
    ("x-ratelimit-remaining-requests-hour", "x-ratelimit-reset-requests-hour"),
    ("x-ratelimit-remaining-requests-day", "x-ratelimit-reset-requests-day"),
)
_TOKENS = (
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
    ("x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute"),
    ("x-ratelimit-remaining-tokens-day", "x-ratelimit-reset-tokens-day"),
    ("x-ratelimit-remaining-tokens-prompt", "x-ratelimit-reset-tokens-prompt"),
    ("x-ratelimit-remaining-tokens-generated", "x-ratelimit-reset-tokens-generated"),
    ("x-tokenlimit-remaining", "x-tokenlimit-reset"),
)
_COUNT = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_DRAFT_REMAINING = re.compile(r"\b(?:r|remaining)\s*=\s*(\d{1,15})\b", re.IGNORECASE | re.ASCII)
_DRAFT_RESET = re.compile(r"\b(?:t|reset)\s*=\s*(\d{1,15})\b", re.IGNORECASE | re.ASCII)


class _Window(NamedTuple):
    left: int
    reset_s: float | None


def quota_of(headers: Mapping[str, str]) -> Quota | None:
    """Return what the headers say is left; None where they say nothing that can be read.

    `headers` is a mapping that knows no case, or one with names in lower case.
    """
    found = {
        name.lower().removeprefix("llm_provider-"): value
        for name, value in headers.items()
        if "imit" in name or "IMIT" in name
    }
    if not found:
        return None
    date = headers.get("date")
    requests, tokens = _windows(found, _REQUESTS, date), _windows(found, _TOKENS, date)
    if (said := found.get("ratelimit")) is not None:
        for policy in [said] if "remaining" in said.lower() else said.split(","):
            if (window := _draft(policy)) is not None:
                (tokens if "token" in policy.lower() else requests).append(window)
    if not requests and not tokens:
        return None
    request, token = _tightest(requests), _tightest(tokens)
    return Quota(
        requests=request and request.left,
        requests_reset_s=request and request.reset_s,
        tokens=token and token.left,
        tokens_reset_s=token and token.reset_s,
    )


def _windows(found: dict[str, str], pairs: Iterable[tuple[str, str]], date: str | None) -> list[_Window]:
    """Return the windows whose remaining count is there and can be read."""
    windows: list[_Window] = []
    for remaining, reset in pairs:
        said = found.get(remaining)
        if said is None or not _COUNT.fullmatch(said := said.strip()):
            continue
        until = found.get(reset)
        windows.append(_Window(int(float(said)), None if until is None else seconds_until(until, date)))
    return windows


def _draft(policy: str) -> _Window | None:
    """Return the window of one policy of the `RateLimit` header, as drafts 7 (`remaining=…`) and later (`r=…`) write it."""
    remaining, reset = _DRAFT_REMAINING.search(policy), _DRAFT_RESET.search(policy)
    if remaining is None:
        return None
    return _Window(int(remaining[1]), None if reset is None else seconds_until(reset[1]))


def _tightest(windows: list[_Window]) -> _Window | None:
    """Return the window with the least left; of several, the one that lasts longest."""
    return min(windows, key=lambda window: (window.left, -(window.reset_s or 0.0)), default=None)
