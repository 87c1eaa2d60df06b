"""A process of its own that holds a catalog's file open, as a writer or a reader."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCRIPT = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reading")
connection.execute("SELECT 1").fetchall()
print("holding", flush=True)
sys.stdin.read()
connection.close()
"""


@contextmanager
def held(path: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """Have another process hold the file open for `writing` or `reading` while the block runs, unless let go before."""
    command = [sys.executable, "-c", _SCRIPT, str(path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        try:
            yield process
        finally:
            let_go(process)


def let_go(process: subprocess.Popen[str]) -> None:
    """Make the process close the file and end."""
    if process.stdin is not None and not process.stdin.closed:
        process.stdin.close()
    assert process.wait(timeout=60) == 0
