"""Snapshots between people: real `lrm` processes, and the real client at a stand-in for the Hub."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lrm_cli import exits
from tests.cli.common import write_small
from tests.hub_server import Account, Fault, HubServer, hub_server

TOKENS = {"ada": "hf_planted_secret_of_ada", "bob": "hf_planted_secret_of_bob"}
REPO = "lab/small"


class Desk:
    """Somebody's folder, in which `lrm` runs in processes of its own."""

    def __init__(self, folder: Path, who: str, hub: HubServer) -> None:
        folder.mkdir()
        self.folder = folder
        self.printed: list[str] = []
        self.environment = {
            **os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), "HF_TOKEN": TOKENS[who],
            "LRM_CATALOG": str(folder / "catalog.duckdb"),
        }  # fmt: skip
        self.environment.pop("HF_HUB_OFFLINE", None)

    def start(self, *words: str | Path, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start `lrm WORDS…`."""
        command = [sys.executable, "-c", "from lrm_cli.main import main; main()", *map(str, words)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=stdin, text=True,
            env=self.environment, cwd=self.folder,
        )  # fmt: skip

    def ended(self, process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
        """Wait for a process that must end with this code; return what it printed."""
        out, said = process.communicate(timeout=300)
        self.printed += [out, said]
        assert process.returncode == code, (out, said)
        return out, said

    def lrm(self, *words: str | Path, code: int = 0) -> tuple[str, str]:
        """Run `lrm WORDS…`; return what it printed on stdout and stderr."""
        return self.ended(self.start(*words), code)

    def json(self, *words: str | Path) -> Any:
        """Run `lrm WORDS… --json`; return the value printed."""
        return json.loads(self.lrm(*words, "--json")[0])

    def filled(self, seed: int, name: str = "small") -> Path:
        """Fill a spec of two cells, whose model has this seed."""
        spec = write_small(self.folder, f"{{seed = {seed}}}", name=f"{name}.toml")
        self.lrm("matrix", "fill", spec, "--quiet")
        return spec

    def beside(self) -> set[str]:
        """Return what is beside the catalog."""
        return {one.name for one in self.folder.iterdir()}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with hub_server() as server:
        server.tokens = {token: Account(who, frozenset({who, "lab"})) for who, token in TOKENS.items()}
        yield server


@pytest.fixture
def desk(tmp_path: Path, hub: HubServer) -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def make(name: str, who: str = "ada") -> Desk:
        desks.append(Desk(tmp_path / name, who, hub))
        return desks[-1]

    yield make
    for one in desks:
        for token in TOKENS.values():
            assert not any(token in text for text in one.printed), "a token is in no output"
            for path in one.folder.rglob("*"):
                assert not path.is_file() or token.encode() not in path.read_bytes(), path


def writes(hub: HubServer) -> list[str]:
    return [one for one in hub.requests if not one.startswith(("GET", "HEAD"))]


def test_two_publish_at_once_and_a_third_pays_nothing(hub: HubServer, desk: Callable[..., Desk]) -> None:
    ada, bob, eve = desk("ada"), desk("bob", "bob"), desk("eve")
    specs = [ada.filled(1, "small"), bob.filled(2, "other")]
    running = [one.start("snapshot", "publish", spec, REPO) for one, spec in zip((ada, bob), specs, strict=True)]
    for one, process in zip((ada, bob), running, strict=True):
        out, _ = one.ended(process)
        assert f"{hub.url}/datasets/{REPO}  private, commit " in out
    assert len([one for one in writes(hub) if "/commit/" in one]) >= 2
    sound = eve.json("snapshot", "verify", REPO)
    assert (sound["sound"], sound["specs"], sound["rows"]["generations"]) == (True, ["other", "small"], 4)
    assert eve.json("snapshot", "pull", REPO)["responses"] == 4
    for spec in specs:
        assert eve.json("matrix", "fill", spec, "--quiet")["calls"] == 0
    hub.requests.clear()
    for one, spec in zip((ada, bob), specs, strict=True):
        assert "nothing to upload: " in one.lrm("snapshot", "publish", spec, REPO)[0]
    assert writes(hub) == []


def test_both_ways_ends_equal(hub: HubServer, desk: Callable[..., Desk]) -> None:
    ada, bob = desk("ada"), desk("bob", "bob")
    one, two = ada.filled(1, "small"), bob.filled(2, "other")
    ada.lrm("snapshot", "publish", one, "lab/small")
    bob.lrm("snapshot", "publish", two, "lab/other")
    ada.lrm("snapshot", "pull", "lab/other")
    bob.lrm("snapshot", "pull", "lab/small")
    for spec in ("small", "other"):
        for who in (ada, bob):
            who.lrm("snapshot", "export", spec, spec, "--quiet")
        manifests = [(who.folder / spec / "manifest.json").read_bytes() for who in (ada, bob)]
        assert json.loads(manifests[0])["files"] == json.loads(manifests[1])["files"]
        assert bob.json("snapshot", "diff", ada.folder / spec, f"spec:{spec}")["same"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_pull_that_is_ended_goes_on(hub: HubServer, desk: Callable[..., Desk], how: signal.Signals) -> None:
    ada, bob = desk("ada"), desk("bob", "bob")
    spec = ada.filled(1)
    ada.lrm("snapshot", "publish", spec, REPO)
    running: list[subprocess.Popen[str]] = []
    hub.faults = [Fault("get", part="/traces/", before=lambda: os.kill(running[0].pid, how))]
    hub.sent.clear()
    running.append(bob.start("snapshot", "pull", REPO))
    out, said = bob.ended(running[0], exits.INTERRUPTED if how == signal.SIGINT else -how)
    assert out == ""
    if how == signal.SIGINT:
        assert "the same command goes on from there\ninterrupted\n" in said
    assert not (bob.folder / "catalog.duckdb").exists(), "nothing half is merged"
    there = {path.name for path in (bob.folder / "catalog.duckdb.pulls").rglob("*.parquet")}
    hub.sent.clear()
    assert bob.json("snapshot", "pull", REPO)["responses"] == 2
    again = {Path(name).name for name in hub.sent if name.endswith(".parquet")}
    assert again.isdisjoint(there)
    assert "catalog.duckdb.pulls" not in bob.beside()
    assert bob.json("catalog", "verify")["problems"] == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_publishing_that_is_ended_leaves_nothing_half(
    hub: HubServer, desk: Callable[..., Desk], how: signal.Signals
) -> None:
    ada = desk("ada")
    spec = ada.filled(1)
    before = ada.beside()
    running: list[subprocess.Popen[str]] = []
    hub.faults = [Fault("put", before=lambda: running[0].send_signal(how))]
    running.append(ada.start("snapshot", "publish", spec, REPO))
    _, said = ada.ended(running[0], exits.INTERRUPTED if how == signal.SIGINT else -how)
    if how == signal.SIGINT:
        assert said.endswith("interrupted\n")
        assert ada.beside() == before
    assert "manifest.json" not in hub.datasets[REPO].files
    assert "files" in ada.lrm("snapshot", "publish", spec, REPO, "--quiet")[0]
    assert ada.beside() == before, "what a killed one left is gone"
    assert ada.json("snapshot", "verify", REPO)["sound"]


@pytest.mark.parametrize(("word", "code"), [(b"n\n", 1), (b"\n", 1), (b"y\n", 0)])
def test_a_terminal_is_asked_before_it_is_public(
    hub: HubServer, desk: Callable[..., Desk], word: bytes, code: int
) -> None:
    ada = desk("ada")
    spec = ada.filled(1)
    terminal, other_end = pty.openpty()
    os.write(terminal, word)
    process = ada.start("snapshot", "publish", spec, REPO, "--public", stdin=other_end)
    _, said = ada.ended(process, code)
    os.close(other_end)
    os.close(terminal)
    assert f"{REPO} becomes public: strangers read 1 prompt not known to be harmless" in said
    assert ". Publish? [y/N]: " in said
    assert (REPO in hub.datasets, "nothing was sent\n" in said) == (code == 0, code == 1)
    assert code or not hub.datasets[REPO].private


def test_a_broken_connection_and_a_server_in_trouble(hub: HubServer, desk: Callable[..., Desk]) -> None:
    ada, bob = desk("ada"), desk("bob", "bob")
    spec = ada.filled(1)
    now = {"Retry-After": "0"}
    hub.faults = [Fault("commit", 503, now), Fault("batch", 429, now), Fault("preupload", 500, now)]
    ada.lrm("snapshot", "publish", spec, REPO)
    hub.faults = [
        Fault("get", part="/traces/", breaks=100),
        Fault("tree", 500, now),
        Fault("get", 502, now, part="manifest"),
    ]
    assert bob.json("snapshot", "pull", REPO)["responses"] == 2
    hub.failing = 401
    assert "error: " in bob.lrm("snapshot", "pull", REPO, code=exits.USAGE)[1]
