"""Texts that try to drive a terminal, and a catalog that holds them wherever it holds text (P5)."""

from __future__ import annotations

import json
import re
from pathlib import Path

from click.testing import CliRunner

from lrm.store.catalog import Catalog
from lrm_cli import exits
from lrm_cli.main import cli
from tests.cli.common import write_small

LIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
NASTY = [
    "\x1b[2J\x1b[31mred",
    "\x1b]8;;http://example.test\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]0;title\x07",
    "\x1b]52;c;aGk=\x07",
    "\x1bP+q544e\x1b\\",
    "\x9b2J\x85\x90",
    "over\rwritten",
    "back\b\b\bspace\x7f",
    "\u202eesrever\u202c \u2066isolate\u2069 \u061c",
    "zero\u200bwidth\u200d\ufeff\u2060",
    "line\u2028and\u2029paragraph",
    "\x00nul\x05enquiry",
]
MARKUP = "[bold red]markup[/] [link=http://example.test]x[/link] :smile:"
ALL = " | ".join([*NASTY, MARKUP])


def hostile_catalog(folder: Path) -> Path:
    """Make a catalog with nasty texts in every column that holds text, as one from elsewhere may have."""
    catalog = Catalog(folder / "catalog.duckdb")
    failing = write_small(folder, "{seed = 1, fail = 1.0}", name="failing.toml")
    for spec, code in ((write_small(folder), exits.OK), (failing, exits.CELLS_FAILED)):
        result = CliRunner().invoke(cli, ["matrix", "fill", str(spec), "--catalog", str(catalog.path)])
        assert result.exit_code == code, result.stderr
    with catalog.writing() as connection:
        columns = connection.execute(
            """
            SELECT table_name, column_name FROM duckdb_columns()
            WHERE schema_name = 'lrm' AND data_type = 'VARCHAR' AND NOT internal AND table_name <> 'migrations'
            """
        ).fetchall()
        kept = {"identity", "declaration", "messages", "turns", "meta", "spans", "state", "against"}
        kept |= {"runs.id", "judge_scopes.scope", "spec_spans.spec", "prompts.expect", "generations.status"}
        for table, column in columns:
            if column not in kept and f"{table}.{column}" not in kept:
                connection.execute(f"UPDATE lrm.{table} SET {column} = ?", [ALL])
        connection.execute("UPDATE lrm.prompts SET category = [?, ?]", [ALL, ALL])
        connection.execute("UPDATE lrm.messages SET messages = ?", [json.dumps([{"role": "user", "content": ALL}])])
    return catalog.path


def is_quiet(text: str) -> None:
    """Raise AssertionError when a text holds a live sign."""
    assert LIVE.findall(text) == []
