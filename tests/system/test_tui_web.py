"""`lrm tui`: what starts it, and the same served to a browser on this machine alone."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from lrm.run.fill import fill
from lrm.store.catalog import Catalog
from tests import builders
from tests.terminal import Terminal

LRM = Path(sys.executable).with_name("lrm")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Return a catalog with a few responses."""
    found = Catalog(tmp_path / "catalog.duckdb")
    fill(builders.matrix([builders.model("sim-one")], [builders.prompt_set("set", ["one", "two"])]), found)
    return found


@pytest.fixture
def url(catalog: Catalog) -> Iterator[str]:
    """Return where `lrm tui --web` serves."""
    with subprocess.Popen(
        [LRM, "tui", "--web", "--port", "0", "--catalog", catalog.path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        cwd=catalog.path.parent, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
        assert found is not None
        yield found[0]
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        assert process.wait(timeout=30) == 0


async def until_it_listens(session: aiohttp.ClientSession, url: str) -> None:
    for _ in range(200):
        try:
            async with session.get(url) as response:
                assert response.status == 200
                return
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.05)
    raise AssertionError("it does not listen")


async def test_a_browser_gets_the_matrix(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        await until_it_listens(session, url)
        seen = b""
        async with session.ws_connect(f"{url}/ws?width=120&height=30", origin=url) as socket:
            await socket.send_str(json.dumps(["resize", {"width": 120, "height": 30}]))
            while b"sim-one" not in seen:
                message = await socket.receive(timeout=30)
                assert message.type in {aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT}, message
                seen += message.data if isinstance(message.data, bytes) else message.data.encode()
    assert b"sim-one" in seen


async def test_nobody_else_gets_anything(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        await until_it_listens(session, url)
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            async with session.get(url, headers=headers) as response:
                assert response.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{url}/ws?width=80&height=24", origin="http://evil.example")
        assert refused.value.status == 403
        async with session.get(url) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "http://" not in policy


def test_the_command_opens_the_tui_in_this_terminal(catalog: Catalog) -> None:
    with Terminal([str(LRM), "tui", "--catalog", str(catalog.path)], columns=120, rows=30) as terminal:
        terminal.until(b"sim-one")
        terminal.settle()
        terminal.write(b"q")
        assert terminal.wait() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["matrix"], "needs a terminal"),
        (["matrx"], "did you mean `matrix`"),
        (["--web", "--port", "1"], "port 1"),
    ],
)
def test_what_cannot_be_is_told(catalog: Catalog, words: list[str], said: str) -> None:
    if words[-1] == "1" and os.geteuid() == 0:
        pytest.skip("root may use any port")
    done = subprocess.run([LRM, "tui", *words, "--catalog", catalog.path], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
