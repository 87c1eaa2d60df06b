"""Registering: what a plan found new goes into the catalog, and its span, before the first call is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lrm import clock
from lrm.errors import BusyError, SpecError
from lrm.plan.workspace import Workspace
from lrm.registry.identity import declaration_json
from lrm.spec.matrix import Matrix, named
from lrm.store.catalog import detach, transaction

if TYPE_CHECKING:
    import duckdb

_COPIES = {
    "models": "new_models",
    "attacks": "new_attacks",
    "judges": "new_judges",
    "judge_scopes": "new_judge_scopes",
    "prompts": "new_prompts",
    "prompt_sets": "new_prompt_sets",
    "prompt_set_members": "new_members",
    "sources": "new_sources",
    "messages": "new_messages",
    "renderings": "new_renderings",
}

# Slices of the spec's present span that this plan was told to leave alone (`--only`) and that the spec still has.
_SPAN = """
CREATE OR REPLACE TABLE span AS
    SELECT {columns} FROM slices
    UNION ALL
    SELECT {columns} FROM cat.lrm.slices o
    SEMI JOIN kept k USING ({names})
    WHERE o.span_n = $current AND NOT EXISTS (SELECT 1 FROM slices s WHERE ({of_s}) = ({of_o}));
"""
_SPAN_JUDGES = """
CREATE OR REPLACE TABLE span_judges AS
    SELECT judge_scope_n, judge, prompt_sets, against FROM chosen_judges
    UNION
    SELECT o.judge_scope_n, o.judge, o.prompt_sets, o.against FROM cat.lrm.span_judges o
    WHERE o.span_n = $current AND o.judge IN (SELECT unnest($judges))
        AND o.judge NOT IN (SELECT judge FROM chosen_judges)
"""
_DIFFERS = """
SELECT count(*) FROM (
    (FROM span EXCEPT ALL SELECT {columns} FROM cat.lrm.slices WHERE span_n = $current)
    UNION ALL
    (SELECT {columns} FROM cat.lrm.slices WHERE span_n = $current EXCEPT ALL FROM span)
    UNION ALL
    (SELECT judge_scope_n, judge, 0, '', 0, '', 0, '', 0 FROM (
        (FROM span_judges EXCEPT SELECT {judge_columns} FROM cat.lrm.span_judges WHERE span_n = $current)
        UNION ALL
        (SELECT {judge_columns} FROM cat.lrm.span_judges WHERE span_n = $current EXCEPT FROM span_judges)
    ))
)
"""
_JUDGE_COLUMNS = "judge_scope_n, judge, prompt_sets, against"
_COLUMNS = "model_n, model, set_n, prompt_set, attack_n, attack, replicates, condition, first_replicate"
_NAMES = ("model", "prompt_set", "attack", "condition")
"""What names a slice for a spec."""


def current_span(connection: duckdb.DuckDBPyConnection, spec: str) -> int:
    """Return the number of a spec's current span; 0 when it has none."""
    found = connection.execute(
        "SELECT span_n FROM cat.lrm.spec_spans WHERE spec = ? ORDER BY n DESC LIMIT 1", [spec]
    ).fetchall()
    return int(found[0][0]) if found else 0


def prepare_span(space: Workspace, whole: Matrix) -> tuple[int, bool]:
    """Lay out the span that the spec has from now on; return its present span and whether the new one differs.

    `whole` is the spec's matrix without `--only`: what it has and this plan leaves alone is kept.
    """
    connection = space.connection
    connection.execute(f"CREATE OR REPLACE TABLE kept ({', '.join(f'{name} VARCHAR' for name in _NAMES)})")
    if whole is not space.matrix:
        connection.execute(
            "INSERT INTO kept SELECT unnest($models), unnest($sets), unnest($attacks), unnest($conditions)",
            {
                "models": [named(one.model) for one in whole.slices],
                "sets": [one.prompt_set for one in whole.slices],
                "attacks": [named(one.attack) for one in whole.slices],
                "conditions": [one.condition for one in whole.slices],
            },
        )
    current = current_span(connection, space.matrix.name)
    judges = [chosen.judge.name for chosen in whole.judges] if whole is not space.matrix else [""]
    names, of_s, of_o = (", ".join(f"{table}{name}" for name in _NAMES) for table in ("", "s.", "o."))
    connection.execute(_SPAN.format(columns=_COLUMNS, names=names, of_s=of_s, of_o=of_o), {"current": current})
    connection.execute(_SPAN_JUDGES, {"current": current, "judges": judges or [""]})
    differs = (
        connection.execute(
            _DIFFERS.format(columns=_COLUMNS, judge_columns=_JUDGE_COLUMNS), {"current": current}
        ).fetchall()[0][0]
        > 0
    )
    return current, bool(differs) or current == 0


def register_judges(space: Workspace, file: str | None) -> int:
    """Add the workspace's judges to the current span of its spec, which keeps its slices and judges; return its number.

    `file` is what the catalog knows as the spec's file. The catalog is detached afterwards.
    """
    space.attach()
    connection = space.connection
    current = current_span(connection, space.matrix.name)
    connection.execute(f"CREATE OR REPLACE TABLE span AS SELECT {_COLUMNS} FROM slices")
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE span_judges AS
            SELECT {_JUDGE_COLUMNS} FROM chosen_judges
            UNION
            SELECT {_JUDGE_COLUMNS} FROM cat.lrm.span_judges WHERE span_n = ?
                AND judge_scope_n NOT IN (SELECT judge_scope_n FROM chosen_judges)
        """,
        [current],
    )
    differs = connection.execute(
        _DIFFERS.format(columns=_COLUMNS, judge_columns=_JUDGE_COLUMNS), {"current": current}
    ).fetchall()[0][0]
    if not differs and not space.redeclared:
        space.detach()
        return current
    tables = ("judges", "judge_scopes")
    with written(space) as connection:
        _refuse_collisions(connection, tables)
        for table in tables:
            connection.execute(f"INSERT INTO cat.lrm.{table} FROM {_COPIES[table]}")
        _redeclare(connection, space)
        number = _insert_span(connection, space.matrix.name, file) if differs else current
    for table in tables:
        space.connection.execute(f"DELETE FROM {_COPIES[table]}")
    return number


@contextmanager
def written(space: Workspace) -> Iterator[duckdb.DuckDBPyConnection]:
    """Have the catalog attached for writing, in one transaction, and detached at the end."""
    connection = space.connection
    space.detach()
    space.catalog.attach_for_writing(connection, "cat")
    try:
        with transaction(connection, space.catalog.path):
            yield connection
    finally:
        detach(connection, "cat", space.catalog.path)


def register(space: Workspace, whole: Matrix) -> int:
    """Copy what is new into the catalog and make the spec's span current; return the span's number.

    The catalog is detached afterwards. Raises BusyError when another process numbered rows meanwhile, and SpecError where
    an import has the spec's name.
    """
    space.attach()
    _refuse_import(space)
    current, differs = prepare_span(space, whole)
    new_rows = any(_count(space, table) for table in _COPIES.values())
    if not differs and not new_rows and not space.redeclared:
        space.detach()
        return current
    with written(space) as connection:
        _refuse_collisions(
            connection, (table for table in _COPIES if table not in ("prompt_set_members", "sources", "renderings"))
        )
        for table, new in _COPIES.items():
            connection.execute(f"INSERT INTO cat.lrm.{table} FROM {new}")
        _redeclare(connection, space)
        file = str(space.matrix.file.absolute())
        number = _insert_span(connection, space.matrix.name, file) if differs else current
    for new in _COPIES.values():
        space.connection.execute(f"DELETE FROM {new}")  # the catalog has them now
    return number


def _refuse_import(space: Workspace) -> None:
    """Raise SpecError where the spec's name is that of an import, whose cells it would take the place of."""
    name = space.matrix.name
    found = space.connection.execute(
        """
        SELECT count(*) FROM cat.lrm.imports WHERE name = $name AND NOT coalesce((
            SELECT arg_max(file, n) LIKE '%.toml' FROM cat.lrm.spec_spans WHERE spec = $name
        ), true)
        """,
        {"name": name},
    ).fetchall()
    if found[0][0]:
        raise SpecError(
            f"the catalog has an import `{name}`, and a spec is known by its file's name",
            file=space.matrix.file,
            hint="rename the spec's file, import again with another --name, or use another --catalog",
        )


def _redeclare(connection: duckdb.DuckDBPyConnection, space: Workspace) -> None:
    for n, model in space.redeclared.items():
        connection.execute(
            "UPDATE cat.lrm.models SET declaration = ?, visibility = ? WHERE n = ?",
            [declaration_json(model), model.thinking.visibility, n],
        )


def _count(space: Workspace, table: str) -> int:
    return int(space.connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def _refuse_collisions(connection: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> None:
    for table in tables:
        clash = connection.execute(
            f"SELECT (SELECT max(n) FROM cat.lrm.{table}) >= (SELECT min(n) FROM {_COPIES[table]})"
        ).fetchall()[0][0]
        if clash:
            raise BusyError("the catalog changed while the plan was made", hint="run the same command again")


def _insert_span(connection: duckdb.DuckDBPyConnection, spec: str, file: str | None) -> int:
    now = clock.now().replace(tzinfo=None)
    number = int(connection.execute("SELECT coalesce(max(n), 0) + 1 FROM cat.lrm.spans").fetchall()[0][0])
    connection.execute("INSERT INTO cat.lrm.spans VALUES (?, ?)", [number, now])
    connection.execute(f"INSERT INTO cat.lrm.slices BY NAME SELECT ? AS span_n, {_COLUMNS} FROM span", [number])
    connection.execute(f"INSERT INTO cat.lrm.span_judges SELECT ?, {_JUDGE_COLUMNS} FROM span_judges", [number])
    connection.execute(
        "INSERT INTO cat.lrm.spec_spans SELECT coalesce(max(n), 0) + 1, ?, ?, ?, ? FROM cat.lrm.spec_spans",
        [spec, number, file, now],
    )
    return number
