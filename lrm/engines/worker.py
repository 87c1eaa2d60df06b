"""The process of an engine: `python -P -m lrm.engines.worker TALK DESK`, two connected sockets by their numbers.

Loads what it is told to over TALK, then carries out calls, all that come at the same time (vLLM batches them), each answered
as it ends. At DESK a thread looks at forms (`lrm.engines.forms`). Ends when it is told to, when SIGTERM says so, and when
lrm has closed its end or is dead. Started by `lrm.engines.process`; only here and in what it imports is vLLM imported.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from lrm.engines import frames

if TYPE_CHECKING:
    from lrm.engines.asking import Asker

LOAD_EVERY_S = 1.0
SHUTDOWN_S = 10
"""Seconds in which vLLM may end its own processes; whoever started this one kills what is left."""


class Worker:
    """What the process does, from its first message to its end."""

    def __init__(self, desk: socket.socket) -> None:
        """Keep the socket at which forms are looked at."""
        self._desk = desk
        self._talk: frames.Frames | None = None
        self._start: asyncio.Future[frames.Start] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._asker: Asker | None = None
        self._calls: dict[int, asyncio.Task[None]] = {}

    async def run(self, talk: socket.socket) -> int:
        """Serve until it is told to end, or the engine has; return the exit status."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._over.set)
        self._talk = await frames.joined(talk, self._heard, self._over.set)
        over = asyncio.create_task(self._over.wait())
        working = asyncio.create_task(self._work())
        done, _ = await asyncio.wait({over, working}, return_when=asyncio.FIRST_COMPLETED)
        status = working.result() if working in done else 0
        for call in self._calls.values():
            call.cancel()
        if self._asker is not None:
            await asyncio.to_thread(self._asker.close, SHUTDOWN_S)
        self._talk.close()
        await asyncio.sleep(0)  # the last message goes out
        return status

    async def _work(self) -> int:
        """Load the engine and watch it; return an exit status when it does not run, or not any more."""
        assert self._talk is not None
        start = await self._start
        try:
            asker = self._asker = await asyncio.to_thread(_loaded, start)
        except Exception as error:
            traceback.print_exc()
            self._talk.send(_broken(error))
            return 1
        await asker.begin()
        threading.Thread(target=self._look_at_forms, args=(asker,), daemon=True).start()
        device = asker.device()
        self._talk.send({"do": "ready", "name": device.name, "gpus": device.gpus, "vllm": device.vllm})
        said = None
        while not asker.dead():
            load = asker.load()
            if load != said:
                self._talk.send({"do": "loaded", "load": load})
                said = load
            await asker.ended(LOAD_EVERY_S)
        self._talk.send({"do": "dead"})
        return 1

    def _heard(self, message: frames.Down) -> None:
        if message["do"] == "ask":
            task = asyncio.create_task(self._answer(message))
            self._calls[message["n"]] = task
        elif message["do"] == "cancel":
            cancelled = self._calls.get(message["n"])
            if cancelled is not None:
                cancelled.cancel()
        elif message["do"] == "start":
            self._start.set_result(message)
        else:
            self._over.set()

    async def _answer(self, ask: frames.Ask) -> None:
        """Carry out one call and say what came of it; what an engine's death leaves open is said by that."""
        assert self._asker is not None
        assert self._talk is not None
        try:
            answer = await self._asker.answer(ask)
            if answer is not None:
                self._talk.send(answer)
        finally:
            self._calls.pop(ask["n"], None)

    def _look_at_forms(self, asker: Asker) -> None:
        """Look at one form after the other, in a thread of its own, until lrm has closed its end."""
        while True:
            try:
                form = frames.receive(self._desk)
                if form is None:
                    return
                frames.send(self._desk, asker.enter(form))
            except OSError:
                return


def _loaded(start: frames.Start) -> Asker:
    from lrm.engines.loading import load

    return load(start)


def _broken(error: Exception) -> frames.Broken:
    """Return what lrm is told of an engine that does not load: our own words, or that the log has vLLM's."""
    from lrm.errors import ModelError

    if isinstance(error, ModelError):
        return {"do": "broken", "said": error.message, "hint": error.hint}
    return {"do": "broken", "said": None, "hint": None}


def main() -> None:
    """Serve, and end at once: threads that load an engine, or are a library's, would otherwise hold up the end."""
    talk, desk = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    for end in (talk, desk):
        end.set_inheritable(False)

    async def serve() -> None:
        status = await Worker(desk).run(talk)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    asyncio.run(serve())


if __name__ == "__main__":
    main()
