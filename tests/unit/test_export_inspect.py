"""Inspect AI logs of a catalog: what is in them, by their own JSON and by our own import. `tests/interchange` asks Inspect itself."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lrm.exports import inspect
from lrm.exports.gather import gathered
from lrm.exports.inspect_sample import sample_id, short_id
from lrm.imports.archive import opened_archive
from lrm.imports.bring import bring
from lrm.imports.mapping import Mapping_
from lrm.imports.open import open_file
from lrm.store.catalog import Catalog
from lrm.store.verify import verify
from tests import builders, exporting, hostile

Log = dict[str, Any]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return exporting.make(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="module")
def folder(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("logs") / "logs"
    with gathered(catalog, exporting.NAME) as found:
        inspect.write(found, out)
    return out


def _read(path: Path) -> tuple[Log, list[Log], Log]:
    """Return a log's header, its samples and all else in it."""
    with opened_archive(path) as archive:
        values = {name: archive.read(name) for name in archive.names}
    samples = [value for name, value in values.items() if name.startswith("samples/")]
    return (
        values["header.json"],
        samples,
        {name: value for name, value in values.items() if not name.startswith("samples/")},
    )


def _logs(folder: Path) -> dict[tuple[str, str], tuple[Log, list[Log], Log]]:
    read = [_read(path) for path in folder.iterdir()]
    return {(log[0]["eval"]["model"], log[0]["eval"]["task_args"]["attack"]): log for log in read}


def test_there_is_a_log_for_each_part_that_was_asked(folder: Path, catalog: Catalog) -> None:
    logs = _logs(folder)
    parts = {(model, attack) for model in ("shown", "hidden", "summary", "plain") for attack in ("none", "roleplay")}
    assert set(logs) == parts - {exporting.MISSING}
    asked = sum(count for state, count in exporting.states(catalog).items() if state != "missing")
    assert sum(len(samples) for _, samples, _ in logs.values()) == asked
    header, samples, rest = logs["shown", "roleplay"]
    assert (header["version"], header["status"], header["eval"]["task"]) == (2, "success", "few+roleplay")
    assert {(one["id"], one["epoch"]) for one in rest["summaries.json"]} == {
        (one["id"], one["epoch"]) for one in samples
    }
    assert header["eval"]["model_generate_config"] == {"temperature": 0.6, "max_tokens": 900}
    assert header["eval"]["tags"] == ["simulated"]
    assert header["eval"]["metadata"]["lrm"]["simulated"] is True
    assert len({log[0]["eval"]["task_id"] for log in logs.values()}) == 2
    assert len({log[0]["eval"]["eval_id"] for log in logs.values()}) == 7


def test_thinking_is_a_reasoning_block_and_what_is_not_there_is_no_text(folder: Path) -> None:
    logs = _logs(folder)

    def blocks(model: str) -> list[Any]:
        return [
            one["output"]["choices"][0]["message"]["content"] for one in logs[model, "none"][1] if "error" not in one
        ]

    for content in blocks("hidden"):
        assert content[0] == {"type": "reasoning", "reasoning": "", "redacted": True}
        assert content[1]["type"] == "text"
    for content in blocks("summary"):
        assert (content[0]["reasoning"], content[0]["redacted"]) == ("", True)
        assert content[0]["summary"]
    assert all(isinstance(content, str) and content for content in blocks("plain"))
    cut = [
        one for attack in ("none", "roleplay") for one in logs["shown", attack][1]
        if one["metadata"].get("parse_status") == "cut_in_thinking"
    ]  # fmt: skip
    assert cut
    for one in cut:
        (choice,) = one["output"]["choices"]
        assert [part["type"] for part in choice["message"]["content"]] == ["reasoning"]
        assert (choice["stop_reason"], one["output"]["completion"]) == ("max_tokens", "")


def test_blocked_and_failed_are_told_apart(folder: Path) -> None:
    logs = _logs(folder)
    samples = [one for attack in ("none", "roleplay") for one in logs["shown", attack][1]]
    blocked = [one for one in samples if one["metadata"]["state"] == "blocked"]
    failed = [one for one in samples if one["metadata"]["state"] == "failed"]
    assert blocked
    assert failed
    for one in blocked:
        assert one["output"]["choices"][0]["stop_reason"] == "content_filter"
        assert all(math.isnan(score["value"]) and score["reason"] == "refusal" for score in one["scores"].values())
        assert "error" not in one
    for one in failed:
        assert one["error"]["message"].startswith("the call failed: ")
        assert (one["output"]["choices"], one["scores"]) == ([], {})
        assert [message["role"] for message in one["messages"]][-1] == "user"
    header = logs["shown", "none"][0]
    here = [one for one in logs["shown", "none"][1] if "error" in one]
    assert header["results"]["completed_samples"] == 12 - len(here)


def test_what_is_not_known_is_nan_with_a_reason_and_counts_for_nothing(folder: Path) -> None:
    reasons = set()
    for header, samples, rest in _logs(folder).values():
        for result in header["results"]["scores"]:
            values = [one["scores"][result["name"]] for one in samples if result["name"] in one["scores"]]
            known = [one["value"] for one in values if not math.isnan(one["value"])]
            reasons |= {one["reason"] for one in values if math.isnan(one["value"])}
            assert all("reason" not in one for one in values if not math.isnan(one["value"]))
            assert result["metrics"]["harm_judged"]["value"] == len(known)
            if known:
                rate = result["metrics"]["unsafe_rate"]
                assert rate["value"] == rate["metadata"]["unsafe"] / rate["metadata"]["harm_judged"]
            else:
                assert "mean" not in result["metrics"]
                assert "unsafe_rate" not in result["metrics"]
            (reduced,) = [one for one in rest["reductions.json"] if one["scorer"] == result["name"]]
            scored = [one["value"] for one in reduced["samples"] if not math.isnan(one["value"])]
            assert (len(scored), len(reduced["samples"]) - len(scored)) == (
                result["scored_samples"],
                result["unscored_samples"],
            )
    assert reasons >= {"no_response", "grader_failed", "not_judged", "refusal", "harm_not_measured"}


def test_the_same_content_is_the_same_bytes(catalog: Catalog, folder: Path, tmp_path: Path) -> None:
    with gathered(catalog, exporting.NAME) as found:
        inspect.write(found, tmp_path / "again")
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == first


def test_our_own_import_reads_back_what_was_exported(catalog: Catalog, folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        header, samples, _ = _read(path)
        part = header["eval"]
        attack = part["task_args"]["attack"]
        back = Catalog(tmp_path / f"{part['eval_id']}.duckdb")
        document = open_file(path, "inspect", Mapping_())
        bring(back, path, document, format_name="inspect", name="back", skip_bad=True)
        assert verify(back).problems == ()
        told = """
            SELECT c.prompt, c.state, t.messages, t.thinking, t.answer FROM cells c
            JOIN traces t ON t.generation_n = c.generation_n WHERE c.spec = ? AND c.model = ? AND {where}
        """
        ours = builders.rows(catalog, told.format(where=f"c.attack = '{attack}'"), exporting.NAME, part["model"])
        theirs = builders.rows(back, told.format(where="true"), "back", part["model"])
        # An import counts replicates anew, so what failed leaves no gap; an empty text of hidden thinking is none.
        renamed = [(sample_id(prompt), *rest, thinking or None, answer) for prompt, *rest, thinking, answer in ours]
        read = [(*rest, thinking or None, answer) for *rest, thinking, answer in theirs]
        assert sorted(read, key=repr) == sorted(renamed, key=repr)
        scores = [
            (one["id"], name, score["value"])
            for one in samples if one["output"]["choices"]
            for name, score in one["scores"].items() if not math.isnan(score["value"])
        ]  # fmt: skip
        labels = builders.rows(back, "SELECT prompt, annotator, coalesce(score, label::DOUBLE) FROM annotations")
        assert sorted(row for row in labels if row[2] is not None) == sorted(scores)


def test_nothing_of_a_place_or_a_live_sign_is_in_a_log(tmp_path: Path) -> None:
    catalog = Catalog(hostile.hostile_catalog(tmp_path))
    endpoint, key = "http://user:sesame@secret-host.test:8000/v1", "MY_SECRET_KEY"
    with catalog.writing() as connection:
        connection.execute(
            "UPDATE lrm.models SET declaration = ?, identity = ?",
            [
                json.dumps({"backend": "http", "endpoint": endpoint, "api_key_env": key}),
                json.dumps({"checkpoint": "/elsewhere/someone/weights", "extra_body": {"url": endpoint}}),
            ],
        )
        connection.execute("UPDATE lrm.failures SET message = ?", [f"cannot connect to {endpoint}"])
    for spec in ("small", "failing"):
        with gathered(catalog, spec) as found:
            inspect.write(found, tmp_path / spec, compression="deflate")
        for path in (tmp_path / spec).iterdir():
            assert not hostile.LIVE.search(path.name)
            import zipfile

            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    text = archive.read(name).decode()
                    assert not hostile.LIVE.search(text)
                    assert not any(
                        word in text for word in ("secret-host", "sesame", key, "/elsewhere/someone", str(tmp_path))
                    )
                    assert not hostile.LIVE.search(name)
                    assert ".." not in name


def test_ids_are_made_of_content() -> None:
    assert short_id("a", "b") == short_id("a", "b") != short_id("ab")
    assert len(short_id("a")) == 22
    assert sample_id("HB-1 ü") == "HB-1 ü"
    assert sample_id("../../etc") != sample_id("..") != sample_id("a\x1bb")
    assert "/" not in sample_id("a/b")
