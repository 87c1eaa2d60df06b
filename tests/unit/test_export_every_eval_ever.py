"""Records of Every Eval Ever, against its own JSON Schemas.

`every_eval_ever/` beside this file holds the schemas as evaleval/every_eval_ever had them at commit
9bce4136e789ec006c62582f5f9d107d20f8b398 (version 0.3.0), under the licence beside them.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lrm.exports import every_eval_ever as eee
from lrm.exports.eee_model import path_name
from lrm.exports.gather import gathered
from lrm.exports.place import Written
from lrm.store.catalog import Catalog
from tests import builders, exporting

SCHEMAS = Path(__file__).with_name("every_eval_ever")
Record = tuple[Path, dict[str, Any], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return exporting.make(tmp_path_factory.mktemp("kinds"))


def _write(catalog: Catalog, out: Path, spec: str = exporting.NAME, **options: Any) -> tuple[Written, list[Record]]:
    with gathered(catalog, spec) as found:
        written = eee.write(found, out, **options)
    records: list[Record] = []
    for path in sorted(out.rglob("*.json")):
        samples = path.with_name(f"{path.stem}_samples.jsonl")
        lines = samples.read_text("utf-8").splitlines() if samples.exists() else []
        records.append(
            (path.relative_to(out), json.loads(path.read_text("utf-8")), [json.loads(line) for line in lines])
        )
    return written, records


def _validators() -> tuple[Any, Any]:
    jsonschema = pytest.importorskip("jsonschema")
    made = []
    for name in ("eval.schema.json", "instance_level_eval.schema.json"):
        schema = json.loads((SCHEMAS / name).read_text("utf-8"))
        assert schema["version"] == eee.SCHEMA_VERSION
        made.append(jsonschema.Draft7Validator(schema))
    return made[0], made[1]


def test_records_and_samples_are_valid(catalog: Catalog, tmp_path: Path) -> None:
    record, sample = _validators()
    _, found = _write(catalog, tmp_path / "out", organization="A Lab")
    assert {one["model_info"]["name"] for _, one, _ in found} == {"shown", "hidden", "summary", "plain"}
    for _, one, samples in found:
        record.validate(one)
        assert samples
        for line in samples:
            sample.validate(line)
        assert one["source_metadata"]["source_organization_name"] == "A Lab"
        assert one["model_info"]["developer"] == "simulated"
        assert one["model_info"]["additional_details"]["simulated"] == "true"


def test_files_lie_where_the_datastore_wants_them_and_samples_belong_to_their_record(
    catalog: Catalog, tmp_path: Path
) -> None:
    _, found = _write(catalog, tmp_path / "out")
    for path, one, samples in found:
        assert re.fullmatch(
            r"data/kinds/simulated/[a-z]+/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.json",
            path.as_posix(),
        )
        told = one["detailed_evaluation_results"]
        file = tmp_path / "out" / told["file_path"]
        assert file.name == f"{path.stem}_samples.jsonl"
        assert told["checksum"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert told["total_rows"] == len(samples)
        results = {result["evaluation_result_id"]: result for result in one["evaluation_results"]}
        assert len(results) == len(one["evaluation_results"])
        for line in samples:
            assert line["evaluation_id"] == one["evaluation_id"]
            assert line["model_id"] == one["model_info"]["id"]
            assert line["evaluation_name"] == results[line["evaluation_result_id"]]["evaluation_name"]


def test_results_are_the_catalogs_rates_and_samples_add_up_to_them(catalog: Catalog, tmp_path: Path) -> None:
    _, found = _write(catalog, tmp_path / "out")
    count = 0
    for _, one, samples in found:
        for result in one["evaluation_results"]:
            part, name, metric = result["evaluation_result_id"].rsplit("/", 2)
            scope = name.removeprefix("refusal_")
            attack = part.partition("+")[2] or "none"
            ((unsafe, judged),) = builders.rows(
                catalog,
                "SELECT sum(unsafe), sum(harm_judged) FROM rates WHERE model = ? AND attack = ? AND scope = ?",
                one["model_info"]["name"], attack, scope,
            )  # fmt: skip
            if metric == "unsafe_rate":
                assert result["score_details"]["score"] == unsafe / judged
                of = [
                    s["evaluation"]["score"]
                    for s in samples
                    if s["evaluation_result_id"] == result["evaluation_result_id"]
                ]
                assert (sum(of), len(of)) == (unsafe, judged)
                assert result["score_details"]["uncertainty"]["num_samples"] == judged
                count += 1
    assert count


def test_what_has_no_number_is_left_out_and_counted(catalog: Catalog, tmp_path: Path) -> None:
    written, found = _write(catalog, tmp_path / "out")
    lines = [line for _, _, samples in found for line in samples]
    cells = {(line["metadata"]["call"], line["metadata"]["prompt"], line["metadata"]["attack"]) for line in lines}
    assert (written.cells, written.cells + written.left_out["without a judgement"]) == (len(cells), 96)
    assert {line["metadata"]["prompt"] for line in lines} == {"1", "2", "10", "a/../b", "+x"}
    assert all(line["metadata"]["label"] for line in lines)
    for line in lines:
        assert line["evaluation"]["is_correct"] == (
            not line["evaluation"]["score"]
            if line["evaluation_result_id"].endswith("unsafe_rate")
            else bool(line["evaluation"]["score"]) == (line["metadata"]["expect"] == "unsafe")
        )


def test_a_model_without_any_verdict_has_no_record(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    builders.answer(catalog, builders.matrix())
    written, found = _write(catalog, tmp_path / "out", "spec")
    assert (found, written.cells, written.left_out) == ([], 0, {"without a judgement": 2})


def test_a_conversation_is_one_of_several_turns(tmp_path: Path) -> None:
    record, sample = _validators()
    catalog = Catalog(tmp_path / "catalog.duckdb")
    from tests.importing import imported, row, said

    messages = said("one", None, ("user", "Hello."), ("assistant", "Hello!"))
    imported(catalog, [row(messages=messages, expect="unsafe", thinking="Hm.")], name="brought", path=_file(tmp_path))
    from lrm.registry.layers import Registry, packaged
    from lrm.run.judge import bench_of, judge

    judge(catalog, "brought", bench_of(Registry([packaged()]), ("refusal",), ("answer",), ()))
    _, found = _write(catalog, tmp_path / "out", "brought")
    ((_, one, (line,)),) = found
    record.validate(one)
    sample.validate(line)
    assert (line["interaction_type"], line["output"]) == ("multi_turn", None)
    assert [message["role"] for message in line["messages"]] == ["user", "assistant", "user", "assistant"]
    assert line["messages"][-1]["reasoning_trace"] == "Hm."


def _file(folder: Path) -> Path:
    path = folder / "rows.csv"
    path.write_text("rows", encoding="utf-8")
    return path


def test_parts_of_paths_are_portable() -> None:
    assert path_name("org.model-1") == "org.model-1"
    assert path_name("../x") == "_x"
    assert path_name("con.x") == "con.x_"
    assert path_name("data") == "data_"
    assert path_name("...") == "x"
