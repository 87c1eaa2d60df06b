"""Renderings: what attacks make of prompts, for the pairs that the catalog does not remember."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lrm import hashing
from lrm.attacks.render import Renderer
from lrm.prompts.prompt import Prompt

if TYPE_CHECKING:
    import duckdb

CHUNK = 10_000


def render_missing(connection: duckdb.DuckDBPyConnection, renderers: Mapping[int, tuple[str, Renderer]]) -> int:
    """Render each (attack, prompt) of the slices that neither catalog nor workspace has; return how many there were.

    `renderers` is by attack number. Raises SpecError where an attack cannot be applied to a prompt.
    """
    connection.execute(
        """
        CREATE OR REPLACE TABLE unrendered AS
            SELECT DISTINCT s.attack_n, b.prompt_n
            FROM (SELECT DISTINCT set_n, attack_n FROM slices) s JOIN members b ON b.set_n = s.set_n
            WHERE NOT EXISTS (SELECT 1 FROM renderings r WHERE r.attack_n = s.attack_n AND r.prompt_n = b.prompt_n)
        """
    )
    total = int(connection.execute("SELECT count(*) FROM unrendered").fetchall()[0][0])
    if not total:
        return 0
    for attack_n, (_, renderer) in renderers.items():
        rows = connection.cursor().execute(
            """
            SELECT p.n, p.key, p.text, p.system, p.turns, p.category, p.expect, p.meta
            FROM prompts p WHERE p.n IN (SELECT prompt_n FROM unrendered WHERE attack_n = ?) ORDER BY p.n
            """,
            [attack_n],
        )
        while chunk := rows.fetchmany(CHUNK):
            _store(connection, attack_n, chunk, renderer)
    return total


def _store(connection: duckdb.DuckDBPyConnection, attack_n: int, chunk: list[Any], renderer: Renderer) -> None:
    import pyarrow as pa

    rendered = [(row[0], renderer.render(prompt_of(*row[1:]))) for row in chunk]
    ids = [None if text is None else hashing.messages_text_id(text) for _, text in rendered]
    connection.register(
        "incoming",
        pa.table(
            {
                "prompt_n": pa.array([n for n, _ in rendered], pa.int32()),
                "id": pa.array(ids, pa.binary()),
                "messages": pa.array([text for _, text in rendered], pa.string()),
            }
        ),
    )
    connection.execute(
        """
        INSERT INTO new_messages
            SELECT greatest(
                    (SELECT coalesce(max(n), 0) FROM cat.lrm.messages), (SELECT coalesce(max(n), 0) FROM new_messages)
                ) + row_number() OVER (ORDER BY first), id, messages
            FROM (
                SELECT id, any_value(messages) AS messages, min(prompt_n) AS first
                FROM incoming WHERE id IS NOT NULL GROUP BY id
            ) i
            WHERE NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = i.id)
        """
    )
    connection.execute(
        "INSERT INTO new_renderings SELECT ?, i.prompt_n, m.n FROM incoming i LEFT JOIN messages m ON m.id = i.id",
        [attack_n],
    )
    connection.unregister("incoming")


def prompt_of(
    key: str,
    text: str,
    system: str | None,
    turns: str,
    category: Sequence[str],
    expect: Any,
    meta: str,
) -> Prompt:
    """Return a prompt as it stands in the catalog's columns."""
    pairs = tuple((turn["role"], turn["content"]) for turn in json.loads(turns)) if turns != "[]" else ()
    return Prompt(key, text, system, pairs, tuple(category), expect, meta)


def prompt_table(prompts: Sequence[Prompt], ids: Sequence[bytes]) -> Any:
    """Return prompts as an Arrow table with the catalog's columns and an ordinal from 0."""
    import pyarrow as pa

    return pa.table(
        {
            "ordinal": pa.array(range(len(prompts)), pa.int32()),
            "id": pa.array(ids, pa.binary()),
            "key": pa.array([prompt.key for prompt in prompts], pa.string()),
            "text": pa.array([prompt.text for prompt in prompts], pa.string()),
            "system": pa.array([prompt.system for prompt in prompts], pa.string()),
            "turns": pa.array(
                [
                    hashing.canonical([{"role": role, "content": text} for role, text in prompt.turns]).decode()
                    for prompt in prompts
                ],
                pa.string(),
            ),
            "category": pa.array([list(prompt.category) for prompt in prompts], pa.list_(pa.string())),
            "expect": pa.array([prompt.expect for prompt in prompts], pa.string()),
            "meta": pa.array([prompt.meta for prompt in prompts], pa.string()),
        }
    )
