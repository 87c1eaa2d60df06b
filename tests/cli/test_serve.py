"""`lrm serve` as far as it comes without vLLM: what it refuses, and how it completes names."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from lrm_cli.main import cli
from tests.cli.common import Run

DECLARATIONS = {
    "here": 'backend = "vllm"\nmodel = "./weights"\n',
    "there": 'backend = "http"\nengine = "vllm"\nmodel = "./weights"\nendpoint = "http://127.0.0.1:{port}/v1"\n',
    "other": 'backend = "http"\nmodel = "x"\nendpoint = "http://127.0.0.1:1/v1"\n',
    "sim": 'backend = "simulated"\nmodel = "x"\n',
}


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """Return a socket that listens on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture(autouse=True)
def _declared(tmp_path: Path, taken: socket.socket) -> None:
    folder = tmp_path / "registry" / "models"
    folder.mkdir(parents=True)
    for name, text in DECLARATIONS.items():
        (folder / f"{name}.toml").write_text(text.format(port=taken.getsockname()[1]))


def test_what_vllm_does_not_run_is_refused_with_what_would_do(lrm: Run) -> None:
    assert "did you mean `here`?" in lrm("serve", "heer", code=2).stderr
    for name, says in (("sim", "backend `simulated`"), ("other", "does not say that vLLM runs it")):
        refused = lrm("serve", name, code=3).stderr
        assert says in refused
        assert "backend = 'vllm'" in refused


def test_a_port_in_use_is_refused_before_anything_is_started(lrm: Run, taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    for words in (["here", "--port", str(port)], ["there"]):
        refused = lrm("serve", *words, code=3).stderr
        assert f"port {port} of 127.0.0.1 cannot be used" in refused
        assert "--port" in refused
    assert "70000" in lrm("serve", "here", "--port", "70000", code=2).stderr


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_it_says_how_to_install_it(lrm: Run) -> None:
    refused = lrm("serve", "here", "--port", "0", code=3).stderr
    assert "pip install 'lrm[vllm]'" in refused


def test_others_are_warned_of_a_server_without_a_key(lrm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    assert "VLLM_API_KEY" in lrm("serve", "here", "--port", "0", "--host", "0.0.0.0", code=3).stderr
    monkeypatch.setenv("VLLM_API_KEY", "a key")
    assert "VLLM_API_KEY" not in lrm("serve", "here", "--port", "0", "--host", "0.0.0.0", code=3).stderr


def test_names_of_models_are_completed() -> None:
    completed = ShellComplete(cli, {}, "lrm", "_LRM_COMPLETE").get_completions(["serve"], "he")
    assert [one.value for one in completed] == ["here"]


def test_it_loads_nothing_heavy_before_it_has_to() -> None:
    code = "import sys, lrm_cli.serve; print(sorted({'asyncio', 'pydantic', 'aiohttp'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
