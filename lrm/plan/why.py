"""Why a cell is there or missing: the parts of its key, and the nearest response when there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrm import hashing
from lrm.errors import MissingError, known_names_hint
from lrm.plan import workspace
from lrm.spec.lock import Lock
from lrm.spec.matrix import AT, UNCONDITIONED, Matrix, named
from lrm.store.catalog import Catalog
from lrm.store.trust import not_counted, publisher_of

if TYPE_CHECKING:
    import duckdb

_CALL_ID = re.compile(r"^(?:c1:)?([0-9a-f]{4,64})$")
FORMS = "MODEL/PROMPT_SET/PROMPT/ATTACK[/REPLICATE], or a call's id `c1:…` (its first digits will do)"


@dataclass(frozen=True, slots=True)
class Difference:
    """A part of the key in which the nearest response differs."""

    field: str
    here: str
    there: str


@dataclass(frozen=True, slots=True)
class Nearest:
    """The response that comes nearest to a missing one."""

    call: str
    model: str
    differs: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Why:
    """What a cell's call is made of, and whether the catalog has it."""

    call: str
    state: str
    """`done`, `blocked`, `failed` or `missing`."""
    explanation: str
    parts: tuple[tuple[str, str], ...]
    """(field, value), in the order of the key."""
    cells: tuple[str, ...]
    """Cells of current spans that share the call, as MODEL/SET/PROMPT/ATTACK/REPLICATE; at most ten."""
    nearest: Nearest | None = None
    publisher: str | None = None
    """The snapshot that its response came with, `NAME@COMMIT`; None where it was received or imported here, or is missing."""


@dataclass(frozen=True, slots=True)
class _State:
    name: str
    explanation: str = ""
    publisher: str | None = None


@dataclass(frozen=True, slots=True)
class _Key:
    model_n: int
    messages_n: int
    replicate: int
    prompt_n: int | None = None
    attack: str | None = None


def why(catalog: Catalog, cell: str, matrix: Matrix | None = None, pins: Lock | None = None) -> Why:
    """Explain one cell, named as in FORMS; with a matrix, as that spec declares it now, else as it was last filled.

    Raises MissingError for a cell that is not in the matrix, with the nearest name.
    """
    if matrix is None:
        catalog.require()
    with _tables(catalog, matrix, pins) as connection:
        key = _find(connection, cell)
        return _explain(connection, key)


@contextmanager
def _tables(catalog: Catalog, matrix: Matrix | None, pins: Lock | None) -> Iterator[duckdb.DuckDBPyConnection]:
    if matrix is not None:
        with workspace.opened(catalog, matrix, pins or Lock()) as space:
            yield space.connection
        return
    with workspace.bare(catalog) as connection:
        connection.execute(
            """
            INSERT INTO slices
            SELECT row_number() OVER (), model_n, model, set_n, prompt_set, attack_n, attack, replicates, condition, first_replicate
            FROM cat.lrm.slices
            WHERE span_n IN (SELECT arg_max(span_n, n) FROM cat.lrm.spec_spans GROUP BY spec)
            """
        )
        yield connection


def _find(connection: duckdb.DuckDBPyConnection, cell: str) -> _Key:
    matched = _CALL_ID.match(cell)
    if matched and "/" not in cell:
        return _by_id(connection, cell, matched[1])
    parts = cell.split("/")
    if len(parts) < 4:
        raise MissingError(f"`{cell}` does not name a cell", hint=f"a cell is {FORMS}")
    attacks = [row[0] for row in connection.execute("SELECT DISTINCT attack FROM slices").fetchall()]
    replicate = 0
    if parts[-1].isdecimal() and len(parts) > 4 and (named(parts[-2]) in attacks or parts[-1] not in attacks):
        replicate = int(parts.pop())
    return _by_name(connection, parts[0], parts[1], "/".join(parts[2:-1]), parts[-1], replicate)


def _by_id(connection: duckdb.DuckDBPyConnection, cell: str, prefix: str) -> _Key:
    rows = connection.execute(
        "SELECT id, model_n, messages_n, replicate FROM cat.lrm.calls WHERE starts_with(lower(hex(id)), ?) LIMIT 6",
        [prefix],
    ).fetchall()
    if not rows:
        raise MissingError(
            f"the catalog has no call {cell}", hint=f"name the cell in words to see what it would be: a cell is {FORMS}"
        )
    if len(rows) > 1:
        some = ", ".join(hashing.show("c1", row[0])[:19] + "…" for row in rows[:5])
        raise MissingError(f"several calls begin with {cell}: {some}", hint="give more digits")
    return _Key(*rows[0][1:])


def _by_name(
    connection: duckdb.DuckDBPyConnection, model: str, prompt_set: str, prompt: str, attack: str, replicate: int
) -> _Key:
    attack, _, condition = attack.partition(AT)
    condition = condition or UNCONDITIONED
    given = (("model", model), ("prompt_set", prompt_set), ("attack", attack), ("condition", condition))
    for column, name in given:
        names = [row[0] for row in connection.execute(f"SELECT DISTINCT {column} FROM slices").fetchall()]
        if name not in names:
            raise MissingError(
                f"there is no {column.replace('_', ' ')} `{name}` in the matrix", hint=known_names_hint(name, names)
            )
    rows = connection.execute(
        """
        SELECT s.model_n, x.messages_n, s.first_replicate + s.replicates, p.n
        FROM slices s JOIN members b ON b.set_n = s.set_n JOIN prompts p ON p.n = b.prompt_n
        LEFT JOIN renderings x ON x.attack_n = s.attack_n AND x.prompt_n = p.n
        WHERE s.model = ? AND s.prompt_set = ? AND s.attack = ? AND s.condition = ? AND p.key = ?
        ORDER BY s.first_replicate + s.replicates <= ?, s.first_replicate
        """,
        [model, prompt_set, attack, condition, prompt, replicate],
    ).fetchall()
    if not rows:
        keys = [
            row[0]
            for row in connection.execute(
                """
                SELECT DISTINCT p.key FROM slices s JOIN members b ON b.set_n = s.set_n JOIN prompts p ON p.n = b.prompt_n
                WHERE s.model = ? AND s.prompt_set = ? AND s.attack = ? AND s.condition = ?
                """,
                [model, prompt_set, attack, condition],
            ).fetchall()
        ]
        if not keys:
            raise MissingError(
                f"the spec leaves out {model} × {prompt_set} × {attack}", hint="see its include and exclude"
            )
        raise MissingError(f"there is no prompt `{prompt}` in {prompt_set}", hint=known_names_hint(prompt, keys))
    model_n, messages_n, replicates, prompt_n = rows[0]
    if messages_n is None:
        raise MissingError(f"{attack} has nothing for prompt `{prompt}`: this is no cell")
    if replicate >= replicates:
        raise MissingError(f"the spec has {replicates} replicates, numbered from 0; there is no {replicate}")
    return _Key(model_n, messages_n, replicate, prompt_n, attack)


def _models(connection: duckdb.DuckDBPyConnection) -> dict[int, tuple[bytes, str, dict[str, Any]]]:
    rows = connection.execute(
        "SELECT n, id, name, identity FROM cat.lrm.models UNION ALL SELECT n, id, name, identity FROM new_models"
    ).fetchall()
    return {n: (found, name, json.loads(identity)) for n, found, name, identity in rows}


def _explain(connection: duckdb.DuckDBPyConnection, key: _Key) -> Why:
    models = _models(connection)
    model_id, name, identity = models[key.model_n]
    if key.messages_n == 0:
        return _not_known(key, f"{name} ({hashing.show('i1', model_id)})")
    messages_id, messages = connection.execute(
        "SELECT id, messages FROM messages WHERE n = ?", [key.messages_n]
    ).fetchall()[0]
    call = hashing.call_id(model_id, messages_id, key.replicate)
    found = _state(connection, call)
    state, explanation = found.name, found.explanation
    parts = (
        ("model", f"{name} ({hashing.show('i1', model_id)})"),
        *((f"model.{field}", value) for field, value in _flat(identity).items()),
        ("messages", hashing.show("m1", messages_id)),
        *((f"messages.{field}", value) for field, value in _flat(json.loads(messages)).items()),
        ("replicate", str(key.replicate)),
    )
    nearest = _nearest(connection, key, models, messages) if state in ("missing", "failed") else None
    if state == "missing" and not explanation:
        explanation = (
            "no response in the catalog has this key"
            if nearest is None
            else f"no response has this key; the nearest differs in {', '.join(one.field for one in nearest.differs)}"
        ) + _engine(connection, key)
    return Why(hashing.show("c1", call), state, explanation, parts, _cells(connection, key), nearest, found.publisher)


def _engine(connection: duckdb.DuckDBPyConnection, key: _Key) -> str:
    """Return, as the end of a sentence, why the engine of a model that runs here did not answer; empty where it did."""
    rows = connection.execute(
        """
        SELECT e.fault, e.started_at, e.load_s FROM cat.lrm.engines e
        WHERE e.checkpoint IN (
            SELECT json_extract_string(declaration, '$.model')
            FROM (SELECT n, declaration FROM cat.lrm.models UNION ALL SELECT n, declaration FROM new_models) WHERE n = ?
        )
        ORDER BY e.started_at DESC LIMIT 1
        """,
        [key.model_n],
    ).fetchall()
    if not rows or rows[0][0] is None:
        return ""
    fault, started_at, load_s = rows[0]
    how = "did not start" if load_s is None else "died"
    return f"; its engine {how}, {started_at:%Y-%m-%d %H:%M} UTC: {fault}"


def _not_known(key: _Key, model: str) -> Why:
    parts = (("model", model), ("messages", "not known yet"), ("replicate", str(key.replicate)))
    explanation = f"{key.attack} has other models in it, and has not come to its end for this prompt"
    return Why("not known yet", "missing", explanation, parts, ())


def _state(connection: duckdb.DuckDBPyConnection, call: bytes) -> _State:
    """Return a call's state; a missing one is explained only where a response is there that does not count."""
    rows = connection.execute(
        """
        SELECT g.status, g.received_at, g.run, g.source, g.n, c.n
        FROM cat.lrm.calls c LEFT JOIN cat.lrm.generations g ON g.n = c.generation_n WHERE c.id = ?
        """,
        [call],
    ).fetchall()
    if not rows:
        return _State("missing")
    status, received_at, run, source, generation_n, call_n = rows[0]
    if status is not None:
        published = publisher_of(connection, generation_n, "cat.lrm")
        whom = f"{source} {run}" if published is None else f"its publisher; came with {published.snapshot}"
        state = "blocked" if status == "blocked" else "done"
        explanation = f"answered {received_at:%Y-%m-%d %H:%M} UTC by {whom}"
        return _State(state, explanation, None if published is None else published.snapshot)
    ignored = "; ".join(
        f"the response that came with {one.snapshot} does not count: {one.whose} is not trusted"
        for one in not_counted(connection, call_n, "cat.lrm")
    )
    failed = connection.execute(
        "SELECT kind, message, attempts, failed_at FROM cat.lrm.failures WHERE call_n = ? ORDER BY failed_at DESC LIMIT 1",
        [call_n],
    ).fetchall()
    if not failed:
        return _State("missing", ignored)
    kind, message, attempts, failed_at = failed[0]
    said = f"{kind} after {attempts} attempts, {failed_at:%Y-%m-%d %H:%M} UTC: {message}; the next fill asks again"
    return _State("failed", f"{said}; {ignored}" if ignored else said)


def _cells(connection: duckdb.DuckDBPyConnection, key: _Key) -> tuple[str, ...]:
    rows = connection.execute(
        """
        SELECT s.model, s.prompt_set, p.key, s.attack || CASE WHEN s.condition = 'none' THEN '' ELSE '@' || s.condition END
        FROM slices s JOIN members b ON b.set_n = s.set_n JOIN prompts p ON p.n = b.prompt_n
        JOIN renderings x ON x.attack_n = s.attack_n AND x.prompt_n = p.n
        WHERE s.model_n = ? AND x.messages_n = ? AND ? BETWEEN s.first_replicate AND s.first_replicate + s.replicates - 1
        ORDER BY ALL LIMIT 10
        """,
        [key.model_n, key.messages_n, key.replicate],
    ).fetchall()
    return tuple("/".join((*row, str(key.replicate))) for row in rows)


def _nearest(
    connection: duckdb.DuckDBPyConnection,
    key: _Key,
    models: Mapping[int, tuple[bytes, str, dict[str, Any]]],
    messages: str,
) -> Nearest | None:
    """Return the answered call with the fewest differing parts: of the same messages, or of texts of a prompt of this name."""
    candidates = connection.execute(
        """
        SELECT c.id, c.model_n, c.replicate, m.messages
        FROM cat.lrm.calls c JOIN cat.lrm.messages m ON m.n = c.messages_n
        WHERE c.generation_n IS NOT NULL AND (
            c.messages_n = $messages_n
            OR c.messages_n IN (
                SELECT x.messages_n FROM cat.lrm.renderings x JOIN cat.lrm.prompts p ON p.n = x.prompt_n
                WHERE p.key = (SELECT key FROM prompts WHERE n = $prompt_n)
            )
        )
        ORDER BY c.messages_n = $messages_n DESC, c.model_n = $model_n DESC, c.replicate = $replicate DESC, c.n LIMIT 1000
        """,
        {"messages_n": key.messages_n, "model_n": key.model_n, "replicate": key.replicate, "prompt_n": key.prompt_n},
    ).fetchall()
    identity = models[key.model_n][2]
    best: Nearest | None = None
    for call, model_n, replicate, other in candidates:
        differs = (
            *_differences("model.", identity, models[model_n][2]),
            *_differences("messages.", json.loads(messages), json.loads(other)),
            *_differences("", {"replicate": key.replicate}, {"replicate": replicate}),
        )
        if best is None or _weight(differs) < _weight(best.differs):
            best = Nearest(hashing.show("c1", call), models[model_n][1], differs)
    return best


def _weight(differs: tuple[Difference, ...]) -> tuple[int, int]:
    """Fewest fields first; of as many, the one whose texts are nearer in length."""
    return len(differs), sum(abs(len(one.here) - len(one.there)) for one in differs)


def _differences(prefix: str, here: Any, there: Any) -> Iterator[Difference]:
    ours, theirs = _flat(here), _flat(there)
    for field in dict.fromkeys((*ours, *theirs)):
        if ours.get(field) != theirs.get(field):
            yield Difference(prefix + field, ours.get(field, "not set"), theirs.get(field, "not set"))


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Return the leaves of a JSON value by dotted path."""
    if isinstance(value, dict) and value:
        pairs = ((str(name), one) for name, one in value.items())
    elif isinstance(value, list) and value:
        pairs = ((str(index), one) for index, one in enumerate(value))
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return {prefix.rstrip("."): text}
    flat: dict[str, str] = {}
    for name, one in pairs:
        flat |= _flat(one, f"{prefix}{name}.")
    return flat
