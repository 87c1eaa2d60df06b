"""`lrm serve`: a declaration's checkpoint on a server that other programs may ask, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from lrm.backends.open import check_model
from lrm.engines import flags
from lrm.engines.server import Place, ServerEngine, started
from lrm.engines.settings import settings_of
from lrm.errors import ModelError
from lrm.registry.judges import is_folder
from lrm.registry.models import SERVER, Model
from lrm.spec.matrix import Located

DEFAULT_PORT = 8000
"""vLLM's own."""


def servable(located: Located[Model]) -> Located[Model]:
    """Return a declaration as one that lrm serves. Raises ModelError for a model that vLLM does not run.

    What a declaration with an `endpoint` says of its server's weights is kept; the rest is vLLM's default.
    """
    model = located.declaration
    if model.backend == "vllm" and model.endpoint is None:
        served = model.model_copy(update={"engine": SERVER})
    elif model.backend == "vllm" or (model.backend == "http" and model.engine in ("vllm", SERVER)):
        # Over HTTP `chat_template` may be a name or a checksum, which no server can be started with.
        template = model.chat_template if model.backend == "vllm" else None
        served = Model(
            backend="vllm", engine=SERVER, model=model.model, revision=model.revision, dtype=model.dtype,
            quantization=model.quantization, chat_template=template,
        )  # fmt: skip
    else:
        raise ModelError(
            f"model `{located.name}` has backend `{model.backend}`"
            + (" and does not say that vLLM runs it" if model.backend == "http" else ", which vLLM does not run"),
            hint="`lrm serve` starts models with backend = 'vllm', or with backend = 'http' and engine = 'vllm'",
        )
    return replace(located, declaration=served)


def port_of(model: Model) -> int:
    """Return the port at which a declaration expects its server on this machine; vLLM's own where it names none."""
    parts = urlsplit(str(model.endpoint)) if model.endpoint is not None else None
    if parts is None or not is_local(parts.hostname or ""):
        return DEFAULT_PORT
    return parts.port or DEFAULT_PORT


def is_local(host: str) -> bool:
    """Whether only this machine can reach what listens at a host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def own_key() -> str | None:
    """Return the key that the server will ask for, which is the environment's; None where it asks for none."""
    return os.environ.get(flags.KEY_VARIABLE) or None


async def serve(
    located: Located[Model],
    host: str,
    port: int,
    *,
    log: Path,
    say: Callable[[str], None],
    up: Callable[[ServerEngine, Model], None],
) -> None:
    """Serve a model (`servable`) until the server ends or this is cancelled; nothing is left of it then.

    `up` is called when it can be asked. Raises ModelError where it does not start, or ends by itself.
    """
    from lrm.engines.checkpoint import files_of
    from lrm.spec.pinned import pin_model

    lacking = check_model(located.declaration)
    if lacking is not None:
        raise ModelError(lacking)
    # Of a folder that is not there, `files_of` says the same.
    located = await asyncio.to_thread(pin_model, located, say=None if is_folder(located.declaration.model) else say)
    model = located.declaration
    files = await asyncio.to_thread(files_of, model, say=say)
    say(f"starting vLLM {flags.installed() or ''} with {model.model}; this takes minutes for a large model")
    engine = await started(settings_of(model), files, Place(host, port, own_key()), log=log, say=say)
    try:
        up(engine, model)
        await engine.ended()
    finally:
        await asyncio.shield(asyncio.ensure_future(engine.stop()))
    raise ModelError(f"the server of `{located.name}` ended: {engine.died}", hint=f"its log is {log}")
