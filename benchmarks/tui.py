"""P11: the terminal UI on a catalog of a million cells and six million verdicts, in a pseudo-terminal.

    python benchmarks/tui.py [--cells 1000000] [--keys 40] [--catalog FILE]

First paint is from the start of the process to the first label, and to the first figures; a key's latency is from the key to
the last byte before 30 ms of quiet. Each view in a process of its own; and the matrix once more while a fill writes to a copy.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from browsing import make
from measuring import publish, python

from tests.terminal import Terminal

START = [sys.executable, "-P", "-m", "lrm_tui"]
DOWN, RIGHT = b"j", b"l"


@dataclass(frozen=True, slots=True)
class Look:
    """What is opened, what says that it is there, and which keys are pressed in turn."""

    name: str
    words: Sequence[str]
    label: bytes
    """The first text of the catalog's that is seen."""
    whole: bytes
    """A regular expression that finds what comes last."""
    keys: Sequence[bytes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=40)
    parser.add_argument("--catalog", type=Path, help="One that was made before, instead of a new one.")
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        catalog = options.catalog or make(folder, options.cells)[1]
        bare = statistics.median(python("import textual.app, textual.screen, duckdb").wall_s for _ in range(3))
        print(f"{options.cells:,} cells; bare imports (textual, duckdb): {bare:.2f} s, the unit of the ratios")
        print(
            f"{'view':<24} {'label s':>8} {'figures s':>9} {'p50 ms':>7} {'p95 ms':>7} {'max ms':>7} {'B/key':>7} {'MB':>5}"
        )
        for look in looks(catalog):
            figures[look.name] = shown(look.name, measured(catalog, look, options.keys))
        figures["matrix, a fill writing"] = shown(
            "matrix, a fill writing", beside_a_fill(catalog, folder, options.keys)
        )
    publish("tui", {"cells": options.cells, "bare_imports_s": bare, **figures})


def looks(catalog: Path) -> tuple[Look, ...]:
    """Return the views, each with the keys that are used most in it."""
    import duckdb

    with duckdb.connect(str(catalog), read_only=True) as connection:
        found = connection.execute("SELECT 'g1:' || lower(hex(id)) FROM lrm.generations WHERE n = 777").fetchall()
        spec = connection.execute("SELECT spec FROM lrm.spec_spans").fetchall()[0][0]
    part = ["--spec", spec]
    cell = [*part, "--only", "model=model-03", "--only", "prompt_set=set1"]
    return (
        Look("matrix", ["matrix", *part], b"model-00", rb"3[0-9]%.*?n = ", (DOWN, RIGHT)),
        Look(
            "matrix, re-axis",
            ["matrix", *part, "--rows", "category2", "--columns", "model"],
            b"c0",
            rb"3[0-9]%.*?n = ",
            (b"X", b"X"),
        ),
        Look("samples of a cell", ["samples", *cell], b"s1p0", rb"1 of 5,000", (DOWN, b"\x04")),
        Look("samples, all", ["samples", *part], b"s0p0", rb"1 of 1,000,000", (DOWN, b"\x04", b"G", b"g")),
        Look("trace", ["cell", found[0][0]], b"subject", rb"I should weigh", (DOWN, b"\t")),
        Look("compare", ["compare", "model-03", "model-07", *part], b"subject", rb"pair 1 of 25,000", (b"J", DOWN)),
    )


def measured(catalog: Path, look: Look, keys: int) -> dict[str, float]:
    """Open a view, wait until it is whole, press keys."""
    with Terminal([*START, "--catalog", str(catalog), *look.words]) as terminal:
        label_s = terminal.until(look.label)
        whole = re.compile(look.whole, re.DOTALL)
        figures_s = terminal.until(lambda text: whole.search(text) is not None)
        terminal.settle(0.7)
        found = []
        for n in range(keys):
            found.append(terminal.press(look.keys[n % len(look.keys)]))
            terminal.settle(0.25)  # what follows the cursor after a while is not of this key
        peak = terminal.peak_mb()
        terminal.write(b"q")
        terminal.wait()
    ms = sorted(one.latency_s * 1000 for one in found)
    return {
        "label_s": label_s, "figures_s": figures_s, "p50_ms": statistics.median(ms), "p95_ms": ms[int(len(ms) * 0.95) - 1],
        "max_ms": ms[-1], "bytes_a_key": statistics.mean(one.bytes for one in found), "peak_mb": peak,
    }  # fmt: skip


def beside_a_fill(catalog: Path, folder: Path, keys: int) -> dict[str, float]:
    """Browse the matrix of a copy while a simulated fill of another spec merges into it every second or so."""
    copy = folder / "copy" / "catalog.duckdb"
    copy.parent.mkdir()
    shutil.copy(catalog, copy)
    spec = copy.parent / "beside.toml"
    spec.write_text(
        "[matrix]\nmodels = ['slow']\nprompt_sets = ['rows']\njudges = ['refusal']\nreplicates = 400\n"
        "[models.slow]\nbackend = 'simulated'\nmodel = 'stand-in'\nsimulation = {latency_ms = 20}\nlimits = {max_in_flight = 32}\n"
        f"[prompt_sets.rows]\nrows = {[{'text': f'Say {n}.', 'expect': 'safe'} for n in range(200)]}\n".replace(
            "'text':", "text ="
        ).replace("'expect':", "expect =")
    )
    command = [
        sys.executable,
        "-P",
        "-m",
        "lrm_cli",
        "matrix",
        "fill",
        str(spec),
        "--catalog",
        str(copy),
        "--quiet",
        "--json",
    ]
    command = [str(Path(sys.executable).with_name("lrm")), *command[4:]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ)) as fill:
        time.sleep(3)
        (matrix, *_) = looks(catalog)
        figures = measured(copy, matrix, keys * 3)
        running = fill.poll() is None
        fill.terminate()
        out, _ = fill.communicate()
    print(f"  the fill went on meanwhile: {running}; it made {json.loads(out)['done'] if out else 0:,} calls")
    return figures


def shown(name: str, found: dict[str, float]) -> dict[str, float]:
    """Print one line, and return what it says."""
    print(
        f"{name:<24} {found['label_s']:>8.2f} {found['figures_s']:>9.2f} {found['p50_ms']:>7.0f} {found['p95_ms']:>7.0f} "
        f"{found['max_ms']:>7.0f} {found['bytes_a_key']:>7,.0f} {found['peak_mb']:>5.0f}", flush=True,
    )  # fmt: skip
    return found


if __name__ == "__main__":
    main()
