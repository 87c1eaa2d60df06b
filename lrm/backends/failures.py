"""Names what went wrong with a call: from an HTTP status and what the provider says in the body, to a failure class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lrm.backends.base import CallFailure, FailureClass
from lrm.backends.error_body import error_codes, error_text, retry_delay, told_headers
from lrm.backends.moments import seconds_until
from lrm.backends.quota import quota_of
from lrm.text import without_surrogates

MESSAGE_CHARACTERS = 500
_READ = 4000
"""Characters of a provider's message that are searched for words."""
_REDACTED = 16_000
"""Characters of a text that keys are looked for in: what is kept is cut afterwards, so that no half of a key stays."""

_BY_STATUS: dict[int, FailureClass] = {
    401: "auth",
    402: "auth",
    403: "auth",
    404: "not_found",
    407: "auth",
    408: "timeout",
    409: "server",  # a conflict with another request, which passes
    410: "not_found",
    413: "context_too_long",
    424: "server",  # TGI and Bedrock: the model broke off
    425: "server",
    429: "rate_limited",
    498: "rate_limited",  # Groq: no capacity
    499: "server",
    529: "rate_limited",  # Anthropic: overloaded
}
_LIMIT_CODES = frozenset(
    {
        "overloaded_error",
        "rate_limit_error",
        "rate_limit_exceeded",
        "ratelimitexceeded",
        "rate_limit_reached_error",
        "engine_overloaded",
        "engine_overloaded_error",
        "resource_exhausted",
        "throttlingexception",
        "throttling",
        "throttling.ratequota",
        "throttling.allocationquota",
        "toomanyrequestsexception",
        "too_many_requests",
        "toomanyrequests",
        "modelnotreadyexception",
        "overloaded",
    }
)
_MONEY_CODES = frozenset(
    {
        "insufficient_quota",
        "insufficient_user_quota",
        "insufficient_balance",
        "insufficient_credits",
        "billing_hard_limit_reached",
        "billing_not_active",
        "exceeded_current_quota_error",
        "arrearage",
        "billing_error",
        "payment_required",
    }
)
_KEY_CODES = frozenset(
    {
        "invalid_api_key",
        "api_key_invalid",
        "invalidapikey",
        "authentication_error",
        "unauthenticated",
        "permission_denied",
        "account_deactivated",
        "accessdeniedexception",
        "unrecognizedclientexception",
        "invalidsignatureexception",
        "expiredtokenexception",
        "unsupported_country_region_territory",
    }
)
_MODEL_CODES = frozenset(
    {
        "model_not_found",
        "model_not_exist",
        "model_decommissioned",
        "deploymentnotfound",
        "modelnotfound",
        "unknown_model",
    }
)
_CONTEXT_CODES = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "string_above_max_length",
        "exceed_context_size_error",
        "request_too_large",
        "tokens_limit_reached",
    }
)
_CONTEXT_WORDS = re.compile(
    r"maximum context length|(?:context|prompt) length exceeded|exceeds? (?:the |this model's )?(?:context|maximum model len)"
    r"|context window|prompt is too long|prompt too long|input is too long|max_model_len|exceed context limit"
    r"|longer than the (?:maximum model|model's context|maximum context) length"  # vLLM, SGLang
    r"|exceeds? (?:the )?(?:available context size|maximum allowed length|maximum input length|max length)"  # llama.cpp, SGLang
    r"|too big compared to kv size|context shift is disabled|the context overflows"  # llama.cpp, LM Studio
    r"|`inputs` (?:tokens \+ `max_new_tokens` must be|must have less than)"  # TGI
    r"|max_tokens must be at least 1, got -"  # vLLM, where nothing is left for the reply
    r"|exceeds the maximum number of tokens allowed|maximum prompt length is|exceeded model token limit"  # Gemini, xAI, Moonshot
    r"|range of input length should be|total number of tokens in the prompt cannot exceed",  # Qwen, Cohere
    re.IGNORECASE,
)
_NEVER_FITS = re.compile(r"request too large for|input or output tokens must be reduced", re.IGNORECASE)
"""A 429 for a prompt that is longer than the tokens of a whole minute: no pause helps it."""
_MONEY_WORDS = re.compile(
    r"credit balance is too low|insufficient (?:balance|credits?|funds)|account is in arrears", re.IGNORECASE
)
_KEY_WORDS = re.compile(
    r"(?:incorrect|invalid|wrong) api[ _-]?key|api[ _-]?key (?:not valid|expired|not found|is invalid|is missing)|invalid x-api-key",
    re.IGNORECASE,
)
_MODEL_WORDS = re.compile(
    r"model not exist|is not a valid model|\bmodel\b[^\n]{0,120} (?:does not exist|not found|has been decommissioned)",
    re.IGNORECASE,
)
_LIMIT_WORDS = re.compile(r"\boverloaded\b|rate limit|too many requests|at capacity", re.IGNORECASE)
_WAIT_UNIT = r"(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|h)(?![a-z])"
_WAIT_WORDS = re.compile(
    rf"(?:again in|retry after|retry in|please wait(?: for)?) ((?:\d+(?:\.\d+)? ?{_WAIT_UNIT} ?)+)",
    re.IGNORECASE | re.ASCII,
)
_KEY_LIKE = re.compile(r"\b(?:sk|pk|rk|hf|gsk|xai|key|AIza)[-_][\w*.-]{8,}|\bBearer\s+[^\s\"',;}]+", re.IGNORECASE)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return `text` without the secrets and what looks like a key, fit to store, cut to 500 characters."""
    text = text[:_REDACTED]
    for secret in secrets:
        text = text.replace(secret, "[key]")
    text = without_surrogates(_KEY_LIKE.sub("[key]", text)).strip()
    return text if len(text) <= MESSAGE_CHARACTERS else text[: MESSAGE_CHARACTERS - 1] + "…"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a response asks to wait; None where it does not.

    `Retry-After` is a number or a date (RFC 9110, 10.2.3); the finer `retry-after-ms` of OpenAI and Azure counts before it.
    `headers` is a mapping that knows no case, or one with names in lower case.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        value = headers.get(name)
        if value is not None and (wait := seconds_until(f"{value.strip()}ms")) is not None:
            return wait
    value = headers.get("retry-after")
    return None if value is None else seconds_until(value, headers.get("date"))


def class_of_codes(codes: frozenset[str]) -> FailureClass | None:
    """Return the class that an error's codes name by themselves, whatever the status; None where they do not."""
    if codes & _MONEY_CODES or codes & _KEY_CODES:
        return "auth"
    if codes & _LIMIT_CODES:
        return "rate_limited"
    if codes & _CONTEXT_CODES:
        return "context_too_long"
    return "not_found" if codes & _MODEL_CODES else None


def class_inside(payload: Any) -> FailureClass | None:
    """Return the class of an error that came as a success, by its codes or words; None where they do not name one."""
    by_codes = class_of_codes(error_codes(payload))
    if by_codes is None and _LIMIT_WORDS.search(error_text(payload, "")[:_READ]):
        return "rate_limited"
    return by_codes


def failure_class(status: int, payload: Any, text: str, *, told_to_wait: bool) -> FailureClass:
    """Return the failure class of an HTTP status and what its body says. `told_to_wait`: there was a Retry-After."""
    codes, text = error_codes(payload), text[:_READ]
    by_codes, by_status = class_of_codes(codes), _BY_STATUS.get(status)
    kind: FailureClass
    if by_status == "rate_limited":
        never = by_codes == "auth" or _NEVER_FITS.search(text) is not None
        kind = ("auth" if by_codes == "auth" else "context_too_long") if never else "rate_limited"
    elif by_status is not None:
        kind = "rate_limited" if status == 403 and by_codes == "rate_limited" else by_status
    elif by_codes == "rate_limited":
        kind = "rate_limited"
    elif status >= 500:
        # llama.cpp says with 500 that a prompt does not fit
        too_long = status == 500 and _CONTEXT_WORDS.search(text) is not None
        busy: FailureClass = "rate_limited" if status == 503 and told_to_wait else "server"
        kind = "context_too_long" if too_long else busy
    else:
        kind = by_codes or _by_words(text)
    return kind


def _by_words(text: str) -> FailureClass:
    """Return the class of a 4xx that only its words tell apart."""
    if _KEY_WORDS.search(text) or _MONEY_WORDS.search(text):
        return "auth"
    if _CONTEXT_WORDS.search(text):
        return "context_too_long"
    return "not_found" if _MODEL_WORDS.search(text) else "bad_request"


def from_status(
    status: int, payload: Any, body: str, *, headers: Mapping[str, str], secrets: Iterable[str]
) -> CallFailure:
    """Return the failure that an HTTP error or redirect is: its class, the provider's words without secrets, how long to wait."""
    if 300 <= status < 400:
        said = redacted(f"HTTP {status}: redirects to {headers.get('location')}; set `endpoint` to that", secrets)
        return CallFailure("bad_request", said, status=status)
    text = error_text(payload, body)
    told = told_headers(payload)
    wait = retry_after_s(headers)
    wait = retry_after_s(told) if wait is None else wait
    kind = failure_class(status, payload, text, told_to_wait=wait is not None)
    if wait is None and kind == "rate_limited":
        wait = _wait_in_body(payload, text[:_READ])
    said = redacted(text, secrets)
    return CallFailure(
        kind,
        f"HTTP {status}: {said}" if said else f"HTTP {status}",
        retry_after_s=wait,
        status=status,
        quota=quota_of(headers) or quota_of(told),
    )


def _wait_in_body(payload: Any, text: str) -> float | None:
    """Return the seconds that an error's body asks to wait: Google's `retryDelay`, or the words of the message."""
    delay = retry_delay(payload)
    if delay is not None:
        return seconds_until(delay)
    found = _WAIT_WORDS.search(text)
    if found is None:
        return None
    return seconds_until(re.sub("[a-z]+", _short_unit, found[1].lower()))


def _short_unit(unit: re.Match[str]) -> str:
    return "ms" if unit[0].startswith(("ms", "mil")) else unit[0][0]
