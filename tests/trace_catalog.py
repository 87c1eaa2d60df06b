"""A small catalog with one response of each kind, for the views that show single responses."""

from __future__ import annotations

from pathlib import Path

from lrm.backends.base import Call
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from tests import builders

LONG = "\n".join(f"line {n} of a very long thought, step by step" for n in range(3_500))
"""About 150,000 characters."""
NASTY = "\x1b[31mred\x1b]0;title\x07 [link=file:///x]markup[/link] [@click=app.quit]go[/] \u202eright\u200b\x9b2J"
PROMPTS = {
    "plain": "How does a lock work?", "long": "Think for long.", "nasty": f"Nasty {NASTY} prompt", "empty": "Say nothing.",
    "blocked": "Is this refused?", "failed": "Does this fail?",
}  # fmt: skip
ANSWERS = {
    "plain": ("I'm sorry, but I can't help with that.", "They ask how it works. I should refuse this. I can't help with that."),
    "long": (f"The answer at last. {'word ' * 200}", LONG),
    "nasty": (f"Answer {NASTY}", f"Thought {NASTY}"),
    "empty": ("", "A thought without an answer."),
    "blocked": ("", None),
}  # fmt: skip


def matrix() -> Matrix:
    """Return three models that are asked everything: one run, one whose thinking is a summary, one that was not asked."""
    return builders.matrix(
        [
            builders.http_model("http://127.0.0.1:9/v1", "alpha"),
            builders.http_model(
                "http://127.0.0.1:9/v1", "beta", behaviour="summed", thinking={"visibility": "summary"}
            ),
            builders.model("gamma"),
        ],
        [builders.prompt_set("set", PROMPTS)],
        judges=[builders.judge(scopes=("thinking", "answer"))],
        name="spec",
    )


def filled(folder: Path) -> Catalog:
    """Make the catalog; the model `gamma` has no response, and `failed` has none of any model."""
    catalog = Catalog(folder / "catalog.duckdb")
    texts = {text: key for key, text in PROMPTS.items()}

    def raw(call: Call) -> str:
        import json

        key = texts[json.loads(call.messages)[-1]["content"]]
        answer, thinking = ANSWERS.get(key, ("An answer.", "A thought."))
        return builders.payload(answer, thinking)

    builders.answer(catalog, matrix(), raw=raw)
    with catalog.writing() as connection:
        connection.execute(
            """
            CREATE TEMP TABLE gone AS
            SELECT c.n AS call_n, c.id AS call, g.n AS generation_n FROM lrm.calls c JOIN lrm.generations g ON g.call_n = c.n
            JOIN lrm.models m ON m.n = c.model_n JOIN lrm.messages x ON x.n = c.messages_n
            WHERE m.name = 'gamma' OR contains(x.messages, 'Does this fail')
            """
        )
        connection.execute("UPDATE lrm.calls SET generation_n = NULL WHERE n IN (SELECT call_n FROM gone)")
        for table in ("verdicts", "traces"):
            connection.execute(f"DELETE FROM lrm.{table} WHERE generation_n IN (SELECT generation_n FROM gone)")
        connection.execute("DELETE FROM lrm.generations WHERE n IN (SELECT generation_n FROM gone)")
        connection.execute(
            """
            INSERT INTO lrm.failures BY NAME
            SELECT call_n, 'timeout' AS kind, 'no reply in 60 s \x1b[31m' AS message, 4 AS attempts,
                TIMESTAMP '2026-01-02 03:04:05' AS failed_at, 'r1' AS run
            FROM gone JOIN lrm.calls c ON c.n = call_n JOIN lrm.models m ON m.n = c.model_n WHERE m.name <> 'gamma'
            """
        )
        connection.execute(
            """
            UPDATE lrm.generations SET status = 'blocked' WHERE call_n IN (
                SELECT c.n FROM lrm.calls c JOIN lrm.messages x ON x.n = c.messages_n WHERE contains(x.messages, 'refused?'))
            """
        )
        connection.execute(
            "UPDATE lrm.traces SET status = 'blocked' WHERE generation_n IN (SELECT n FROM lrm.generations WHERE status = 'blocked')"
        )
        connection.execute("DROP TABLE gone")
    return catalog


def ids(catalog: Catalog) -> dict[tuple[str, str], str]:
    """Return the id of each cell's response, else of its call, by model and prompt."""
    rows = builders.rows(catalog, "SELECT model, prompt, coalesce(generation, call) FROM cells WHERE call IS NOT NULL")
    return {(model, prompt): found for model, prompt, found in rows}
