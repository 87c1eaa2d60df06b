"""Exit codes, and how each way of ending maps to one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from lrm.errors import LrmError
from lrm.text import visible

OK = 0
CELLS_FAILED = 1
"""The command ran, and something that it looked at or did is not as it should be."""
USAGE = 2
RETRY = 3
BUDGET = 4
"""A cap on cost, tokens, calls or time was reached, and something is left."""
BUG = 70
INTERRUPTED = 130

TABLE = (
    (OK, "done"),
    (CELLS_FAILED, "ran, but cells failed or were left, or a check found problems"),
    (USAGE, "wrong usage, spec, declaration or catalog: mend it first"),
    (RETRY, "busy, or a model cannot be asked: the same command may work later"),
    (BUDGET, "a budget was reached; run again with more to go on"),
    (BUG, "a bug in lrm"),
    (INTERRUPTED, "interrupted by Ctrl-C; nothing received is lost"),
)


def guarded(work: Callable[[], Any], *, debug: bool) -> Any:  # noqa: PLR0911 - one a kind of ending
    """Return what `work` returns, or print why it ended and return an exit code. Lets click's own exceptions through.

    With `debug` every exception goes up with its traceback.
    """
    try:
        result = work()
        sys.stdout.flush()
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except BrokenPipeError:
        return reader_gone()
    except KeyboardInterrupt:
        return interrupted()
    except LrmError as error:
        if debug:
            raise
        complain(str(error))
        return error.exit_code
    except OSError as error:
        if debug:
            raise
        place = f"{error.filename}: " if error.filename else ""
        complain(f"{place}{error.strerror or error}")
        return USAGE
    except Exception as error:
        if str(error) == "Query interrupted":  # a RuntimeError: what DuckDB makes of a Ctrl-C while it works
            return interrupted()
        if debug:
            raise
        complain(f"{type(error).__name__}: {error}")
        click.echo(
            "This is a bug in lrm. Run the command again with `lrm --debug …` and report what it prints.", err=True
        )
        return BUG
    return result


def complain(message: str) -> None:
    """Print an error on stderr, fit to show."""
    click.echo(visible(f"error: {message}"), err=True)


def refuse(error: click.ClickException) -> int:
    """Print a usage error on stderr and return its exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return USAGE
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"Try `{error.ctx.command_path} --help`.", err=True)
    complain(error.format_message())
    return USAGE


def interrupted() -> int:
    """Say that the command was interrupted and return the exit code of that."""
    click.echo("interrupted", err=True)
    return INTERRUPTED


def reader_gone() -> int:
    """Make the rest of the output go nowhere: whoever read it (`| head`) has had enough, which is no error."""
    # The interpreter flushes stdout once more at its end, and would complain.
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
    return OK
