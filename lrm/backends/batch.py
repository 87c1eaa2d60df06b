"""Speaks to a provider's batch endpoint through litellm: a file of requests goes up, a file of responses comes back.

litellm offers batches of more providers than are taken here. What is needed beside making one is to find a batch again by a
mark of ours after a kill between the request that made it and its answer, and lines in OpenAI's form; see `REFUSED`.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import functools
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import IO, Any

import orjson

from lrm.backends.base import Call, CallFailure, raw_prompt
from lrm.backends.batch_lines import Reader
from lrm.backends.failures import from_status, redacted
from lrm.backends.keys import declared_key
from lrm.backends.litellm_api import LitellmBackend, load_litellm, raw_request_arguments, request_arguments
from lrm.backends.pool import ANY_SERVER
from lrm.errors import ModelError
from lrm.registry.declarations import Model

PROVIDERS = frozenset({"openai", "azure", "hosted_vllm", "litellm_proxy"})
"""litellm's providers whose batches are used."""
NEEDS_ENDPOINT = frozenset({"hosted_vllm", "litellm_proxy"})
"""Providers without a server of their own: without an endpoint litellm would send the file to OpenAI."""
STREAMED = PROVIDERS - {"azure"}
"""Providers whose files litellm hands on piece by piece; another's is held in memory as a whole."""
_NO_LISTING = "litellm cannot list its batches by a mark of ours, so one that was made just before a crash would be paid for twice"
_NO_METADATA = "litellm passes no mark of ours on to it, so a batch made just before a crash would be paid for twice"
REFUSED = {
    "anthropic": "litellm reads its batches and cannot make any",
    "bedrock": _NO_LISTING,
    "mistral": _NO_LISTING,
    "vertex_ai": _NO_METADATA,
    "xai": "lrm has not been tried with the form of its batches",
}
"""Providers of whose batches litellm offers something, and why that is not enough."""

MARK = "lrm"
"""The name of our key in a batch's metadata."""
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
POLL_TIMEOUT_S = 120.0
LISTED = 100
CHUNK_BYTES = 1 << 20
_NO_KEY = "no-key-declared"
_OWN_FIELDS = ("model", "timeout", "max_retries", "api_base", "extra_body")


@dataclass(frozen=True, slots=True)
class Fault:
    """What a provider says is wrong with a batch."""

    code: str | None
    message: str
    line: int | None
    """Number of the line in the file, from 1."""


@dataclass(frozen=True, slots=True)
class BatchState:
    """A batch as its provider describes it."""

    id: str
    status: str
    mark: str | None
    """Our key."""
    created_at: float | None
    """Unix time."""
    output: str | None
    """Id of the file of responses."""
    errors: str | None
    """Id of the file of requests that failed."""
    completed: int
    """Lines that are to be in the file of responses."""
    failed: int
    faults: tuple[Fault, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDED

    @property
    def withholds(self) -> bool:
        """Whether it counts responses and names no file of them, as some do for a moment after the end."""
        return self.output is None and self.completed > 0


class BatchApi:
    """One model's batches at its provider. Made inside the event loop. Every method makes one attempt, and raises CallFailure."""

    def __init__(self, model: Model) -> None:
        """Import litellm and check provider and key. Raises ModelError when the model cannot be asked by batches."""
        litellm = self._litellm = load_litellm()
        self._clients: dict[str, Any] = {}
        self._model, self.provider = _model_and_provider(litellm, model)
        key = declared_key(model)
        self._secrets = () if key is None else (key,)
        self._seed = None if "seed" in model.extra_body else model.sampling.seed
        self._timeout_s = model.limits.timeout_s
        endpoint = None if model.endpoint is None else str(model.endpoint).rstrip("/")
        if key is None and endpoint is not None and self.provider in ANY_SERVER:
            key = _NO_KEY  # the provider's own key is for the provider, not for any endpoint
        self._who = {"custom_llm_provider": self.provider, "api_base": endpoint, "api_key": key, "max_retries": 0}
        self._chat = _chat_body(self._model, self.provider, request_arguments(model), model.extra_body)
        self._completion = {"model": self._model, **_fields(raw_request_arguments(model)), **model.extra_body}
        self.reader = Reader(self._secrets, self._cost_reader())
        self._backend = LitellmBackend(model)  # it checks the provider's own key, and closes what litellm opened
        _use_own_clients()

    def line(self, call: Call) -> tuple[str, bytes]:
        """Return the endpoint of a call and its line in a file of requests, without an end of line."""
        prompt = raw_prompt(call.messages)
        if prompt is None:
            endpoint, body = CHAT, self._chat(orjson.loads(call.messages))
        else:
            endpoint, body = COMPLETIONS, {**self._completion, "prompt": orjson.loads(prompt)}
        if self._seed is not None:
            body["seed"] = self._seed + call.replicate
        line = {"custom_id": call.id.hex(), "method": "POST", "url": endpoint, "body": body}
        return endpoint, orjson.dumps(line)

    async def upload(self, file: IO[bytes], name: str) -> str:
        """Send a file of requests; return its id."""
        file.seek(0)
        sent = (f"{name}.jsonl", file, "application/jsonl")
        made = await self._attempt(self._litellm.acreate_file, self._timeout_s, file=sent, purpose="batch")
        return str(made.id)

    async def create(self, file: str, endpoint: str, key: str) -> BatchState:
        """Have a file carried out as the batch with our key."""
        batch = await self._attempt(
            self._litellm.acreate_batch, POLL_TIMEOUT_S, completion_window="24h", endpoint=endpoint, input_file_id=file,
            metadata={MARK: key},
        )  # fmt: skip
        return _state(batch)

    async def retrieve(self, batch: str) -> BatchState:
        """Return how far a batch is."""
        # Without that word litellm fetches the whole file of responses of a batch that has ended, to log its cost.
        quiet = {"batch_ignore_default_logging": True}
        return _state(
            await self._attempt(self._litellm.aretrieve_batch, POLL_TIMEOUT_S, batch_id=batch, litellm_metadata=quiet)
        )

    async def find(self, key: str, since: float) -> BatchState | None:
        """Return the batch with our key among those that the provider lists; None when there is none.

        Batches are listed from the newest on; what was made before `since` (Unix time) is not looked at.
        """

        async def look() -> BatchState | None:
            async for batch in await self._litellm.alist_batches(limit=LISTED, timeout=POLL_TIMEOUT_S, **self._who):
                state = _state(batch)
                if state.mark == key:
                    return state
                if state.created_at is not None and state.created_at < since:
                    return None
            return None

        found: BatchState | None = await self._attempt(look, self._timeout_s, plain=True)
        return found

    async def download(self, file_id: str, into: IO[bytes]) -> None:
        """Write a file of the provider's into `into`, from its begin."""
        into.seek(0)
        into.truncate()

        async def fetch() -> None:
            async for piece in self._pieces(file_id):
                await asyncio.to_thread(into.write, piece)

        await self._attempt(fetch, max(self._timeout_s, 600.0), plain=True)
        into.flush()

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()
        await self._backend.close()

    async def _pieces(self, file_id: str) -> AsyncIterator[bytes]:
        ask = functools.partial(self._litellm.afile_content, file_id=file_id, timeout=self._timeout_s, **self._who)
        if self.provider not in STREAMED:
            content = (await ask()).content
            for at in range(0, len(content), CHUNK_BYTES):
                yield content[at : at + CHUNK_BYTES]
            return
        async for piece in (await ask(stream=True, chunk_size=CHUNK_BYTES)).stream_iterator:
            yield piece

    async def _attempt(
        self, function: Callable[..., Any], timeout_s: float, *, plain: bool = False, **arguments: Any
    ) -> Any:
        """Await what `function` does, with our own clients; `plain`: it takes neither timeout nor who asks."""
        arguments = arguments if plain else {**self._who, **arguments, "timeout": timeout_s}
        token = _OWN.set(self._clients)
        try:
            async with asyncio.timeout(timeout_s):
                return await function(**arguments)
        except TimeoutError as error:
            raise CallFailure("timeout", f"no answer within {timeout_s:g} s") from error
        except CallFailure:
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise self._failure(error) from error
        except Exception as error:
            raise self._failure(error) from error
        finally:
            _OWN.reset(token)

    def _failure(self, error: Exception) -> CallFailure:
        """Return the failure that an exception of litellm's or the provider's client is."""
        import httpx
        import openai

        said = redacted(str(getattr(error, "message", "") or error) or type(error).__name__, self._secrets)
        causes = (error, error.__cause__)
        if any(isinstance(one, openai.APITimeoutError | httpx.TimeoutException) for one in causes):
            return CallFailure("timeout", said)
        if isinstance(error, openai.APIResponseValidationError):
            return CallFailure("bad_payload", said)
        if any(isinstance(one, openai.APIConnectionError | httpx.TransportError | OSError) for one in causes):
            return CallFailure("connection", said)
        status = getattr(error, "status_code", None)
        if type(status) is not int or status < 300:
            return CallFailure("bad_payload", f"{type(error).__name__}: {said}")
        body = getattr(error, "body", None)
        payload = (
            body if isinstance(body, dict) and "error" in body else {"error": body} if isinstance(body, dict) else None
        )
        response = getattr(error, "response", None)
        headers = {name.lower(): value for name, value in getattr(response, "headers", {}).items()}
        return from_status(status, payload, said, headers=headers, secrets=self._secrets)

    def _cost_reader(self) -> Callable[[dict[str, Any]], float | None]:
        """Return a function from a payload to its price by litellm's table; None where that has no batch price of the model."""
        litellm, model, provider = self._litellm, self._model, self.provider
        try:
            prices: Any = litellm.get_model_info(model=model, custom_llm_provider=provider)
        except Exception:  # litellm raises a bare one for a model that it does not know
            prices = {}
        rates = (prices.get("input_cost_per_token_batches"), prices.get("output_cost_per_token_batches"))
        if not all(isinstance(rate, int | float) for rate in rates):
            return lambda _: None
        from litellm.cost_calculator import batch_cost_calculator

        def cost(payload: dict[str, Any]) -> float | None:
            counted = payload.get("usage")
            names = ("prompt_tokens", "completion_tokens")
            if not isinstance(counted, dict) or not all(type(counted.get(name)) is int for name in names):
                return None
            try:
                spent = batch_cost_calculator(
                    usage=litellm.Usage(**counted), model=model, custom_llm_provider=provider, model_info=prices
                )
            except Exception:  # a usage that litellm cannot read has no price
                return None
            return float(sum(spent))

        return cost


def _model_and_provider(litellm: Any, model: Model) -> tuple[str, str]:
    """Return the model's name as the provider knows it, and the provider. Raises ModelError for one without batches."""
    try:
        name, provider, _, _ = litellm.get_llm_provider(model.model, api_base=model.endpoint and str(model.endpoint))
    except litellm.exceptions.BadRequestError as error:
        raise ModelError(f"litellm finds no provider in `{model.model}`", hint="write PROVIDER/MODEL") from error
    if provider not in PROVIDERS:
        known = ", ".join(sorted(PROVIDERS))
        why = REFUSED.get(provider, "litellm offers none of its batches")
        raise ModelError(
            f"`batch = true` is not for `{model.model}`, of the provider `{provider}`: {why}",
            hint=f"take `batch` out of the declaration; batches are used of {known}",
        )
    if provider in NEEDS_ENDPOINT and model.endpoint is None:
        raise ModelError(
            f"`batch = true` for `{model.model}` needs `endpoint`: `{provider}` has no server of its own",
            hint="declare the base URL of the server, up to and with /v1",
        )
    return str(name), str(provider)


def _fields(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in _OWN_FIELDS}


def _chat_body(
    name: str, provider: str, arguments: dict[str, Any], extra: dict[str, Any]
) -> Callable[[list[Any]], dict[str, Any]]:
    """Return a function from messages to the body that litellm would send for them; raises ModelError where it would refuse."""
    import litellm
    from litellm.types.utils import LlmProviders
    from litellm.utils import ProviderConfigManager, get_optional_params

    try:
        mapped: Any = get_optional_params(model=name, custom_llm_provider=provider, messages=[], **_fields(arguments))
        config = ProviderConfigManager.get_provider_chat_config(model=name, provider=LlmProviders(provider))
    except litellm.exceptions.APIError as error:
        raise ModelError(f"litellm cannot ask `{name}` as it is declared: {error}") from error
    except Exception as error:
        said = str(getattr(error, "message", error)).partition("\n")[0]
        raise ModelError(
            f"litellm cannot ask `{name}` as it is declared: {said}",
            hint="mend the model's `sampling` or `thinking`, or put the field into `extra_body` to have it sent as it is",
        ) from error
    if config is None:
        raise ModelError(f"litellm does not say how a request to `{name}` of `{provider}` is written")
    mapped.pop("stream", None)
    added = {**mapped.pop("extra_body", {}), **extra}

    def body(messages: list[Any]) -> dict[str, Any]:
        made: Any = config.transform_request(
            model=name, messages=messages, optional_params=dict(mapped), litellm_params={}, headers={}
        )
        return {**made, **added}

    return body


def _state(batch: Any) -> BatchState:
    """Return what a batch object of litellm's or the provider's client says."""
    counts, metadata = batch.request_counts, batch.metadata
    listed = getattr(batch.errors, "data", None) or ()
    mark = metadata.get(MARK) if isinstance(metadata, dict) else None
    return BatchState(
        id=str(batch.id),
        status=str(batch.status),
        mark=mark if isinstance(mark, str) else None,
        created_at=batch.created_at,
        output=batch.output_file_id or None,
        errors=batch.error_file_id or None,
        completed=getattr(counts, "completed", None) or 0,
        failed=getattr(counts, "failed", None) or 0,
        faults=tuple(Fault(one.code, one.message or "", one.line) for one in listed),
    )


_OWN: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("_OWN", default=None)


def _use_own_clients() -> None:
    """Have litellm use one client for the files and one for the batches of an API, which follow no redirect and can be closed.

    litellm makes a new one for each request, takes none as an argument, and lets it follow redirects to any host with the
    file of prompts; so the two functions that make them are wrapped, once.
    """
    from litellm.llms.openai.openai import OpenAIBatchesAPI, OpenAIFilesAPI

    making = threading.Lock()

    def kept(make: Any, name: str) -> Any:
        @functools.wraps(make)
        def made(*arguments: Any, **named: Any) -> Any:
            own = _OWN.get()
            if own is None:
                return make(*arguments, **named)
            with making:  # litellm comes here from several threads
                if name not in own:
                    own[name] = make(*arguments, **named)
                    own[name]._client.follow_redirects = False  # noqa: SLF001  the client has no setting for it
                return own[name]

        return made

    for one in (OpenAIBatchesAPI, OpenAIFilesAPI):
        if not hasattr(one.get_openai_client, "__wrapped__"):
            one.get_openai_client = kept(one.get_openai_client, one.__name__)
