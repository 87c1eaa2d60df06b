"""P10: whether a long fill keeps its pace and its memory, from the first tenth of its calls to the last.

    python benchmarks/memory.py [--cells 200000] [--in-flight 64] [--judged]

Tenths are by what the server was asked; memory is what was resident when each was reached, and the most within it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]
from job import SERVER, asked, fill, write_spec
from measuring import bytes_below, pin_to, publish
from servers import Server, serving

PARTS = 10


@dataclass(slots=True)
class History:
    """Calls and memory of a fill over time."""

    server: Server
    seen: list[tuple[float, float, int]] = field(default_factory=list)
    """Seconds since the start, MiB resident, calls asked."""

    def look(self, at_s: float, resident_mb: float) -> None:
        """Take another look."""
        before = time.perf_counter()
        total = self.server.total()
        self.seen.append((at_s + time.perf_counter() - before, resident_mb, total))

    def parts(self, calls: int) -> list[dict[str, Any]]:
        """Return each tenth's end in seconds, its calls a second, the memory at its end and the most in it."""
        rows = []
        began = max((one for one in self.seen if one[2] == 0), default=self.seen[0])
        for part in range(1, PARTS + 1):
            goal = calls * part // PARTS
            within = [one for one in self.seen if one[0] > began[0] and one[2] < goal]
            ended = next((one for one in self.seen if one[2] >= goal), self.seen[-1])
            rate = (ended[2] - began[2]) / (ended[0] - began[0]) if ended[0] > began[0] else 0.0
            rows.append(
                {
                    "cells": goal,
                    "at_s": ended[0],
                    "calls_per_s": rate,
                    "resident_mb": ended[1],
                    "most_mb": max(one[1] for one in (*within, ended)),
                }
            )
            began = ended
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--judged", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        pin_to(server.process.pid, SERVER)
        spec = write_spec(Path(folder) / "fill", server, options.cells, options.in_flight, judged=options.judged)
        history = History(server)
        run = fill(spec, watch=history.look, every_s=0.1)
        fill(spec)
        asked(server, options.cells)
        rows = history.parts(options.cells)
        on_disk = bytes_below(spec.parent) - (spec.parent / "prompts.jsonl").stat().st_size
    print(f"{'cells':>9} {'at s':>7} {'cells/s':>8} {'MB':>6} {'most MB':>8}")
    for row in rows:
        print(
            f"{row['cells']:>9,} {row['at_s']:>7.1f} {row['calls_per_s']:>8,.0f} {row['resident_mb']:>6.0f} {row['most_mb']:>8.0f}"
        )
    began = max((at for at, _, total in history.seen if total == 0), default=0.0)
    whole = {
        "cells": options.cells,
        "whole_process_s": run.wall_s,
        "before_the_first_call_s": began,
        "after_the_last_call_s": run.wall_s - rows[-1]["at_s"],
        "pace_last_to_first_tenth": rows[-1]["calls_per_s"] / rows[0]["calls_per_s"],
        "memory_last_to_first_tenth": rows[-1]["most_mb"] / rows[0]["most_mb"],
        "peak_mb": run.peak_mb,
        "on_disk_mb": on_disk / 2**20,
    }
    for name, value in whole.items():
        print(f"{name.replace('_', ' ')}: {value:,.2f}")
    publish("memory", {"in_flight": options.in_flight, "fill": whole, "tenths": rows})


if __name__ == "__main__":
    main()
