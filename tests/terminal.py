"""A real terminal around a program: a pseudo-terminal that is written to, read from and looked at as a screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

QUIET_S = 0.03
"""Seconds without a byte after which what a key set off is over."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What a key set off."""

    latency_s: float
    """From the key to its last byte."""
    first_s: float
    """From the key to its first byte; as `latency_s` where nothing came."""
    bytes: int


@dataclass(slots=True)
class Terminal:
    """A program in a pseudo-terminal of its own."""

    command: Sequence[str]
    columns: int = 160
    rows: int = 48
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    output: bytearray = field(default_factory=bytearray)
    """All that it wrote."""
    _master: int = -1
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0

    def __enter__(self) -> Self:
        """Start the program."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "PYTHONDONTWRITEBYTECODE": "",
            **self.env,
        }
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            self.command, stdin=slave, stdout=slave, stderr=slave, cwd=self.cwd, env=environment, start_new_session=True
        )
        os.close(slave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it, if it still runs."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def pid(self) -> int:
        """The program's process id."""
        assert self._process is not None
        return self._process.pid

    def read(self, wait_s: float) -> bytes:
        """Return what it wrote within so many seconds, as soon as there is something."""
        ready, _, _ = select.select([self._master], [], [], wait_s)
        if not ready:
            return b""
        try:
            piece = os.read(self._master, 1 << 16)
        except OSError:  # the program has ended
            return b""
        self.output += piece
        return piece

    def until(self, seen: bytes | Callable[[bytes], bool], *, within_s: float = 30.0, since: int = 0) -> float:
        """Read until it wrote something; return the seconds since the start. Raises TimeoutError with what it wrote last."""
        found = (lambda text: seen in text) if isinstance(seen, bytes) else seen
        end = time.perf_counter() + within_s
        while not found(bytes(self.output[since:])):
            left = end - time.perf_counter()
            if left <= 0:
                raise TimeoutError(f"not seen: {seen!r}\n{bytes(self.output[-2000:])!r}")
            if not self.read(min(left, 0.2)) and self._process is not None and self._process.poll() is not None:
                raise TimeoutError(f"it ended with {self._process.returncode}\n{bytes(self.output[-3000:])!r}")
        return time.perf_counter() - self._started

    def settle(self, quiet_s: float = 0.4, within_s: float = 30.0) -> None:
        """Read until it is quiet."""
        end = time.perf_counter() + within_s
        while time.perf_counter() < end and self.read(quiet_s):
            pass

    def write(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def press(self, keys: bytes, *, within_s: float = 10.0) -> Burst:
        """Press keys and wait until what they set off is over."""
        began = time.perf_counter()
        self.write(keys)
        last, first, count = began, None, 0
        while time.perf_counter() - began < within_s:
            piece = self.read(QUIET_S if count else 0.5)
            if not piece:
                break
            last = time.perf_counter()
            first = first or last
            count += len(piece)
        return Burst(last - began, (first or last) - began, count)

    def peak_mb(self) -> float:
        """Return the largest resident set so far, in MiB."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024

    def wait(self, within_s: float = 20.0) -> int:
        """Wait for its end, reading on; return the exit code."""
        assert self._process is not None
        end = time.perf_counter() + within_s
        while self._process.poll() is None and time.perf_counter() < end:
            self.read(0.05)
        return self._process.wait(timeout=1)
