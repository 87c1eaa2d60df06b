"""Options that several commands share, as decorators; and opening what they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from lrm.errors import LrmError
from lrm_cli.output import say

if TYPE_CHECKING:
    from lrm.registry.declarations import Kind
    from lrm.registry.layers import Registry
    from lrm.store.catalog import Catalog

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

KINDS: tuple[Kind, ...] = ("models", "prompt_sets", "attacks", "judges", "references")
"""As `lrm.registry.declarations` has them; written out, so that help and completion load no pydantic."""

AXES: dict[str, Kind] = {"model": "models", "prompt_set": "prompt_sets", "attack": "attacks", "judge": "judges"}
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
            "--replicates", type=click.IntRange(1, 10_000), help="Samples of each cell, instead of what the spec says."
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
