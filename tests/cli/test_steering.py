"""`lrm matrix ps|pause|resume|stop|limit`, on fills that other processes are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lrm.run import desk as desks
from lrm.run.desk import Died, RunState, running
from lrm.store.catalog import Catalog
from lrm.store.live import living
from lrm_cli import exits, ps_page, steering
from tests.cli.common import Json, Run
from tests.desks import LANE, held
from tests.hostile import ALL, is_quiet

STATE = RunState(
    "r1", "small", "lrm matrix fill small.toml", "node7", 77, "2026-01-02T03:04:05+00:00", "running", (LANE,),
    budget="$0.25 of $1", speed=12.34,
)  # fmt: skip


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Return the catalog that the commands find in the working folder; its file is not there."""
    return Catalog(tmp_path / "catalog.duckdb")


def test_nothing_runs(lrm: Run, lrm_json: Json, tmp_path: Path) -> None:
    result = lrm("matrix", "ps")
    assert (result.stdout, result.stderr) == ("", "no fill is running in this catalog\n")
    assert lrm_json("matrix", "ps") == []
    assert lrm("matrix", "ps", "--watch").stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["pause"], ["resume"], ["stop"], ["stop", "--now"], ["limit", "--in-flight", "5"]], ids=" ".join
)
def test_nobody_is_there_to_be_told(lrm: Run, words: list[str], tmp_path: Path) -> None:
    result = lrm("matrix", *words, code=exits.USAGE)
    assert "no fill is running in this catalog" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_page_of_one_fill() -> None:
    assert ps_page.page([STATE], [], lanes=None, lines=24) == (
        "run  spec   state    since (UTC)          process      calls       failed  in flight  calls/s  cost   budget\n"
        "r1   small  running  2026-01-02 03:04:05  77 on node7  122 of 540       2  7 of 16       12.3  $0.25  $0.25 of $1\n"
        "\n"
        "model  calls       blocked  failed  retries  in flight  tokens  cost\n"
        "m      122 of 540        3       2        5  7 of 16     3,000  $0.25"
    )


def test_models_are_shown_where_they_fit_or_when_asked_for() -> None:
    many = replace(STATE, lanes=tuple(replace(LANE, label=f"m{number}") for number in range(30)))
    assert "m29" not in ps_page.page([many], [], lanes=None, lines=24)
    assert "m29" in ps_page.page([many], [], lanes=None, lines=60)
    assert "m29" in ps_page.page([many], [], lanes=True, lines=24)
    assert "\nm " not in ps_page.page([STATE], [], lanes=False, lines=24)


def test_limits_of_models_that_share_a_provider_are_not_added() -> None:
    over = replace(LANE, label="over", done=538, in_flight=0, limit=9)
    beside = replace(LANE, label="beside")
    assert ps_page.run_object(replace(STATE, lanes=(LANE, over)))["limit"] == 16
    assert ps_page.run_object(replace(STATE, lanes=(LANE, beside)))["limit"] is None


def test_what_is_not_known_is_a_dash_and_no_zero() -> None:
    shown = ps_page.page([RunState("r1")], [], lanes=None, lines=24)
    assert shown.splitlines()[1].split() == ["r1", "–", "unknown", *"––––––––"]
    unpriced = replace(STATE, lanes=(LANE, replace(LANE, label="x", cost=None)))
    assert ps_page.run_object(unpriced)["cost"] is None
    assert "unknown" in ps_page.page([unpriced], [], lanes=False, lines=24)


@pytest.mark.parametrize(
    ("state", "updated", "shown"),
    [
        ("running", "2026-01-02T03:04:05+00:00", "running, silent for"),
        ("paused", "2026-01-02T03:04:05", "paused, silent for"),
        ("running", "9999-12-31T23:59:59+00:00", "running  "),
        ("running", "yesterday", "running  "),
        ("running", "0001-01-01T00:00:00+14:00", "running  "),
        ("planning", "2026-01-02T03:04:05+00:00", "planning  "),
    ],
)  # fmt: skip
def test_a_fill_of_which_nothing_is_heard(state: Any, updated: str, shown: str) -> None:
    assert shown in ps_page.page([replace(STATE, state=state, updated=updated)], [], lanes=False, lines=24)


def test_what_holds_a_model_up_and_what_a_fill_waits_for() -> None:
    waiting = replace(LANE, waiting="the provider asked for a pause (12 s)")
    stopped = replace(LANE, label="x", stopped="not allowed in: 401")
    shown = ps_page.page([replace(STATE, lanes=(waiting, stopped), note="waits for r2")], [], lanes=True, lines=24)
    assert "the provider asked for a pause (12 s)" in shown
    assert "stopped: not allowed in: 401" in shown
    assert shown.endswith("\n\nr1: waits for r2")


def test_a_running_fill_is_shown(lrm: Run, lrm_json: Json, catalog: Catalog) -> None:
    with held(catalog, "r1") as holder:
        lines = lrm("matrix", "ps").stdout.splitlines()
        assert lines[1].startswith("r1   small  running  ")
        assert f"  {holder.process.pid}  " in lines[1]
        assert "132 of 550" in lines[1]
        assert lines[4].startswith("m ")
        (one,) = lrm_json("matrix", "ps")
        assert tuple(one) == ps_page.KEYS
        assert (one["total"], one["done"], one["failed"], one["in_flight"], one["limit"]) == (550, 130, 2, 7, 16)
        assert [lane["label"] for lane in one["lanes"]] == ["m", "other"]


def test_watching_ends_with_the_last_fill(catalog: Catalog) -> None:
    code = "from lrm_cli.main import main; main()"
    with held(catalog, "r1") as holder:
        words = [sys.executable, "-c", code, "matrix", "ps", "--watch", "--json", "--catalog", str(catalog.path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            assert json.loads(watching.stdout.readline())[0]["run"] == "r1"
            holder.end()
            *_, last = watching.stdout.read().splitlines()
            assert json.loads(last) == []
        assert watching.returncode == exits.OK


def test_a_fill_that_died_is_named_with_what_becomes_of_it(lrm: Run, lrm_json: Json, catalog: Catalog) -> None:
    with held(catalog, "r1") as holder:
        holder.kill()
    assert "r1 (small, process" in lrm("matrix", "ps").stdout
    assert "what it received is in the catalog" in lrm("matrix", "ps").stdout
    catalog.journal_folder.mkdir()
    (catalog.journal_folder / "r1-000001.jsonl").write_bytes(b"12345")
    result = lrm("matrix", "ps")
    assert (
        "died and left 1 segment of its journal (5 bytes): the next command that opens the catalog merges it"
        in result.stdout
    )
    assert result.stderr == "no fill is running in this catalog\n"
    (one,) = lrm_json("matrix", "ps")
    assert tuple(one) == ps_page.KEYS
    assert (one["run"], one["spec"], one["state"], one["journal"], one["in_flight"]) == ("r1", "small", "died", 5, 0)
    assert "no fill is running" in lrm("matrix", "pause", code=exits.USAGE).stderr


def test_a_fill_is_paused_limited_resumed_and_stopped(lrm: Run, lrm_json: Json, catalog: Catalog) -> None:
    with held(catalog, "r1") as holder:
        assert lrm("matrix", "pause").stderr == "small (r1) is paused; 7 calls in flight still to be finished\n"
        assert [one.state for one in running(catalog)] == ["paused"]
        told = lrm_json("matrix", "limit", "small", "--in-flight", "3", "--model", "m*")
        assert tuple(told) == steering.KEYS
        assert told == {"run": "r1", "spec": "small", "answer": "obeyed", "state": "paused", "in_flight": 7}
        assert (
            lrm("matrix", "limit", "--in-flight", "1").stderr
            == "small (r1) has at most 1 call in flight for each of 1 model\n"
        )
        assert [lane.limit for lane in running(catalog)[0].lanes] == [1, 1]
        assert lrm("matrix", "resume", "r1").stderr == "small (r1) goes on\n"
        assert lrm("matrix", "stop", "--now").stderr == "small (r1) has ended\n"
        assert [holder.said() for _ in range(5)] == [
            "Pause()", "InFlight(model='m*', most=3)", "InFlight(model='*', most=1)", "Resume()", "Stop(now=True)",
        ]  # fmt: skip


def test_a_fill_that_does_not_answer_has_been_told(
    lrm: Run, lrm_json: Json, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "PATIENCE_S", 0.0)
    with held(catalog, "r1", deaf=True):
        assert lrm("matrix", "pause").stderr.startswith("small (r1) has been told, and has not answered yet")
        assert lrm_json("matrix", "stop")["answer"] == "none"


def test_a_model_that_is_not_asked_cannot_be_limited(lrm: Run, catalog: Catalog) -> None:
    with held(catalog, "r1") as holder:
        refused = lrm("matrix", "limit", "--in-flight", "3", "--model", "othr", code=exits.USAGE)
        assert "small (r1) asks no model called `othr`" in refused.stderr
        assert "did you mean `other`?" in refused.stderr
        lrm("matrix", "limit", "--in-flight", "-1", code=exits.USAGE)
        lrm("matrix", "limit", code=exits.USAGE)
        lrm("matrix", "stop")
        assert holder.said() == "Stop(now=False)"


def test_with_several_fills_one_is_to_be_named(lrm: Run, catalog: Catalog) -> None:
    with held(catalog, "r1") as first, held(catalog, "r2", "large") as second:
        refused = lrm("matrix", "stop", code=exits.USAGE)
        assert "name one by its run: r1 (small), r2 (large)" in refused.stderr
        assert "did you mean `large`?" in lrm("matrix", "stop", "lrge", code=exits.USAGE).stderr
        assert lrm("matrix", "stop", "large").stderr == "large (r2) has ended\n"
        assert second.said() == "Stop(now=False)"
        assert re.findall(r"(?m)^r\d", lrm("matrix", "ps", "--no-lanes").stdout) == ["r1"]
        assert first.process.poll() is None


@pytest.mark.parametrize(("given", "offered"), [("", ["large", "r1", "r2", "small"]), ("r", ["r1", "r2"]), ("x", [])])
def test_a_shell_completes_what_runs(lrm: Run, catalog: Catalog, given: str, offered: list[str]) -> None:
    with held(catalog, "r1"), held(catalog, "r2", "large"):
        env = {"_LRM_COMPLETE": "bash_complete", "COMP_WORDS": f"lrm matrix stop {given}", "COMP_CWORD": "3"}
        words = lrm("", env=env, prog_name="lrm").stdout.split()
    assert [word.removeprefix("plain,") for word in words] == offered


def hostile() -> RunState:
    lane = replace(LANE, label=ALL, stopped=ALL, waiting=ALL)
    return RunState(
        "r1", ALL, ALL, ALL, 5, ALL, "running", (lane, replace(lane, stopped=None)), ALL, ALL, None, (ALL,), ALL
    )


def test_no_text_of_a_state_drives_the_terminal(lrm: Run, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "PATIENCE_S", 0.0)
    with living(catalog, "r1"):
        (catalog.runs_folder / "r1.json").write_bytes(desks._dumped(hostile()))
        (catalog.runs_folder / "r1.wishes").touch()
        assert len(running(catalog)) == 1
        for words in (["ps"], ["ps", "--json"], ["ps", "--lanes"], ["pause"], ["pause", "--json"]):
            result = lrm("matrix", *words)
            is_quiet(result.stdout + result.stderr)
        for words in (
            ["pause", "x"],
            ["limit", "--in-flight", "1", "--model", "zzz"],
            ["limit", "--in-flight", "1", "--model", ALL[:9]],
        ):
            result = lrm("matrix", *words, code=exits.USAGE)
            is_quiet(result.stdout + result.stderr)
    result = lrm("matrix", "ps")
    assert "died" in result.stdout
    is_quiet(result.stdout + result.stderr)


def test_no_name_of_a_file_drives_the_terminal(lrm: Run, catalog: Catalog) -> None:
    name = "r1\x1b[31m\u202e\n"
    with living(catalog, name), living(catalog, "r2"):
        for words, code in ((["ps"], exits.OK), (["ps", "--json"], exits.OK), (["pause"], exits.USAGE)):
            result = lrm("matrix", *words, code=code)
            is_quiet(result.stdout + result.stderr)
        assert ps_page.page(running(catalog), [], lanes=None, lines=24).count("\n") == 2


def test_numbers_that_nobody_can_have_are_shown_or_refused(lrm: Run, catalog: Catalog) -> None:
    with living(catalog, "r1"):
        for number in ("9" * 300, "9" * 5000, "-5", "1e300", "1e999"):
            lane = {name: getattr(LANE, name) for name in LANE.__slots__}
            text = json.dumps({"run": "r1", "state": "running", "lanes": [lane]}).replace("540", number)
            (catalog.runs_folder / "r1.json").write_text(text)
            lrm("matrix", "ps")
            lrm("matrix", "ps", "--json")


def test_a_run_that_is_over_and_said_nothing_is_named() -> None:
    shown = ps_page.page([], [Died("r1", None, 2, 3000)], lanes=None, lines=24)
    assert shown.startswith("r1 is over and left 2 segments of its journal (3,000 bytes): ")
