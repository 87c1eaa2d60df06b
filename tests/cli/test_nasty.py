"""P5: no text of a model, a file or a person drives the terminal, whichever command prints it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lrm.store.catalog import Catalog
from lrm_cli import exits
from lrm_cli.output import json_text
from tests.cli.common import Json, Run
from tests.hostile import ALL, MARKUP, NASTY, hostile_catalog, is_quiet


@pytest.fixture
def hostile(_hostile_once: Path, tmp_path: Path) -> Catalog:
    """Return a catalog whose every text is nasty."""
    shutil.copy(_hostile_once, tmp_path)
    return Catalog(tmp_path / _hostile_once.name)


@pytest.fixture(scope="session")
def _hostile_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_catalog(tmp_path_factory.mktemp("hostile"))


VIEWS = ("cells", "traces", "verdicts", "rates", "lrm.models", "lrm.prompts", "lrm.failures", "lrm.generations")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("form", ["table", "--csv", "--json"])
def test_sql(lrm: Run, hostile: Catalog, view: str, form: str) -> None:
    result = lrm("catalog", "sql", f"FROM {view}", *([] if form == "table" else [form]))
    assert "[31mred" in result.stdout
    is_quiet(result.output)
    if form == "--json":
        assert any(ALL in str(value) for row in json.loads(result.stdout) for value in row.values())


def test_sql_with_nasty_column_names_and_errors(lrm: Run, hostile: Catalog) -> None:
    for form in ([], ["--csv"], ["--json"]):
        is_quiet(lrm("catalog", "sql", "SELECT 1 AS \"\x1b[31m\u202e\", ['\x1b[0m'] AS l", *form).output)
    is_quiet(lrm("catalog", "sql", "SELECT '\x1b[31m' FROM \"\x1b]0;x\x07\u202e\"", code=exits.USAGE).output)


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_status_why_info_and_verify(lrm: Run, hostile: Catalog, form: list[str]) -> None:
    for words in (
        ["matrix", "status"],
        ["matrix", "status", "small"],
        ["catalog", "info"],
        ["matrix", "why", *call_of(hostile)],
    ):
        result = lrm(*words, *form)
        assert "red" in result.stdout, words
        is_quiet(result.output)
    is_quiet(lrm("catalog", "verify", *form, code=exits.CELLS_FAILED).output)


def call_of(catalog: Catalog) -> list[str]:
    with catalog.reading() as connection:
        return [connection.execute("SELECT lower(hex(id)) FROM lrm.calls ORDER BY n LIMIT 1").fetchall()[0][0]]


def test_names_in_errors(lrm: Run, hostile: Catalog) -> None:
    for words in (
        ["matrix", "status", ALL],
        ["matrix", "why", f"{ALL}/a/b/c"],
        ["matrix", "why", "m/p/one/none"],
        ["registry", "show", ALL],
        ["registry", "show", ALL, ALL],
        ["registry", "list", ALL],
        [ALL],
        ["matrix", f"--{ALL}"],
        ["matrix", "plan", "x.toml", "--only", ALL],
    ):
        result = lrm(*(word.replace("\0", "") for word in words), code=exits.USAGE)
        assert result.stderr
        is_quiet(result.output)


def test_registry_and_specs(lrm: Run, lrm_json: Json, tmp_path: Path) -> None:
    models = tmp_path / "registry" / "models"
    models.mkdir(parents=True)
    nasty = "".join(NASTY).replace("\x00", "")
    quoted = json.dumps(nasty)
    (models / "good.toml").write_text(
        f'# \u202e\u200b\x9b2J\ndescription = {quoted}\nbackend = "simulated"\nmodel = {quoted}\n', encoding="utf-8"
    )
    (models / "wrong.toml").write_text(f'{quoted} = 1\nbackend = "simulated"\nmodel = "m"\n', encoding="utf-8")
    (models / "worse.toml").write_text("x = \x1b[31m\n", encoding="utf-8")
    for words, code in (
        (["registry", "list"], 0),
        (["registry", "show", "good"], 0),
        (["registry", "show", "wrong"], exits.USAGE),
        (["registry", "check"], exits.USAGE),
        (["doctor"], exits.CELLS_FAILED),
    ):
        is_quiet(lrm(*words, code=code).output)
        is_quiet(lrm(*words, "--json", code=code).output)
    assert lrm_json("registry", "show", "good")["declaration"]["description"] == nasty
    spec = tmp_path / "spec.toml"
    spec.write_text(f"[matrix]\nmodels = [{quoted}]\nprompt_sets = []\n{quoted} = 1\n", encoding="utf-8")
    is_quiet(lrm("matrix", "plan", spec, code=exits.USAGE).output)


def test_markup_stays_as_it_is(lrm: Run, hostile: Catalog) -> None:
    assert MARKUP in lrm("catalog", "sql", "SELECT answer FROM traces LIMIT 1", "--csv").stdout


@pytest.mark.parametrize("text", [*NASTY, MARKUP, "\U000e0041 tag", "\ud800 lone", '"\\\n\t'])
def test_json_is_exact_and_quiet(text: str) -> None:
    printed = json_text({"text": text, text: [text]})
    is_quiet(printed)
    assert json.loads(printed) == {"text": text, text: [text]}
