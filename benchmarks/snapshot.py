"""Snapshots of 1,000,000 cells with texts: export, verify and merge against bare DuckDB on the same rows.

    python benchmarks/snapshot.py [--cells 1000000] [--keep FOLDER] [--no-inspect]

Bare is DuckDB's own COPY of the catalog's tables to Parquet (zstd), and out of it into a new file with the same compression:
no order, no ids, no hashes. Megabytes are those of the values without compression. Bytes a generation are set beside an Inspect
log of the same cells, written by `lrm export`, for a part of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from measuring import bytes_below, publish, python, run

MODELS, ATTACKS, REPLICATES = 4, 2, 5
TABLES = ("generations", "traces", "verdicts", "calls", "messages", "renderings", "prompts", "prompt_set_members")
_WORDS = (
    "the a of to and in for with on as by at from is are was it this that which would could should may not no one two more less "
    "first then next because so if when where while after before think answer question reason request safe help people model "
    "consider careful check plan step part whole small large simple clear kind need want give take make keep find say tell ask"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="Where the catalog is made, or lies from an earlier run.")
    parser.add_argument("--no-inspect", action="store_true", help="Write no Inspect log.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        folder = options.keep or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(folder, options.cells, inspect=not options.no_inspect)
    publish("snapshot", figures)


def measure(folder: Path, cells: int, *, inspect: bool) -> dict[str, Any]:
    """Return what each step took, and its ratio to bare DuckDB."""
    catalog = folder / f"snapshot-{cells}.duckdb"
    if not catalog.is_file():
        print("making the catalog …", flush=True)
        make(folder, cells, catalog)
    out, new = folder / "out", folder / "new.duckdb"
    bare_to = python(_COPY_TO, str(catalog), str(folder / "bare"), *TABLES, watch=_ignore)
    bare_from = python(_COPY_FROM, str(folder / "bare"), str(folder / "bare.duckdb"), *TABLES, watch=_ignore)
    new.unlink(missing_ok=True)
    shutil.rmtree(folder / "inspect", ignore_errors=True)
    steps = {
        "copy to": bare_to,
        "export": python(_EXPORT, str(catalog), str(out), watch=_ignore),
        "copy from": bare_from,
        "verify": python(_VERIFY, str(out), watch=_ignore),
        "merge": python(_MERGE, str(out), str(new), watch=_ignore),
    }
    manifest = json.loads((out / "manifest.json").read_text())
    size = unpacked(folder / "bare") / 2**20
    against = {"export": bare_to, "verify": bare_from, "merge": bare_from}
    figures: dict[str, Any] = {"cells": cells, "unpacked_mb": size, "snapshot_mb": bytes_below(out) / 2**20}
    print(f"{size:,.0f} MB in {figures['snapshot_mb']:,.0f} MB, {len(manifest['files'])} files")
    print(f"{'':<10} {'s':>7} {'MB/s':>7} {'ratio':>6} {'peak MB':>8}")
    for name, took in steps.items():
        ratio = against[name].wall_s / took.wall_s if name in against else 1.0
        print(f"{name:<10} {took.wall_s:>7.1f} {size / took.wall_s:>7.0f} {ratio:>6.2f} {took.peak_mb:>8.0f}")
        figures[name] = {"wall_s": took.wall_s, "mb_per_s": size / took.wall_s, "ratio": ratio, "peak_mb": took.peak_mb}
    figures["bytes_a_generation"] = bytes_below(out) / manifest["counts"]["generations"]
    print(f"{figures['bytes_a_generation']:,.0f} bytes a generation")
    if inspect:
        log = python(_INSPECT, str(catalog), str(folder / "inspect"), watch=_ignore)
        logged = float(log.stdout.split()[-1])
        figures["inspect"] = {"bytes_a_generation": logged, "wall_s": log.wall_s, "peak_mb": log.peak_mb}
        figures["bytes_against_inspect"] = figures["bytes_a_generation"] / logged
        print(
            f"Inspect log by lrm: {logged:,.0f} bytes a generation; a snapshot has {figures['bytes_against_inspect']:.2f} of it"
        )
    native = by_inspect(folder, catalog)
    if native is not None:
        figures["inspect itself"] = {"bytes_a_generation": native}
        figures["bytes_against_inspect_itself"] = figures["bytes_a_generation"] / native
        print(
            f"by Inspect AI itself: {native:,.0f}; a snapshot has {figures['bytes_against_inspect_itself']:.2f} of it"
        )
    return figures


def by_inspect(folder: Path, catalog: Path) -> float | None:
    """Return the bytes a sample of the log that Inspect AI writes when its mock model says the same; None without Inspect."""
    peer = Path(__file__).parent / "peers" / "inspect_ai"
    if not (peer / ".venv" / "bin" / "python").is_file():
        print("Inspect AI is not installed: `make bench-peers` sets it up")
        return None
    python(_RESPONSES, str(catalog), str(folder / "responses.jsonl"))
    done = run(
        [str(peer / ".venv/bin/python"), str(peer / "log.py"), str(folder / "responses.jsonl"), str(folder / "native")]
    )
    return float(done.stdout.split()[-1])


def unpacked(folder: Path) -> int:
    """Return the bytes of the values in Parquet files, without compression."""
    import pyarrow.parquet as pq

    total = 0
    for path in folder.glob("*.parquet"):
        told = pq.read_metadata(path)
        total += sum(told.row_group(n).total_byte_size for n in range(told.num_row_groups))
    return total


def _ignore(at_s: float, resident_mb: float) -> None:
    """Have the memory watched, with that of threads and children; nothing else is wanted of it."""


def make(folder: Path, cells: int, catalog: Path) -> None:
    """Make a catalog in which nothing of a spec is missing, ids and all."""
    prompts = cells // (MODELS * ATTACKS * REPLICATES)
    rows = "".join(
        json.dumps(
            {
                "id": f"p{n:06}",
                "text": f"Tell me about subject {n}, please.",
                "category": f"c{n % 50}",
                "expect": "safe",
            }
        )
        + "\n"
        for n in range(prompts)
    )
    (folder / "prompts.jsonl").write_text(rows)
    spec = folder / "big.toml"
    spec.write_text(
        "[matrix]\n"
        f"models = {[f'm{n}' for n in range(MODELS)]}\nattacks = {[f'a{n}' for n in range(ATTACKS)]}\n"
        f"prompt_sets = ['big']\nreplicates = {REPLICATES}\njudges = [{{use = 'refusal', scopes = ['thinking', 'answer']}}]\n"
        "[prompt_sets.big]\nfile = 'prompts.jsonl'\nlicence = 'CC0-1.0'\n"
        "columns = {id = 'id', category = 'category', expect = 'expect'}\n"
        + "".join(
            f"[models.m{n}]\nbackend = 'http'\nendpoint = 'http://127.0.0.1:1/v1'\nmodel = 'm{n}/bench'\n"
            "thinking.visibility = 'visible'\n"
            for n in range(MODELS)
        )
        + "".join(f"[[attacks.a{n}.steps]]\ntransform = 'prefix'\ntext = 'Case {n}. '\n" for n in range(ATTACKS))
    )
    python(_MAKE, str(spec), str(catalog), _WORDS)


_MAKE = '''
import sys
from pathlib import Path
from lrm.plan import planner, workspace
from lrm.registry.layers import Registry
from lrm.spec.lock import Lock
from lrm.spec.resolve import resolve
from lrm.store.catalog import Catalog
from lrm.store.register import register

SENTENCES = """
SET VARIABLE pool = (SELECT list(s ORDER BY i) FROM (
    SELECT i, string_agg(w, ' ' ORDER BY j) || '. ' AS s FROM (
        SELECT i, j, getvariable('word')[(1 + hash(i, j) % len(getvariable('word')))::BIGINT] AS w
        FROM range(4096) a(i), range(16) b(j)
    ) GROUP BY i
))"""
CALLS = """
CREATE TABLE told AS SELECT seq, model_n, messages_n, replicate, unhex(sha256(
    '{"lrm":"c1","messages":"m1:' || lower(hex(x.id)) || '","model":"i1:' || lower(hex(d.id)) || '","replicate":' || replicate || '}'
)) AS call FROM todo t JOIN cat.lrm.models d ON d.n = t.model_n JOIN cat.lrm.messages x ON x.n = t.messages_n"""
PIECE = """
CREATE OR REPLACE TABLE piece AS SELECT *, unhex(sha256(
    '{"call":"c1:' || lower(hex(call)) || '","lrm":"g1","raw":"' || sha256(raw) || '"}'
)) AS g FROM (
    SELECT *, '{"choices":[{"finish_reason":"stop","index":0,"message":{"content":' || to_json(answer)::VARCHAR
        || ',"reasoning_content":' || to_json(thinking)::VARCHAR || ',"role":"assistant"}}],"id":"x' || seq
        || '","model":"bench","object":"chat.completion","usage":{"completion_tokens":400,"prompt_tokens":20}}' AS raw
    FROM (
        SELECT *, list_aggregate(list_transform(
            range(0, 16), lambda i: getvariable('pool')[(1 + hash(seq, i) % 4096)::BIGINT]), 'string_agg', '') AS thinking,
            list_aggregate(list_transform(
            range(16, 26), lambda i: getvariable('pool')[(1 + hash(seq, i) % 4096)::BIGINT]), 'string_agg', '') AS answer
        FROM told WHERE seq BETWEEN ? AND ?
    )
)"""
ROWS = (
    """INSERT INTO cat.lrm.generations SELECT seq, g, seq, 'ok', raw, 'stop', 20, 400, 250, 0.001,
        TIMESTAMP '2026-01-01' + to_milliseconds(seq), 900.0, 1, NULL, NULL, 'run', 'r' FROM piece""",
    """INSERT INTO cat.lrm.traces SELECT seq, unhex(sha256(
        '{"answer":"' || sha256(answer) || '","generation":"g1:' || lower(hex(g)) || '","lrm":"t1","status":"split","thinking":"'
        || sha256(thinking) || '"}')), 3, 'split', 'visible', thinking, answer FROM piece""",
    """INSERT INTO cat.lrm.verdicts SELECT seq, j, 0, 'ok', 'compliance', true, 1.0, NULL, '[[0, 12, "cue"]]',
        TIMESTAMP '2026-01-01', 1.0, NULL, 0 FROM piece, range(1, 3) r(j)""",
)
spec, catalog, words = sys.argv[1:]
matrix = resolve(Path(spec), Registry.open())
with workspace.opened(Catalog(Path(catalog)), matrix, Lock()) as space:
    planner.plan(space)
    register(space, matrix)
    space.catalog.attach_for_writing(space.connection, "cat")
    run = space.connection.execute
    run("SET memory_limit = '8GB'")
    run("SET VARIABLE word = string_split(?, ' ')", [words])
    run(SENTENCES)
    run(CALLS)
    run("INSERT INTO cat.lrm.calls SELECT seq, call, model_n, messages_n, replicate, seq FROM told")
    last = run("SELECT max(seq) FROM told").fetchall()[0][0]
    for start in range(0, last + 1, 50_000):
        run(PIECE, [start, start + 49_999])
        for rows in ROWS:
            run(rows)
    run("DETACH cat")
'''
_COPY_TO = """
import duckdb, sys
from pathlib import Path
catalog, folder, *tables = sys.argv[1:]
Path(folder).mkdir(exist_ok=True)
c = duckdb.connect(catalog, read_only=True)
for table in tables:
    c.execute(f"COPY lrm.{table} TO '{folder}/{table}.parquet' (FORMAT parquet, COMPRESSION zstd)")
"""
_COPY_FROM = """
import duckdb, sys
from pathlib import Path
folder, catalog, *tables = sys.argv[1:]
Path(catalog).unlink(missing_ok=True)
c = duckdb.connect(catalog)
for table in tables:
    rows = c.execute(f"DESCRIBE FROM '{folder}/{table}.parquet'").fetchall()
    texts = {"raw", "thinking", "answer", "messages", "text"}
    columns = ", ".join(f'"{n}" {t}' + (" USING COMPRESSION zstd" if n in texts else "") for n, t, *_ in rows)
    c.execute(f"CREATE TABLE {table} ({columns})")
    c.execute(f"INSERT INTO {table} FROM '{folder}/{table}.parquet'")
c.close()
"""
_EXPORT = """
import sys
from pathlib import Path
from lrm.snapshot.choice import Choice
from lrm.snapshot.export import export
from lrm.store.catalog import Catalog
export(Catalog(Path(sys.argv[1])), "big", Path(sys.argv[2]), Choice(), replace=True)
"""
_VERIFY = """
import sys
from pathlib import Path
from lrm.snapshot.check.check import check
from lrm.snapshot.folder import open_folder
check(open_folder(Path(sys.argv[1])))
"""
_MERGE = """
import sys
from pathlib import Path
from lrm.snapshot.check.check import Checked
from lrm.snapshot.folder import open_folder
from lrm.snapshot.merge import Origin, take
from lrm.store.catalog import Catalog
take(Catalog(Path(sys.argv[2])), open_folder(Path(sys.argv[1])), Origin("acme/big", "acme", "a" * 40), Checked({}, 0, 0))
"""
_RESPONSES = """
import duckdb, json, sys
rows = duckdb.connect(sys.argv[1], read_only=True).execute(
    "SELECT x.messages, t.thinking, t.answer FROM lrm.traces t JOIN lrm.calls c ON c.n = t.generation_n "
    "JOIN lrm.messages x ON x.n = c.messages_n WHERE t.generation_n BETWEEN 1 AND 1000"
).fetchall()
with open(sys.argv[2], "w") as file:
    for messages, thinking, answer in rows:
        prompt = json.loads(messages)[0]["content"]
        file.write(json.dumps({"prompt": prompt, "thinking": thinking, "answer": answer}) + "\\n")
"""
_INSPECT = """
import sys
from pathlib import Path
from lrm.exports import inspect
from lrm.exports.gather import gathered
from lrm.store.catalog import Catalog
with gathered(Catalog(Path(sys.argv[1])), "big", {"model": ["m0"], "attack": ["a0"]}) as found:
    written = inspect.write(found, Path(sys.argv[2]))
print(written.bytes / written.cells)
"""


if __name__ == "__main__":
    main()
