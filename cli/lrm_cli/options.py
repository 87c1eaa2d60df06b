"""Options that several commands share, as decorators; and opening what they name."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.shell_completion import CompletionItem

from lrm.errors import LrmError
from lrm_cli.output import say

if TYPE_CHECKING:
    from lrm.registry.declarations import Kind
    from lrm.registry.layers import Registry
    from lrm.store.catalog import Catalog
    from lrm.store.trust import Trust

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

KINDS: tuple[Kind, ...] = ("models", "prompt_sets", "attacks", "conditions", "judges", "references")
"""As `lrm.registry.declarations` has them; written out, so that help and completion load no pydantic."""

MAX_REPLICATES = 100_000
"""As `lrm.spec.spec` has it; likewise."""

AXES: dict[str, Kind] = {
    "model": "models",
    "prompt_set": "prompt_sets",
    "attack": "attacks",
    "condition": "conditions",
    "judge": "judges",
}
"""What `--only` may narrow, and the kind of declaration that it names."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, for programs.")

catalog_option = click.option(
    "--catalog",
    "catalog_file",
    type=click.Path(dir_okay=False),
    envvar="LRM_CATALOG",
    show_envvar=True,
    help="The catalog's file; catalog.duckdb here by default.",
)

registry_option = click.option(
    "--registry",
    "registry_folders",
    type=click.Path(file_okay=False, path_type=Path),
    multiple=True,
    help="One more folder of declarations, over ./registry and the packaged ones. Repeatable.",
)


def _trust(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> Trust | None:
    """Return whose pulled results may fill cells; None where nothing was said of it."""
    if not values:
        return None
    from lrm.store.trust import Trust

    try:
        return Trust.of(values)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


trust_option = click.option(
    "--trust",
    metavar="ORG",
    multiple=True,
    callback=_trust,
    help="Only pulled results of this publisher fill cells: an organisation or a folder's name, all or none. Repeatable. A "
    "plan supposes it, a fill holds to it from then on.",
)
"""`--trust ORG…`, which the command is given as `trust: Trust | None`."""


def kind_of(word: str) -> Kind | None:
    """Return the kind that a word names, as `models` or as `model`; None for any other word."""
    by_name: dict[str, Kind] = {name: kind for kind in KINDS for name in (kind, kind[:-1])}
    return by_name.get(word)


def complete_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Return the names of declarations that begin so; of the kind that stands before, if any."""
    first = ctx.params.get("kind_or_name")
    names = {name for kind in KINDS if first in (None, kind) for name in _known_names(ctx, kind)}
    names |= set() if first else set(KINDS)
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def complete_only(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Return `AXIS=NAME` that begin so."""
    axis, equals, start = incomplete.partition("=")
    if not equals:
        return [CompletionItem(f"{one}=") for one in AXES if one.startswith(axis)]
    if axis not in AXES:
        return []
    names = _known_names(ctx, AXES[axis])
    return [CompletionItem(f"{axis}={name}") for name in sorted(names) if name.startswith(start)]


def _known_names(ctx: click.Context, kind: Kind) -> tuple[str, ...]:
    """Return the names of a kind; none where a registry cannot be read, since a completion has nowhere to say so."""
    try:
        return open_registry(ctx.params.get("registry_folders") or ()).names(kind)
    except LrmError:
        return ()


def complete_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Let the shell complete a file's name."""
    return [CompletionItem(incomplete, type="file")]


def _dollars(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return an amount of money, 0 or more; a dollar sign before it may stand or not."""
    if value is None:
        return None
    try:
        amount = float(value.strip().removeprefix("$"))
    except ValueError:
        amount = math.nan
    if not 0 <= amount < math.inf:
        raise click.BadParameter(f"`{value}` is no amount in dollars, 0 or more", ctx, param)
    return amount


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of a length of time."""
    from lrm.run.budget import seconds_of

    try:
        return None if value is None else seconds_of(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def budget_options(command: F) -> F:
    """Add `--max-cost`, `--max-tokens`, `--max-calls` and `--max-time`, which the command is given as `budget: Caps`."""

    @functools.wraps(command)
    def gathered(
        *args: Any,
        max_cost: float | None,
        max_tokens: int | None,
        max_calls: int | None,
        max_time: float | None,
        **others: Any,
    ) -> Any:
        from lrm.run.budget import Caps

        return command(*args, budget=Caps(max_cost, max_tokens, max_calls, max_time), **others)

    decorators = (
        click.option(
            "--max-cost", metavar="DOLLARS", callback=_dollars,
            help="Spend at most so much, judges included. This and the next three count before the spec's [budget].",
        ),
        click.option("--max-tokens", type=click.IntRange(min=1), help="Use at most so many tokens."),
        click.option("--max-calls", type=click.IntRange(min=1), help="Send at most so many requests, repeated ones too."),
        click.option(
            "--max-time", metavar="TIME", callback=_seconds,
            help="Begin no call after so long: seconds, or 90m, '2h 30m', 1d.",
        ),
    )  # fmt: skip
    result: Any = gathered
    for decorate in reversed(decorators):
        result = decorate(result)
    return cast("F", result)


def executor_options(command: F) -> F:
    """Add `--executor` and `--address`, which the command is given as `executor: Choice`."""

    @functools.wraps(command)
    def gathered(*args: Any, executor: str, address: str | None, **others: Any) -> Any:
        from lrm.run.executors import Local, OnRay

        if executor == "local" and address is not None:
            raise click.UsageError("`--address` is that of a Ray cluster: it goes with `--executor ray`")
        return command(*args, executor=Local() if executor == "local" else OnRay(address), **others)

    decorators = (
        click.option(
            "--executor",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Where calls are made: by this process and engines beside it, or on a Ray cluster.",
        ),
        click.option(
            "--address",
            metavar="ADDRESS",
            help="The Ray cluster: auto, HOST:PORT or ray://HOST:PORT; else the one in RAY_ADDRESS, else one of this machine.",
        ),
    )
    result: Any = gathered
    for decorate in reversed(decorators):
        result = decorate(result)
    return cast("F", result)


def spec_options(command: F) -> F:
    """Add what plan and fill take: SPEC, `--only`, `--limit`, `--replicates` and `--update`."""
    decorators: tuple[Decorator[F], ...] = (
        click.argument("spec", type=click.Path(dir_okay=False, path_type=Path)),
        click.option(
            "--only",
            metavar="AXIS=GLOB",
            multiple=True,
            shell_complete=complete_only,
            help="Only these: model=…, prompt_set=…, attack=… or judge=… with a name or glob. Repeatable: the same axis adds, "
            "another narrows.",
        ),
        click.option("--limit", type=click.IntRange(min=0), help="At most so many calls; 0 only judges what is there."),
        click.option(
            "--replicates",
            type=click.IntRange(1, MAX_REPLICATES),
            help="Samples of each cell, instead of what the spec says.",
        ),
        click.option(
            "--update", is_flag=True, help="Resolve files and datasets anew instead of obeying the spec's lock."
        ),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def open_registry(folders: tuple[Path, ...] | list[Path]) -> Registry:
    """Return the layers: the folders given, `./registry`, the packaged declarations."""
    from lrm.registry.layers import Registry

    return Registry.open(tuple(folders), Path.cwd())


def open_catalog(given: str | None, *, merge: bool = True) -> Catalog:
    """Return the catalog that was named; what a killed fill left in its journal is merged first, and said."""
    from lrm.store.catalog import Catalog, catalog_path

    catalog = Catalog(catalog_path(given))
    if merge and catalog.journal_folder.is_dir():
        from lrm.store.merge import merge_leftovers

        merge_leftovers(catalog, say=say)
    return catalog
