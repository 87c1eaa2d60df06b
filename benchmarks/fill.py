"""P10: calls a second of `lrm matrix fill` against a bare client on the same server, hashing, journal and store included.

    python benchmarks/fill.py [--calls 20000] [--litellm-calls 2000] [--in-flight 64] [--runs 3]

The server (zero latency, a reply of 3.6 kB with content and reasoning) has one core, the client the other. Figures are whole
processes less the time that the same process takes for a single call, so that start-up does not count.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]
from job import AIOHTTP, LITELLM, SERVER, asked, bare, fill, write_spec
from measuring import Run, pin_to, publish
from servers import Server, serving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--litellm-calls", type=int, default=2_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        pin_to(server.process.pid, SERVER)
        rows = (
            ("aiohttp, bare", AIOHTTP, options.calls, None, None),
            ("lrm, http", None, options.calls, "http", "aiohttp, bare"),
            ("lrm, http, judged", None, options.calls, "http judged", "aiohttp, bare"),
            ("litellm, bare", LITELLM, options.litellm_calls, None, None),
            ("lrm, litellm", None, options.litellm_calls, "litellm", "litellm, bare"),
        )
        print(f"{'client':<20} {'calls':>7} {'calls/s':>9} {'ratio':>6} {'peak MB':>8}")
        for name, code, calls, backend, against in rows:
            taken, peaks = [], []
            for number in range(options.runs):
                at = Path(folder) / f"{name}-{number}"
                if code:
                    start, run = (bare(code, server, each, options.in_flight) for each in (1, calls))
                else:
                    start = filled(at / "one", server, 1, options.in_flight, backend or "")
                    run = filled(at / "all", server, calls, options.in_flight, backend or "")
                taken.append(run.wall_s - start.wall_s)
                peaks.append(run.peak_mb)
            rate = calls / statistics.median(taken)
            figures[name] = {"calls": calls, "calls_per_s": rate, "peak_mb": max(peaks)}
            if against:
                figures[name]["ratio"] = rate / figures[against]["calls_per_s"]
            ratio = f"{figures[name]['ratio']:.2f}" if against else ""
            print(f"{name:<20} {calls:>7,} {rate:>9,.0f} {ratio:>6} {max(peaks):>8.0f}", flush=True)
    publish("fill", {"in_flight": options.in_flight, **figures})


def filled(folder: Path, server: Server, calls: int, width: int, backend: str) -> Run:
    """Fill a matrix of so many calls into a new catalog, then again; the server must be asked once for each."""
    kind, _, judged = backend.partition(" ")
    spec = write_spec(folder, server, calls, width, kind=kind, judged=bool(judged))
    server.reset()
    run = fill(spec)
    fill(spec)
    asked(server, calls)
    return run


if __name__ == "__main__":
    main()
