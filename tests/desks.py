"""A process of its own that holds a desk, as a fill does: it says what it was told, and obeys.

    python -m tests.desks CATALOG RUN SPEC [deaf]

Says `open`, then each wish. Ends when it is told to stop or its standard input is closed; when it is deaf only by the latter.
"""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, assert_never

from lrm.run.desk import Desk, LaneState, State
from lrm.run.wishes import InFlight, Pause, Resume, Stop
from lrm.store.catalog import Catalog

ROOT = Path(__file__).resolve().parents[1]
LANE = LaneState("m", 540, 120, 3, 2, 7, 16, 5, 1000, 2000, 0.25, None, None)
SECOND = replace(LANE, label="other", total=10, done=10, failed=0, in_flight=0, limit=8, cost=0.0)


@dataclass
class Holder:
    """The process, and the run that it holds."""

    process: subprocess.Popen[str]
    run: str

    def said(self) -> str:
        """Return the next line that it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self.process.wait(timeout=60)

    def end(self) -> None:
        """Let it end as a fill does that is done."""
        stdin: IO[str] | None = self.process.stdin
        if stdin is not None and not stdin.closed:
            stdin.close()
        assert self.process.wait(timeout=60) == 0


@contextmanager
def held(catalog: Catalog, run: str, spec: str = "small", *, deaf: bool = False) -> Iterator[Holder]:
    """Have another process be the fill `run` while the block goes on, unless it ends before."""
    words = [sys.executable, "-m", "tests.desks", str(catalog.path), run, spec, *(["deaf"] if deaf else [])]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            holder = Holder(process, run)
            assert holder.said() == "open"
            yield holder
        finally:
            if process.poll() is None:
                process.kill()


def main(path: str, run: str, spec: str, *how: str) -> None:
    """Hold a desk."""
    state: State = "running"
    lanes: tuple[LaneState, ...] = (LANE, SECOND)
    with Desk.open(Catalog(Path(path)), run, spec=spec, doing=f"lrm matrix fill {spec}.toml", say=print) as desk:
        desk.publish(state=state, lanes=lanes)
        _say("open")
        while not select.select([sys.stdin], [], [], 0.02)[0]:
            for wish in [] if how else desk.wishes():
                _say(repr(wish))
                match wish:
                    case Pause():
                        state = "paused"
                    case Resume():
                        state = "running"
                    case Stop():
                        return
                    case InFlight(model, most):
                        lanes = tuple(
                            replace(lane, limit=most) if fnmatchcase(lane.label, model) else lane for lane in lanes
                        )
                    case _:
                        assert_never(wish)
            desk.publish(state=state, lanes=lanes)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
