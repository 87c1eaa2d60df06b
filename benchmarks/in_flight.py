"""Thousands of calls in flight: how near a fill comes to what the server's latency allows.

    python benchmarks/in_flight.py [--calls 30000] [--in-flight 2000] [--latency-ms 1000]

Ideal is calls x latency / in flight. Overall counts everything from the first call on: the slow start, by which a fill finds
out how much a provider takes, and the last round trip. The steady part begins when as many were under way as may be and
ends with the last call that is begun; its rate is the slope of a straight line through what the server counted. The process'
start-up, measured with a single call, is left out. The bare client begins with all at once.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]
from job import AIOHTTP, SERVER, asked, bare, fill, write_spec
from measuring import Run, more_open_files, pin_to, publish
from servers import Server, serving

FULL = 0.99
"""The part of what may be in flight that counts as all."""


@dataclass(slots=True)
class Curve:
    """What a server had counted, over time."""

    server: Server
    seen: list[tuple[float, int, int]] = field(default_factory=list)
    """Seconds, calls asked, most in flight so far."""

    def look(self, _at_s: float, _mb: float) -> None:
        """Take another look."""
        counted = self.server.count()
        self.seen.append((time.perf_counter(), counted["total"], counted["in_flight_max"]))

    def most(self) -> int:
        """Return the most calls that were in flight at once."""
        return max((most for _, _, most in self.seen), default=0)

    def reached_s(self, width: int) -> float | None:
        """Return the seconds from the first call until all were in flight; None when they never were."""
        began = next((at for at, total, _ in self.seen if total), None)
        full = next((at for at, _, most in self.seen if most >= FULL * width), None)
        return None if began is None or full is None else full - began

    def steady_rate(self, width: int, calls: int) -> float | None:
        """Return the calls a second while all were in flight; None when that was too short to tell."""
        steady = [(at, total) for at, total, most in self.seen if most >= FULL * width and total < calls]
        return statistics.linear_regression(*zip(*steady, strict=True)).slope if len(steady) > 10 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=30_000)
    parser.add_argument("--in-flight", type=int, default=2_000)
    parser.add_argument("--latency-ms", type=float, default=1_000)
    options = parser.parse_args()
    more_open_files()
    calls, width, latency_s = options.calls, options.in_flight, options.latency_ms / 1000
    ideal_s = calls * latency_s / width
    figures: dict[str, dict[str, float | None]] = {}
    print(f"{calls:,} calls, {width:,} in flight, latency {latency_s:g} s: ideal {ideal_s:.1f} s")
    print(
        f"{'client':<14} {'seconds':>8} {'of ideal':>9} {'full after s':>13} {'steady calls/s':>15} {'of ideal':>9} {'peak MB':>8}"
    )
    with tempfile.TemporaryDirectory() as folder, serving("--latency-ms", f"{options.latency_ms:g}") as server:
        pin_to(server.process.pid, SERVER)

        def lrm(count: int, look: Callable[[float, float], None]) -> Run:
            spec = write_spec(Path(folder) / f"{count}", server, count, width)
            return fill(spec, watch=look, every_s=0.1)

        def aiohttp(count: int, look: Callable[[float, float], None]) -> Run:
            return bare(AIOHTTP, server, count, width, watch=look, every_s=0.1)

        for name, client in (("aiohttp, bare", aiohttp), ("lrm, http", lrm)):
            start = client(1, lambda _at, _mb: None)
            server.reset()
            curve = Curve(server)
            run = client(calls, curve.look)
            asked(server, calls)
            took = run.wall_s - start.wall_s + latency_s
            steady = curve.steady_rate(width, calls)
            reached = curve.reached_s(width)
            figures[name] = {
                "calls": calls,
                "took_s": took,
                "achieved": ideal_s / took,
                "all_in_flight_after_s": reached,
                "steady_calls_per_s": steady,
                "steady_achieved": None if steady is None else steady * latency_s / width,
                "most_in_flight": curve.most(),
                "peak_mb": run.peak_mb,
            }
            print(
                f"{name:<14} {took:>8.1f} {ideal_s / took:>9.2f} {_shown(reached, '.1f'):>13} {_shown(steady, ',.0f'):>15}"
                f" {_shown(figures[name]['steady_achieved'], '.2f'):>9} {run.peak_mb:>8.0f}",
                flush=True,
            )
    publish("in_flight", {"in_flight": width, "latency_s": latency_s, "ideal_s": ideal_s, **figures})


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


if __name__ == "__main__":
    main()
