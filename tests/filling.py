"""Fills a catalog in a process of its own, which a test can watch, interrupt and kill.

    python -m tests.filling     reads a line like {"url": …, "catalog": …, "prompts": […], "max_in_flight": 8, "merge_s": 0.05}

Says `planned N` when the plan is made, `say LINE` for what the user is told, and `outcome JSON` or `error JSON` at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrm.errors import LrmError
from lrm.plan.plan import Plan
from lrm.run import keeper
from lrm.run.fill import fill
from lrm.run.progress import Silent
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from tests import builders


def spec_of(url: str, prompts: Sequence[str], *, max_in_flight: int = 8) -> Matrix:
    """Return the matrix that the process fills: one model behind the test server, each prompt once."""
    limits = {"max_in_flight": max_in_flight}
    return builders.matrix(
        [builders.http_model(url, "served", limits=limits)],
        [builders.prompt_set("set", prompts)],
        judges=[builders.judge()],
    )


class Watch(Silent):
    """Says on standard output what happens."""

    def planned(self, plan: Plan) -> None:
        """Say how many calls there are."""
        say(f"planned {plan.calls}")

    def say(self, line: str) -> None:
        """Say a line for the user."""
        say(f"say {line}")


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Fill what the first line of standard input describes."""
    given = json.loads(sys.stdin.readline())
    keeper.MERGE_S = given["merge_s"]
    spec = spec_of(given["url"], given["prompts"], max_in_flight=given["max_in_flight"])
    try:
        outcome = fill(spec, Catalog(Path(given["catalog"])), observer=Watch(), doing="the filling test")
    except LrmError as error:
        say("error " + json.dumps({"type": type(error).__name__, "message": error.message, "hint": error.hint}))
        sys.exit(error.exit_code)
    counts = {name: getattr(outcome, name) for name in ("done", "failed", "left", "interrupted")}
    say("outcome " + json.dumps(counts))


@dataclass(frozen=True, slots=True)
class Filling:
    """A running fill."""

    process: subprocess.Popen[str]

    def line(self, start: str) -> str:
        """Wait for a line that begins so and return the rest of it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(start + " "):
                return line.removeprefix(start + " ").rstrip("\n")
        raise AssertionError(f"the fill ended without saying `{start}`: {self.process.wait()}")

    def outcome(self) -> dict[str, Any]:
        """Wait for the end and return what was done."""
        found: dict[str, Any] = json.loads(self.line("outcome"))
        assert self.process.wait(timeout=60) == 0
        return found

    def error(self) -> dict[str, Any]:
        """Wait for the end and return what went wrong."""
        found: dict[str, Any] = json.loads(self.line("error"))
        self.process.wait(timeout=60)
        return found


@contextmanager
def filling(
    url: str, catalog: Catalog, prompts: Sequence[str], *, max_in_flight: int = 8, merge_s: float = 0.05
) -> Iterator[Filling]:
    """Have another process fill the catalog while the block runs; it is killed at the end if it still does."""
    given = {
        "url": url, "catalog": str(catalog.path), "prompts": list(prompts), "max_in_flight": max_in_flight, "merge_s": merge_s,
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.filling"]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(given) + "\n")
        process.stdin.flush()
        try:
            yield Filling(process)
        finally:
            process.kill()


if __name__ == "__main__":
    main()
