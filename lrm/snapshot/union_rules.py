"""Which of two rows with one key counts, as SQL over the rows of two snapshots (`u_TABLE`, each with `_side`, `_file`, `_row`)."""

from __future__ import annotations

from lrm.snapshot.tables import BY_NAME, LABELS, Column, Table

_FIRST = {"generations": "received_at", "pursuits": "ended_at", "annotations": "made_at", "imports": "imported_at"}
GROUP = "generation_id, judge_id, scope, prompt_id"
_FOUND = "generation_id, judge_id, scope, coalesce(prompt_id, '')"
SAID = "status, label, unsafe, score"


def lost(table: Table) -> str:
    """Return the statement that makes `lost_TABLE`: the places of rows that give way to another with the same key.

    Only rows of files that the other side lacks can meet. Texts are compared by their hashes.
    """
    key = ", ".join(f'"{name}"' for name in table.key)
    wins = _wins(table)
    # What is compared is worked out before it is sorted: the texts themselves need not fit into memory.
    values = ", ".join(f"{value} AS w{number}" for number, (value, _) in enumerate(wins))
    by = ", ".join(f"w{number} {how}" for number, (_, how) in enumerate(wins))
    return f"""
    CREATE TEMP TABLE lost_{table.name} AS
        SELECT _side, _file, _row FROM (
            SELECT _side, _file, _row, {key}, {values} FROM u_{table.name} SEMI JOIN (
                SELECT {key} FROM u_{table.name} WHERE _side = 1 INTERSECT SELECT {key} FROM u_{table.name} WHERE _side = 2
            ) USING ({key}) WHERE _side > 0
        )
        QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {by or "_side"}) > 1
    """


def _wins(table: Table) -> list[tuple[str, str]]:
    """Return what rows with one key are sorted by, and how: the first counts."""
    by = []
    if "withheld" in table.names:
        by.append(("withheld", "ASC"))
    if table.name in _FIRST:
        by.append((_FIRST[table.name], "ASC NULLS LAST"))
    if table.name == "traces":
        by.append(("splitter", "DESC"))
    if table.name == "slices":
        by.append(("replicates", "DESC"))
    if table.name == "calls":
        # A call of a model under test is one, whoever else asked it too.
        by.append(("role <> 'subject'", "ASC"))
    last = (*LABELS, "role") if set(LABELS) <= set(table.names) else ()
    rest = sorted(table.columns, key=lambda column: column.name in last)
    return by + [(_compared(one), "ASC NULLS LAST") for one in rest if one.name not in table.key]


def _compared(column: Column) -> str:
    return f'sha256("{column.name}")' if column.family is not None else f'"{column.name}"'


def ranked() -> str:
    """Return the statement that makes `ranked`: where a judge said something of one text in several rows, which are kept and how.

    What is said alike is there once; the earliest counts and has rank 0, the others follow. A catalog does the same.
    """
    labels = ", ".join(f'"{name}"' for name in (*LABELS, "judge"))
    rest = ", ".join(f'{_compared(one)} AS "{one.name}"' for one in BY_NAME["verdicts"].columns)
    return f"""
    CREATE TEMP TABLE ranked AS
        WITH met AS (
            SELECT {rest}, _side, _file, _row FROM u_verdicts
            WHERE ({_FOUND}) IN (SELECT {_FOUND} FROM u_verdicts GROUP BY ALL HAVING count(*) > 1 AND bool_or(_side > 0))
        ), once AS (
            SELECT *, row_number() OVER (
                PARTITION BY {GROUP}, {SAID}
                ORDER BY withheld, judged_at, explanation, spans, coverage, detail, against_id, {labels}
            ) = 1 AS kept FROM met
        )
        SELECT _side, _file, _row, kept, (row_number() OVER (
            PARTITION BY {GROUP}, kept
            ORDER BY status IN ('judge_failed', 'not_judged'), judged_at, {SAID}, explanation, spans, coverage, detail
        ) - 1)::INTEGER AS rank FROM once
    """
