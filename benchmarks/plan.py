"""P9: how long the whole process takes to find that nothing is missing, at 10,000 and at 1,000,000 cells.

    python benchmarks/plan.py [--cells 10000 1000000] [--runs 5]

The catalog is made by the engine's own planner and registration; responses and verdicts are written straight in SQL.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from measuring import lrm, publish, python

MODELS, ATTACKS = 10, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        bare = statistics.median(python("import duckdb, pydantic, click").wall_s for _ in range(options.runs))
        print(f"bare imports (duckdb, pydantic, click): {bare:.2f} s, the unit of the ratios")
        print(f"{'cells':>10} {'command':<8} {'median s':>9} {'x imports':>10} {'peak MB':>8}")
        for cells in options.cells:
            spec, catalog = make(Path(folder), cells)
            for verb in ("plan", "fill"):
                runs = [
                    lrm("matrix", verb, str(spec), "--catalog", str(catalog), "--json") for _ in range(options.runs)
                ]
                answer = json.loads(runs[-1].stdout)
                assert answer["calls"] == 0
                assert verb == "fill" or (answer["cells"], answer["missing"]) == (cells, 0)
                wall, peak = statistics.median(one.wall_s for one in runs), max(one.peak_mb for one in runs)
                print(f"{cells:>10,} {verb:<8} {wall:>9.2f} {wall / bare:>10.1f} {peak:>8.0f}")
                figures[f"{verb} {cells}"] = {"wall_s": wall, "x_bare_imports": wall / bare, "peak_mb": peak}
    publish("plan", {"bare_imports_s": bare, **figures})


def make(folder: Path, cells: int, endpoint: str = "http://127.0.0.1:1/v1") -> tuple[Path, Path]:
    """Return a spec of so many cells and a catalog in which nothing of it is missing."""
    prompts = cells // (MODELS * ATTACKS)
    rows = "".join(
        json.dumps({"id": f"p{n}", "text": f"Tell me about subject {n}.", "category": f"c{n % 50}", "expect": "safe"})
        + "\n"
        for n in range(prompts)
    )
    (folder / f"prompts-{cells}.jsonl").write_text(rows)
    spec = folder / f"spec-{cells}.toml"
    spec.write_text(
        "[matrix]\n"
        f"models = {[f'm{n}' for n in range(MODELS)]}\n"
        f"attacks = {[f'a{n}' for n in range(ATTACKS)]}\n"
        "prompt_sets = ['big']\n"
        "judges = [{use = 'refusal', scopes = ['thinking', 'answer']}]\n"
        f"[prompt_sets.big]\nfile = 'prompts-{cells}.jsonl'\n"
        "columns = {id = 'id', category = 'category', expect = 'expect'}\n"
        + "".join(
            f"[models.m{n}]\nbackend = 'http'\nendpoint = '{endpoint}'\nmodel = 'm{n}/bench'\n" for n in range(MODELS)
        )
        + "".join(f"[[attacks.a{n}.steps]]\ntransform = 'prefix'\ntext = 'Case {n}. '\n" for n in range(ATTACKS))
    )
    catalog = folder / f"catalog-{cells}.duckdb"
    fill_in_sql(spec, catalog)
    return spec, catalog


def fill_in_sql(spec: Path, catalog: Path) -> None:
    """Register the spec's plan as a fill does, then write a response and two verdicts for each call."""
    from lrm.plan import planner, workspace
    from lrm.registry.layers import Registry
    from lrm.spec.lock import Lock, write_lock
    from lrm.spec.resolve import resolve
    from lrm.store.catalog import Catalog
    from lrm.store.register import register

    matrix = resolve(spec, Registry.open())
    with workspace.opened(Catalog(catalog), matrix, Lock()) as space:
        planner.plan(space)
        register(space, matrix)
        write_lock(matrix.file, space.resolved)
        space.catalog.attach_for_writing(space.connection, "cat")
        for statement in (
            "INSERT INTO cat.lrm.calls SELECT seq, unhex(sha256('c' || seq)), model_n, messages_n, replicate, seq FROM todo",
            """INSERT INTO cat.lrm.generations SELECT seq, unhex(sha256('g' || seq)), seq, 'ok', '{}', 'stop', 10, 20, 5, 0.0,
                TIMESTAMP '2026-01-01', 1.0, 1, NULL, NULL, 'run', 'r' FROM todo""",
            """INSERT INTO cat.lrm.traces SELECT seq, unhex(sha256('t' || seq)), 1, 'split', 'visible', 'thinking ' || seq,
                'answer ' || seq FROM todo""",
            """INSERT INTO cat.lrm.verdicts SELECT seq, j, 0, 'ok', 'compliance', true, 1.0, NULL, '[]',
                TIMESTAMP '2026-01-01', 1.0, NULL, 0 FROM todo, range(1, 3) r(j)""",
        ):
            space.connection.execute(statement)
        space.connection.execute("DETACH cat")


if __name__ == "__main__":
    main()
