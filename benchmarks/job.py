"""The job that clients are measured by: so many calls to the local server, each with a prompt of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from measuring import Run, lrm, python
from servers import Server

CLIENT, SERVER = 1, 0
"""The core of each, so that neither takes the other's time."""
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


def bare(code: str, server: Server, calls: int, width: int, **options: Any) -> Run:
    """Run a bare client, which keeps nothing."""
    return python(code, server.url, str(calls), str(width), core=CLIENT, **options)


def write_prompts(file: Path, calls: int) -> None:
    """Write as many prompts as there are to be calls."""
    rows = (json.dumps({"id": f"p{n}", "text": f"Tell me about subject {n}."}) + "\n" for n in range(calls))
    with file.open("w", encoding="utf-8") as to:
        to.writelines(rows)


def write_spec(
    folder: Path, server: Server, calls: int, width: int, *, kind: str = "http", judged: bool = False
) -> Path:
    """Write a spec with a matrix of so many cells into a new folder, and return it."""
    folder.mkdir(parents=True)
    write_prompts(folder / "prompts.jsonl", calls)
    model = "bench" if kind == "http" else "hosted_vllm/bench"
    judges = "judges = [{use = 'refusal', scopes = ['thinking', 'answer']}]\n" if judged else ""
    spec = folder / "bench.toml"
    spec.write_text(
        f"[matrix]\nmodels = ['m']\nprompt_sets = ['p']\n{judges}"
        "[prompt_sets.p]\nfile = 'prompts.jsonl'\ncolumns = {id = 'id'}\nexpect = 'safe'\n"
        f"[models.m]\nbackend = '{kind}'\nendpoint = '{server.url}'\nmodel = '{model}'\napi_key_env = 'BENCH_KEY'\n"
        f"thinking = {{visibility = 'visible'}}\nlimits = {{max_in_flight = {width}}}\n"
    )
    return spec


def fill(spec: Path, **options: Any) -> Run:
    """Fill what is missing of the matrix in the catalog beside the spec."""
    catalog = spec.with_name("catalog.duckdb")
    arguments = ("matrix", "fill", str(spec), "--catalog", str(catalog), "--json", "--quiet")
    return lrm(*arguments, core=CLIENT, env={"BENCH_KEY": "none"}, **options)


def asked(server: Server, calls: int) -> None:
    """Check that the server was asked so often since its last reset."""
    assert server.total() == calls, f"the server was asked {server.total()} times, not {calls}"
