"""Telling a running fill something, and waiting a moment for it to obey."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lrm_cli import exits, options
from lrm_cli.output import put_json, say

if TYPE_CHECKING:
    from lrm.run.desk import RunState
    from lrm.run.wishes import Wish

KEYS = ("run", "spec", "obeyed")
PATIENCE_S = 3.0
_LOOK_S = 0.1
F = TypeVar("F", bound=Callable[..., Any])


def run_argument(command: F) -> F:
    """Add what every steering command takes: RUN, the catalog, `--json`."""
    command = options.catalog_option(options.json_option(command))
    return click.argument("run", required=False)(command)


def steer(
    catalog_file: str | None,
    run: str | None,
    wish: Wish,
    *,
    told: str,
    obeyed: Callable[[RunState], bool],
    as_json: bool,
) -> int:
    """Tell a running fill a wish; say `told`, and whether it obeyed within a few seconds. Its end counts as obeying."""
    from lrm.run.desk import running, tell

    catalog = options.open_catalog(catalog_file, merge=False)
    state = tell(catalog, run, wish)
    given_up = time.monotonic() + PATIENCE_S
    done = False
    while not done and time.monotonic() < given_up:
        time.sleep(_LOOK_S)
        now = next((one for one in running(catalog) if one.run == state.run), None)
        done = now is None or obeyed(now)
    if as_json:
        put_json({"run": state.run, "spec": state.spec, "obeyed": done})
    else:
        say(
            f"{state.spec} ({state.run}): {told}"
            if done
            else f"{state.spec} ({state.run}) was told, and has not answered yet"
        )
    return exits.OK
