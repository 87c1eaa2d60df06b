"""Starts a program that lrm has to answer for: it, and all that it starts, end when lrm says so, and when lrm ends."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrm.engines import leash

GRACE_S = 20.0
"""Seconds between SIGTERM and SIGKILL: enough for vLLM to free a GPU by itself."""
_BOUND_S = 30.0
"""Seconds beyond the grace within which everything of the program is gone, or it is given up."""
LOG_BYTES = 2**20
"""How much of the end of a log is read for the reason why something ended."""


@dataclass(frozen=True, slots=True)
class Child:
    """A program that runs, or ran. Belongs to the event loop that started it."""

    process: asyncio.subprocess.Process
    """The leash (`lrm.engines.leash`), which ends as the program ends."""
    log: Path
    """The file that takes what it prints."""
    log_start: int
    """Bytes of the log that were there before."""
    grace_s: float
    """Seconds between SIGTERM and SIGKILL."""

    @property
    def returncode(self) -> int | None:
        """The exit status, a signal's number below zero; None while it runs."""
        return self.process.returncode

    async def wait(self) -> int:
        """Return the exit status, a signal's number below zero, when the program has ended. Everyone may wait."""
        return await self.process.wait()

    async def kill_tree(self) -> None:
        """End the program and whatever it started: SIGTERM, and SIGKILL after `grace_s`. Returns when they are gone.

        May be called again, and when it has ended already. Bounded: what does not even obey SIGKILL is left to the kernel.
        """
        tether = self.process.stdin
        if tether is not None:
            tether.close()
        try:
            await asyncio.wait_for(self.process.wait(), self.grace_s + _BOUND_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    def said(self) -> str:
        """Return what it has printed, the last `LOG_BYTES` of it; empty where its log cannot be read."""
        try:
            with self.log.open("rb") as stream:
                end = stream.seek(0, 2)
                stream.seek(max(self.log_start, end - LOG_BYTES))
                return stream.read().decode(errors="replace")
        except OSError:
            return ""


async def launch(
    argv: Sequence[str], *, log: Path, env: Mapping[str, str], pass_fds: Sequence[int] = (), grace_s: float = GRACE_S
) -> Child:
    """Start a program in a session of its own, with no input, and with what it prints at the end of `log`.

    `env` is its whole environment. `pass_fds` are open files that it gets under the same numbers; close them here afterwards.
    `grace_s`: seconds between SIGTERM and SIGKILL. Cancelling it leaves nothing behind. Raises OSError where the log cannot
    be written. A program that does not exist ends with 127 and says so in the log.
    """
    with log.open("ab") as stream:
        start = stream.seek(0, 2)
        fds = ",".join(map(str, pass_fds)) or "-"
        # -I: neither the working folder nor the environment may put modules in the leash's way
        command = (sys.executable, "-I", "-S", str(Path(leash.__file__)), str(grace_s), fds, *argv)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            env=dict(env),
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )
    return Child(process, log, start, grace_s)
