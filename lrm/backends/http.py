"""Asks any OpenAI-compatible server over plain pooled HTTP: one POST a call, to `{endpoint}/chat/completions`.

A call whose one message has the role `raw` is a prompt, and goes to `{endpoint}/completions`. The body is spliced from
bytes: what does not change is written once for a model, and a call's messages go in as they are, which is also how they
were hashed.

A connection that is kept is used again within four seconds or not at all, because many servers (uvicorn, Node) close theirs
after five. Where a server still closes one just as a call goes out on it, that is a `connection` failure as any other and
costs an attempt: the call was written, nothing tells whether the server read it, and it may have been paid for.
"""

from __future__ import annotations

import asyncio
import io
import urllib.request
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson

from lrm import __version__
from lrm.backends.base import Call, CallFailure, Reply, raw_prompt
from lrm.backends.connector import clean_connector
from lrm.backends.error_body import error_payload, error_text, says_blocked
from lrm.backends.failures import class_inside, from_status, redacted
from lrm.backends.keys import declared_key, url_secrets
from lrm.backends.quota import quota_of
from lrm.backends.seeds import seed_of
from lrm.errors import ModelError
from lrm.registry.declarations import Model
from lrm.traces import prefill
from lrm.traces.split import first_choice, is_refused, parse_payload, usage

MAX_BODY_BYTES = 64 * 2**20
"""A longer response is refused: no chat completion is that long."""

_STREAMED_FROM_BYTES = 2**20
_KEPT_S = 4.0
_BLOCK_STATUSES = frozenset({400, 403, 422, 451})
SHORTEST_REPLACED = 8
"""Shorter keys are placeholders such as `EMPTY`; in a reply they may be ordinary words."""


class HttpBackend:
    """Carries out calls of one model over one connection pool. Made inside the event loop."""

    def __init__(self, model: Model, *, key: str | None = None, room: int | None = None) -> None:
        """Open the pool. Raises ModelError when the model cannot be asked as it is declared.

        `key` is sent instead of the declared one. `room`: tokens that a server of vLLM's has for prompt and reply together;
        where it is given, a prompt is completed as far as that goes, as an answer is, and not for 16 tokens.
        """
        import aiohttp
        from yarl import URL

        if model.endpoint is None:
            raise ModelError(f"model `{model.model}` has no `endpoint`")
        self._head, self._prefilled = body_head(model)
        self._raw_head = raw_body_head(model, room)
        self._model = model
        key = key or declared_key(model)
        url = chat_url(str(model.endpoint))
        proxy = proxy_for(url)
        self._secrets = (*([key] if key else []), *url_secrets(url), *url_secrets(proxy or ""))
        self._replaced = tuple(secret for secret in self._secrets if len(secret) >= SHORTEST_REPLACED)
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": f"lrm/{__version__}"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._url = URL(url)
        self._raw_url = URL(completions_url(str(model.endpoint)))
        self._timeout_s = model.limits.timeout_s
        self._stall_s = model.limits.stall_s
        self._choiceless: set[bytes] = set()
        self._session = aiohttp.ClientSession(
            # What is in flight is the runner's to bound, and may be more than was declared when it began.
            connector=clean_connector()(limit=0, keepalive_timeout=_KEPT_S),
            timeout=aiohttp.ClientTimeout(total=model.limits.timeout_s),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=proxy,
        )

    async def ask(self, call: Call) -> Reply:
        """Return the reply to one call; raises CallFailure. One attempt, no redirect followed."""
        prompt = raw_prompt(call.messages)
        url = self._url if prompt is None else self._raw_url
        body = self._body(call) if prompt is None else self._raw_body(call, prompt)
        data = body if len(body) < _STREAMED_FROM_BYTES else io.BytesIO(body)
        try:
            async with self._session.post(url, data=data, allow_redirects=False) as response:
                received = _whole(response) or await _read(response, self._stall_s)
                status, headers = response.status, response.headers
        except CallFailure:
            raise
        except TimeoutError as error:
            raise CallFailure("timeout", f"no answer within {self._timeout_s:g} s") from error
        except Exception as error:
            raise self._broken(error) from error
        if 200 <= status < 300:
            return self._reply(call, status, received, headers)
        return self._refusal(status, received, headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def _body(self, call: Call) -> bytes:
        """Return the request's body: the model's part, the messages as they are, the call's seed, prefill fields."""
        parts = [self._head, b',"messages":', call.messages.encode()]
        seed = seed_of(self._model, call)
        if seed is not None:
            parts.append(b',"seed":%d' % seed)
        if call.messages.endswith(prefill.END):
            parts.append(self._prefilled)
        parts.append(b"}")
        return b"".join(parts)

    def _raw_body(self, call: Call, prompt: str) -> bytes:
        """Return the body of a request that completes a prompt, given as the JSON text that was hashed."""
        parts = [self._raw_head, b',"prompt":', prompt.encode()]
        seed = seed_of(self._model, call)
        if seed is not None:
            parts.append(b',"seed":%d' % seed)
        parts.append(b"}")
        return b"".join(parts)

    def _reply(self, call: Call, status: int, received: bytes, headers: Any) -> Reply:
        """Return the reply that a success is; raises CallFailure when it is no completion."""
        try:
            raw = received.decode()
            payload = parse_payload(raw)
        except UnicodeDecodeError as error:
            raise CallFailure("bad_payload", f"the response is not UTF-8: {error.reason}", status=status) from error
        choice = None if payload is None else first_choice(payload)
        if payload is None or choice is None:
            return self._no_choice(call, status, raw, headers)
        if choice.get("finish_reason") == "error":
            raise self._error_inside(choice, error_text(choice, "the provider broke off"), headers) or CallFailure(
                "server", redacted(error_text(choice, "the provider broke off"), self._secrets), status=status
            )
        raw = self._without_secrets(raw)
        fingerprint = payload.get("system_fingerprint")
        return Reply(
            raw,
            blocked=is_refused(choice),
            cost=_reported_cost(payload),
            fingerprint=fingerprint if isinstance(fingerprint, str) else None,
            usage=usage(payload),
            quota=quota_of(headers),
        )

    def _no_choice(self, call: Call, status: int, raw: str, headers: Any) -> Reply:
        """Return a blocked reply where a success says that a filter refused; raises CallFailure otherwise.

        What is no JSON comes from something between, and is asked again. JSON without a completion may be a slip of the
        provider's; when the same call gets it twice it is what the server answers, and further ones would only be paid for.
        """
        payload = error_payload(raw)
        if payload is None:
            what = f"the response is not JSON: {raw}" if raw.strip() else f"HTTP {status} without a body"
            raise CallFailure("bad_payload", redacted(what, self._secrets), status=status)
        if payload.get("error") is not None and says_blocked(payload):
            return self._blocked(raw, payload, headers)
        inside = self._error_inside(payload, raw, headers)
        if inside is not None:
            raise inside
        said = redacted(f"the response has no `choices`: {error_text(payload, raw)}", self._secrets)
        twice = call.id in self._choiceless
        self._choiceless.add(call.id)
        raise CallFailure("bad_payload", said, status=status, quota=quota_of(headers), final=twice)

    def _error_inside(self, payload: dict[str, Any], text: str, headers: Any) -> CallFailure | None:
        """Return the failure that an error inside a success is, where it says by a status or a code which; None elsewhere."""
        error = payload.get("error")
        if not isinstance(error, dict):
            return None
        code = error.get("code")
        if type(code) is int and 400 <= code < 600:
            return from_status(code, payload, text, headers=headers, secrets=self._secrets)
        kind = class_inside(payload)
        if kind is None:
            return None
        said = redacted(error_text(payload, text), self._secrets)
        return CallFailure(kind, said, status=200, quota=quota_of(headers))

    def _refusal(self, status: int, received: bytes, headers: Any) -> Reply:
        """Return a blocked reply where an error says that a content filter refused; raises CallFailure otherwise."""
        body = received.decode(errors="replace")
        payload = error_payload(body)
        if payload is not None and status in _BLOCK_STATUSES and says_blocked(payload):
            return self._blocked(body, payload, headers)
        raise from_status(status, payload, body, headers=headers, secrets=self._secrets)

    def _blocked(self, body: str, payload: dict[str, Any], headers: Any) -> Reply:
        raw = self._without_secrets(body)
        return Reply(raw, blocked=True, usage=usage(payload), quota=quota_of(headers))

    def _broken(self, error: Exception) -> CallFailure:
        """Return the failure that an exception of the connection is."""
        import aiohttp

        if isinstance(error, aiohttp.ClientResponseError):
            return CallFailure("bad_payload", self._words("not an HTTP response", error))
        if isinstance(error, (aiohttp.ClientError, OSError)):
            return CallFailure("connection", self._words("no connection, or it broke off", error))
        return CallFailure("internal", self._words(type(error).__name__, error))

    def _without_secrets(self, raw: str) -> str:
        for secret in self._replaced:
            if secret in raw:
                raw = raw.replace(secret, "[key]")
        return raw

    def _words(self, what: str, error: Exception) -> str:
        return redacted(f"{what}: {str(error) or type(error).__name__}", self._secrets)


def _whole(response: Any) -> bytes:
    """Return the body of a response that came together with its head, as most do; empty where it did not."""
    if not response.content.is_eof() or not _is_bounded(response):
        return b""
    whole: bytes = response.content.read_nowait()
    return whole


def _is_bounded(response: Any) -> bool:
    length = response.content_length
    return length is not None and length <= MAX_BODY_BYTES and "Content-Encoding" not in response.headers


async def _read(response: Any, stall_s: float | None) -> bytes:
    """Return the response's body; raises CallFailure when it is longer than MAX_BODY_BYTES, or stops on the way.

    `stall_s`: seconds without a byte, counted from the body's first, after which it is given up; None: never.
    """
    if stall_s is None and _is_bounded(response):
        whole: bytes = await response.read()
        return whole
    received = bytearray()
    patience = asyncio.timeout(None)
    now = asyncio.get_running_loop().time
    try:
        async with patience:
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > MAX_BODY_BYTES:
                    response.close()
                    said = f"the response is longer than {MAX_BODY_BYTES >> 20} MiB"
                    raise CallFailure("bad_payload", said, final=True)
                if stall_s is not None:
                    patience.reschedule(now() + stall_s)
    except TimeoutError as error:
        if not patience.expired():
            raise
        said = f"the reply stalled: {len(received)} bytes came, then none for {stall_s:g} s"
        raise CallFailure("timeout", said) from error
    return bytes(received)


def _reported_cost(payload: dict[str, Any]) -> float | None:
    """Return the dollars that a provider reports in `usage.cost` (OpenRouter does); None where it does not."""
    counted = payload.get("usage")
    cost = counted.get("cost") if isinstance(counted, dict) else None
    return float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) and cost >= 0 else None


def body_head(model: Model) -> tuple[bytes, bytes]:
    """Return the request's body as far as it is the same for every call, left open, and the fields that a prefill adds."""
    rendered = {"return_prompt_text": True} if model.backend == "vllm" else {}
    fields = {"model": model.model, **_of_engine(model), **rendered, **request_fields(model), **model.extra_body}
    prefill = {"continue_final_message": True, "add_generation_prompt": False}
    added = {name: value for name, value in prefill.items() if name not in model.extra_body}
    return orjson.dumps(fields)[:-1], (b"," + orjson.dumps(added)[1:-1]) if added else b""


def raw_body_head(model: Model, room: int | None = None) -> bytes:
    """Return the body of a request that completes a prompt, as far as it is the same for every call, left open."""
    most = {} if room is None else {"max_tokens": room}
    fields = {"model": model.model, **_of_engine(model), **most, **raw_request_fields(model), **model.extra_body}
    return orjson.dumps(fields)[:-1]


def _of_engine(model: Model) -> dict[str, Any]:
    """Return what makes a server of vLLM's give all that its engine gives: tags that are special tokens, and token ids."""
    return {"skip_special_tokens": False, "return_token_ids": True} if model.backend == "vllm" else {}


def raw_request_fields(model: Model) -> dict[str, Any]:
    """Return the declared sampling as fields of a request that completes a prompt; the seed is the call's.

    Effort and thinking switch are for the server's chat template, which writes none of such a prompt.
    """
    fields: dict[str, Any] = model.sampling.model_dump(mode="json", exclude_none=True, exclude={"seed"})
    return fields


def request_fields(model: Model) -> dict[str, Any]:
    """Return the declared sampling, effort and thinking switch as fields of a chat request; the seed is the call's."""
    fields = raw_request_fields(model)
    alternatives = fields.pop("logprobs", None)
    if alternatives is not None:
        fields["logprobs"] = True
        fields["top_logprobs"] = alternatives
    if model.thinking.effort is not None:
        fields["reasoning_effort"] = model.thinking.effort
    if model.thinking.switch is not None:
        fields["chat_template_kwargs"] = model.thinking.switch
    return fields


def chat_url(endpoint: str) -> str:
    """Return the URL of chat completions under a base URL; a query stays (gateways put the API's version there)."""
    return _below(endpoint, "/chat/completions")


def completions_url(endpoint: str) -> str:
    """Return the URL of completions of a prompt under a base URL; a query stays."""
    return _below(endpoint, "/completions")


def _below(endpoint: str, path: str) -> str:
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path, fragment=""))


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for `url`; None for none, and always for this machine itself."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host == "localhost" or host.endswith(".localhost") or host == "::1" or host.startswith("127."):
        return None
    if urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is not None and proxy.startswith(("http://", "https://")) else None
