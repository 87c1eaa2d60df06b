"""Opens the backend that a model declares."""

from __future__ import annotations

import importlib.util
from typing import assert_never

from lrm.backends.base import Backend
from lrm.errors import LrmError, ModelError
from lrm.registry.declarations import Model


def open_backend(model: Model) -> Backend:
    """Return the backend of a model. Called inside the event loop; raises ModelError when it cannot be asked at all."""
    match model.backend:
        case "simulated":
            from lrm.backends.simulated import SimulatedBackend

            return SimulatedBackend(model)
        case "http":
            from lrm.backends.http import HttpBackend

            return HttpBackend(model)
        case "litellm":
            from lrm.backends.litellm_api import LitellmBackend

            return LitellmBackend(model)
        case "vllm":
            if model.runs_here:
                raise AssertionError("a model that runs here is opened by its engine")
            from lrm.backends.http import HttpBackend

            return HttpBackend(model)
        case "imported":
            raise ModelError(
                f"the model `{model.model}` came by `lrm import` and cannot be asked",
                hint="declare a model with a backend to ask it anew",
            )
        case _:
            assert_never(model.backend)


def check_model(model: Model) -> str | None:
    """Return what keeps a model from being asked, in a sentence; None when nothing that can be seen from here does.

    Asks nothing of any server and imports nothing heavy.
    """
    from lrm.backends.keys import declared_key

    if model.backend == "litellm" and importlib.util.find_spec("litellm") is None:
        return "backend `litellm` needs the package `litellm`, which is not installed"
    if model.runs_here and importlib.util.find_spec("vllm") is None:
        return "backend `vllm` needs the package `vllm`, which is not installed: pip install 'lrm[vllm]'"
    try:
        declared_key(model)
    except LrmError as error:
        return str(error)
    return None
