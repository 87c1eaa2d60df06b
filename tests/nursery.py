"""A process that has imported everything a fill needs, and from which fills are forked: each a process of its own, at once.

    python -m tests.nursery     reads lines of JSON on standard input and replies with one each

`{"given": …, "out": PATH}` forks a fill that writes to the pipe at PATH, and replies with its process id; `{"wait": PID}` and
`{"poll": PID}` reply with its exit status, negative for a signal, or null.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
NEEDED = (
    "aiohttp", "duckdb", "pyarrow", "pandas", "lrm.backends.http", "lrm.judges.llm", "lrm.plan.planner", "lrm.run.judging",
    "lrm.run.rounds", "lrm.run.session", "lrm.run.subject_rounds", "lrm.store.merge", "lrm.store.migrations", "tests.filling",
)  # fmt: skip


class Forked:
    """A fill's process, used as a `subprocess.Popen` is."""

    def __init__(self, pid: int, stdout: IO[str]) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit status; None while it runs."""
        if self.returncode is None:
            self.returncode = _ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, however long, and return its exit status."""
        if self.returncode is None:
            self.returncode = _ask(wait=self.pid)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it as nothing can be caught."""
        self.send_signal(signal.SIGKILL)


def forked(given: dict[str, Any]) -> Forked:
    """Begin a fill."""
    pipe = Path(mkdtemp(prefix="lrm-nursery-")) / "out"
    os.mkfifo(pipe)
    pid = _ask(given=given, out=str(pipe))
    assert pid is not None
    stdout = pipe.open(encoding="utf-8")
    pipe.unlink()
    pipe.parent.rmdir()
    return Forked(pid, stdout)


@cache
def _nursery() -> subprocess.Popen[str]:
    atexit.register(close)
    command = [sys.executable, "-m", "tests.nursery"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def close() -> None:
    """End the process, if there is one."""
    if _nursery.cache_info().currsize:
        nursery = _nursery()
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        nursery.stdin.close()
        nursery.wait(timeout=60)
        nursery.stdout.close()
        _nursery.cache_clear()


def _ask(**order: Any) -> int | None:
    nursery = _nursery()
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    nursery.stdin.write(json.dumps(order) + "\n")
    nursery.stdin.flush()
    reply: int | None = json.loads(nursery.stdout.readline())
    return reply


def _status(status: int) -> int:
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _obey(order: dict[str, Any]) -> int | None:
    if "wait" in order:
        return _status(os.waitpid(order["wait"], 0)[1])
    if "poll" in order:
        pid, status = os.waitpid(order["poll"], os.WNOHANG)
        return _status(status) if pid else None
    pid = os.fork()
    if pid == 0:
        _be_born(order)
    return pid


def _be_born(order: dict[str, Any]) -> None:
    """Fill, in a process that has just been forked; never returns."""
    from tests.filling import Given, carry_out

    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(order["out"], os.O_WRONLY), 1)
        code = carry_out(Given(**order["given"]))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    """Import what is needed and obey until standard input ends."""
    for name in NEEDED:
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_obey(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
