"""`lrm report`: what it writes, what it says, and how it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lrm.store.catalog import Catalog
from lrm_cli import exits
from lrm_cli import report as command
from tests.cli.common import Json, Run, Small
from tests.hostile import ALL, hostile_catalog, is_quiet


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}


def test_a_report_is_written_and_said_a_line_a_file(lrm: Run, quickstart: Path) -> None:
    result = lrm("report", quickstart)
    folder = quickstart.parent / "quickstart-report"
    said = [line.split("  ")[0] for line in result.stdout.splitlines()]
    assert sorted(said) == sorted(f"quickstart-report/{path}" for path in files_in(folder))
    assert {"report.html", "report.md", "report.tex", "report.json"} <= files_in(folder)
    assert "All responses are simulated" in result.stderr
    assert "Coverage is 99.2 %" in result.stderr


def test_a_spec_is_its_file_or_its_name(lrm: Run, quickstart: Path) -> None:
    for words in (["quickstart"], ["quickstart.toml"], [str(quickstart)], ["elsewhere/quickstart.toml"]):
        lrm("report", *words, "--format", "json", "--out", "out")
        assert json.loads(Path("out/report.json").read_text("utf-8"))["spec"] == "quickstart"


def test_a_file_of_results_is_no_spec_to_read(lrm: Run, quickstart: Path) -> None:
    """An import may be named by the file that it came from, which is not TOML."""
    Path("quickstart.csv").write_text("id,text\n", "utf-8")
    lrm("report", "quickstart.csv", "--format", "json", "--section", "coverage", "--out", "out")
    assert json.loads(Path("out/report.json").read_text("utf-8"))["spec"] == "quickstart"


def test_formats_and_sections_are_chosen(lrm: Run, quickstart: Path) -> None:
    lrm("report", quickstart, "--format", "csv", "--format", "latex", "--section", "safety", "--out", "part")
    endings = {Path(path).suffix for path in files_in(Path("part"))}
    assert ".csv" in endings
    assert ".tex" in endings
    assert not endings & {".html", ".md", ".json"}
    assert "tables/safety.csv" in files_in(Path("part"))
    assert not any(path.startswith("tables/coverage") for path in files_in(Path("part")))


def test_json_says_what_was_written_and_what_was_found(lrm_json: Json, quickstart: Path) -> None:
    value = lrm_json("report", quickstart, "--out", "out")
    assert tuple(value) == command.command.keys
    assert value["spec"] == "quickstart"
    assert value["folder"] == "out"
    assert {one["path"] for one in value["files"]} == files_in(Path("out"))
    assert all(Path("out", one["path"]).stat().st_size == one["bytes"] for one in value["files"])
    assert all({"claim", "holds", "sentence"} <= set(finding) for finding in value["findings"])


def test_formats_are_those_of_the_engine() -> None:
    from lrm.report.write import FORMATS

    assert command.FORMATS == FORMATS


def test_a_spec_that_is_not_filled_says_what_to_run(lrm: Run, quickstart: Path, small: Small) -> None:
    result = lrm("report", small(), code=exits.USAGE)
    assert "lrm matrix fill" in result.stderr
    result = lrm("report", "quickstrat", code=exits.USAGE)
    assert "did you mean `quickstart`" in result.stderr
    assert not Path("small-report").exists()
    assert quickstart.is_file()


def test_no_catalog_at_all(lrm: Run, small: Small) -> None:
    assert "there is no catalog" in lrm("report", small(), code=exits.USAGE).stderr


def test_unknown_names_are_refused_with_the_nearest(lrm: Run, quickstart: Path) -> None:
    assert "did you mean `r1-safety`" in lrm("report", quickstart, "--against", "r1-safty", code=exits.USAGE).stderr
    assert "did you mean `thinking`" in lrm("report", quickstart, "--section", "thinkin", code=exits.USAGE).stderr
    assert "html" in lrm("report", quickstart, "--format", "pdf", code=exits.USAGE).stderr
    assert not Path("quickstart-report").exists(), "nothing is half written"


def test_a_folder_that_cannot_be_written_is_an_error_with_a_hint(lrm: Run, quickstart: Path) -> None:
    Path("taken").write_text("a file")
    result = lrm("report", quickstart, "--format", "json", "--out", "taken/deeper", code=exits.USAGE)
    assert "--out" in result.stderr
    assert Path("taken").read_text() == "a file"


def test_a_catalog_from_elsewhere_drives_nothing(lrm: Run, tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    path = hostile_catalog(folder)
    with Catalog(path).writing() as connection:
        connection.execute("UPDATE lrm.spec_spans SET spec = ? WHERE spec = 'small'", [f"../../{ALL}"])
    before = set(tmp_path.rglob("*"))
    for words in ([], ["--json"]):
        is_quiet(lrm("report", f"../../{ALL}", "--catalog", path, *words).output)
    made = {one for one in set(tmp_path.rglob("*")) - before if folder not in one.parents}
    (top,) = {one.relative_to(tmp_path).parts[0] for one in made}
    assert re.fullmatch(r"[A-Za-z0-9._-]+-report", top)
    assert (tmp_path / top / "report.html").is_file()
