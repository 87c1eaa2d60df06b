"""Runs one program and sees that nothing of it is left: a process of its own, between lrm and an engine.

    python -I leash.py GRACE FDS PROGRAM [ARGUMENT …]

Standard input is the tether: when it closes, because lrm let go or is dead however it died, the program gets SIGTERM, and
with everything that it started SIGKILL after GRACE seconds. When it has ended, what it left behind is killed. FDS are the
numbers of open files that the program gets, with commas between them, or `-`. Ends as the program ended, by the same
signal or with the same status. Imports nothing but the standard library, so that it starts at once and takes no memory.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
"""As `prctl(2)` numbers them."""
_AGAIN_S = 0.05
_LAST_S = 10.0
"""Seconds for the kernel to take away what was killed; a process that hangs in a driver may take longer."""


def main(grace_s: float, fds: tuple[int, ...], argv: list[str]) -> int:
    """Run the program; return its status as `waitpid` says it."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    _prctl(_SET_CHILD_SUBREAPER, 1)
    try:
        # The program is its own group, so that this process can outlive it.
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            pass_fds=fds,
            process_group=0,
            preexec_fn=_as_a_program,  # noqa: PLW1509 - one thread
        )
    except OSError as error:
        sys.stderr.write(f"{argv[0]} cannot be started: {error.strerror}\n")
        return 127 << 8
    for fd in fds:
        os.close(fd)  # whoever holds the other end is to see the program end
    status: int | None = None
    while status is None:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            status = _reaped(child.pid)
        if status is None and 0 in ready and not os.read(0, 4096):
            status = _ended(child.pid, grace_s)
    _kill_all(child.pid)
    child.returncode = 0  # it is reaped: Popen need not look
    return status


def _as_a_program() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)


def _ended(pid: int, grace_s: float) -> int:
    """End the program, gently first; return its status."""
    until = time.monotonic() + grace_s
    os.kill(pid, signal.SIGTERM)  # it ends what it started in its own way, as long as it can
    while (status := _reaped(pid)) is None:
        if time.monotonic() >= until:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            until = float("inf")
        time.sleep(_AGAIN_S)
    return status


def _reaped(pid: int) -> int | None:
    """Take away the dead; return the program's status if it is among them."""
    found: int | None = None
    with contextlib.suppress(ChildProcessError):
        while True:
            one, status = os.waitpid(-1, os.WNOHANG)
            if one == 0:
                break
            if one == pid:
                found = status
    return found


def _kill_all(group: int) -> None:
    """Kill what the program left behind, in its group or, on Linux, anywhere."""
    until = time.monotonic() + _LAST_S
    while time.monotonic() < until:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        left = _descendants()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reaped(group)
        if not left:
            return
        time.sleep(_AGAIN_S)


def _descendants() -> set[int]:
    """Return the processes below this one, as /proc tells; none where there is no /proc.

    Those whose parents have ended are children of this one, since it asked to be given them.
    """
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # «pid (name) state ppid …», where the name may hold anything (proc(5))
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                below.setdefault(int(parent), []).append(int(stat.parent.name))
    found: set[int] = set()
    unseen = [os.getpid()]
    while unseen:
        new = [pid for pid in below.get(unseen.pop(), ()) if pid not in found]
        found.update(new)
        unseen += new
    return found


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_as(status: int) -> None:
    """End as the program did."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    _grace, _fds, *_argv = sys.argv[1:]
    _end_as(main(float(_grace), () if _fds == "-" else tuple(map(int, _fds.split(","))), _argv))
