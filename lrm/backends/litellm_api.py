"""Asks any API that litellm knows. One attempt a call: litellm's own retries are off, because they ignore Retry-After.

litellm is imported when the first model is opened. It is kept from the network but for the calls themselves: the price
table and the other tables are the bundled ones, no tokenizer is fetched, nothing is reported, no `.env` file is read.

A reply that has begun and stalls cannot be told from one that takes long: only `limits.timeout_s` counts here, not `stall_s`.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import orjson

from lrm.backends.base import Call, CallFailure, Reply, raw_prompt
from lrm.backends.error_body import error_text, says_blocked
from lrm.backends.failures import class_inside, from_status, redacted
from lrm.backends.http import SHORTEST_REPLACED, raw_request_fields, request_fields
from lrm.backends.keys import declared_key, url_secrets
from lrm.backends.litellm_error import causes_of, error_payload_of, message_of, plain_headers
from lrm.backends.pool import ANY_SERVER
from lrm.backends.quota import quota_of
from lrm.errors import ModelError
from lrm.registry.declarations import Model
from lrm.text import without_surrogates
from lrm.traces.split import first_choice, is_refused, usage

_NO_KEY = "no-key-declared"
_CONNECTIONS = {
    "AIOHTTP_CONNECTOR_LIMIT": "100000",
    "AIOHTTP_CONNECTOR_LIMIT_PER_HOST": "100000",
    "AIOHTTP_KEEPALIVE_TIMEOUT": "4",
}
"""litellm's settings for its connections, read as it is imported. What is in flight is the runner's to bound, and a connection
is not kept for so long that the server has closed it when it is used again (see `lrm.backends.http`)."""
_open_backends = 0


def load_litellm() -> Any:
    """Import litellm once, quietly and cut off from the network; return the module. Raises ModelError without it."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")  # any other reads the folder's `.env`
    for name, value in _CONNECTIONS.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import litellm

            litellm.ModelResponse()  # its schema is built late, and pydantic warns about litellm's types then
    except ImportError as error:
        raise ModelError(
            f"backend `litellm` cannot import its package: {error}", hint="install lrm again, or `pip install litellm`"
        ) from error
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # pydantic quotes what a server sent where litellm's types do not expect it; that is no talk for the user's terminal
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
    litellm.suppress_debug_info = True
    litellm.drop_params = False
    litellm.disable_hf_tokenizer_download = True
    litellm.telemetry = False  # pyright: ignore[reportAttributeAccessIssue]  it reads it, and does not declare it
    for callbacks in ("callbacks", "success_callback", "failure_callback", "input_callback"):
        getattr(litellm, callbacks).clear()
    _follow_no_redirects()
    _send_once()
    return litellm


def _follow_no_redirects() -> None:
    """Make the clients that litellm opens follow no redirect: httpx takes the prompt and some makes of key to any host.

    litellm has no setting for it, so the two functions that make its clients are wrapped, once.
    """
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler
    from litellm.llms.openai.common_utils import BaseOpenAILLM

    def staying(make: Any) -> Any:
        @functools.wraps(make)
        def made(*arguments: Any, **named: Any) -> Any:
            client = make(*arguments, **named)
            if client is not None:
                client.follow_redirects = False
            return client

        return made

    if not hasattr(AsyncHTTPHandler.create_client, "__wrapped__"):
        AsyncHTTPHandler.create_client = staying(AsyncHTTPHandler.create_client)
        BaseOpenAILLM._get_async_http_client = staticmethod(staying(BaseOpenAILLM._get_async_http_client))  # noqa: SLF001


def _send_once() -> None:
    """Make litellm's own client send each request once, on a connection on which nothing waits.

    litellm sends a request again by itself when the connection broke, which no setting turns off and nobody would count.
    """
    import litellm.llms.custom_httpx.http_handler as handlers

    from lrm.backends.connector import clean_connector

    async def refused(*_: Any, **__: Any) -> None:
        # It is called while the error of the first request is being handled.
        raise sys.exc_info()[1] or RuntimeError("litellm repeats a request")

    http_handler: Any = handlers  # what is replaced is litellm's own business, which its types do not offer
    http_handler.TCPConnector = clean_connector()
    http_handler.AsyncHTTPHandler.single_connection_post_request = refused


def request_arguments(model: Model) -> dict[str, Any]:
    """Return the arguments of `litellm.acompletion` that are the same for every call, but for the key."""
    arguments = _arguments(model, request_fields(model))
    if model.thinking.budget_tokens is not None:
        arguments["thinking"] = {"type": "enabled", "budget_tokens": model.thinking.budget_tokens}
    return arguments


def raw_request_arguments(model: Model) -> dict[str, Any]:
    """Return the arguments of `litellm.atext_completion` that are the same for every call, but for the key."""
    return _arguments(model, raw_request_fields(model))


def _arguments(model: Model, fields: dict[str, Any]) -> dict[str, Any]:
    arguments = {"model": model.model, **fields, "timeout": model.limits.timeout_s, "max_retries": 0}
    if model.extra_body:
        arguments["extra_body"] = dict(model.extra_body)
    if model.endpoint is not None:
        arguments["api_base"] = str(model.endpoint).rstrip("/")
    return arguments


class LitellmBackend:
    """Carries out calls of one model through litellm. Made inside the event loop."""

    def __init__(self, model: Model) -> None:
        """Import litellm and check provider and key. Raises ModelError when the model cannot be asked as declared."""
        global _open_backends  # noqa: PLW0603  litellm's clients belong to the process, not to a backend
        self._arguments = request_arguments(model)
        self._raw_arguments = raw_request_arguments(model)
        key = declared_key(model)
        self._litellm = load_litellm()
        provider = _provider(self._litellm, model)
        self._raw_client: Any = None
        self._any_server = model.endpoint is not None and provider in ANY_SERVER
        if key is not None:
            self._give_key(key)
        elif self._any_server:
            self._give_key(_NO_KEY)  # the provider's own key is for the provider, not for any endpoint
        else:
            _check_own_key(self._litellm, model)
        self._secrets = (*([key] if key else []), *url_secrets(str(model.endpoint or "")))
        self._seed = None if "seed" in model.extra_body else model.sampling.seed
        self._timeout_s = model.limits.timeout_s
        self._closed = False
        self._choiceless: set[bytes] = set()
        _open_backends += 1

    async def ask(self, call: Call) -> Reply:
        """Return the reply to one call; raises CallFailure. A prefilled assistant message is passed on as it is."""
        prompt = raw_prompt(call.messages)
        if prompt is not None:
            self._open_raw_client()
        arguments = self._arguments if prompt is None else self._raw_arguments
        if self._seed is not None:
            arguments = {**arguments, "seed": self._seed + call.replicate}
        try:
            async with asyncio.timeout(self._timeout_s):
                if prompt is None:
                    response = await self._litellm.acompletion(messages=orjson.loads(call.messages), **arguments)
                else:
                    response = await self._litellm.atext_completion(prompt=orjson.loads(prompt), **arguments)
        except TimeoutError as error:
            raise CallFailure("timeout", f"no answer within {self._timeout_s:g} s") from error
        except Exception as error:
            return self._failed(call, error)
        return self._reply(call, response)

    async def close(self) -> None:
        """Close litellm's connections when no other backend of this process uses them."""
        global _open_backends  # noqa: PLW0603
        if self._closed:
            return
        self._closed = True
        _open_backends -= 1
        if self._raw_client is not None:
            await self._raw_client.close()
        if _open_backends == 0:
            await _close_clients(self._litellm)

    def _give_key(self, key: str) -> None:
        self._arguments["api_key"] = self._raw_arguments["api_key"] = key

    def _open_raw_client(self) -> None:
        """Open the client that prompts are sent with. litellm keeps one for chats, but makes a new one for each prompt."""
        if self._raw_client is not None or not self._any_server:
            return
        import httpx
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        key, url = self._raw_arguments["api_key"], self._raw_arguments["api_base"]
        unbounded = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=4.0)
        staying = DefaultAsyncHttpxClient(follow_redirects=False, limits=unbounded)
        self._raw_client = AsyncOpenAI(
            api_key=key, base_url=url, timeout=self._timeout_s, max_retries=0, http_client=staying
        )
        self._raw_arguments["client"] = self._raw_client

    def _reply(self, call: Call, response: Any) -> Reply:
        """Return the reply that litellm's response is; raises CallFailure where it has no choice."""
        payload = response.model_dump(warnings=False)
        hidden = response._hidden_params  # noqa: SLF001  litellm documents it as the place of cost and headers
        headers = plain_headers(hidden.get("additional_headers"))
        choice = first_choice(payload)
        if choice is None:
            raise self._without_choice(call, "the response has no `choices`")
        if isinstance(payload.get("error"), dict) and choice.get("message") is None and choice.get("text") is None:
            raise self._wrapped(payload, headers)
        cost = hidden.get("response_cost")
        fingerprint = payload.get("system_fingerprint")
        return Reply(
            self._without_key(_json(payload)),
            blocked=is_refused(choice),
            cost=float(cost) if isinstance(cost, int | float) else None,
            fingerprint=fingerprint if isinstance(fingerprint, str) else None,
            usage=usage(payload),
            quota=quota_of(headers),
        )

    def _wrapped(self, payload: dict[str, Any], headers: Mapping[str, str]) -> CallFailure:
        """Return the failure that an error inside a success is; litellm passes one on beside an empty completion."""
        code = payload["error"].get("code")
        said = error_text(payload, "the response is an error")
        if type(code) is int and 400 <= code < 600:
            return from_status(code, payload, said, headers=headers, secrets=self._secrets)
        kind = class_inside(payload) or "bad_payload"
        return CallFailure(kind, redacted(said, self._secrets), status=200, quota=quota_of(headers))

    def _failed(self, call: Call, error: Exception) -> Reply:
        """Return a blocked reply where the provider refused by a content filter; raises CallFailure for all else."""
        exceptions = self._litellm.exceptions
        payload = error_payload_of(error)
        if isinstance(error, exceptions.ContentPolicyViolationError) or says_blocked(payload):
            headers = plain_headers(getattr(error, "litellm_response_headers", None))
            return Reply(self._without_key(_json(payload)), blocked=True, quota=quota_of(headers))
        raise self._failure(call, error, payload) from error

    def _failure(self, call: Call, error: Exception, payload: dict[str, Any]) -> CallFailure:
        """Return the failure that an exception of litellm's is."""
        import httpx

        causes = list(causes_of(error))
        said = redacted(message_of(error), self._secrets)
        unanswered = self._unanswered(error, causes, said)
        if unanswered is not None:
            return unanswered
        status = getattr(error, "status_code", None)
        if not isinstance(status, int):
            return CallFailure("internal", f"{type(error).__name__}: {said}")
        an_http_error = any(isinstance(cause, httpx.HTTPStatusError) for cause in causes)
        if 200 <= status < 300 or (status == 500 and not an_http_error):
            return CallFailure("bad_payload", said)  # litellm says 500 for a success that it cannot read, too
        if not an_http_error and any(getattr(cause, "status_code", None) == 422 for cause in causes):
            # what litellm makes of an error inside a success that names no status
            kind = class_inside(payload)
            return self._without_choice(call, said) if kind is None else CallFailure(kind, said, status=200)
        headers = plain_headers(getattr(error, "litellm_response_headers", None))
        return from_status(status, payload, said, headers=headers, secrets=self._secrets)

    def _unanswered(self, error: Exception, causes: list[BaseException], said: str) -> CallFailure | None:
        """Return the failure that litellm or its client names by a class of its own; None where it has only a status."""
        import httpx

        exceptions = self._litellm.exceptions
        if isinstance(error, exceptions.Timeout) or any(isinstance(cause, httpx.TimeoutException) for cause in causes):
            return CallFailure("timeout", said)
        if isinstance(error, exceptions.ContextWindowExceededError):
            return CallFailure("context_too_long", said, status=400)
        if any(isinstance(cause, httpx.TransportError) for cause in causes):
            return CallFailure("connection", said)
        return None

    def _without_choice(self, call: Call, said: str) -> CallFailure:
        """Return the failure that a success without a completion is.

        As over plain HTTP: the second time it is what the provider answers, and each further one would only be paid for.
        """
        twice = call.id in self._choiceless
        self._choiceless.add(call.id)
        return CallFailure("bad_payload", said, status=200, final=twice)

    def _without_key(self, raw: str) -> str:
        for secret in self._secrets:
            if len(secret) >= SHORTEST_REPLACED:
                raw = raw.replace(secret, "[key]")
        return raw


def _provider(litellm: Any, model: Model) -> str:
    """Return litellm's name of the provider; raises ModelError where it finds none in the model's name."""
    try:
        _, provider, _, _ = litellm.get_llm_provider(model.model, api_base=model.endpoint and str(model.endpoint))
    except litellm.exceptions.BadRequestError as error:
        raise ModelError(
            f"litellm finds no provider in `{model.model}`",
            hint="write PROVIDER/MODEL, e.g. `openai/gpt-4o`, `anthropic/…`, `openrouter/…`, `hosted_vllm/…`",
        ) from error
    return str(provider)


def _check_own_key(litellm: Any, model: Model) -> None:
    """Raise ModelError where the one thing that litellm misses is the provider's key in the environment."""
    missing = litellm.validate_environment(model.model).get("missing_keys") or []
    if len(missing) == 1 and missing[0].endswith("_API_KEY"):
        raise ModelError(
            f"model `{model.model}` needs the environment variable `{missing[0]}`, which is not set",
            hint="set it, or name another variable in the model's `api_key_env`",
        )


async def _close_clients(litellm: Any) -> None:
    """Close litellm's clients and forget them, and stop its background worker."""
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    await GLOBAL_LOGGING_WORKER.flush()
    await GLOBAL_LOGGING_WORKER.stop()
    await litellm.close_litellm_async_clients()
    litellm.in_memory_llm_clients_cache.flush_cache()


def _json(payload: dict[str, Any]) -> str:
    """Return a payload as JSON text; what JSON or UTF-8 cannot hold becomes U+FFFD or its text."""
    try:
        return orjson.dumps(payload).decode()
    except (TypeError, ValueError):
        return without_surrogates(json.dumps(payload, ensure_ascii=False, default=str))
