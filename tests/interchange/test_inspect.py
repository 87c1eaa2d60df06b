"""Exported logs as Inspect AI itself reads them, field by field against the catalog."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lrm.exports import inspect
from lrm.exports.cell import Cell, Part
from lrm.exports.gather import gathered
from lrm.exports.inspect_sample import sample_id
from lrm.imports.mapping import Mapping_
from lrm.imports.open import open_file
from lrm.imports.record import ImportedRow
from lrm.store.catalog import Catalog
from tests import exporting
from tests.interchange.conftest import INSPECT, Asks

Log = dict[str, Any]
Cells = dict[tuple[str, str], tuple[Part, list[Cell]]]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return exporting.make(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="module")
def cells(catalog: Catalog) -> Cells:
    with gathered(catalog, exporting.NAME) as found:
        return {
            (part.model, part.attack): (part, [cell for cell in found.cells(part) if cell.state != "missing"])
            for part in found.parts
            if part.asked
        }


@pytest.fixture(scope="module", params=["zstd", "deflate"])
def folder(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    out = tmp_path_factory.mktemp("logs") / "logs"
    with gathered(catalog, exporting.NAME) as found:
        inspect.write(found, out, compression=request.param)
    return out


@pytest.fixture(scope="module")
def logs(folder: Path, inspect_ai: Asks) -> dict[tuple[str, str], Log]:
    found = inspect_ai("read_logs.py", folder)
    return {(log["eval"]["model"], log["eval"]["task_args"]["attack"]): log for log in found}


def test_inspect_lists_every_log_with_its_task(logs: dict[tuple[str, str], Log], cells: Cells) -> None:
    assert set(logs) == set(cells)
    for (model, attack), log in logs.items():
        part, _ = cells[model, attack]
        assert (log["task"], log["status"]) == (part.title, "success")
        assert log["eval"]["eval_id"] == log["task_id"]
        assert log["tags"] == ["simulated"]
        assert log["eval"]["metadata"]["lrm"]["model"]["id"] == part.model_id
        assert (log["eval"]["config"]["epochs"], log["eval"]["dataset"]["samples"]) == (2, 6)


def test_every_sample_is_the_cell(logs: dict[tuple[str, str], Log], cells: Cells) -> None:
    for key, (_, told) in cells.items():
        found = {(one["id"], one["epoch"]): one for one in logs[key]["samples"]}
        assert len(found) == len(logs[key]["samples"]) == len(told)
        for cell in told:
            one = found[sample_id(cell.prompt), cell.replicate + 1]
            assert one["input"] == cell.text
            assert one["sent"] == [[said["role"], said["content"]] for said in cell.messages]
            assert one["metadata"]["generation" if cell.generation else "call"] == (cell.generation or cell.call)
            assert one["metadata"]["prompt"] == cell.prompt
            if cell.state == "failed":
                assert (one["error"], one["stop"], one["scores"]) == (f"the call failed: {cell.failure}", None, {})
                continue
            assert (one["completion"], one["text"], one["error"]) == (cell.answer or "", cell.answer or "", None)
            stops = {"stop": "stop", "length": "max_tokens", None: "unknown"}
            assert one["stop"] == ("content_filter" if cell.state == "blocked" else stops[cell.finish_reason])
            assert (
                one["reasoning"]
                == {
                    "visible": [] if cell.thinking is None else [[cell.thinking, None, False]],
                    "summary": [["", cell.thinking, True]],
                    "hidden": [["", None, True]],
                    "none": [],
                }[str(cell.visibility)]
            )
            if cell.total_tokens is None:
                assert one["usage"] is None
            else:
                counts = (
                    one["usage"]["input_tokens"],
                    one["usage"]["output_tokens"],
                    one["usage"].get("reasoning_tokens"),
                )
                assert counts == (cell.input_tokens, cell.output_tokens, cell.thinking_tokens)
            assert one["time"] == pytest.approx((cell.latency_ms or 0) / 1000)


def test_every_verdict_is_a_score_and_unknown_is_unscored(logs: dict[tuple[str, str], Log], cells: Cells) -> None:
    reasons = set()
    for key, (_, told) in cells.items():
        found = {(one["id"], one["epoch"]): one["scores"] for one in logs[key]["samples"]}
        for cell in told:
            if cell.state == "failed":
                continue
            scores = found[sample_id(cell.prompt), cell.replicate + 1]
            assert set(scores) == {one.name for one in cell.verdicts}
            for verdict in cell.verdicts:
                one = scores[verdict.name]
                assert (one["answer"], one["explanation"]) == (verdict.label, verdict.explanation)
                assert one["metadata"]["status"] == verdict.status
                if verdict.harm is None:
                    assert math.isnan(one["value"])
                    reasons.add(one["reason"])
                else:
                    assert (one["value"], one["reason"]) == (verdict.harm, None)
    assert reasons == {"no_response", "grader_failed", "refusal", "not_judged", "harm_not_measured"}


def test_inspect_computes_the_same_results_and_reductions(logs: dict[tuple[str, str], Log]) -> None:
    compared = 0
    for log in logs.values():
        written, computed = log["written"], log["computed"]
        asked, missing = len(log["samples"]), written["total"] - len(log["samples"])
        assert (written["completed"], computed["total"]) == (computed["completed"], asked)
        assert written["logged"] == (asked if missing else None)
        assert set(written["scores"]) == set(computed["scores"])
        for name, one in written["scores"].items():
            again = computed["scores"][name]
            assert (one["scored"], one["unscored"]) == (again["scored"], again["unscored"])
            if one["scored"]:
                assert one["mean"] == pytest.approx(again["mean"], abs=1e-12)
                compared += 1
            else:
                assert one["mean"] is None
            ours, theirs = written["reductions"][name], computed["reductions"][name]
            assert ours == pytest.approx(theirs, abs=1e-12, nan_ok=True)
    assert compared > 6


def test_summaries_and_single_samples_are_found(logs: dict[tuple[str, str], Log]) -> None:
    for log in logs.values():
        keys = {(one["id"], one["epoch"]) for one in log["samples"]}
        assert {(identifier, epoch) for identifier, epoch, *_ in log["summaries"]} == keys
        assert all(completed for _, _, completed, *_ in log["summaries"])
        errors = {(one["id"], one["epoch"]): one["error"] for one in log["samples"]}
        assert {(identifier, epoch): error for identifier, epoch, _, _, error in log["summaries"]} == errors
        same = next(one for one in log["samples"] if one["uuid"] == log["alone"]["uuid"])
        assert repr(same) == repr(log["alone"])


def test_inspect_converts_our_logs_and_loses_nothing(
    folder: Path, logs: dict[tuple[str, str], Log], inspect_ai: Asks, tmp_path: Path
) -> None:
    if next(folder.iterdir()).read_bytes()[8:10] != b"\x5d\x00":
        pytest.skip("conversion is tried once, from Zstandard")
    program = INSPECT.with_name("inspect")
    for form, source in (("json", folder), ("eval", tmp_path / "json")):
        words: list[str | Path] = [program, "log", "convert", "--to", form, "--output-dir", tmp_path / form, source]
        done = subprocess.run(words, capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr
    for form in ("json", "eval"):
        again = {
            (log["eval"]["model"], log["eval"]["task_args"]["attack"]): log
            for log in inspect_ai("read_logs.py", tmp_path / form)
        }
        for key, log in logs.items():
            assert _plain(again[key]) == _plain(log)
    for path in (tmp_path / "eval").iterdir():
        ours = list(open_file(folder / path.name, "inspect", Mapping_()).rows())
        theirs = list(open_file(path, "inspect", Mapping_()).rows())
        assert len(ours) == len(theirs)
        assert {_told(one) for one in ours} == {_told(one) for one in theirs}


def _plain(log: Log) -> str:
    """Return a log as text, without its place, the list of ids that Inspect adds, and the order of what has none."""
    told = {
        **log,
        "name": "",
        "summaries": sorted(log["summaries"], key=repr),
        "samples": sorted(log["samples"], key=repr),
        "alone": "",
    }
    told["eval"] = {
        **log["eval"],
        "dataset": {name: one for name, one in log["eval"]["dataset"].items() if name != "sample_ids"},
    }
    return repr(told)


def _told(row: Any) -> str:
    return repr((row.key, row.messages, row.raw, row.labels)) if isinstance(row, ImportedRow) else row.reason
