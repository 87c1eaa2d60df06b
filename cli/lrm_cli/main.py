"""The root command `lrm` and the table of all commands; a command's module is imported when the command is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from lrm import __version__
from lrm.errors import known_names_hint
from lrm_cli import exits


@dataclass(frozen=True, slots=True)
class Leaf:
    """A command: the module that holds it as `command`, and its one line of help."""

    module: str
    help: str


@dataclass(frozen=True, slots=True)
class Branch:
    """A group of commands, and its one line of help."""

    help: str
    commands: dict[str, Leaf]


TREE: dict[str, Leaf | Branch] = {
    "matrix": Branch(
        "Plan, fill and look at the model × prompt × attack matrix of a spec.",
        {
            "plan": Leaf("lrm_cli.matrix_plan", "Say what is there, what is missing and what it will cost."),
            "fill": Leaf("lrm_cli.matrix_fill", "Ask for what is missing, store and judge it."),
            "status": Leaf("lrm_cli.matrix_status", "Say how far the specs in the catalog have come."),
            "why": Leaf("lrm_cli.matrix_why", "Say why a cell is there or missing."),
            "ps": Leaf("lrm_cli.matrix_ps", "Show the fills that are running."),
            "pause": Leaf("lrm_cli.matrix_pause", "Let a running fill begin no new call."),
            "resume": Leaf("lrm_cli.matrix_resume", "Let a paused fill go on."),
            "limit": Leaf("lrm_cli.matrix_limit", "Change how many calls of a running fill may be under way."),
            "stop": Leaf("lrm_cli.matrix_stop", "End a running fill, as Ctrl-C does."),
        },
    ),
    "tui": Leaf("lrm_cli.tui", "Look at the catalog: matrix, samples, traces; compare, label, search."),
    "report": Leaf("lrm_cli.report", "Write tables and plots with intervals, next to the published numbers."),
    "import": Leaf("lrm_cli.import_file", "Bring in completions and labels that others made."),
    "export": Leaf("lrm_cli.export_file", "Write what the catalog holds of a spec as what other tools read."),
    "snapshot": Branch(
        "Share results: publish a spec's matrix to the Hugging Face Hub, pull those of others.",
        {
            "export": Leaf("lrm_cli.snapshot_export", "Write what the catalog has of a spec to a folder."),
            "publish": Leaf("lrm_cli.snapshot_publish", "Publish what the catalog has of a spec on the Hub."),
            "pull": Leaf("lrm_cli.snapshot_pull", "Verify a snapshot and merge it into the catalog."),
            "verify": Leaf("lrm_cli.snapshot_verify", "Check every hash, id and reference of a snapshot."),
            "diff": Leaf("lrm_cli.snapshot_diff", "Say what differs between two snapshots, or one and the catalog."),
            "list": Leaf("lrm_cli.snapshot_list", "List the snapshots on the Hub, and those that were pulled."),
        },
    ),
    "judge": Branch(
        "Have judges grade what the catalog holds, and set them against human labels.",
        {
            "run": Leaf("lrm_cli.judge_run", "Have judges grade the responses of a spec or an import that the catalog holds."),
            "evaluate": Leaf("lrm_cli.judge_evaluate", "Set a judge's verdicts, or an imported label, against human labels."),
            "agreement": Leaf("lrm_cli.judge_agreement", "Say how far annotators agree."),
        },
    ),
    "registry": Branch(
        "Look at and check the declarations of models, prompt sets, attacks, judges and references.",
        {
            "list": Leaf("lrm_cli.registry_list", "List declarations."),
            "show": Leaf("lrm_cli.registry_show", "Show one declaration and where it comes from."),
            "check": Leaf("lrm_cli.registry_check", "Check every declaration of every layer."),
            "schema": Leaf("lrm_cli.registry_schema", "Print or write the JSON Schemas that editors complete TOML with."),
        },
    ),
    "catalog": Branch(
        "Look into the catalog, check it and keep it in order.",
        {
            "info": Leaf("lrm_cli.catalog_info", "Say what the catalog holds and who is using it."),
            "verify": Leaf("lrm_cli.catalog_verify", "Derive every id again and follow every reference."),
            "sql": Leaf("lrm_cli.catalog_sql", "Run a read-only SQL query."),
            "reparse": Leaf("lrm_cli.catalog_reparse", "Read stored responses anew, after a change of splitter or tags."),
            "merge": Leaf("lrm_cli.catalog_merge", "Merge what a killed fill left in its journal."),
        },
    ),
    "serve": Leaf("lrm_cli.serve", "Serve a declared model with vLLM, until Ctrl-C."),
    "doctor": Leaf("lrm_cli.doctor", "Check the installation, the folder, the keys and the catalog."),
    "completion": Leaf("lrm_cli.completion", "Print the script that makes a shell complete lrm's words."),
}  # fmt: skip

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in exits.TABLE)


class Lazy(click.Group):
    """A group that knows its commands by name and help, and imports one when it is used."""

    def __init__(self, *, tree: dict[str, Leaf | Branch], **attrs: Any) -> None:
        super().__init__(**attrs)
        self.tree = tree

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the table's order."""
        return list(self.tree)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, importing its module; None when there is none of that name."""
        match self.tree.get(cmd_name):
            case Leaf(module):
                command: click.Command = importlib.import_module(module).command
                return command
            case Branch(help, commands):
                return Lazy(name=cmd_name, help=help, tree=dict(commands), no_args_is_help=True)
            case None:
                return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, node.help) for name, node in self.tree.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return name, command and rest; refuse an unknown name with the nearest known one."""
        if not ctx.resilient_parsing and not args[0].startswith("-") and args[0] not in self.tree:
            raise click.UsageError(
                f"there is no command `{args[0]}`\n  hint: {known_names_hint(args[0], self.tree)}", ctx
            )
        return super().resolve_command(ctx, args)


class Root(Lazy):
    """The group `lrm`, which turns every way of ending into an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; return its exit code."""
        return exits.guarded(lambda: super(Root, self).invoke(ctx), debug=ctx.params["debug"])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and leave with its exit code; with `standalone_mode` off, return it."""
        try:
            code = super().main(args, prog_name or "lrm", complete_var, standalone_mode=False, **extra) or exits.OK
        except click.ClickException as error:
            code = exits.refuse(error)
        except (click.Abort, KeyboardInterrupt):
            code = exits.interrupted()
        if standalone_mode:
            sys.exit(code)
        return code


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"lrm {__version__}")
        ctx.exit()


cli = Root(
    name="lrm",
    tree=TREE,
    help="Assess how safe large reasoning models are: declare a matrix, fill what is missing of it, look at the traces.",
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"max_content_width": 120},
    params=[
        click.Option(["--debug"], is_flag=True, help="Let tracebacks through."),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version.",
        ),
    ],
)


def main() -> None:
    """Run `lrm` as a program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # a terminal that cannot show a sign is no reason to fail
    cli.main()
