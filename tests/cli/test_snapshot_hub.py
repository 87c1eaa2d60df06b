"""`lrm snapshot` with the Hub: publish, list, pull and compare, by the real client at a stand-in that speaks its endpoints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrm_cli import exits
from tests.cli.common import Json, Run, Small
from tests.hub_server import Fault, HubServer, logged_in

# The client itself uploads large files in a way that its HTTP library wants no more.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")
SECRET = "hf_planted_secret"
REPO = "lab/small"
NOW = {"Retry-After": "0"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with logged_in(SECRET, monkeypatch, tmp_path) as server:
        yield server


@pytest.fixture
def filled(lrm: Run, small: Small) -> Path:
    """The spec of two cells, filled."""
    spec = small("{seed = 1, comply_safe = 1, comply_unsafe = 1, partial = 0}")
    lrm("matrix", "fill", spec, "--quiet")
    return spec


def writes(hub: HubServer) -> list[str]:
    return [one for one in hub.requests if not one.startswith(("GET", "HEAD"))]


def state(folder: Path) -> dict[str, str]:
    """Return what is in the catalogs of a folder, and what is beside them."""
    return {
        one.name: hashlib.sha256(one.read_bytes()).hexdigest() if one.suffix == ".duckdb" else ""
        for one in folder.iterdir()
    }


# --- publish ----------------------------------------------------------------------------------------------------------


def test_publish_and_publish_again(lrm: Run, lrm_json: Json, hub: HubServer, filled: Path) -> None:
    told = lrm("snapshot", "publish", filled, REPO)
    there = hub.datasets[REPO]
    assert there.private
    assert told.stdout.splitlines()[-1].startswith(
        f"{hub.url}/datasets/{REPO}  private, commit {there.refs['main'][:12]}, "
    )
    assert "to send: 13 files, " in told.stderr
    assert f"others get it with: lrm snapshot pull {REPO}\n" in told.stderr
    hub.requests.clear()
    again = lrm("snapshot", "publish", filled, REPO, "--quiet")
    assert again.stdout == f"nothing to upload: {hub.url}/datasets/{REPO} has it all, at {there.refs['main'][:12]}\n"
    assert writes(hub) == []
    got = lrm_json("snapshot", "publish", "small", REPO)
    assert (got["unchanged"], got["uploaded"], got["bytes"], got["commit"]) == (True, 0, 0, there.refs["main"])
    assert SECRET not in told.stdout + told.stderr + again.stderr


def test_a_dry_run_only_reads(lrm: Run, lrm_json: Json, hub: HubServer, filled: Path, tmp_path: Path) -> None:
    before = state(tmp_path)
    told = lrm("snapshot", "publish", filled, REPO, "--dry-run")
    assert "nothing was sent; it would be 13 files, " in told.stdout
    assert f"to a new repository, {REPO}, private\n" in told.stdout
    assert (writes(hub), hub.datasets) == ([], {})
    lrm("snapshot", "publish", filled, REPO, "--quiet")
    hub.requests.clear()
    assert f"it would be nothing: {REPO} has it all\n" in lrm("snapshot", "publish", filled, REPO, "--dry-run").stdout
    plan = lrm_json("snapshot", "publish", filled, REPO, "--dry-run", "--public", "--only", "prompt_set=p")
    assert (plan["unchanged"], plan["public"], plan["dry_run"], plan["url"]) == (True, True, True, None)
    assert writes(hub) == []
    assert state(tmp_path) == before


def test_nothing_becomes_public_by_mistake(lrm: Run, lrm_json: Json, hub: HubServer, filled: Path) -> None:
    refused = lrm("snapshot", "publish", filled, REPO, "--public", code=exits.USAGE)
    assert f"{REPO} becomes public: strangers read 1 prompt not known to be harmless" in refused.stderr
    assert "and 1 response that a judge found unsafe: say --yes if that is meant" in refused.stderr
    assert (writes(hub), hub.datasets) == ([], {})
    lrm("snapshot", "publish", filled, REPO, "--public", "--yes", "--gate", "manual", "--quiet")
    assert (hub.datasets[REPO].private, hub.datasets[REPO].gated) == (False, "manual")
    # What is public already is no surprise as long as nothing is added to it.
    assert "nothing to upload" in lrm("snapshot", "publish", filled, REPO, "--quiet").stdout
    filled.write_text(filled.read_text().replace('"unsafe"},', '"unsafe"},\n    {id = "three", text = "And?"},'))
    lrm("matrix", "fill", filled, "--quiet", "--update")
    more = lrm("snapshot", "publish", filled, REPO, "--quiet", code=exits.USAGE)
    assert f"{REPO} is public, after asking for access (manual): strangers read 2 prompts" in more.stderr
    harmless = ("--texts", "prompts=none", "--texts", "responses=none", "--texts", "judgements=none")
    plan = lrm_json("snapshot", "publish", filled, REPO, "--dry-run", *harmless)
    assert plan["harm"] == {"prompts": 0, "responses": 0}


def test_who_may_not_write_is_told(
    lrm: Run, hub: HubServer, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    before = state(tmp_path)
    told = lrm("snapshot", "publish", filled, REPO, code=exits.USAGE)
    assert f"this account may not write to {REPO}" in told.stderr
    assert "hf_stranger" not in told.stderr + told.stdout
    assert state(tmp_path) == before
    assert (
        "`lab` is no name of a dataset on the Hub" in lrm("snapshot", "publish", filled, "lab", code=exits.USAGE).stderr
    )


def test_what_others_published_there_stays(
    lrm: Run, lrm_json: Json, hub: HubServer, filled: Path, small: Small
) -> None:
    lrm("snapshot", "publish", filled, REPO, "--quiet")
    other = small("{seed = 2}", name="other.toml")
    lrm("matrix", "fill", other, "--quiet", "--catalog", "other.duckdb")
    told = lrm("snapshot", "publish", other, REPO, "--catalog", "other.duckdb")
    assert f"{REPO} has rows that this export lacks (" in told.stderr
    assert lrm_json("snapshot", "verify", REPO)["specs"] == ["other", "small"]
    got = lrm_json("snapshot", "pull", REPO, "--catalog", "third.duckdb")
    assert (got["responses"], got["specs"], got["publisher"]) == (4, ["other", "small"], "lab")
    for spec in (filled, other):
        assert lrm_json("matrix", "fill", spec, "--quiet", "--catalog", "third.duckdb")["calls"] == 0


# --- pull, verify, list -----------------------------------------------------------------------------------------------


def test_pull_of_a_commit_and_what_is_told_of_it(lrm: Run, lrm_json: Json, hub: HubServer, filled: Path) -> None:
    lrm("snapshot", "publish", filled, REPO, "--quiet")
    commit = hub.datasets[REPO].refs["main"]
    told = lrm("snapshot", "pull", f"{REPO}@{commit}", "--catalog", "mine.duckdb")
    assert told.stdout.startswith(f"{REPO}@{commit[:12]}: 2 new responses of small for 2 calls without one")
    assert not Path("mine.duckdb.pulls").exists()
    hub.datasets[REPO].commit(hub.datasets[REPO].files | {"more.txt": b"later"})
    short = lrm_json("snapshot", "verify", f"{REPO}@{commit[:12]}")
    assert (short["commit"], short["sound"]) == (commit, True), "commits can be named as they are shown"
    (one,) = lrm_json("snapshot", "list", "--pulled", "--catalog", "mine.duckdb")
    assert (one["name"], one["publisher"], one["commit"]) == (REPO, "lab", commit)
    hub.requests.clear()
    again = lrm("snapshot", "pull", f"{REPO}@{commit[:7]}", "--catalog", "mine.duckdb").stdout
    assert again.startswith(f"{REPO}@{commit[:12]}: nothing new, it was merged 20")
    assert hub.asked("GET", ".parquet") == [], "what was merged is not fetched again"


def test_a_pull_that_breaks_off_goes_on(lrm: Run, lrm_json: Json, hub: HubServer, filled: Path, tmp_path: Path) -> None:
    lrm("snapshot", "publish", filled, REPO, "--quiet")
    hub.faults = [Fault("get", 503, NOW, part="/traces/", times=None)]
    lrm("snapshot", "pull", REPO, "--catalog", "mine.duckdb", code=exits.RETRY)
    assert not Path("mine.duckdb").exists()
    assert len(list(Path("mine.duckdb.pulls").glob("lab--small@*/data/*/*.parquet"))) > 0
    hub.faults = []
    there = set(hub.sent)
    hub.sent.clear()
    assert lrm_json("snapshot", "pull", REPO, "--catalog", "mine.duckdb")["responses"] == 2
    assert {one for one in hub.sent if one.endswith(".parquet")}.isdisjoint(there)
    assert not Path("mine.duckdb.pulls").exists()


def test_what_another_commit_left_is_used(lrm: Run, lrm_json: Json, hub: HubServer, filled: Path) -> None:
    lrm("snapshot", "publish", filled, REPO, "--quiet")
    hub.faults = [Fault("get", 503, NOW, part="/traces/", times=None)]
    lrm("snapshot", "pull", REPO, "--catalog", "mine.duckdb", code=exits.RETRY)
    hub.faults = []
    filled.write_text(filled.read_text().replace('["thinking", "answer"]', '["answer"]'))
    lrm("matrix", "fill", filled, "--quiet")
    lrm("snapshot", "publish", filled, REPO, "--quiet")
    there = set(hub.sent)
    hub.sent.clear()
    assert lrm_json("snapshot", "pull", REPO, "--catalog", "mine.duckdb")["responses"] == 2
    assert {one for one in hub.sent if "/prompts/" in one}.isdisjoint(there)
    assert not any("/messages/" in one for one in hub.sent)
    assert not Path("mine.duckdb.pulls").exists()


def test_a_bad_snapshot_changes_nothing(lrm: Run, lrm_json: Json, hub: HubServer, filled: Path, tmp_path: Path) -> None:
    lrm("snapshot", "publish", filled, REPO, "--quiet")
    there = hub.datasets[REPO]
    told = json.loads(there.files["manifest.json"])
    told["counts"]["generations"] = 7
    there.commit({**there.files, "manifest.json": json.dumps(told).encode()})
    before = state(tmp_path)
    refused = lrm("snapshot", "pull", REPO, code=exits.USAGE)
    assert "the manifest counts 7 generations, and there are 2" in refused.stderr
    assert state(tmp_path) == before
    assert lrm_json("snapshot", "verify", REPO, code=exits.CELLS_FAILED)["fault"].endswith("and there are 2")
    assert state(tmp_path) == before


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("lab/nothing", "there is no dataset lab/nothing"), (f"{REPO}@nowhere", "has no such revision"),
        (f"{REPO}@", "names no revision"), ("a/b/c", "there is no folder a/b/c"), ("lab--x/y", "is no name of a dataset"),
        ("http://example.org/datasets/lab/small", "is no dataset's address"),
    ],
)  # fmt: skip
def test_words_that_name_nothing(lrm: Run, hub: HubServer, filled: Path, tmp_path: Path, word: str, said: str) -> None:
    lrm("snapshot", "publish", filled, REPO, "--quiet")
    before = state(tmp_path)
    for command in ("pull", "verify"):
        assert said in lrm("snapshot", command, word, code=exits.USAGE).stderr
    assert said in lrm("matrix", "fill", filled, "--from", word, code=exits.USAGE).stderr
    assert state(tmp_path) == before


def test_list_marks_what_was_pulled_and_what_changed_since(
    lrm: Run, lrm_json: Json, hub: HubServer, filled: Path
) -> None:
    for repo in (REPO, "ada/mine"):
        lrm("snapshot", "publish", filled, repo, "--quiet")
    lrm("snapshot", "pull", REPO, "--catalog", "mine.duckdb", "--quiet")
    listed = {one["name"]: one for one in lrm_json("snapshot", "list", "--catalog", "mine.duckdb")}
    assert set(listed) == {REPO, "ada/mine"}
    assert (listed[REPO]["commit"], listed["ada/mine"]["commit"]) == (hub.datasets[REPO].refs["main"], None)
    assert (listed[REPO]["private"], listed[REPO]["changed_since"]) == (True, False)
    text = lrm("snapshot", "list", "--author", "lab", "--catalog", "mine.duckdb").stdout
    assert hub.datasets[REPO].refs["main"][:12] in text
    assert "ada/mine" not in text
    assert lrm("snapshot", "list", "--search", "nothing").stderr.startswith("there are none")


def test_without_the_hub(lrm: Run, hub: HubServer, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for words in (("pull", REPO), ("list",), ("publish", filled, REPO), ("diff", REPO, "spec:small")):
        assert "HF_HUB_OFFLINE is set" in lrm("snapshot", *words, code=exits.USAGE).stderr
    assert lrm("snapshot", "list", "--pulled").stderr == "nothing was pulled\n"
    assert hub.requests == []


# --- diff and fill ----------------------------------------------------------------------------------------------------


def test_diff_fetches_only_what_differs(lrm: Run, lrm_json: Json, hub: HubServer, filled: Path, tmp_path: Path) -> None:
    lrm("snapshot", "publish", filled, REPO, "--quiet")
    first = hub.datasets[REPO].refs["main"]
    assert lrm_json("snapshot", "diff", REPO, "spec:small")["same"]
    assert not any(one.endswith(".parquet") for one in hub.sent)
    filled.write_text(filled.read_text().replace('"unsafe"},', '"unsafe"},\n    {id = "three", text = "And?"},'))
    lrm("matrix", "fill", filled, "--quiet", "--update")
    told = lrm("snapshot", "publish", filled, REPO).stderr
    assert "what specs of the same name meant before is kept as small~" in told
    hub.sent.clear()
    before = state(tmp_path)
    found = lrm_json("snapshot", "diff", f"{REPO}@{first}", REPO)
    assert found["a"] == f"{REPO}@{first[:12]}"
    (group, kept) = found["groups"]
    assert (group["spec"], group["only_a"], group["only_b"]) == ("small", 0, 1)
    assert kept["spec"].startswith("small~"), "what the spec meant before, which nobody takes back"
    assert kept["spec"] in lrm("snapshot", "diff", f"{REPO}@{first}", f"hf://datasets/{REPO}").stdout
    assert not any("/raw/" in one or "/traces/" in one for one in hub.sent)
    assert state(tmp_path) == before


def test_a_fill_takes_from_the_hub_first(
    lrm: Run, lrm_json: Json, hub: HubServer, filled: Path, tmp_path: Path
) -> None:
    lrm("snapshot", "publish", filled, REPO, "--quiet")
    commit = hub.datasets[REPO].refs["main"][:12]
    dry = lrm("matrix", "fill", filled, "--from", REPO, "--dry-run", "--catalog", "mine.duckdb")
    assert f"2 cells came from {REPO}@{commit}\nno cell is left to ask for\n" in dry.stderr
    assert not Path("mine.duckdb").exists()
    done = lrm("matrix", "fill", filled, "--from", REPO, "--catalog", "mine.duckdb", "--json")
    assert json.loads(done.stdout)["calls"] == 0
    assert f"2 cells came from {REPO}@{commit}\nno cell is left to ask for\n" in done.stderr
    hub.sent.clear()
    lrm("matrix", "fill", filled, "--from", REPO, "--catalog", "mine.duckdb", "--quiet")
    assert not any(one.endswith(".parquet") for one in hub.sent)
