"""How a command ends: exit codes, what stderr says, interrupts, readers that go away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from lrm.errors import BusyError, CatalogError, JudgeError, LrmError, MissingError, ModelError, SpecError
from lrm_cli import exits
from lrm_cli.main import cli
from tests.cli.common import Json, Run, Small


def program(*words: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start `lrm WORDS…` as a process of its own, in the working folder."""
    command = [sys.executable, "-c", "from lrm_cli.main import main; main()", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LrmError("x"), 2),
        (SpecError("x", file="f", line=3), 2),
        (MissingError("x"), 2),
        (CatalogError("x"), 2),
        (BusyError("x"), 3),
        (ModelError("x"), 3),
        (JudgeError("x"), 2),
        (KeyboardInterrupt(), 130),
        (PermissionError(13, "Permission denied", "there"), 2),
        (ZeroDivisionError("x"), 70),
        (AssertionError(), 70),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_every_way_of_ending_has_its_code(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise error

    assert exits.guarded(fail, debug=False) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err
    assert "Traceback" not in printed.err
    if code != exits.INTERRUPTED:
        with pytest.raises(type(error)):
            exits.guarded(fail, debug=True)


def test_an_error_has_its_hint_and_a_bug_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: Exception) -> str:
        def work() -> None:
            raise error

        exits.guarded(work, debug=False)
        return capsys.readouterr().err

    told = fail(SpecError("is wrong", file="a.toml", line=3, key="k", hint="mend it"))
    assert told == "error: a.toml:3: key `k`: is wrong\n  hint: mend it\n"
    told = fail(ZeroDivisionError("by zero"))
    assert told.startswith("error: ZeroDivisionError: by zero\nThis is a bug in lrm.")
    assert "--debug" in told


def test_debug_lets_the_traceback_through() -> None:
    with program("--debug", "catalog", "info", "--catalog", "absent.duckdb") as process:
        _, told = process.communicate(timeout=60)
    assert "Traceback (most recent call last)" in told
    assert "lrm.errors.MissingError" in told


@pytest.mark.parametrize(
    "words",
    [
        ["--nothing"],
        ["matrix", "fill"],
        ["matrix", "fill", "spec.toml", "--limit", "-1"],
        ["matrix", "fill", "spec.toml", "--replicates", "x"],
        ["matrix", "plan", "spec.toml", "--nothing"],
        ["registry", "list", "colours"],
        ["catalog", "sql"],
        ["completion", "tcsh"],
    ],
    ids=" ".join,
)
def test_wrong_usage(lrm: Run, words: Sequence[str]) -> None:
    result = lrm(*words, code=exits.USAGE)
    assert result.stdout == ""
    assert "Usage: lrm " in result.stderr
    assert "--help`." in result.stderr
    assert "error: " in result.stderr


def test_the_return_value_is_the_code() -> None:
    assert cli.main(["--version"], standalone_mode=False) == exits.OK
    assert cli.main(["nothing"], standalone_mode=False) == exits.USAGE
    with pytest.raises(SystemExit) as left:
        cli.main(["nothing"])
    assert left.value.code == exits.USAGE


def test_clicks_own_endings_pass() -> None:
    def leave() -> None:
        raise click.exceptions.Exit(0)

    with pytest.raises(click.exceptions.Exit):
        exits.guarded(leave, debug=False)


def test_an_interrupted_fill_loses_nothing(lrm_json: Json, small: Small) -> None:
    spec = small("{seed = 1, latency_ms = 300}")
    spec.write_text(spec.read_text().replace("max_attempts = 1", "max_attempts = 1, max_in_flight = 1"))
    with program("matrix", "fill", spec, "--replicates", "50") as process:
        assert process.stderr is not None
        assert "100 calls to make" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == exits.INTERRUPTED, told
    assert "Traceback" not in told
    quick = small("{seed = 1}")
    assert lrm_json("matrix", "fill", quick, "--replicates", "50")["done"] <= 100
    assert lrm_json("matrix", "plan", quick, "--replicates", "50")["missing"] == 0
    assert lrm_json("catalog", "verify")["ok"]


def test_a_reader_that_goes_away_is_no_error(quickstart: Path) -> None:
    query = "SELECT repeat('x', 50) AS x, n FROM (SELECT unnest(range(20000)) AS n)"
    with program("catalog", "sql", query, "--limit", "20000") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().split() == ["x", "n"]
        process.stdout.close()
        assert process.wait(timeout=60) == exits.OK
        assert process.stderr.read() == ""


def test_data_and_talk_are_apart(small: Small) -> None:
    spec = small()
    with program("matrix", "fill", spec) as process:
        data, talk = process.communicate(timeout=60)
    assert process.returncode == exits.OK
    assert [line.split()[0] for line in data.splitlines()] == ["model", "m"]
    assert talk.startswith("small: 2 calls to make")
    assert "2 of 2 calls done" in talk
    assert "Try next:" in talk
    with program("matrix", "fill", spec, "--replicates", "2", "--quiet") as process:
        data, talk = process.communicate(timeout=60)
    assert [line.split()[0] for line in data.splitlines()] == ["model", "m"]
    assert talk == ""


def test_a_terminal_that_cannot_show_a_sign(quickstart: Path) -> None:
    with program(
        "catalog", "sql", "SELECT 'é–' AS x", env={**os.environ, "PYTHONIOENCODING": "latin-1"}, encoding="latin-1"
    ) as process:
        assert process.communicate(timeout=60) == ("x\né\\u2013\n", "")
