"""Options that the commands of `lrm snapshot` share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import click

from lrm_cli import options
from lrm_cli.options import F
from lrm_cli.output import say

if TYPE_CHECKING:
    from lrm.snapshot.choice import Choice

TEXTS = ("all", "hashed", "none")
"""As `lrm.snapshot.manifest` has them; written out, so that help loads nothing of it."""
FAMILIES = ("prompts", "responses", "judgements")
"""As `lrm.snapshot.tables` has them; likewise."""

quiet_option = click.option("--quiet", is_flag=True, help="No talk on stderr.")

spec_argument = click.argument("spec", shell_complete=options.complete_files)


def _complete_texts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    words = [*TEXTS, *(f"{family}={how}" for family in FAMILIES for how in TEXTS)]
    return [word for word in words if word.startswith(incomplete)]


def choice_options(command: F) -> F:
    """Add what says which part of a spec leaves the house, which the command is given as `choice: Choice`."""

    @functools.wraps(command)
    def gathered(
        *args: Any,
        texts: tuple[str, ...],
        allow: tuple[str, ...],
        only: tuple[str, ...],
        annotators: str,
        gated: str | None,
        **others: Any,
    ) -> Any:
        return command(*args, choice=_choice(texts, allow, only, annotators, gated), **others)

    decorators = (
        click.option(
            "--texts", metavar="[FAMILY=]all|hashed|none", multiple=True, shell_complete=_complete_texts,
            help=f"What becomes of texts, or of a family of them ({', '.join(FAMILIES)}): they go, their hashes go, or neither. "
            "Repeatable. All go by default, but see --allow.",
        ),
        click.option(
            "--allow", metavar="SET", multiple=True,
            help="Let the prompts of this set go (a name or glob) although its terms do not say that they may. Repeatable.",
        ),
        click.option(
            "--only", metavar="AXIS=GLOB", multiple=True, shell_complete=options.complete_only,
            help="Only these: model=…, prompt_set=…, attack=…, condition=… or judge=… with a name or glob. Repeatable: the "
            "same axis adds, another narrows.",
        ),
        click.option(
            "--annotators", type=click.Choice(("pseudonyms", "named")), default="pseudonyms", show_default=True,
            help="What stands for the people who labelled.",
        ),
        click.option(
            "--gated", metavar="TEXT",
            help="What the card tells who asks for access; see --gate of `lrm snapshot publish`.",
        ),
    )  # fmt: skip
    result: Any = gathered
    for decorate in reversed(decorators):
        result = decorate(result)
    return cast("F", result)


def _choice(
    texts: tuple[str, ...], allow: tuple[str, ...], only: tuple[str, ...], annotators: str, gated: str | None
) -> Choice:
    from dataclasses import replace

    from lrm.snapshot.choice import choice_of

    return replace(choice_of(texts, allow, only, named=annotators == "named"), gated=gated)


def talk(*, quiet: bool) -> Callable[[str], None]:
    """Return what says a line on stderr, or nothing when quiet."""
    return (lambda _: None) if quiet else say
