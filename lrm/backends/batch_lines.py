"""Reads the lines of a batch's output: which call each answers, and with what.

Format: OpenAI's batch API, one JSON object a line, `{"custom_id", "response": {"status_code", "body"}, "error"}`. The body is
cut out of the line as it stands there, so that what is stored is what was received.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lrm.backends.base import CallFailure, FailureClass, Reply
from lrm.backends.error_body import error_codes, error_text, says_blocked
from lrm.backends.failures import class_of_codes, from_status, redacted
from lrm.backends.http import SHORTEST_REPLACED
from lrm.text import without_surrogates
from lrm.traces.split import first_choice, is_refused, parse_payload, usage

_DECODER = json.JSONDecoder(strict=False)
_SPACE = " \t\r\n"
_ID_BYTES = 32
_NOT_ASKED: dict[str, FailureClass] = {
    "batch_expired": "timeout",
    "batch_cancelled": "server",
    "batch_canceled": "server",
}
"""What becomes of a call that the provider did not come to, by the code in its line."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a line says of one call."""

    call: bytes
    """The id of the call, as the line has it."""
    result: Reply | CallFailure


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the lines of one model's batches."""

    secrets: Sequence[str]
    """What must not be kept: the key."""
    cost: Callable[[dict[str, Any]], float | None]
    """What a response costs, by its payload, in dollars; None is unknown."""

    def read(self, line: bytes) -> Line | None:
        """Return what a line says; None for one that names no call or is no JSON object."""
        try:
            members = members_of(line.decode("utf-8-sig"))
            call = bytes.fromhex(json.loads(members["custom_id"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        return Line(call, self._result(members)) if len(call) == _ID_BYTES else None

    def _result(self, members: dict[str, str]) -> Reply | CallFailure:
        try:
            response = members_of(members["response"])
            body = response["body"]
            status = json.loads(response["status_code"])
        except (ValueError, KeyError, RecursionError):
            return self._error(members.get("error", "null"))
        if type(status) is not int:
            return self._error(members.get("error", "null"))
        if body.startswith('"'):
            body = without_surrogates(json.loads(body))  # the body as text: what was received is what the text says
        payload = parse_payload(body)
        return self._reply(payload, body) if 200 <= status < 300 else self._refusal(status, payload, body)

    def _reply(self, payload: dict[str, Any] | None, body: str) -> Reply | CallFailure:
        choice = None if payload is None else first_choice(payload)
        if payload is None or choice is None:
            return self._no_choice(payload, body)
        fingerprint = payload.get("system_fingerprint")
        return Reply(
            self._without_key(body),
            blocked=is_refused(choice),
            cost=self.cost(payload),
            fingerprint=fingerprint if isinstance(fingerprint, str) else None,
            usage=usage(payload),
        )

    def _no_choice(self, payload: dict[str, Any] | None, body: str) -> Reply | CallFailure:
        """Return what a success without a completion is: often an error, which some gateways send with status 200."""
        inner = None if payload is None else payload.get("error")
        if not isinstance(inner, dict):
            return CallFailure("bad_payload", "the response has no `choices`", status=200)
        if says_blocked(payload):
            return Reply(self._without_key(body), blocked=True)
        code = inner.get("code")
        if type(code) is int and 400 <= code < 600:
            return self._refusal(code, payload, body)
        kind = class_of_codes(error_codes(payload)) or "bad_payload"
        return CallFailure(kind, redacted(error_text(payload, body), self.secrets), status=200)

    def _refusal(self, status: int, payload: dict[str, Any] | None, body: str) -> Reply | CallFailure:
        if says_blocked(payload):
            return Reply(self._without_key(body), blocked=True)
        return from_status(status, payload, body, headers={}, secrets=self.secrets)

    def _error(self, text: str) -> CallFailure:
        """Return the failure of a call that was not carried out."""
        error = parse_payload(text) or {}
        code = error.get("code")
        kind = _NOT_ASKED.get(code) if isinstance(code, str) else None
        kind = kind or class_of_codes(error_codes(error)) or "server"
        return CallFailure(
            kind, redacted(error_text(error, "the line holds neither a response nor an error"), self.secrets)
        )

    def _without_key(self, raw: str) -> str:
        for secret in self.secrets:
            if len(secret) >= SHORTEST_REPLACED:
                raw = raw.replace(secret, "[key]")
        return raw


def members_of(text: str) -> dict[str, str]:
    """Return the members of a JSON object, each value as its text; of a name that stands twice, the last.

    Raises ValueError for anything but one object.
    """
    at = _after_space(text, 0)
    if text[at : at + 1] != "{":
        raise ValueError("not a JSON object")
    members: dict[str, str] = {}
    at = _after_space(text, at + 1)
    while text[at : at + 1] != "}":
        if members:
            at = _after_space(text, _expect(text, at, ","))
        name, at = _DECODER.raw_decode(text, at)
        if not isinstance(name, str):
            raise ValueError("a name that is no string")  # noqa: TRY004  all that is no object is a ValueError
        start = _after_space(text, _expect(text, _after_space(text, at), ":"))
        _, at = _DECODER.raw_decode(text, start)
        members[name] = text[start:at]
        at = _after_space(text, at)
    if _after_space(text, at + 1) != len(text):
        raise ValueError("more than one JSON value")
    return members


def _expect(text: str, at: int, sign: str) -> int:
    if text[at : at + 1] != sign:
        raise ValueError(f"no `{sign}` where one belongs")
    return at + 1


def _after_space(text: str, at: int) -> int:
    while text[at : at + 1] in _SPACE and at < len(text):
        at += 1
    return at
