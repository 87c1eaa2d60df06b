"""What several models may share: a provider, or a server, and the key that it counts by."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never
from urllib.parse import urlsplit

from lrm.engines.settings import settings_of
from lrm.registry.declarations import Model

ANY_SERVER = frozenset({"openai", "hosted_vllm", "custom_openai", "openai_like", "litellm_proxy", "lm_studio"})
"""litellm's providers that are a way of speaking: with an endpoint they say nothing of whose server it is."""

_MADE_BY = {"gpt": "openai", "chatgpt": "openai", "o1": "openai", "o3": "openai", "o4": "openai"}
_MADE_BY |= {"claude": "anthropic", "gemini": "vertex_ai", "command": "cohere"}
"""What litellm takes a name without a provider for, by how the name begins."""

KEYS = {
    "azure_ai": ("AZURE_AI_API_KEY",),
    "bedrock": ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION_NAME", "AWS_REGION"),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "gemini": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    "huggingface": ("HF_TOKEN", "HUGGINGFACE_API_KEY"),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHER_API_KEY"),
    "vertex_ai": ("GOOGLE_APPLICATION_CREDENTIALS", "VERTEXAI_PROJECT", "VERTEXAI_LOCATION"),
}
"""The environment variables by which a provider knows who asks, where they are not `PROVIDER_API_KEY`."""

_BASES = ("API_BASE", "BASE_URL")


@dataclass(frozen=True, slots=True)
class Pool:
    """Models whose calls count against the same limits. Equal pools are one."""

    name: str
    """Provider or server, to be shown; without user name, password, path and query."""
    key: str
    """Tells keys apart and nothing else: a digest that no other process can make again. Empty without a key."""


def pool_of(model: Model) -> Pool:
    """Return the pool of a model's calls. Asks nobody, imports nothing heavy, and needs no key to be set."""
    match model.backend:
        case "http":
            return Pool(_server(str(model.endpoint)), _digest(_declared(model)))
        case "vllm":
            if model.endpoint is not None:
                return Pool(_server(str(model.endpoint)), _digest(_declared(model)))
            settings = settings_of(model)
            return Pool(f"vllm {settings.label}", _digest([repr(settings)]))
        case "litellm":
            return _of_litellm(model)
        case "simulated" | "imported":
            return Pool(f"{model.backend} {model.model}", _digest([model.model_dump_json()]))
        case _:
            assert_never(model.backend)


def _of_litellm(model: Model) -> Pool:
    provider = provider_of(model.model)
    if model.endpoint is not None:
        key = _declared(model) or ([] if provider in ANY_SERVER else _own_keys(provider))
        return Pool(f"{provider} {_server(str(model.endpoint))}", _digest(key))
    prefix = prefix_of(provider)
    base = next((url for name in _BASES if (url := os.environ.get(f"{prefix}_{name}"))), None)
    name = provider if base is None else f"{provider} {_server(base)}"
    return Pool(name, _digest(_declared(model) or _own_keys(provider)))


def provider_of(name: str) -> str:
    """Return the provider that litellm would find in a model's name; the whole name where that cannot be told from it."""
    provider, slash, _ = name.partition("/")
    if slash:
        return provider
    family = re.match(r"[a-z]+", name)
    word = family[0] if family else ""
    return _MADE_BY.get(name[:2]) or _MADE_BY.get(word, name)


def _declared(model: Model) -> list[str]:
    value = os.environ.get(model.api_key_env, "").strip() if model.api_key_env is not None else ""
    return [value] if value else []


def _own_keys(provider: str) -> list[str]:
    """Return what the environment holds for a provider."""
    names = KEYS.get(provider, (f"{prefix_of(provider)}_API_KEY",))
    return [f"{name}={value}" for name in names if (value := os.environ.get(name, "").strip())]


def prefix_of(provider: str) -> str:
    """Return what the names of a provider's environment variables begin with."""
    return re.sub(r"[^A-Z0-9]", "_", provider.upper())


def _server(url: str) -> str:
    """Return the scheme, host and port of a URL."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + ("" if port is None else f":{port}")


def _digest(values: Iterable[str]) -> str:
    joined = "\n".join(values)
    return hashlib.blake2b(joined.encode(), key=_salt(), digest_size=8).hexdigest() if joined else ""


@functools.cache
def _salt() -> bytes:
    """Return bytes that only this process knows, so that a digest tells nobody whether they guessed a key."""
    return os.urandom(32)
