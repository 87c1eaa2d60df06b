"""Snapshots from the Hub into a folder: checked before and after, taken up where they broke off."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrm.errors import BusyError, LrmError, MissingError, SnapshotError
from lrm.snapshot.hub.fetch import fetch
from lrm.snapshot.hub.repository import Remote, remote
from lrm.snapshot.manifest import CARD, NAME, Manifest, read
from tests.hub_server import Dataset, Fault, HubServer, hub_server
from tests.snapshot_folders import folder_of, manifest, paths

ONE, TWO = (bytes([number]) * 200_000 for number in (1, 2))
READ = 10 * 2**20
"""What the client reads at a time, and so what it keeps when a connection is lost."""
LARGE = b"3" * 3 * READ
NOW = {"Retry-After": "0"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield server


@pytest.fixture
def folder(hub: HubServer, tmp_path: Path) -> Path:
    """Return a folder that is also on the Hub."""
    made = folder_of(tmp_path / "made", ONE, TWO)
    hub.datasets["lab/results"] = Dataset()
    hub.datasets["lab/results"].commit(_files(made))
    return made


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def path_of(folder: Path, body: bytes) -> str:
    digest = hashlib.sha256(body).hexdigest()
    return next(one.path for one in manifest(folder).files if one.sha256 == digest)


def looked(hub: HubServer) -> tuple[Remote, Manifest]:
    """Look at the snapshot; forget what that took."""
    found = remote("lab/results")
    hub.sent.clear()
    return found, read(found.manifest, "lab/results")


def bytes_of(hub: HubServer, name: str) -> list[tuple[int, int]]:
    return hub.sent.get(name, [])


def test_a_snapshot_comes_whole_as_real_files(hub: HubServer, tmp_path: Path, folder: Path) -> None:
    said: list[str] = []
    into = tmp_path / "here"
    fetch(*looked(hub), into, say=said.append)
    assert _files(into) == _files(folder)
    assert not any(path.is_symlink() for path in into.rglob("*"))
    assert said == [
        f"fetching 2 files (0.4 MB) of 2 from lab/results at {hub.datasets['lab/results'].refs['main'][:12]}"
    ]


def test_what_is_there_is_not_asked_for_again(hub: HubServer, tmp_path: Path, folder: Path) -> None:
    into = tmp_path / "here"
    fetch(*looked(hub), into)
    damaged = path_of(folder, ONE)
    (into / damaged).write_bytes(b"?" * len(ONE))
    fetch(*looked(hub), into)
    assert {name for name in hub.sent if name in paths(folder)} == {damaged}
    assert _files(into) == _files(folder)


def test_only_what_is_wanted_comes(hub: HubServer, tmp_path: Path, folder: Path) -> None:
    one = path_of(folder, ONE)
    fetch(*looked(hub), tmp_path / "here", wanted=lambda file: file.path == one)
    assert set(_files(tmp_path / "here")) == {one, NAME, CARD}


@pytest.fixture
def large(hub: HubServer, folder: Path) -> Path:
    """Return a folder with a shard of several of the client's reads, also on the Hub."""
    made = folder_of(folder.with_name("large"), LARGE, TWO)
    hub.datasets["lab/results"].commit(_files(made))
    return made


def test_a_connection_that_is_lost_is_taken_up_again(hub: HubServer, tmp_path: Path, large: Path) -> None:
    folder = large
    hub.faults.append(Fault("get", part=path_of(folder, LARGE), breaks=2 * READ + 60_000))
    fetch(*looked(hub), tmp_path / "here")
    assert bytes_of(hub, path_of(folder, LARGE)) == [(0, 2 * READ + 60_000), (2 * READ, READ)]
    assert _files(tmp_path / "here") == _files(folder)


def test_a_fetch_that_breaks_off_goes_on_where_it_was(hub: HubServer, tmp_path: Path, large: Path) -> None:
    folder, one, two, into = large, path_of(large, LARGE), path_of(large, TWO), tmp_path / "here"
    hub.faults += [Fault("get", part=one, breaks=READ + 60_000), Fault("get", 404, part=one)]
    with pytest.raises(MissingError):
        fetch(*looked(hub), into)
    assert not (into / NAME).exists(), "a folder with a manifest is whole"
    assert not (into / one).exists(), "a file under its own name is whole"
    fetch(*looked(hub), into)
    assert bytes_of(hub, one) == [(READ, 2 * READ)]
    assert bytes_of(hub, two) == [], "it came the first time"
    assert _files(into) == _files(folder)


@pytest.mark.parametrize("status", [429, 503])
def test_what_passes_is_tried_again(hub: HubServer, tmp_path: Path, folder: Path, status: int) -> None:
    hub.faults.append(Fault("get", status, NOW, part=path_of(folder, ONE)))
    fetch(*looked(hub), tmp_path / "here")
    assert hub.faults[0].times == 0
    assert _files(tmp_path / "here") == _files(folder)


def test_a_server_that_stays_away_is_said_to(hub: HubServer, tmp_path: Path, folder: Path) -> None:
    hub.faults.append(Fault("get", 503, NOW, part=path_of(folder, ONE), times=None))
    with pytest.raises(BusyError, match="503"):
        fetch(*looked(hub), tmp_path / "here")
    assert len(hub.asked("GET", path_of(folder, ONE))) == 5


def test_wrong_bytes_are_fetched_once_more(hub: HubServer, tmp_path: Path, folder: Path) -> None:
    one = path_of(folder, ONE)
    hub.faults.append(Fault("get", part=one, instead=TWO))
    fetch(*looked(hub), tmp_path / "here")
    assert bytes_of(hub, one) == [(0, 200_000)] * 2
    assert _files(tmp_path / "here") == _files(folder)


def test_bytes_that_stay_wrong_are_refused(hub: HubServer, tmp_path: Path, folder: Path) -> None:
    one = path_of(folder, ONE)
    hub.faults.append(Fault("get", part=one, instead=TWO, times=None))
    with pytest.raises(SnapshotError, match=f"{one} came twice"):
        fetch(*looked(hub), tmp_path / "here")
    assert bytes_of(hub, one) == [(0, 200_000)] * 2
    assert not (tmp_path / "here" / one).exists()
    assert not (tmp_path / "here" / NAME).exists()


def test_more_bytes_than_were_told_are_not_kept(hub: HubServer, tmp_path: Path, folder: Path) -> None:
    one = path_of(folder, ONE)
    hub.faults.append(Fault("get", part=one, instead=b"?" * 50_000_000, times=None))
    with pytest.raises(SnapshotError, match="larger than the Hub says"):
        fetch(*looked(hub), tmp_path / "here")
    kept = [path.stat().st_size for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert max(kept) <= 200_000


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda files, one: files.pop(one), "lacks data/raw"),
        (lambda files, one: files.update({one: b"longer" * 100_000}), "is not the file that its manifest lists"),
        (lambda files, one: files.update({one: TWO}), "is not the file that its manifest lists"),
    ],
)
def test_what_the_manifest_does_not_say_is_refused_unread(
    hub: HubServer, tmp_path: Path, folder: Path, change: object, says: str
) -> None:
    files = _files(folder)
    change(files, path_of(folder, ONE))  # type: ignore[operator]
    hub.datasets["lab/results"].commit(files)
    with pytest.raises(SnapshotError, match=says):
        fetch(*looked(hub), tmp_path / "here")
    assert hub.sent == {}
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("path", ["../../outside.parquet", "/etc/outside.parquet", "data/raw/../../../x.parquet"])
def test_paths_out_of_the_folder_are_refused(hub: HubServer, tmp_path: Path, folder: Path, path: str) -> None:
    there, told = looked(hub)
    with pytest.raises(SnapshotError, match="not sound"):
        read(json.dumps(json.loads(there.manifest) | {"files": [told.files[0].model_dump() | {"path": path}]}), "x")
    forged = told.model_copy(update={"files": (told.files[0].model_copy(update={"path": path}),)})
    with pytest.raises(SnapshotError, match="no path of a snapshot"):
        fetch(there, forged, tmp_path / "here")
    assert hub.sent == {}


def test_what_does_not_fit_is_not_begun(
    hub: HubServer, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrm.snapshot.hub.fetch._SPARE", 2**60)
    with pytest.raises(MissingError, match="bytes free, and 400,000 are needed"):
        fetch(*looked(hub), tmp_path / "here")
    monkeypatch.setattr("lrm.snapshot.hub.fetch.MAX_TOTAL", 300_000)
    with pytest.raises(SnapshotError, match="no more than 300,000"):
        fetch(*looked(hub), tmp_path / "there")
    assert hub.sent == {}


@pytest.mark.parametrize(("token", "says"), [("", "gated"), ("hf_other", "gated")])
def test_a_gated_one_says_how_to_get_in(
    hub: HubServer, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, token: str, says: str
) -> None:
    there, told = looked(hub)
    hub.datasets["lab/results"].gated = "manual"
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(LrmError, match=says) as caught:
        fetch(there, told, tmp_path / "here")
    assert "ask for access on the page of the dataset lab/results" in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", "let-me-in")
    fetch(there, told, tmp_path / "here")
    assert paths(tmp_path / "here") == paths(folder)
