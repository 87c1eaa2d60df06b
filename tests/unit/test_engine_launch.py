"""Programs that lrm answers for: what they get, how their end is told, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lrm.engines.launch import Child, launch

ROOT = Path(__file__).resolve().parents[2]
LEAVES_CHILDREN = """
import os, subprocess, sys
held = int(sys.argv[1])
wait = [sys.executable, "-c", f"import os; os.read({held}, 1)"]
subprocess.Popen(wait, pass_fds=(held,))
subprocess.Popen(wait, pass_fds=(held,), start_new_session=True)
os.write(1, b"up\\n")
"""
"""Starts a process in its own group and one in a session of its own, both of which hold a pipe open."""


def program(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


async def said(child: Child, what: str) -> None:
    """Wait until a program has printed something."""
    async with asyncio.timeout(30):
        while what not in child.said():  # noqa: ASYNC110 - a file tells nobody that it grew
            await asyncio.sleep(0.01)


async def closed(fd: int) -> None:
    """Wait until nobody holds the other end of a pipe any more."""
    with os.fdopen(fd, "rb") as pipe:
        assert await asyncio.wait_for(asyncio.to_thread(pipe.read), 30) == b""


def test_a_program_gets_its_environment_and_files_and_no_input(tmp_path: Path) -> None:
    async def run() -> None:
        reading, writing = os.pipe()
        code = (
            "import os, sys; os.write(int(sys.argv[1]), b'hello'); print(sorted(os.environ), repr(sys.stdin.read()));"
            "print('err', file=sys.stderr); raise SystemExit(3)"
        )
        log = tmp_path / "log"
        log.write_bytes(b"of another start\n")
        child = await launch(program(code, writing), log=log, env={"ONLY": "this"}, pass_fds=(writing,))
        os.close(writing)
        assert await child.wait() == 3
        assert child.returncode == 3
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read() == b"hello"
        assert "'ONLY'" in child.said()
        assert "''" in child.said()
        assert "err" in child.said()
        assert "of another start" not in child.said()
        assert log.read_bytes().startswith(b"of another start\n")
        await child.kill_tree()
        assert child.returncode == 3

    asyncio.run(run())


def test_a_signal_that_ended_it_is_told(tmp_path: Path) -> None:
    async def run() -> list[int]:
        statuses = []
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM):
            code = "import os, sys; os.kill(os.getpid(), int(sys.argv[1]))"
            child = await launch(program(code, int(number)), log=tmp_path / "log", env={})
            statuses.append(await child.wait())
        return statuses

    assert asyncio.run(run()) == [-9, -11, -15]


def test_what_does_not_exist_ends_with_127_and_says_so(tmp_path: Path) -> None:
    async def run() -> Child:
        child = await launch(["/nowhere/at-all"], log=tmp_path / "log", env={})
        await child.wait()
        return child

    child = asyncio.run(run())
    assert child.returncode == 127
    assert child.said() == "/nowhere/at-all cannot be started: No such file or directory\n"


def test_ending_it_ends_all_that_it_started(tmp_path: Path) -> None:
    async def run() -> int:
        ends, held = os.pipe()
        stays, never = os.pipe()
        child = await launch(
            program(f"{LEAVES_CHILDREN}\nos.read({stays}, 1)", held),
            log=tmp_path / "log", env={}, pass_fds=(held, stays),
        )  # fmt: skip
        os.close(held)
        os.close(stays)
        await said(child, "up")
        await asyncio.gather(child.kill_tree(), child.kill_tree())
        await closed(ends)
        os.close(never)
        return await child.wait()

    assert asyncio.run(run()) == -signal.SIGTERM


def test_what_it_leaves_behind_when_it_ends_by_itself_is_ended_too(tmp_path: Path) -> None:
    async def run() -> int:
        ends, held = os.pipe()
        child = await launch(program(LEAVES_CHILDREN, held), log=tmp_path / "log", env={}, pass_fds=(held,))
        os.close(held)
        await closed(ends)
        return await child.wait()

    if sys.platform != "linux":
        pytest.skip("only Linux gives a process its descendants")
    assert asyncio.run(run()) == 0


def test_it_may_tidy_up_and_is_killed_if_it_does_not_end(tmp_path: Path) -> None:
    tidies = "import signal, sys; signal.signal(15, lambda *_: sys.exit(5)); print('up', flush=True); signal.pause()"
    stays = (
        "import signal; signal.signal(15, lambda *_: print('no', flush=True)); print('up', flush=True)\n"
        "while True: signal.pause()"
    )

    async def run(code: str, grace_s: float) -> Child:
        child = await launch(program(code), log=tmp_path / "log", env={}, grace_s=grace_s)
        await said(child, "up")
        await child.kill_tree()
        return child

    assert asyncio.run(run(tidies, 30)).returncode == 5
    child = asyncio.run(run(stays, 0.2))
    assert child.returncode == -signal.SIGKILL
    assert "no" in child.said()


def _killed(starter: subprocess.Popen[bytes]) -> None:
    starter.kill()


def _ended(starter: subprocess.Popen[bytes]) -> None:
    starter.terminate()


@pytest.mark.parametrize("end", [_killed, _ended])
def test_nothing_outlives_the_process_that_started_it(
    tmp_path: Path, end: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    ends, held = os.pipe()
    code = f"""
import asyncio, sys
from pathlib import Path
from lrm.engines.launch import launch
async def main():
    stays = {LEAVES_CHILDREN!r} + "\\nimport signal\\nsignal.pause()"
    child = await launch([sys.executable, "-c", stays, "{held}"], log=Path({str(tmp_path / "log")!r}), env={{}}, pass_fds=({held},))
    while "up" not in child.said():
        await asyncio.sleep(0.01)
    print("up", flush=True)
    await child.wait()
asyncio.run(main())
"""
    starter = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=(held,)
    )
    os.close(held)
    assert starter.stdout is not None
    with starter.stdout:
        assert starter.stdout.readline() == b"up\n"
        end(starter)
        starter.wait()
    asyncio.run(closed(ends))


def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        ends, held = os.pipe()
        starting = asyncio.ensure_future(
            launch(program(LEAVES_CHILDREN, held), log=tmp_path / "log", env={}, pass_fds=(held,))
        )
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        os.close(held)
        await closed(ends)

    asyncio.run(run())
