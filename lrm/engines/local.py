"""Calls carried out here: backends in this process, engines in processes of their own beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lrm.backends.base import Backend
from lrm.backends.open import check_model, open_backend
from lrm.engines.engine import Engine
from lrm.engines.settings import settings_of
from lrm.errors import ModelError
from lrm.registry.models import Model


class LocalExecutor:
    """The executor of an ordinary fill."""

    def open(self, model: Model) -> Backend:
        """Return the backend of a model that needs no engine. Raises ModelError."""
        return open_backend(model)

    async def start(self, model: Model, *, log: Path, say: Callable[[str], None]) -> Engine:
        """Start a model's engine. Raises ModelError where it does not start."""
        return await start_engine(model, log=log, say=say)

    async def close(self) -> None:
        """Hold nothing."""


async def start_engine(model: Model, *, log: Path, say: Callable[[str], None]) -> Engine:
    """Start a model's engine on this machine; raises ModelError where it does not start."""
    import asyncio

    from lrm.engines.checkpoint import files_of

    lacking = check_model(model)
    if lacking is not None:
        raise ModelError(lacking)
    settings = settings_of(model)
    files = await asyncio.to_thread(files_of, model, None, say)
    match settings.kind:
        case "process":
            from lrm.engines.process import start_process

            return await start_process(settings, files, log=log, say=say)
        case "server":
            from lrm.engines.server import start_server

            return await start_server(settings, files, log=log, say=say)
