"""`lrm registry show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrm.errors import MissingError, known_names_hint
from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import put, put_json, put_table, say
from lrm_cli.table import pairs

if TYPE_CHECKING:
    from lrm.registry.declarations import Kind
    from lrm.registry.layers import Registry
    from lrm.spec.matrix import Located


@click.command(
    "show",
    cls=Command,
    examples=("lrm registry show sim-reasoning", "lrm registry show attacks none --json"),
    keys=("kind", "name", "file", "shadows", "id", "declaration"),
)
@click.argument("kind_or_name", metavar="[KIND] NAME", shell_complete=options.complete_names)
@click.argument("name", metavar="", required=False, shell_complete=options.complete_names)
@options.registry_option
@options.json_option
def command(kind_or_name: str, name: str | None, registry_folders: tuple[Path, ...], as_json: bool) -> int:
    """Show one declaration and where it comes from.

    KIND may be left out where only one kind has the name. Prints the file that counts, and its text; --json prints the
    declaration as it was read, with its defaults, and a model's id.
    """
    registry = options.open_registry(registry_folders)
    kind, name = _find(registry, kind_or_name, name)
    located = registry.get(kind, name)
    shadows = registry.layers(kind, name)[1:]
    model_id = _model_id(located)
    if as_json:
        put_json(
            {
                "kind": kind, "name": name, "file": located.file, "shadows": shadows, "id": model_id,
                "declaration": located.declaration.model_dump(mode="json"),
            }
        )  # fmt: skip
        return exits.OK
    known = {"kind": kind, "name": name, "file": str(located.file), "id": model_id or ""}
    facts = [(key, value) for key, value in known.items() if value]
    put_table(pairs((*facts, *(("shadows", str(path)) for path in shadows)), widest=200))
    put()
    put(located.file.read_text(encoding="utf-8").rstrip())
    return exits.OK


def _find(registry: Registry, kind_or_name: str, name: str | None) -> tuple[Kind, str]:
    """Return kind and name. Raises MissingError when nothing, or more than one kind, has the name."""
    if name is not None:
        kind = options.kind_of(kind_or_name)
        if kind is None:
            raise MissingError(
                f"there is no kind of declaration `{kind_or_name}`", hint=known_names_hint(kind_or_name, options.KINDS)
            )
        return kind, name
    found: list[Kind] = [kind for kind in options.KINDS if kind_or_name in registry.names(kind)]
    if not found:
        names = {one for kind in options.KINDS for one in registry.names(kind)}
        raise MissingError(f"there is no declaration `{kind_or_name}`", hint=known_names_hint(kind_or_name, names))
    if len(found) > 1:
        raise MissingError(
            f"`{kind_or_name}` is declared as several kinds: {', '.join(found)}",
            hint=f"say which: `lrm registry show {found[0]} {kind_or_name}`",
        )
    return found[0], kind_or_name


def _model_id(located: Located[Any]) -> str | None:
    """Return a model's id; None for other kinds, and for one whose files are not known without asking the Hub."""
    from lrm import hashing
    from lrm.registry.declarations import Model
    from lrm.registry.identity import model_id

    if not isinstance(located.declaration, Model):
        return None
    model = located.declaration
    if model.runs_here:
        from lrm.spec.pinned import is_pinned, pin_model

        model = pin_model(located, ask=False).declaration
        if not is_pinned(model):
            say("no id yet: a spec's lock, or a `revision` of 40 digits, says which commit of its files is meant")
            return None
    return hashing.show("i1", model_id(model))
