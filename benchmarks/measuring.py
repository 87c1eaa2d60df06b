"""Whole processes, timed on chosen cores, with the memory of all their processes over time."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Run:
    """One process, from start to exit."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    """Largest resident set, in MiB; where it was watched, of the process with its children."""
    stdout: str


Watch = Callable[[float, float], None]
"""Told again and again the seconds since the start and the MiB resident, children's too."""


def run(
    command: Sequence[str],
    *,
    core: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    watch: Watch | None = None,
    every_s: float = 0.05,
) -> Run:
    """Run a command, pinned to one core if asked, and return what it took. Raises RuntimeError when it fails."""

    def pin() -> None:
        if core is not None:
            pin_to(0, core)

    ended = threading.Event()
    peaks = [0.0]

    def look(pid: int, started: float) -> None:
        while not ended.wait(every_s):
            resident = tree_mb(pid)
            peaks.append(max(peaks[-1], resident))
            if watch is not None and resident:
                watch(time.perf_counter() - started, resident)

    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=pin, cwd=cwd,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(env or {})},
    ) as process:  # fmt: skip
        looking = threading.Thread(target=look, args=(process.pid, started))
        if watch is not None:
            looking.start()
        try:
            out, err = process.communicate()
            wall = time.perf_counter() - started
        finally:
            process.kill()  # nothing left to kill, unless this was interrupted
            ended.set()
            if watch is not None:
                looking.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} exited with {process.returncode}\n{err[-2000:]}")
    measured = json.loads(out.rpartition("\n@@")[2]) if "\n@@" in out else {}
    peak = max(measured.get("peak_mb", 0.0), *peaks, 0.0)
    return Run(wall, measured.get("cpu_s", 0.0), peak, out.rpartition("\n@@")[0] if measured else out)


def pin_to(pid: int, core: int) -> None:
    """Keep a process (0: this one) on one core, where the system can and has it."""
    if hasattr(os, "sched_setaffinity") and core < (os.cpu_count() or 1):
        os.sched_setaffinity(pid, {core})


def tree_mb(pid: int) -> float:
    """Return the MiB resident of a process and its descendants; 0.0 for one that is gone. What they share counts for each."""
    if not (PROC / "self/statm").exists():
        return _tree_mb_by_ps(pid)
    try:
        pages = int((PROC / f"{pid}/statm").read_text().split()[1])
        threads = list((PROC / f"{pid}/task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20 + sum(map(tree_mb, children))


def _tree_mb_by_ps(pid: int) -> float:
    listed = subprocess.run(["ps", "-axo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()]
    members = {pid}
    while grown := {child for child, parent, _ in rows if parent in members} - members:
        members |= grown
    return sum(kilobytes for child, _, kilobytes in rows if child in members) / 1024


def python(code: str, *arguments: str, **options: Any) -> Run:
    """Run Python code in a process of its own that reports its CPU time and peak memory."""
    tail = (
        "\nimport json as _j, resource as _r; _u = _r.getrusage(_r.RUSAGE_SELF)\n"
        "print('\\n@@' + _j.dumps({'cpu_s': _u.ru_utime + _u.ru_stime, 'peak_mb': _u.ru_maxrss / 1024}))\n"
    )
    return run([sys.executable, "-c", code + tail, *arguments], **options)


def lrm(*arguments: str, **options: Any) -> Run:
    """Run the `lrm` command in a process of its own."""
    return python(_LRM, *arguments, **options)


# DuckDB takes a main module without a file for a notebook, and draws a bar on stdout when a query takes long.
_LRM = """
__file__ = "lrm"
import sys
from lrm_cli.main import main
try:
    main()
except SystemExit as e:
    assert e.code in (0, None), e.code
"""


def more_open_files() -> None:
    """Let this process and those that it starts have as many open files as the system allows without asking."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def bytes_below(folder: Path) -> int:
    """Return the bytes of all files in a folder and below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def publish(name: str, figures: Mapping[str, Any]) -> None:
    """Write a result as JSON beside the benchmarks, with the date and the machine that it was measured on.

    `load`: what else the machine was doing, as processes wanting a core on the average of the last 15 minutes.
    """
    RESULTS.mkdir(exist_ok=True)
    machine = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load": round(os.getloadavg()[2], 1),
    }
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": machine, **figures}, indent=2) + "\n")
