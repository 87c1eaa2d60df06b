"""Whole processes, timed on chosen cores, with their peak memory."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Run:
    """One process, from start to exit."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    """Largest resident set, in MiB."""
    stdout: str


def run(
    command: Sequence[str], *, core: int | None = None, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Run:
    """Run a command, pinned to one core if asked, and return what it took. Raises RuntimeError when it fails."""

    def pin() -> None:
        if core is not None and core < (os.cpu_count() or 1):
            os.sched_setaffinity(0, {core})

    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=pin, cwd=cwd,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(env or {})},
    ) as process:  # fmt: skip
        out, err = process.communicate()
        wall = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} exited with {process.returncode}\n{err[-2000:]}")
    measured = json.loads(out.rpartition("\n@@")[2]) if "\n@@" in out else {}
    return Run(wall, measured.get("cpu_s", 0.0), measured.get("peak_mb", 0.0), out.rpartition("\n@@")[0])


def python(code: str, *arguments: str, **options: Any) -> Run:
    """Run Python code in a process of its own that reports its CPU time and peak memory."""
    tail = (
        "\nimport json as _j, resource as _r; _u = _r.getrusage(_r.RUSAGE_SELF)\n"
        "print('\\n@@' + _j.dumps({'cpu_s': _u.ru_utime + _u.ru_stime, 'peak_mb': _u.ru_maxrss / 1024}))\n"
    )
    return run([sys.executable, "-c", code + tail, *arguments], **options)


def lrm(*arguments: str, **options: Any) -> Run:
    """Run the `lrm` command in a process of its own."""
    code = "import sys\nfrom lrm_cli.main import main\ntry:\n    main()\nexcept SystemExit as e:\n    assert e.code in (0, None), e.code"
    return python(code, *arguments, **options)


def publish(name: str, figures: Mapping[str, Any]) -> None:
    """Write a result as JSON beside the benchmarks, with the machine it was measured on."""
    RESULTS.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": machine, **figures}, indent=2) + "\n")
