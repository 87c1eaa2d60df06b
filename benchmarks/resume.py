"""P9: taking up a matrix of a million cells again: full, and with a thousand calls missing that are then made.

    python benchmarks/resume.py [--cells 1000000] [--missing 1000] [--runs 3]

Whole processes. The catalog is made by the engine's own planner and registration; responses and verdicts are written straight
in SQL, and what is to be missing is deleted. The server has no latency.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import duckdb

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]
from job import CLIENT, SERVER, asked
from measuring import Run, lrm, pin_to, publish, python
from plan import make
from servers import serving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--missing", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        pin_to(server.process.pid, SERVER)
        imports = "import duckdb, pydantic, click"
        bare = statistics.median(python(imports, core=CLIENT).wall_s for _ in range(options.runs))
        print(f"{options.cells:,} cells; bare imports (duckdb, pydantic, click): {bare:.2f} s, the unit of the ratios")
        print(f"{'missing':>8} {'median s':>9} {'x imports':>10} {'peak MB':>8}")
        spec, catalog = make(Path(folder), options.cells, server.url)

        def resumed(missing: int) -> Run:
            forget(catalog, missing)
            server.reset()
            run = lrm("matrix", "fill", str(spec), "--catalog", str(catalog), "--json", "--quiet", core=CLIENT)
            answer = json.loads(run.stdout)
            assert (answer["calls"], answer["left"]) == (missing, 0), answer
            asked(server, missing)
            return run

        for missing in (0, options.missing):
            one = measured(resumed, missing, options.runs)
            figures[f"{missing} missing"] = {**one, "x_bare_imports": one["wall_s"] / bare}
            print(
                f"{missing:>8,} {one['wall_s']:>9.2f} {one['wall_s'] / bare:>10.1f} {one['peak_mb']:>8.0f}", flush=True
            )
    publish("resume", {"cells": options.cells, "bare_imports_s": bare, **figures})


def measured(resumed: Callable[[int], Run], missing: int, runs: int) -> dict[str, float]:
    """Return the median time and the peak memory of several runs."""
    made = [resumed(missing) for _ in range(runs)]
    return {"wall_s": statistics.median(one.wall_s for one in made), "peak_mb": max(one.peak_mb for one in made)}


def forget(catalog: Path, calls: int) -> None:
    """Delete so many calls from a catalog, with all that came of them."""
    if not calls:
        return
    with duckdb.connect(catalog) as connection:
        connection.execute(
            "CREATE TEMP TABLE gone AS SELECT n, generation_n FROM lrm.calls ORDER BY n LIMIT $calls", {"calls": calls}
        )
        for table, column in (("calls", "n"), ("generations", "call_n")):
            connection.execute(f"DELETE FROM lrm.{table} WHERE {column} IN (SELECT n FROM gone)")
        for table in ("traces", "verdicts"):
            connection.execute(f"DELETE FROM lrm.{table} WHERE generation_n IN (SELECT generation_n FROM gone)")


if __name__ == "__main__":
    main()
