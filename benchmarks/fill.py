"""P10: calls a second of `lrm matrix fill` against a bare client on the same server, hashing, journal and store included.

    python benchmarks/fill.py [--calls 20000] [--litellm-calls 2000] [--in-flight 64] [--runs 3]

The server (zero latency, a reply of 3.6 kB with content and reasoning) has one core, the client the other. Figures are whole
processes less the time that the same process takes for a single call, so that start-up does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]
from measuring import Run, lrm, publish, python
from servers import Server, serving

AIOHTTP = """
import asyncio, sys, json, aiohttp
url, calls, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
async def main():
    left = iter(range(calls))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=width)) as session:
        async def worker():
            for n in left:
                body = json.dumps({"model": "bench", "messages": [{"role": "user", "content": f"Tell me about subject {n}."}]})
                async with session.post(url + "/chat/completions", data=body) as response:
                    assert response.status == 200
                    await response.read()
        await asyncio.gather(*(worker() for _ in range(width)))
asyncio.run(main())
"""
LITELLM = """
import asyncio, os, sys
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
url, calls, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
async def main():
    left = iter(range(calls))
    async def worker():
        for n in left:
            await litellm.acompletion(model="hosted_vllm/bench", api_base=url, api_key="none", max_retries=0,
                messages=[{"role": "user", "content": f"Tell me about subject {n}."}])
    await asyncio.gather(*(worker() for _ in range(width)))
asyncio.run(main())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--litellm-calls", type=int, default=2_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        os.sched_setaffinity(server.process.pid, {0})
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
                seconds, peak = (
                    bare(code, server, calls, options.in_flight)
                    if code
                    else filled(Path(folder) / f"{name}-{number}", server, calls, options.in_flight, backend or "")
                )
                taken.append(seconds)
                peaks.append(peak)
            rate = calls / statistics.median(taken)
            figures[name] = {"calls": calls, "calls_per_s": rate, "peak_mb": max(peaks)}
            if against:
                figures[name]["ratio"] = rate / figures[against]["calls_per_s"]
            ratio = f"{figures[name]['ratio']:.2f}" if against else ""
            print(f"{name:<20} {calls:>7,} {rate:>9,.0f} {ratio:>6} {max(peaks):>8.0f}", flush=True)
    publish("fill", {"in_flight": options.in_flight, **figures})


def bare(code: str, server: Server, calls: int, width: int) -> tuple[float, float]:
    """Return seconds and peak memory of the bare client, the time of a single call taken off."""
    start = python(code, server.url, "1", str(width), core=1)
    run = python(code, server.url, str(calls), str(width), core=1)
    return run.wall_s - start.wall_s, run.peak_mb


def filled(folder: Path, server: Server, calls: int, width: int, backend: str) -> tuple[float, float]:
    """Return seconds and peak memory of a fill of so many calls, the time of a fill of a single call taken off."""
    start = fill(folder / "one", server, 1, width, backend)
    run = fill(folder / "all", server, calls, width, backend)
    return run.wall_s - start.wall_s, run.peak_mb


def fill(folder: Path, server: Server, calls: int, width: int, backend: str) -> Run:
    """Fill a matrix of so many calls into a new catalog, then again; the server must be asked once for each."""
    folder.mkdir(parents=True)
    kind, _, judged = backend.partition(" ")
    model = "bench" if kind == "http" else "hosted_vllm/bench"
    (folder / "prompts.jsonl").write_text(
        "".join(json.dumps({"id": f"p{n}", "text": f"Tell me about subject {n}."}) + "\n" for n in range(calls))
    )
    spec = folder / "bench.toml"
    judges = "judges = [{use = 'refusal', scopes = ['thinking', 'answer']}]\n" if judged else ""
    spec.write_text(
        f"[matrix]\nmodels = ['m']\nprompt_sets = ['p']\n{judges}"
        "[prompt_sets.p]\nfile = 'prompts.jsonl'\ncolumns = {id = 'id'}\nexpect = 'safe'\n"
        f"[models.m]\nbackend = '{kind}'\nendpoint = '{server.url}'\nmodel = '{model}'\napi_key_env = 'BENCH_KEY'\n"
        f"thinking = {{visibility = 'visible'}}\nlimits = {{max_in_flight = {width}}}\n"
    )
    server.reset()
    arguments = ("matrix", "fill", str(spec), "--catalog", str(folder / "catalog.duckdb"), "--json", "--quiet")
    run = lrm(*arguments, core=1, env={"BENCH_KEY": "none"})
    lrm(*arguments, core=1, env={"BENCH_KEY": "none"})
    assert server.total() == calls, f"the server served {server.total()} calls, not {calls}"
    return run


if __name__ == "__main__":
    main()
