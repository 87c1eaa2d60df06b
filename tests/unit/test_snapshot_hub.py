"""Snapshots to the Hub and back, by the real client at a stand-in that speaks its endpoints."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lrm.errors import BusyError, LrmError, MissingError, SnapshotError
from lrm.snapshot.hub.fetch import KEPT
from lrm.snapshot.hub.publish import Published, publish
from lrm.snapshot.hub.repository import address, commits, listing, remote
from lrm.snapshot.manifest import CARD, NAME
from tests.hub_server import Dataset, Fault, HubServer, logged_in
from tests.snapshot_folders import folder_of, manifest, paths, union

# The client itself uploads large files in a way that its HTTP library wants no more.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")
SECRET = "hf_planted_secret"
ONE, TWO, THREE = (bytes([number]) * 20_000 for number in (1, 2, 3))
NOW = {"Retry-After": "0"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with logged_in(SECRET, monkeypatch, tmp_path) as server:
        yield server


def never(_: Path) -> Path:
    raise AssertionError("there was nothing to make one")


def put(folder: Path, repo: str = "lab/results", **more: object) -> Published:
    """Publish a folder; what others have there is united with it."""

    def rebase(theirs: Path) -> Path:
        return union(folder, theirs, folder.with_name(f"{folder.name}-{theirs.name[:8]}"))

    return publish(folder, repo, **{"rebase": rebase, **more})  # type: ignore[arg-type]


def shards(hub: HubServer, repo: str = "lab/results") -> set[str]:
    return {path for path in hub.datasets[repo].files if path.endswith(".parquet")}


# --- publishing -------------------------------------------------------------------------------------------------------


def test_a_new_repository_is_private_and_has_the_folder_in_one_commit(hub: HubServer, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", ONE, TWO)
    done = put(folder, rebase=never)
    there = hub.datasets["lab/results"]
    assert (done.created, done.unchanged, done.private, there.private) == (True, False, True, True)
    assert (done.commit, done.url) == (there.refs["main"], f"{hub.url}/datasets/lab/results")
    assert set(done.uploaded) == paths(folder) | {NAME, CARD}
    assert len(there.commits) == 2, "the Hub's own and ours"
    assert there.files[NAME] == (folder / NAME).read_bytes()
    assert shards(hub) == paths(folder)
    assert sorted(size for _, size in hub.stored) == [20_000, 20_000], "large files go by LFS"
    assert done.bytes == 40_000 + len(there.files[NAME]) + len(there.files[CARD])


def test_publishing_again_sends_nothing(hub: HubServer, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", ONE, TWO)
    first = put(folder)
    hub.requests.clear()
    again = put(folder, rebase=never)
    assert (again.unchanged, again.uploaded, again.bytes, again.commit) == (True, (), 0, first.commit)
    assert [one for one in hub.requests if not one.startswith(("GET", "HEAD"))] == []


def test_another_version_of_lrm_is_no_change(hub: HubServer, tmp_path: Path) -> None:
    put(folder_of(tmp_path / "a", ONE))
    assert put(folder_of(tmp_path / "b", ONE, version="2.0"), rebase=never).unchanged


def test_only_new_shards_are_sent_and_old_ones_are_removed(hub: HubServer, tmp_path: Path) -> None:
    put(folder_of(tmp_path / "a", ONE, TWO, table="rates"))
    newer = folder_of(tmp_path / "b", TWO, THREE, table="rates")
    hub.stored.clear()
    done = put(newer, rebase=never)
    assert [size for _, size in hub.stored] == [20_000]
    assert set(done.uploaded) == (paths(newer) - paths(tmp_path / "a")) | {NAME}
    assert shards(hub) == paths(newer), "tables for readers are made anew, so old shards of them go"


def test_files_of_others_stay(hub: HubServer, tmp_path: Path) -> None:
    put(folder_of(tmp_path / "a", ONE))
    there = hub.datasets["lab/results"]
    there.commit({**there.files, "notes/plan.txt": b"ours", "data/raw/theirs.parquet": b"more"})
    put(folder_of(tmp_path / "b", ONE, TWO))
    assert {"notes/plan.txt", "data/raw/theirs.parquet"} < set(there.files)


def test_what_others_have_published_is_made_one_with_it(hub: HubServer, tmp_path: Path) -> None:
    put(folder_of(tmp_path / "a", ONE, TWO))
    hub.sent.clear()
    hub.stored.clear()
    done = put(folder_of(tmp_path / "b", TWO, THREE, spec="two"), token="hf_other")
    assert shards(hub) == paths(tmp_path / "a") | paths(tmp_path / "b")
    assert [size for _, size in hub.stored] == [20_000], "only what nobody had"
    (fetched,) = [name for name in hub.sent if name.endswith(".parquet")]
    assert fetched in paths(tmp_path / "a") - paths(tmp_path / "b"), "what is here is not fetched"
    assert [one.authors for one in commits("lab/results")][:2] == [("bob",), ("ada",)]
    assert done.commit == commits("lab/results")[0].commit


def test_a_rival_between_look_and_commit_loses_nothing(hub: HubServer, tmp_path: Path) -> None:
    put(folder_of(tmp_path / "a", ONE))
    rival = folder_of(tmp_path / "rival", ONE, THREE)
    hub.faults.append(Fault("commit", before=lambda: put(rival, token="hf_other")))
    done = put(folder_of(tmp_path / "b", ONE, TWO))
    assert shards(hub) == paths(tmp_path / "a") | paths(tmp_path / "b") | paths(rival)
    assert sorted(size for _, size in hub.stored) == [20_000] * 3, "no shard went twice"
    titles = [one.authors for one in commits("lab/results")]
    assert titles[:3] == [("ada",), ("bob",), ("ada",)]
    assert done.commit == hub.datasets["lab/results"].refs["main"]


def test_publishers_at_once_all_succeed_and_lose_nothing(hub: HubServer, tmp_path: Path) -> None:
    folders = [folder_of(tmp_path / f"f{at}", ONE, bytes([at + 10]) * 5_000, spec=f"s{at}") for at in range(3)]
    start = threading.Barrier(3)

    def run(folder: Path) -> Published:
        start.wait()
        return put(folder)

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(run, folders))
    assert shards(hub) == set().union(*map(paths, folders))
    assert [one.created for one in done].count(True) == 1
    assert len({one.commit for one in done}) == 3
    final = remote("lab/results")
    assert [spec.name for spec in manifest(_down(final.manifest, tmp_path)).specs] == ["s0", "s1", "s2"]


def _down(text: bytes, tmp_path: Path) -> Path:
    (tmp_path / "down").mkdir()
    (tmp_path / "down" / NAME).write_bytes(text)
    return tmp_path / "down"


def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub: HubServer, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", ONE)
    hub.faults.append(Fault("commit", 503, NOW, before=lambda: put(folder)))
    done = put(folder, rebase=never)
    assert (len(hub.datasets["lab/results"].commits), done.unchanged) == (2, False)


@pytest.mark.parametrize("spot", ["info", "tree", "commit", "yaml", "settings", "create", "get"])
@pytest.mark.parametrize("status", [429, 503])
def test_what_passes_is_tried_again(hub: HubServer, tmp_path: Path, spot: str, status: int) -> None:
    if spot == "get":
        put(folder_of(tmp_path / "b", TWO))
    fault = Fault(spot, status, NOW, times=2 if spot != "get" else 1)  # type: ignore[arg-type]
    hub.faults.append(fault)
    put(folder_of(tmp_path / "a", ONE), gated="auto")
    assert fault.times == 0
    assert paths(tmp_path / "a") <= shards(hub)


def test_a_hub_that_stays_overloaded_is_said_to_be(hub: HubServer, tmp_path: Path) -> None:
    put(folder_of(tmp_path / "a", ONE))
    hub.requests.clear()
    hub.faults.append(Fault("info", 503, NOW, times=None))
    with pytest.raises(BusyError, match="503") as caught:
        put(folder_of(tmp_path / "a", ONE))
    assert caught.value.exit_code == 3
    assert len(hub.asked("GET", "lab/results")) == 5


def test_a_hub_that_asks_for_a_long_wait_is_not_waited_for(hub: HubServer, tmp_path: Path) -> None:
    put(folder_of(tmp_path / "a", ONE))
    hub.requests.clear()
    hub.faults.append(Fault("info", 429, {"Retry-After": "3600"}, times=None))
    with pytest.raises(BusyError, match="3,600 seconds"):
        put(folder_of(tmp_path / "a", ONE))
    assert len(hub.asked("GET", "lab/results")) == 1


def test_an_upload_that_breaks_off_is_taken_up_again(hub: HubServer, tmp_path: Path) -> None:
    fault = Fault("put", breaks=1_000)
    hub.faults.append(fault)
    put(folder_of(tmp_path / "a", ONE, TWO))
    assert fault.times == 0
    assert sorted(size for _, size in hub.stored) == [20_000, 20_000]
    assert shards(hub) == paths(tmp_path / "a")


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "repo", "says", "hint"),
    [
        ("hf_wrong", "lab/results", "does not know this account", "hf auth login"),
        ("", "lab/results", "does not know this account", "HF_TOKEN"),
        ("hf_stranger", "lab/results", "may not write to lab/results", "member of"),
        (SECRET, "results", "no name of a dataset", "ORG/NAME"),
        (SECRET, "../results", "no name of a dataset", "ORG/NAME"),
        (SECRET, "lab/results/more", "no name of a dataset", "ORG/NAME"),
    ],
)
def test_who_may_not_write_is_told_why(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, repo: str, says: str, hint: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(MissingError, match=says) as caught:
        put(folder_of(tmp_path / "a", ONE), repo)
    assert hint in str(caught.value)
    assert "hf_" not in str(caught.value)
    assert hub.datasets == {}


def test_a_public_repository_of_others_is_not_written_to(hub: HubServer, tmp_path: Path) -> None:
    put(folder_of(tmp_path / "a", ONE), private=False)
    with pytest.raises(MissingError, match="may not write"):
        put(folder_of(tmp_path / "b", TWO), token="hf_stranger")
    assert len(hub.datasets["lab/results"].commits) == 2


def test_visibility_is_left_alone_unless_asked_for(hub: HubServer, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", ONE)
    assert not put(folder, private=False).private
    said: list[str] = []
    assert not put(folder, say=said.append).private
    assert said == ["lab/results is public: everybody will see what is published"]
    assert hub.asked("/settings") == []
    assert put(folder, private=True).private
    assert hub.datasets["lab/results"].private
    assert put(folder).private


def test_access_can_be_gated(hub: HubServer, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", ONE)
    put(folder, gated="manual", private=False)
    assert hub.datasets["lab/results"].gated == "manual"
    assert remote("lab/results").gated == "manual"
    put(folder, gated="manual")
    assert len(hub.asked("PUT", "/settings")) == 1
    with pytest.raises(MissingError, match="gated") as caught:
        remote("lab/results", token="hf_stranger")
    assert "ask for access on the page" in str(caught.value)


def test_a_repository_with_something_else_is_left_alone(hub: HubServer, tmp_path: Path) -> None:
    hub.datasets["lab/results"] = there = Dataset()
    there.commit({"data/train.parquet": b"x"})
    with pytest.raises(SnapshotError, match="something else"):
        put(folder_of(tmp_path / "a", ONE))
    assert len(there.commits) == 1


def test_a_newer_format_is_left_alone(hub: HubServer, tmp_path: Path) -> None:
    hub.datasets["lab/results"] = there = Dataset()
    there.commit({NAME: b'{"format": 99, "version": "9.0"}'})
    with pytest.raises(SnapshotError, match=r"lrm 9\.0"):
        put(folder_of(tmp_path / "a", ONE))
    assert len(there.commits) == 1


def test_nothing_that_is_told_or_sent_holds_the_token(
    hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    put(folder_of(tmp_path / "a", ONE), say=said.append)
    hub.faults.append(Fault("commit", 400))
    with pytest.raises(LrmError) as caught:
        put(folder_of(tmp_path / "b", TWO), say=said.append)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "hf" not in path.parts)
    there = b"".join(hub.datasets["lab/results"].files.values())
    for text in (*said, str(caught.value), caplog.text, "".join(capfd.readouterr())):
        assert SECRET not in text
        assert "signature" not in text
    assert SECRET.encode() not in written + there


def test_nothing_is_printed(hub: HubServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hub.faults.append(Fault("put", breaks=1_000))
    put(folder_of(tmp_path / "a", ONE, TWO))
    assert "".join(capfd.readouterr()) == ""


# --- the card ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["---\nlicense: mit\n---\n# Our page\n\nRead *this* first.\n", "# Our page\n\nRead *this* first.\n"]
)
def test_words_of_people_stay_below_the_card(hub: HubServer, tmp_path: Path, text: str) -> None:
    hub.datasets["lab/results"] = there = Dataset()
    there.commit({CARD: text.encode()})
    put(folder_of(tmp_path / "a", ONE))
    card = there.files[CARD].decode()
    assert card.startswith("---\nlicense: other\ntags:\n- lrm-snapshot\n---\n")
    assert card.endswith(f"\n{KEPT}\n\n# Our page\n\nRead *this* first.\n")
    assert put(folder_of(tmp_path / "a", ONE), rebase=never).unchanged
    there.commit({**there.files, CARD: (card + "And that.\n").encode()})
    put(folder_of(tmp_path / "b", ONE, TWO))
    card = there.files[CARD].decode()
    assert card.count("Read *this* first.\nAnd that.\n") == 1
    assert card.count(KEPT) == 1
    assert "2 files." in card


def test_a_readme_of_a_head_alone_is_nobodys_words(hub: HubServer, tmp_path: Path) -> None:
    hub.datasets["lab/results"] = there = Dataset()
    there.commit({CARD: b"---\nlicense: mit\n---\n"})
    put(folder_of(tmp_path / "a", ONE))
    assert there.files[CARD].decode().endswith(f"\n{KEPT}\n")


def test_a_card_that_the_hub_refuses(hub: HubServer, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", ONE)
    (folder / CARD).write_text("---\n: : [\n---\n", encoding="utf-8")
    with pytest.raises(SnapshotError, match="refuses"):
        put(folder)
    assert hub.datasets["lab/results"].files.keys() == {".gitattributes"}


# --- looking ----------------------------------------------------------------------------------------------------------


def test_snapshots_are_listed_by_the_tag_of_their_card(hub: HubServer, tmp_path: Path) -> None:
    hub.page = 2
    for name in ("lab/one", "lab/two", "bob/three", "bob/four"):
        put(folder_of(tmp_path / name, ONE), name, private=name == "bob/four", token="hf_other")
    hub.datasets["lab/else"] = Dataset()
    hub.datasets["lab/else"].commit({CARD: b"---\ntags: [other]\n---\n"})
    hub.datasets["lab/two"].gated, hub.datasets["lab/two"].downloads = "auto", 7
    assert [one.repo for one in listing()] == ["bob/three", "lab/one", "lab/two"]
    assert [one.repo for one in listing(token="hf_other")] == ["bob/four", "bob/three", "lab/one", "lab/two"]
    assert [one.repo for one in listing(author="lab", search="tw")] == ["lab/two"]
    (two,) = listing(author="lab", search="tw")
    assert (two.private, two.gated, two.downloads) == (False, "auto", 7)
    assert two.bytes == sum(map(len, hub.datasets["lab/two"].files.values()))
    assert two.modified is not None
    assert two.modified.startswith("2026-01-01T00:00")


def test_a_revision_is_a_branch_a_commit_or_an_error(hub: HubServer, tmp_path: Path) -> None:
    first = put(folder_of(tmp_path / "a", ONE))
    second = put(folder_of(tmp_path / "b", ONE, TWO))
    assert remote("lab/results").commit == second.commit
    assert remote("lab/results", first.commit).manifest == (tmp_path / "a" / NAME).read_bytes()
    with pytest.raises(MissingError, match="no such revision"):
        remote("lab/results", "v9")
    assert address("lab/results@v9") == ("lab/results", "v9")
    assert address("lab/results") == ("lab/results", None)
    for wrong in ("lab/results@", "lab", "a/b/c", "lab/..", "lab/results --force"):
        with pytest.raises(MissingError):
            address(wrong)


def test_only_the_manifest_is_read_and_a_large_one_is_not(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder_of(tmp_path / "a", ONE))
    hub.sent.clear()
    found = remote("lab/results")
    assert set(hub.sent) == {NAME}
    assert found.files.keys() == hub.datasets["lab/results"].files.keys()
    monkeypatch.setattr("lrm.snapshot.hub.repository.MAX_BYTES", 100)
    hub.sent.clear()
    with pytest.raises(SnapshotError, match="larger than 100 bytes"):
        remote("lab/results")
    assert hub.sent == {}


@pytest.mark.parametrize(("repo", "says"), [("lab/none", "no dataset lab/none"), ("lab/plain", "holds no snapshot")])
def test_what_is_not_there_is_said(hub: HubServer, repo: str, says: str) -> None:
    hub.datasets["lab/plain"] = Dataset()
    hub.datasets["lab/plain"].commit({"train.csv": b"a\n"})
    with pytest.raises(LrmError, match=says):
        remote(repo)


def test_without_a_network_nothing_is_asked(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = folder_of(tmp_path / "a", ONE)
    for call in (lambda: remote("lab/results"), listing, lambda: commits("lab/results"), lambda: put(folder)):
        with pytest.raises(MissingError, match="HF_HUB_OFFLINE"):
            call()
    assert hub.requests == []


def test_a_hub_that_is_not_there(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BusyError, match="cannot be reached"):
        remote("lab/results")
    assert os.environ["HF_ENDPOINT"] != hub.url
