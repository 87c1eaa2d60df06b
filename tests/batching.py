"""Runs a batch lane as a fill does, here or in a process of its own that a test can watch, interrupt and kill.

    python -m tests.batching     reads a line like {"url": …, "catalog": …, "prompts": […], "stop_at": "before sent"}

`stop_at` is where it stands still until it is killed; it says `at …` then: `before`/`after` and the state that the journal is told
(`sent`, `collected`, `lost`), or `kept N`. Says `say …` for what the user is told, and `outcome JSON` at the end.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrm.backends.base import Call, CallFailure, Reply
from lrm.errors import LrmError
from lrm.plan import planner, workspace
from lrm.registry.identity import model_id as model_identity_id
from lrm.run import batch_waiting
from lrm.run.asking import subject_queues
from lrm.run.batches import BatchLane
from lrm.run.feed import Calls
from lrm.run.keeper import Keeper
from lrm.run.session import new_run
from lrm.spec.lock import Lock
from lrm.spec.matrix import Matrix
from lrm.store.card import card_of
from lrm.store.catalog import Catalog
from lrm.store.journal import BatchNote, Journal, Record
from lrm.store.live import live_runs, living
from lrm.store.lock import arranging, sharing
from lrm.store.merge import merge_dead, merge_segment
from lrm.store.register import register
from tests import builders

NAME = "batched"
QUICK = {"POLL_FIRST_S": 0.02, "POLL_LAST_S": 0.05, "SETTLE_S": 0.2}
"""The pauses of a lane in tests."""


def spec_of(url: str, prompts: Sequence[str], **fields: Any) -> Matrix:
    """Return a matrix of one model behind the server, asked by batches, each prompt once."""
    declared = {"backend": "litellm", "model": "openai/ok", "endpoint": url, "batch": True, **fields}
    return builders.matrix([builders.model(NAME, **declared)], [builders.prompt_set("set", prompts)])


@dataclass(slots=True)
class Ran:
    """What a lane did."""

    planned: int
    kept: list[tuple[bytes, Reply | CallFailure]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    sent: int = 0
    waiting: int = 0
    collected: int = 0
    stopped: str | None = None

    @property
    def failures(self) -> list[CallFailure]:
        """The calls that failed."""
        return [result for _, result in self.kept if isinstance(result, CallFailure)]

    @property
    def replies(self) -> list[Reply]:
        """The calls that were answered."""
        return [result for _, result in self.kept if isinstance(result, Reply)]


class Nothing:
    """A queue with no call."""

    def next(self) -> Call | None:
        """Return nothing."""
        return None


def run(
    catalog: Catalog,
    spec: Matrix,
    *,
    at: Callable[[str], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    interrupts: bool = False,
) -> Ran:
    """Plan, send what is missing and collect what is open; `at` is told of each step."""
    ran = Ran(0)

    def tell(line: str) -> None:
        ran.said.append(line)
        say(line)

    name = new_run()
    with ExitStack() as stack:
        stack.enter_context(sharing(catalog, "the batch test"))
        stack.enter_context(living(catalog, name))
        with arranging(catalog):
            merge_dead(catalog, say=tell)
            space = stack.enter_context(workspace.opened(catalog, spec, Lock()))
            planned = planner.plan(space, live=live_runs(catalog) - {name})
            register(space, spec)
            queues = subject_queues(space, planned) if planned.calls else []
        space.detach()
        ran.planned = planned.calls
        queue = queues[0].calls if queues else Nothing()
        asyncio.run(_run(catalog, spec, name, queue, ran, at, tell, interrupts))
    return ran


async def _run(
    catalog: Catalog, spec: Matrix, run_id: str, queue: Calls, ran: Ran, at: Callable[[str], None],
    say: Callable[[str], None], interrupts: bool,
) -> None:  # fmt: skip
    model = spec.models[NAME].declaration
    card = card_of(NAME, model)
    model_id = model_identity_id(model)
    journal = Journal(catalog.journal_folder, run_id, {model_id.hex(): card})
    broken: list[LrmError] = []
    keeper = Keeper(journal, lambda path: void(merge_segment(catalog, path)), broken.append, say)
    stopping = asyncio.Event()
    if interrupts:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopping.set)

    def keep(call: Call, result: Reply | CallFailure) -> None:
        ran.kept.append((call.id, result))
        keeper.keep(record(call, model_id, result))
        if len(ran.kept) > 1:
            journal.write()
        at(f"kept {len(ran.kept)}")

    async def note(line: BatchNote) -> None:
        at(f"before {line['state']}")
        await keeper.keep_on_disk(line)
        at(f"after {line['state']}")

    lane = BatchLane(model, model_id, card, run_id, queue, catalog, keep, note, say, stopping)
    keeper.begin()
    try:
        await lane.run()
    finally:
        await keeper.end()
    ran.sent, ran.waiting, ran.collected, ran.stopped = lane.sent, lane.waiting, lane.collected, lane.stopped
    if broken:
        raise broken[0]


def void(_: object) -> None:
    """Return nothing of what a function returned."""


def record(call: Call, model_id: bytes, result: Reply | CallFailure) -> Record:
    """Return the line of the journal for what came of a call."""
    line = Record(
        call=call.id.hex(), model=model_id.hex(), messages=call.messages, replicate=call.replicate,
        at=time.time_ns() // 1000, attempts=1,
    )  # fmt: skip
    if isinstance(result, Reply):
        line["raw"], line["blocked"], line["cost"] = result.raw, result.blocked, result.cost
        line["fingerprint"], line["sent"], line["ms"] = result.fingerprint, result.sent, 0.0
    else:
        line["kind"], line["message"] = result.kind, result.message
    return line


def main() -> None:
    """Run what the first line of standard input describes."""
    given = json.loads(sys.stdin.readline())
    for name, value in {**QUICK, **given["pauses"]}.items():
        setattr(batch_waiting, name, value)

    def at(step: str) -> None:
        if step == given["stop_at"]:
            _tell(f"at {step}")
            signal.pause()

    try:
        ran = run(
            Catalog(Path(given["catalog"])), spec_of(given["url"], given["prompts"]), at=at,
            say=lambda line: _tell(f"say {line}"), interrupts=True,
        )  # fmt: skip
    except LrmError as error:
        _tell("error " + json.dumps({"type": type(error).__name__, "message": error.message, "hint": error.hint}))
        sys.exit(error.exit_code)
    counts = {name: getattr(ran, name) for name in ("planned", "sent", "waiting", "collected", "stopped")}
    _tell("outcome " + json.dumps(counts))


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class Batching:
    """A running lane."""

    process: subprocess.Popen[str]

    def line(self, start: str) -> str:
        """Wait for a line that begins so and return the rest of it."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if line.startswith(start + " "):
                return line.removeprefix(start + " ").rstrip("\n")
        raise AssertionError(f"it ended without saying `{start}`: {self.process.wait()}: {seen}")

    def kill(self) -> None:
        """Kill it as kill -9 does."""
        self.process.kill()
        self.process.wait(timeout=60)

    def outcome(self) -> dict[str, Any]:
        """Wait for the end and return what was done."""
        found: dict[str, Any] = json.loads(self.line("outcome"))
        assert self.process.wait(timeout=60) == 0
        return found


@contextmanager
def batching(
    url: str, catalog: Catalog, prompts: Sequence[str], *, stop_at: str = "", **pauses: float
) -> Iterator[Batching]:
    """Have another process run a lane while the block runs; it is killed at the end if it still does.

    `pauses` are constants of lrm.run.batch_waiting that are to be other than in `QUICK`.
    """
    given = {"url": url, "catalog": str(catalog.path), "prompts": list(prompts), "stop_at": stop_at, "pauses": pauses}
    command = [sys.executable, "-m", "tests.batching"]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(given) + "\n")
        process.stdin.flush()
        try:
            yield Batching(process)
        finally:
            process.kill()


if __name__ == "__main__":
    main()
