"""Ids: every one derived again from the content that it names, and every reference followed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lrm import hashing
from lrm.errors import LrmError
from lrm.plan.rendering import prompt_of
from lrm.snapshot.check.rows import Rows
from lrm.snapshot.frames import whole
from lrm.snapshot.tables import TABLES
from lrm.text import visible

_HASHED = {
    "calls": '\'{"lrm":"c1","messages":"\' || t.messages_id || \'","model":"\' || t.model_id '
    "|| '\",\"replicate\":' || t.number || '}'",
    # A payload that is withheld tells its hash, or nothing; then the id cannot be derived.
    "generations": '\'{"call":"\' || t.call_id || \'","lrm":"g1","raw":"\' || t.raw_sha256 || \'"}\'',
    "traces": "'{\"answer\":' || coalesce('\"' || coalesce(t.answer_sha256, sha256(t.answer)) || '\"', 'null') "
    '|| \',"generation":"\' || t.generation_id || \'","lrm":"t1","status":"\' || t.status || \'","thinking":\' '
    "|| coalesce('\"' || coalesce(t.thinking_sha256, sha256(t.thinking)) || '\"', 'null') || '}'",
    "messages": '\'{"lrm":"m1","messages":\' || t.messages || \'}\'',
}
"""What is hashed for an id, as `lrm.hashing` writes it."""
_MESSAGE = {"role", "content"}
_TOLD = {"model": {"visibility", "simulated"}, "judge": {"harm_for"}, "prompt_set": {"size"}, "attack": set[str]()}
"""What a declaration of each kind says besides."""
_CELLS = 2**26
"""Cells that slices may span beyond those that there are: attacks have nothing for some prompts."""
# Column, the table and column that it points to.
_POINTS = (
    ("slices", "model_id", "declarations", "id"), ("slices", "attack_id", "declarations", "id"),
    ("slices", "prompt_set_id", "declarations", "id"), ("chosen_judges", "judge_id", "declarations", "id"),
    ("prompt_sets", "prompt_set_id", "declarations", "id"), ("prompt_sets", "prompt_id", "prompts", "id"),
    ("renderings", "prompt_id", "prompts", "id"), ("renderings", "attack_id", "declarations", "id"),
    ("renderings", "messages_id", "messages", "id"), ("pursuits", "prompt_id", "prompts", "id"),
    ("pursuits", "attack_id", "declarations", "id"), ("pursuits", "messages_id", "messages", "id"),
    ("calls", "model_id", "declarations", "id"), ("calls", "messages_id", "messages", "id"),
    ("generations", "call_id", "calls", "id"), ("generations", "import_id", "imports", "id"),
    ("raw", "generation_id", "generations", "id"), ("traces", "generation_id", "generations", "id"),
    ("verdicts", "generation_id", "generations", "id"), ("verdicts", "judge_id", "declarations", "id"),
    ("verdicts", "prompt_id", "prompts", "id"), ("annotations", "model_id", "declarations", "id"),
    ("annotations", "attack_id", "declarations", "id"), ("annotations", "prompt_id", "prompts", "id"),
    ("annotations", "generation_id", "generations", "id"), ("annotations", "import_id", "imports", "id"),
)  # fmt: skip


def check_ids(rows: Rows) -> None:
    """Derive every id again, find those that are there twice and follow every reference. Raises SnapshotError."""
    for table in TABLES:
        if table.key and table.name in rows.present:
            _once(rows, table.name, table.key)
    for from_table, column, there, name in _POINTS:
        rows.refuse_where(
            from_table,
            f't."{column}" IS NOT NULL AND t."{column}" NOT IN (SELECT "{name}" FROM in_{there})',
            f"`{column}` names nothing that is in `{there}`",
        )
    rows.refuse_where("generations", "t.id NOT IN (SELECT generation_id FROM in_traces)", "the response has no trace")
    _hidden(rows)
    for name, hashed in _HASHED.items():
        rows.refuse_where(
            name, f"sha256({hashed}) <> t.id[4:]" + (" AND NOT t.withheld" if name == "traces" else ""), _wrong("id")
        )
    # A withheld trace tells the hashes of its texts, or nothing; then its id cannot be derived.
    rows.refuse_where(
        "traces",
        f"t.withheld AND (t.thinking_sha256 IS NOT NULL OR t.answer_sha256 IS NOT NULL) AND sha256({_HASHED['traces']}) <> t.id[4:]",
        _wrong("id"),
    )
    for holder, payload in (("raw", "t.raw"), ("traces", whole("t.frame", "t.thinking", "t.answer"))):
        hashed = f'\'{{"call":"\' || g.call_id || \'","lrm":"g1","raw":"\' || sha256({payload}) || \'"}}\''
        rows.refuse_where(
            holder,
            f"sha256({hashed}) <> g.id[4:]",
            "its payload does not give the id of its response",
            source=f"at_{holder} t JOIN in_generations g ON g.id = t.generation_id",
        )
    rows.refuse_where(
        "traces",
        "NOT t.withheld AND t.frame IS NULL AND t.generation_id NOT IN (SELECT generation_id FROM in_raw WHERE raw IS NOT NULL)",
        "its response has no payload",
    )
    _in_python(rows, "messages", "SELECT _file, _row, id, messages FROM at_messages WHERE NOT withheld", _canonical)
    _in_python(
        rows, "declarations",
        "SELECT _file, _row, id, kind, identity, declaration, visibility, simulated, harm_for, size FROM at_declarations", _declared,
    )  # fmt: skip
    rows.refuse_where(
        "declarations",
        "t.kind = 'prompt_set' AND t.size IS DISTINCT FROM coalesce(m.size, 0)",
        "its size is not that of the set",
        source="at_declarations t LEFT JOIN (SELECT prompt_set_id, count(*) AS size FROM in_prompt_sets GROUP BY ALL) m "
        "ON m.prompt_set_id = t.id",
    )
    _in_python(
        rows, "prompts", "SELECT _file, _row, id, prompt, text, system, turns, category, expect, meta FROM at_prompts WHERE NOT withheld",
        lambda _, *fields: prompt_of(*fields).id().hex(),
    )  # fmt: skip
    _in_python(
        rows, "prompt_sets",
        "SELECT min(_file), min(_row), prompt_set_id, list(prompt_id ORDER BY ordinal) FROM at_prompt_sets GROUP BY prompt_set_id",
        lambda _, ids: hashing.digest("s1", {"prompts": ids}).hex(),
    )  # fmt: skip
    _in_python(
        rows, "annotations",
        "SELECT _file, _row, id, model_id, attack_id, prompt_id, number, generation_id, scope, annotator, automatic, rubric, label, "
        "score, unsafe, note, spans FROM at_annotations WHERE NOT withheld",
        _label,
    )  # fmt: skip
    _in_python(rows, "imports", "SELECT _file, _row, id, sha256, format, options, as_cache FROM at_imports", _imported)
    _labelled(rows)
    _spanned(rows)


def _spanned(rows: Rows) -> None:
    """Refuse slices that span other cells than there are, before the cells are made: a few rows can span more than memory holds."""
    sizes = "(SELECT prompt_set_id, count(*) AS size FROM in_prompt_sets GROUP BY ALL)"
    most, cells = rows.connection.execute(
        f"SELECT (SELECT coalesce(sum(s.replicates::DOUBLE * m.size), 0) FROM in_slices s JOIN {sizes} m USING (prompt_set_id)), "
        "(SELECT count(*) FROM in_cells)"
    ).fetchall()[0]
    found = most
    if most <= _CELLS + 64 * cells:
        found = rows.connection.execute(
            """
            SELECT coalesce(sum(s.replicates), 0) FROM in_slices s JOIN in_prompt_sets b USING (prompt_set_id) SEMI JOIN (
                SELECT attack_id, prompt_id FROM in_renderings WHERE messages_id IS NOT NULL
                UNION ALL SELECT attack_id, prompt_id FROM in_pursuits
            ) x ON x.attack_id = s.attack_id AND x.prompt_id = b.prompt_id
            """
        ).fetchall()[0][0]
    if found != cells:
        raise rows.fault(None, None, f"the slices span {found:,.0f} cells, and `cells` has {cells:,} rows")


def _hidden(rows: Rows) -> None:
    """Refuse rows whose texts are withheld and there all the same, or there and hashed besides."""
    for table in TABLES:
        texts = [one.name for one in table.columns if one.family is not None and one.name != "sent"]
        hashes = [one for one in table.names if one.endswith("_sha256") and one != "raw_sha256"]
        if "withheld" not in table.names:
            continue
        there = " OR ".join(f't."{name}" IS NOT NULL' for name in texts)
        rows.refuse_where(table.name, f"t.withheld AND ({there})", "its text is withheld, and there")
        if hashes:
            there = " OR ".join(f't."{name}" IS NOT NULL' for name in hashes)
            rows.refuse_where(
                table.name, f"NOT t.withheld AND ({there})", "its text is there, and hashed as if it were not"
            )


def _once(rows: Rows, table: str, key: tuple[str, ...]) -> None:
    named = ", ".join(f'"{name}"' for name in key)
    found = rows.connection.execute(
        f"SELECT max(_file), arg_max(_row, _file) FROM at_{table} GROUP BY {named} HAVING count(*) > 1 LIMIT 1"
    ).fetchall()
    if found:
        raise rows.fault(found[0][0], found[0][1], f"{' · '.join(key)} is there twice")


def _wrong(what: str) -> str:
    return f"its content does not give its {what}"


def _in_python(rows: Rows, table: str, query: str, derive: Callable[..., str]) -> None:
    """Compare ids with what their rows give; `derive` is given the id as it stands and the fields, and returns its digits."""
    if table not in rows.present:
        return
    found = rows.connection.execute(query)
    # One at a time: texts can be long, and those of many shards together longer than memory.
    while one := found.fetchone():
        file, row, shown, *fields = one
        try:
            derived = derive(shown, *fields)
        except (LrmError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
            said = str(error).splitlines() or [type(error).__name__]
            raise rows.fault(file, row, f"{_wrong('id')}: {visible(said[0][:200])}") from error
        if derived != shown[3:]:
            raise rows.fault(file, row, _wrong("id"))


def _canonical(shown: str, messages: str) -> str:
    """Return the digits of messages whose text is canonical; the text itself was hashed already."""
    import orjson

    said = orjson.loads(messages)
    if not isinstance(said, list) or not all(isinstance(one, dict) and one.keys() == _MESSAGE for one in said):
        raise ValueError("no list of messages with role and content")
    if not all(isinstance(part, str) for one in said for part in one.values()):
        raise ValueError("a message is no text")
    # Keys are plain words and values are texts, for which sorted JSON is the canonical one.
    if orjson.dumps(said, option=orjson.OPT_SORT_KEYS) != messages.encode():
        raise ValueError("the messages are not canonical JSON")
    return shown[3:]


def _declared(
    shown: str, kind: str, identity: str | None, declaration: str, visibility: str | None, simulated: bool | None,
    harm_for: str | None, size: int | None,
) -> str:  # fmt: skip
    """Return the digits of a declaration's id; what else the row says must follow from the declaration too."""
    from lrm.registry.declarations import Model
    from lrm.registry.identity import model_identity

    said = json.loads(declaration)
    if not isinstance(said, dict):
        raise ValueError("the declaration is no table")  # noqa: TRY004 - all that is wrong with a row is one kind of error
    told = {"visibility": visibility, "simulated": simulated, "harm_for": harm_for, "size": size}
    if {name for name, value in told.items() if value is not None} != _TOLD[kind]:
        raise ValueError(f"it says something else than a {kind} does")
    if kind == "prompt_set":
        return shown[3:] if shown.startswith("s1:") else ""
    tag = {"model": "i1", "attack": "a1", "judge": "j1"}[kind]
    parts = json.loads(identity or "")
    if kind == "model":
        model = Model.model_validate_json(declaration)
        if model.backend != "imported" and model_identity(model) != parts:
            raise ValueError("the declaration is another model's")
        if (visibility, simulated) != (model.thinking.visibility, model.backend == "simulated"):
            raise ValueError("it says another visibility, or another origin, than the declaration")
    if kind == "judge" and harm_for != parts.get("harm_for", "unsafe"):
        raise ValueError("it measures harm on other prompts than its identity says")
    return hashing.digest(tag, parts).hex() if shown.startswith(tag + ":") else ""


def _label(
    _: str, model: str, attack: str, prompt: str, replicate: int, generation: str | None, scope: str, annotator: str,
    automatic: bool, rubric: str, label: str | None, score: float | None, unsafe: bool | None, note: str | None, spans: str,
) -> str:  # fmt: skip
    return hashing.label_id(
        bytes.fromhex(model[3:]), bytes.fromhex(attack[3:]), bytes.fromhex(prompt[3:]), replicate,
        None if generation is None else bytes.fromhex(generation[3:]), scope=scope, annotator=annotator, automatic=automatic,
        rubric=rubric, label=label, score=score, unsafe=unsafe, note=note, spans=spans,
    ).hex()  # fmt: skip


def _imported(_: str, sha256: str, format_name: str, options: str, as_cache: str | None) -> str:
    cached: Any = None if as_cache is None else bytes.fromhex(as_cache.removeprefix("i1:"))
    return hashing.import_id(sha256, format_name, json.loads(options), cached).hex()


def _labelled(rows: Rows) -> None:
    """Refuse rows whose names for readers are not those of a cell that they belong to."""
    names = ("model", "prompt_set", "prompt", "attack", "condition", "replicate")
    differs = " OR ".join(f't."{name}" IS DISTINCT FROM g."{name}"' for name in names)
    for table in ("raw", "traces", "verdicts"):
        source = f"at_{table} t JOIN in_generations g ON g.id = t.generation_id"
        other = "" if table == "verdicts" else " OR t.role <> g.role"
        rows.refuse_where(table, differs + other, "its names are not those of its response", source=source)
    rows.refuse_where(
        "generations", f"{differs} OR t.role <> g.role", "its names are not those of its call",
        source="at_generations t JOIN in_calls g ON g.id = t.call_id",
    )  # fmt: skip
    columns = ", ".join(f"c.{name}" for name in names)
    rows.refuse_where(
        "calls",
        f"t.role = 'subject' AND (t.id, {', '.join(f't.{name}' for name in names)}) NOT IN ("
        f"SELECT (g.call_id, {columns}) FROM in_cells c JOIN in_generations g ON g.id = c.generation_id)",
        "its names are those of no cell that it belongs to",
    )
    rows.refuse_where(
        "verdicts",
        "(t.judge, t.judge_id, t.scope) NOT IN (SELECT (judge, judge_id, scope) FROM in_chosen_judges)",
        "it is of a judge that no spec in here chose",
    )
    rows.refuse_where(
        "annotations",
        """t.id NOT IN (
            SELECT a.id FROM in_annotations a
            JOIN in_slices s ON s.model = a.model AND s.model_id = a.model_id AND s.attack = a.attack AND s.attack_id = a.attack_id
                AND s.prompt_set = a.prompt_set AND s.condition = a.condition
                AND a.number BETWEEN s.first_replicate AND s.first_replicate + s.replicates - 1 AND a.replicate = a.number
            JOIN in_prompt_sets b ON b.prompt_set_id = s.prompt_set_id AND b.prompt_id = a.prompt_id
            JOIN in_prompts p ON p.id = a.prompt_id AND p.prompt = a.prompt
        )""",
        "its names are those of no cell that it belongs to",
    )
