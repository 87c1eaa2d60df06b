"""Starts an engine, says so, and asks it until it is killed: `python -m tests.vllm.held_engine CHECKPOINT LOG`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.vllm import engines


async def hold(checkpoint: Path, log: Path) -> None:
    declared = engines.model(checkpoint)
    async with engines.running(declared, log) as engine:
        backend = engine.backend(declared)
        sys.stdout.write("asking\n")
        sys.stdout.flush()
        number = 0
        while True:
            number += 1
            await backend.ask(engines.call(f"{number}?"))


if __name__ == "__main__":
    asyncio.run(hold(Path(sys.argv[1]), Path(sys.argv[2])))
