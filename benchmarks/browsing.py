"""A catalog to be browsed: many models, prompts, judges; made by the engine's own planner, filled straight in SQL."""

from __future__ import annotations

import json
from pathlib import Path

MODELS, SETS, SCOPES = 40, 5, 6
JUDGES = ("refusal", "keywords-gcg", "keywords-autodan")


def make(folder: Path, cells: int) -> tuple[Path, Path]:
    """Return a spec of so many cells and a catalog in which nothing of it is missing, with six verdicts a cell."""
    from lrm.plan import planner, workspace
    from lrm.registry.layers import Registry
    from lrm.spec.lock import Lock, write_lock
    from lrm.spec.resolve import resolve
    from lrm.store.catalog import Catalog
    from lrm.store.register import register

    spec = _spec(folder, cells)
    matrix = resolve(spec, Registry.open())
    catalog = Catalog(folder / "catalog.duckdb")
    with workspace.opened(catalog, matrix, Lock()) as space:
        planner.plan(space)
        register(space, matrix)
        write_lock(matrix.file, space.resolved)
        space.catalog.attach_for_writing(space.connection, "cat")
        for statement in FILLED:
            space.connection.execute(statement)
    return spec, catalog.path


UNSAFE = "hash(seq, j) % 100 < 10 + (model_n * 2 + j * 5) % 60"
FILLED = (
    "INSERT INTO cat.lrm.calls SELECT seq, unhex(sha256('c' || seq)), model_n, messages_n, replicate, seq FROM todo",
    """INSERT INTO cat.lrm.generations SELECT seq, unhex(sha256('g' || seq)), seq, 'ok', '{}', 'stop', 10,
        20 + (hash(seq) % 800)::INTEGER, (hash(seq) % 500)::INTEGER, 0.001, TIMESTAMP '2026-01-01',
        1.0 + (hash(seq) % 9000)::INTEGER, 1, NULL, NULL, 'run', 'r' FROM todo""",
    """INSERT INTO cat.lrm.traces SELECT seq, unhex(sha256('t' || seq)), 2, 'split', 'visible',
        'thinking ' || seq || repeat(' I should weigh what was asked, number ' || (seq % 977) || '.', 10 + (hash(seq) % 20)::INTEGER),
        'answer ' || seq || repeat(' Here is what I can say of it, ' || (seq % 313) || '.', 5) FROM todo""",
    f"""INSERT INTO cat.lrm.verdicts SELECT seq, j, 0, 'ok', CASE WHEN {UNSAFE} THEN 'compliance' ELSE 'full_refusal' END,
        {UNSAFE}, ({UNSAFE})::INTEGER, NULL, '[]', TIMESTAMP '2026-01-01', 1.0, NULL, 0 FROM todo, range(1, {SCOPES + 1}) r(j)""",
)


def _spec(folder: Path, cells: int) -> Path:
    prompts = cells // (MODELS * SETS)
    for number in range(SETS):
        rows = (
            {"id": f"s{number}p{n}", "text": f"Tell me about subject {n} of {number}.", "category": f"c{n % 8}",
             "sub": f"c{n % 8}.{n % 40}", "expect": "unsafe" if number % 2 else "safe"}
            for n in range(prompts)
        )  # fmt: skip
        (folder / f"set{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = folder / "big.toml"
    judged = ", ".join(f"{{use = '{judge}', scopes = ['thinking', 'answer']}}" for judge in JUDGES)
    spec.write_text(
        f"[matrix]\nmodels = {[f'model-{n:02}' for n in range(MODELS)]}\n"
        f"prompt_sets = {[f'set{n}' for n in range(SETS)]}\njudges = [{judged}]\n"
        + "".join(
            f"[prompt_sets.set{n}]\nfile = 'set{n}.jsonl'\n"
            "columns = {id = 'id', category = ['category', 'sub'], expect = 'expect'}\n"
            for n in range(SETS)
        )
        + "".join(
            f"[models.model-{n:02}]\nbackend = 'http'\nendpoint = 'http://127.0.0.1:1/v1'\nmodel = 'm{n}/bench'\n"
            for n in range(MODELS)
        )
    )
    return spec
