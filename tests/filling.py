"""Fills a catalog in a process of its own, which a test can watch, interrupt and kill.

    python -m tests.filling     reads one line of JSON: the fields of `Given`

Says `planned N` when the plan is made, `merging NAME` and `merged MILLISECONDS` around each merge, `say LINE` for what the user is told,
and `outcome JSON` or `error JSON` at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lrm.errors import LrmError
from lrm.plan.plan import Plan
from lrm.registry.layers import Registry, packaged
from lrm.run import asking, keeper
from lrm.run.fill import fill
from lrm.run.progress import Silent
from lrm.spec.matrix import Matrix
from lrm.spec.resolve import resolve
from lrm.store import catalog as catalog_module
from lrm.store.catalog import Catalog
from lrm.store.merge import Merged, merge_segment
from tests import builders, nursery

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Given:
    """What a process fills: a spec's file, or one model behind a test server with these prompts."""

    catalog: str
    url: str = ""
    prompts: tuple[str, ...] = ()
    spec: str | None = None
    max_in_flight: int = 8
    merge_s: float = 0.05
    retry_failed: bool = False
    patience_s: float | None = None
    """How long a writer waits for whoever has the catalog open; None is as long as it does."""


def spec_of(url: str, prompts: Sequence[str], *, max_in_flight: int = 8) -> Matrix:
    """Return the matrix that the process fills: one model behind the test server, each prompt once."""
    limits = {"max_in_flight": max_in_flight}
    return builders.matrix(
        [builders.http_model(url, "served", limits=limits)],
        [builders.prompt_set("set", prompts)],
        judges=[builders.judge()],
    )


def matrix_of(given: Given) -> Matrix:
    """Return the matrix that is given."""
    if given.spec is not None:
        return resolve(Path(given.spec), Registry([packaged()]))
    return spec_of(given.url, given.prompts, max_in_flight=given.max_in_flight)


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
    os.write(1, line.encode(errors="replace") + b"\n")


def _merge_aloud(catalog: Catalog, path: Path, *args: Any, **kwargs: Any) -> Merged:
    say(f"merging {path.name}")
    began = time.perf_counter()
    merged = merge_segment(catalog, path, *args, **kwargs)
    say(f"merged {(time.perf_counter() - began) * 1000:.1f}")
    return merged


def carry_out(given: Given) -> int:
    """Fill what is given, say what comes of it, and return the exit code."""
    keeper.MERGE_S = given.merge_s
    asking.merge_segment = _merge_aloud  # type: ignore[attr-defined]
    if given.patience_s is not None:
        catalog_module.LOCK_PATIENCE_S = given.patience_s
        Catalog.writing.__wrapped__.__kwdefaults__["patience_s"] = given.patience_s  # type: ignore[attr-defined]
    try:
        outcome = fill(
            matrix_of(given),
            Catalog(Path(given.catalog)),
            retry_failed=given.retry_failed,
            observer=Watch(),
            doing="the filling test",
        )
    except LrmError as error:
        say("error " + json.dumps({"type": type(error).__name__, "message": error.message, "hint": error.hint}))
        return error.exit_code
    counts = {name: getattr(outcome, name) for name in ("done", "failed", "left", "interrupted")}
    say("outcome " + json.dumps(counts))
    return 0


@dataclass(frozen=True, slots=True)
class Filling:
    """A running fill."""

    process: subprocess.Popen[str] | nursery.Forked

    def line(self, start: str) -> str:
        """Wait for a line that begins so and return the rest of it."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            if line.startswith(start + " "):
                return line.removeprefix(start + " ").rstrip("\n")
            seen.append(line)
        raise AssertionError(f"the fill ended with {self.process.wait()} without saying `{start}`:\n{''.join(seen)}")

    def rest(self) -> list[str]:
        """Wait for the end and return the lines that were not read yet."""
        assert self.process.stdout is not None
        lines = self.process.stdout.read().splitlines()
        self.process.wait(timeout=60)
        return lines

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

    def kill(self) -> None:
        """Kill it as nothing can be caught, and wait until it is gone."""
        self.process.kill()
        self.process.wait(timeout=60)


@contextmanager
def filling(
    url: str,
    catalog: Catalog,
    prompts: Sequence[str],
    *,
    spec: Path | None = None,
    max_in_flight: int = 8,
    merge_s: float = 0.05,
    retry_failed: bool = False,
    patience_s: float | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Filling]:
    """Have another process fill the catalog while the block runs; it is killed at the end if it still does.

    With a `spec` it fills that file. `env` is added to its environment; without, it is forked from a process that has
    imported everything, which saves a second.
    """
    given = Given(
        catalog=str(catalog.path),
        url=url,
        prompts=tuple(prompts),
        spec=None if spec is None else str(spec),
        max_in_flight=max_in_flight,
        merge_s=merge_s,
        retry_failed=retry_failed,
        patience_s=patience_s,
    )
    if env is None:
        child = nursery.forked(asdict(given))
        try:
            yield Filling(child)
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
        return
    command, pipe = [sys.executable, "-m", "tests.filling"], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env={**os.environ, **env}) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(given)) + "\n")
        process.stdin.flush()
        try:
            yield Filling(process)
        finally:
            process.kill()


if __name__ == "__main__":
    sys.exit(carry_out(Given(**json.loads(sys.stdin.readline()))))
