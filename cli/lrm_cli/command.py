"""The class of every command: its help ends with examples and with what `--json` prints."""

from __future__ import annotations

from typing import Any, Literal

import click


class Command(click.Command):
    """A command with examples, and with the stable keys of its JSON output."""

    def __init__(
        self,
        *args: Any,
        examples: tuple[str, ...],
        keys: tuple[str, ...] = (),
        json_is: Literal["an object", "a list of objects"] = "an object",
        **attrs: Any,
    ) -> None:
        super().__init__(*args, **attrs)
        self.examples = examples
        self.keys = keys
        """Keys of the object that `--json` prints, or of each object of the list; empty where they depend on the call."""
        self.json_is = json_is

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write examples and keys."""
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
        if self.keys:
            with formatter.section("JSON"):
                formatter.write_text(f"--json prints {self.json_is} with the keys {', '.join(self.keys)}.")
