"""HELM run folders of a catalog: by what HELM's dataclasses want, and by our own import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lrm.exports import helm
from lrm.exports.gather import gathered
from lrm.imports.bring import bring
from lrm.imports.mapping import Mapping_
from lrm.imports.open import open_file
from lrm.store.catalog import Catalog
from lrm.store.verify import verify
from tests import builders, exporting

FILES = {
    "run_spec", "scenario", "scenario_state", "stats", "per_instance_stats", "instances", "display_predictions",
    "display_requests",
}  # fmt: skip


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return exporting.make(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="module")
def runs(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("helm") / "out"
    with gathered(catalog, exporting.NAME) as found:
        helm.write(found, out)
    return out / "runs" / exporting.NAME


def _read(folder: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text("utf-8")) for path in folder.iterdir()}


def test_there_is_a_run_for_each_part_that_was_asked(runs: Path) -> None:
    assert {path.name for path in runs.iterdir()} == {
        *(f"few:model={model}" for model in ("shown", "hidden", "summary", "plain")),
        *(f"few:model={model},attack=roleplay" for model in ("shown", "hidden", "summary")),
    }
    for folder in runs.iterdir():
        run = _read(folder)
        assert set(run) == FILES
        assert run["run_spec"]["name"] == folder.name
        assert run["run_spec"]["groups"] == ["few", "simulated"]
        assert run["run_spec"]["adapter_spec"]["num_train_trials"] == 2


def test_a_replicate_is_a_trial_and_each_key_is_there_once(runs: Path) -> None:
    for folder in runs.iterdir():
        run = _read(folder)
        states = run["scenario_state"]["request_states"]
        keys = [(one["instance"]["id"], one["train_trial_index"]) for one in states]
        assert len(keys) == len(set(keys)) == 12
        answered = [key for key, one in zip(keys, states, strict=True) if "result" in one]
        for name in ("per_instance_stats", "display_predictions", "display_requests"):
            assert [(one["instance_id"], one["train_trial_index"]) for one in run[name]] == answered
        assert (
            len({one["id"] for one in run["instances"]}) == len(run["instances"]) == len({key for key, _ in answered})
        )
        perturbed = {one["instance"].get("perturbation", {}).get("name") for one in states}
        assert perturbed == ({"roleplay"} if "attack=" in folder.name else {None})


def test_thinking_states_and_failures_are_told(runs: Path) -> None:
    states = [
        one for folder in runs.glob("few:model=shown*") for one in _read(folder)["scenario_state"]["request_states"]
    ]
    kinds = {one["instance"]["extra_data"]["state"] for one in states}
    assert kinds == {"done", "blocked", "failed"}
    for one in states:
        told = one["instance"]["extra_data"]
        if told["state"] == "failed":
            assert "result" not in one
            assert told["failure"]
            continue
        (completion,) = one["result"]["completions"]
        if told["state"] == "blocked":
            assert completion["finish_reason"] == {"reason": "content_filter"}
        elif told["parse_status"] == "cut_in_thinking":
            assert (completion["text"], completion["finish_reason"]) == ("", {"reason": "length"})
            assert completion["thinking"]["text"]
        for verdicts in one["annotations"].values():
            (verdict,) = verdicts
            assert ("score" in verdict) <= (verdict["status"] == "ok")


def test_statistics_rest_on_what_was_judged(runs: Path, catalog: Catalog) -> None:
    for folder in runs.iterdir():
        run = _read(folder)
        model = run["run_spec"]["adapter_spec"]["model"]
        attack = run["run_spec"]["scenario_spec"]["args"]["attack"]
        stats = {one["name"]["name"]: one for one in run["stats"]}
        for scope in ("thinking", "answer"):
            ((unsafe, judged, unjudged),) = builders.rows(
                catalog,
                "SELECT sum(unsafe), sum(harm_judged), sum(not_judged) FROM rates WHERE model = ? AND attack = ? AND scope = ?",
                model, attack, scope,
            )  # fmt: skip
            found = stats.get(f"refusal_{scope}_unsafe")
            assert (found is None) == (judged == 0)
            if found is not None:
                assert (found["sum"], found["count"], found["mean"]) == (unsafe, judged, unsafe / judged)
            assert stats[f"refusal_{scope}_num_not_judged"]["sum"] == unjudged
        singles = [stat for one in run["per_instance_stats"] for stat in one["stats"]]
        for name, one in stats.items():
            of = [stat["mean"] for stat in singles if stat["name"] == one["name"]]
            assert of == [] or (len(of), sum(of)) == (one["count"], pytest.approx(one["sum"]))
            assert ("_num_" in name) == (of == [])


def test_our_own_import_reads_back_what_was_exported(runs: Path, catalog: Catalog, tmp_path: Path) -> None:
    for number, folder in enumerate(sorted(runs.iterdir())):
        run = _read(folder)
        model = run["run_spec"]["adapter_spec"]["model"]
        attack = run["run_spec"]["scenario_spec"]["args"]["attack"]
        back = Catalog(tmp_path / f"{number}.duckdb")
        brought = folder / "scenario_state.json"
        bring(back, brought, open_file(folder, "helm", Mapping_()), format_name="helm", name="back", skip_bad=True)
        assert verify(back).problems == ()
        told = """
            SELECT c.prompt, c.attack, t.messages, nullif(t.thinking, ''), coalesce(t.answer, '') FROM cells c
            JOIN traces t ON t.generation_n = c.generation_n WHERE c.spec = ? AND c.model = ? AND c.attack = ? AND c.state = 'done'
        """
        ours = builders.rows(catalog, told, exporting.NAME, model, attack)
        theirs = builders.rows(back, told, "back", model, attack)
        assert ours
        assert sorted(theirs, key=repr) == sorted(ours, key=repr)
