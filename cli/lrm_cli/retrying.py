"""`--retry-failed [CLASS]`: an option whose value may be left out, which click alone does not have before an argument."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from lrm.errors import known_names_hint, nearest
from lrm_cli.command import Command

if TYPE_CHECKING:
    from lrm.backends.base import FailureClass

OPTION = "--retry-failed"
ALL = "all"
"""The value that a flag without one stands for."""


class Retrying(Command):
    """A command with `--retry-failed`, whose value stands behind `=` or is the next word, if that is a class."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse a command line in which every `--retry-failed` has been given its value."""
        return super().parse_args(ctx, with_values(args))


def with_values(words: list[str]) -> list[str]:
    """Return a command line in which a `--retry-failed` without a value has one."""
    found: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*found, word, *rest]
        if word == OPTION:
            word += f"={rest.pop(0) if rest and _means_classes(rest[0]) else ALL}"
        found.append(word)
    return found


def _means_classes(word: str) -> bool:
    """Return whether a word is a class or several, or one mistyped, and not the spec that may come next."""
    if not re.fullmatch(r"[a-z_]+(,[a-z_]+)*", word) or Path(word).exists():
        return False
    return all(part == ALL or nearest(part, classes()) for part in word.split(","))


def classes() -> tuple[FailureClass, ...]:
    """Return the classes of failures."""
    from lrm.backends.base import FailureClass

    known: tuple[FailureClass, ...] = get_args(FailureClass)
    return known


def parsed(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[FailureClass, ...] | bool:
    """Return what `--retry-failed` asks for: False, True, or classes. Raises a usage error for a class that there is not."""
    names = [name.strip() for value in values for name in value.split(",")]
    if not names or ALL in names:
        return bool(names)
    known = classes()
    for name in names:
        if name not in known:
            hint = known_names_hint(name, (*known, ALL))
            raise click.BadParameter(f"there is no class of failures `{name}`; {hint}", ctx, param)
    found: tuple[FailureClass, ...] = tuple(one for one in known if one in names)
    return found


option = click.option(
    OPTION,
    "retry_failed",
    metavar="[CLASS]",
    multiple=True,
    callback=parsed,
    help="Ask again only for calls that failed, of this class if one is given (timeout, server …; several with commas), and "
    "for nothing that is merely missing. Repeatable.",
)
