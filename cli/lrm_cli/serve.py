"""`lrm serve`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from lrm.errors import LrmError
from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import put, put_json, say

if TYPE_CHECKING:
    from lrm.engines.server import ServerEngine
    from lrm.registry.models import Model

KEYS = ("model", "endpoint", "key_env", "declare", "log")


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Return the names of declared models that begin so; none where a registry cannot be read."""
    try:
        names = options.open_registry(ctx.params.get("registry_folders") or ()).names("models")
    except LrmError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command(
    "serve",
    cls=Command,
    examples=(
        "lrm serve qwen3-32b",
        "lrm serve qwen3-32b --port 0 --log server.log",
        "lrm serve qwen3-32b --host 0.0.0.0    # VLLM_API_KEY holds the key that it asks for",
    ),
    keys=KEYS,
)
@click.argument("model", shell_complete=complete_models)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Where it listens; 0 for any free one; 8000, or that of `endpoint`."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address at which it listens.")
@click.option(
    "--log", "log", type=click.Path(dir_okay=False, path_type=Path), help="Keep what vLLM prints in this file."
)
@click.option("-v", "--verbose", is_flag=True, help="Show what vLLM prints.")
@options.registry_option
@options.json_option
def command(
    model: str,
    port: int | None,
    host: str,
    log: Path | None,
    verbose: bool,
    registry_folders: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Serve a declared model with vLLM, until Ctrl-C.

    MODEL is a declaration with backend `vllm`, or with backend `http` and engine `vllm`. Prints the endpoint when the server can
    be asked, and how to declare it. It asks for the key that VLLM_API_KEY holds, if that is set.
    """
    from lrm.engines import ports, serving
    from lrm_cli.foreground import run_until_told

    located = options.open_registry(registry_folders).get("models", model)
    wanted = serving.servable(located)
    port = serving.port_of(located.declaration) if port is None else port
    if port:
        ports.check_port(host, port)
    else:
        port = ports.free_port(host)
    kept = log is not None
    if log is None:
        handle = tempfile.NamedTemporaryFile(prefix="lrm-serve-", suffix=".log", delete=False)  # noqa: SIM115
        handle.close()
        log = Path(handle.name)
    if not serving.is_local(host) and serving.own_key() is None:
        say(f"anyone who can reach {host}:{port} may ask it: set VLLM_API_KEY to have it ask for a key")

    def up(engine: ServerEngine, served: Model) -> None:
        _show(engine, served, log if kept else None, as_json=as_json)

    work = serving.serve(wanted, host, port, log=log, say=say, up=up)
    try:
        run_until_told(work, follow=log if verbose else None)
    except LrmError:
        if log.is_file() and log.stat().st_size:
            kept = True
            say(f"what vLLM printed is in {log}")
        raise
    finally:
        if not kept:
            log.unlink(missing_ok=True)
    return exits.OK


def _show(engine: ServerEngine, served: Model, log: Path | None, *, as_json: bool) -> None:
    """Print where the server is, and the declaration that asks it."""
    from lrm.engines.serving import own_key

    fields = {
        "backend": "vllm",
        "model": engine.asked_as,
        "revision": served.revision or (served.pins.revision if served.pins is not None else None),
        "dtype": served.dtype,
        "quantization": served.quantization,
        "endpoint": engine.endpoint,
        "api_key_env": None if own_key() is None else "VLLM_API_KEY",
    }
    declare = {name: value for name, value in fields.items() if value is not None}
    if as_json:
        put_json(dict(zip(KEYS, (engine.asked_as, engine.endpoint, fields["api_key_env"], declare, log), strict=True)))
        return
    put(f"# {engine.endpoint} answers; declare it as")
    for name, value in declare.items():
        put(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    say("Ctrl-C stops it")
