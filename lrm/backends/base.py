"""What a backend is: something that carries out one call, or says by class why it could not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import orjson

from lrm.traces.trace import Usage

FailureClass = Literal[
    "rate_limited",  # 429, 529, 503 with Retry-After, and whatever says that there is too much to do
    "server",  # any other 5xx, and 4xx that pass by themselves (409, 425)
    "timeout",  # no answer in time
    "connection",  # refused, reset, broken off
    "bad_payload",  # an answer that is not the JSON that was promised
    "auth",  # 401, 403, no key, no money: nothing will be answered
    "not_found",  # 404: no such model or path
    "context_too_long",  # the prompt does not fit, 413
    "bad_request",  # any other 4xx
    "internal",  # a fault of ours
]
UNCOUNTED = Usage()
"""The usage of a reply that counts no tokens."""
TRANSIENT: frozenset[FailureClass] = frozenset({"rate_limited", "server", "timeout", "connection", "bad_payload"})


@dataclass(frozen=True, slots=True)
class Hint:
    """Where a call comes from; only the simulated backend may look at it, and it is not part of an id."""

    prompt_set: str
    category: tuple[str, ...]
    attack: str
    expect: Literal["unsafe", "safe"] | None


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a model."""

    id: bytes
    """The call's 32-byte id (`c1`)."""
    messages: str
    """The rendered conversation: canonical JSON of a list of {role, content}. A final assistant message is a prefill; the
    one message of the role `raw` is a whole prompt, sent as it stands and completed (see `raw_prompt`)."""
    replicate: int
    """From 0; a declared `sampling.seed` is sent as seed + replicate."""
    hint: Hint | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """What a provider says, in a response's headers, may still be asked of it. None is not said."""

    requests: int | None = None
    """Requests left in the present window."""
    requests_reset_s: float | None = None
    """Seconds until the window of requests is new, from when the response came."""
    tokens: int | None = None
    """Tokens left in the present window."""
    tokens_reset_s: float | None = None
    """Seconds until the window of tokens is new."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a call: a result, whether an answer, an empty one or a provider's refusal."""

    raw: str
    """The provider's payload as JSON text, exactly as received where the backend can see it."""
    blocked: bool = False
    """The provider refused by a content filter: data, not an error."""
    cost: float | None = None
    """Dollars, where the backend was told; None is unknown."""
    fingerprint: str | None = None
    """The provider's `system_fingerprint`, stored so that drift can be reported."""
    sent: str | None = None
    """JSON text of what was effectively sent, where it differs from the declaration; None when it does not."""
    usage: Usage = UNCOUNTED
    """Tokens as the payload counts them; the catalog reads them again from `raw`."""
    quota: Quota | None = None
    """What may still be asked, where the headers say it."""


class CallFailure(Exception):  # noqa: N818 - a failure is the field's word, and a result here
    """One attempt of a call failed. The runner decides by `kind` whether to try again, and stores what is final."""

    def __init__(
        self,
        kind: FailureClass,
        message: str,
        *,
        retry_after_s: float | None = None,
        status: int | None = None,
        quota: Quota | None = None,
        final: bool = False,
    ) -> None:
        """Keep what is known of the attempt. `final`: another one would be paid for and come to the same."""
        super().__init__(f"{kind}: {message}")
        self.kind: FailureClass = kind
        self.message = message
        self.retry_after_s = retry_after_s
        self.status = status
        self.quota = quota
        self.final = final
        self.attempts = 1
        """Attempts made for the call so far; the runner counts them up."""

    @property
    def transient(self) -> bool:
        """Whether another attempt can help."""
        return self.kind in TRANSIENT and not self.final


_RAW_START = '[{"content":"'
_RAW_END = '","role":"raw"}]'


def raw_prompt(messages: str) -> str | None:
    """Return the JSON text of the prompt that messages of the role `raw` hold; None for a conversation.

    `messages` is canonical JSON, in which the quotation marks of a content are escaped, so its end cannot be quoted. Raises
    CallFailure (`bad_request`) for a raw message that does not stand alone.
    """
    if not messages.endswith(_RAW_END):
        return None
    prompt = messages[len(_RAW_START) - 1 : len(_RAW_END) * -1 + 1]
    try:
        alone = messages.startswith(_RAW_START) and isinstance(orjson.loads(prompt), str)
    except orjson.JSONDecodeError:
        alone = False
    if not alone:
        raise CallFailure(
            "bad_request", "a message of the role `raw` is a whole prompt: no other message stands beside it"
        )
    return prompt


class Backend(Protocol):
    """Carries out calls of one model. Made once a fill and model, inside the event loop; closed at the end."""

    async def ask(self, call: Call) -> Reply:
        """Return the reply to one call. Makes one attempt and never retries; raises CallFailure."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...
