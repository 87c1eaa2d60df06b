"""`lrm serve` from its start to its end, with a program in vLLM's place that listens and answers as vLLM does.

How vLLM itself is served is in tests/vllm; here it is what lrm prints, and how each way of ending ends.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lrm.engines.ports import check_port, free_port
from tests.weights import safetensors

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")

STAND_IN = '''
"""Says where it is told to listen that it has the model, and does what STAND_IN says."""

import http.server
import json
import os
import sys

given = dict(word[2:].split("=", 1) for word in sys.argv if word.startswith("--") and "=" in word)
print("INFO starting", flush=True)
if os.environ["STAND_IN"] == "memory":
    sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB "
             "of which 1.00 GiB is free.")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        right = self.headers["Authorization"] == "Bearer " + os.environ["VLLM_API_KEY"]
        body = json.dumps({"data": [{"id": given["served-model-name"], "max_model_len": 64}]}).encode()
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if os.environ["STAND_IN"] == "dies":
            print("RuntimeError: CUDA error: an illegal memory access was encountered", flush=True)
            os._exit(1)

    def log_message(self, *words):
        pass


http.server.HTTPServer((given["host"], int(given["port"])), Handler).serve_forever()
'''
Serve = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def serve(tmp_path: Path, port: int) -> Iterator[Serve]:
    """Return what runs `lrm serve mine` with more words, and the stand-in doing as it is told."""
    package = tmp_path / "site" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "api_server.py").write_text(STAND_IN)
    weights, models, temporary = tmp_path / "weights", tmp_path / "registry" / "models", tmp_path / "tmp"
    for folder in (weights, models, temporary):
        folder.mkdir(parents=True)
    (weights / "config.json").write_text("{}")
    (weights / "model.safetensors").write_bytes(safetensors())
    (models / "mine.toml").write_text(f'backend = "vllm"\nmodel = "{weights}"\ndtype = "bfloat16"\n')
    begun: list[subprocess.Popen[str]] = []

    def run(does: str, *words: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(tmp_path / "site"), *(str(ROOT / part) for part in ("", "cli", "tui"))])
        environment = {
            **os.environ, "PYTHONPATH": path, "STAND_IN": does, "VLLM_API_KEY": "the key", "TMPDIR": str(temporary)
        }  # fmt: skip
        program = [sys.executable, "-c", "from lrm_cli.main import main; main()", "serve", "mine", "--port", str(port)]
        begun.append(
            subprocess.Popen(
                [*program, *words], cwd=tmp_path, env=environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        return begun[-1]

    yield run
    for one in begun:
        one.kill()
        one.communicate()


def lines_until_up(running: subprocess.Popen[str], last: str) -> list[str]:
    """Return what is printed up to a line that begins so."""
    assert running.stdout is not None
    lines: list[str] = []
    while not (lines and lines[-1].startswith(last)):
        line = running.stdout.readline()
        assert line, running.communicate()
        lines.append(line.rstrip("\n"))
    return lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_a_declaration_and_ends_well_when_it_is_told(
    serve: Serve, port: int, tmp_path: Path, number: signal.Signals
) -> None:
    running = serve("serves")
    assert lines_until_up(running, "api_key_env") == [
        f"# http://127.0.0.1:{port}/v1 answers; declare it as",
        'backend = "vllm"',
        f'model = "{tmp_path / "weights"}"',
        'dtype = "bfloat16"',
        f'endpoint = "http://127.0.0.1:{port}/v1"',
        'api_key_env = "VLLM_API_KEY"',
    ]
    running.send_signal(number)
    _, talk = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "Ctrl-C stops it" in talk
    assert "the key" not in talk
    assert "INFO starting" not in talk
    check_port("127.0.0.1", port)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_killed_with_no_chance_to_tidy_up_it_leaves_no_server(serve: Serve, port: int) -> None:
    running = serve("serves")
    lines_until_up(running, "api_key_env")
    running.kill()
    with contextlib.suppress(ConnectionError):
        while True:  # until nobody listens there
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
    check_port("127.0.0.1", port)


def test_what_vllm_prints_is_shown_and_kept_on_request(serve: Serve, tmp_path: Path) -> None:
    running = serve("serves", "-v", "--log", "server.log")
    lines_until_up(running, "api_key_env")
    running.send_signal(signal.SIGINT)
    _, talk = running.communicate(timeout=60)
    assert "INFO starting\n" in talk
    assert (tmp_path / "server.log").read_text().startswith("INFO starting\n")


def test_out_of_memory_is_told_with_what_to_do_and_its_log_is_kept(serve: Serve, tmp_path: Path) -> None:
    running = serve("memory")
    _, talk = running.communicate(timeout=60)
    assert running.returncode == 3
    assert "GPU 0 ran out of memory: 2.00 GiB more were asked for, and 1.00 GiB of its 8.00 GiB were free" in talk
    assert "vllm.tensor_parallel" in talk
    (kept,) = (tmp_path / "tmp").iterdir()
    assert f"what vLLM printed is in {kept}" in talk
    assert "OutOfMemoryError" in kept.read_text()


def test_a_server_that_ends_by_itself_is_told_with_why(serve: Serve, port: int) -> None:
    running = serve("dies")
    _, talk = running.communicate(timeout=60)
    assert running.returncode == 3
    assert "CUDA error: an illegal memory access was encountered" in talk
    check_port("127.0.0.1", port)
