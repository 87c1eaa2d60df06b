"""The schema page: tables, views and their columns as Markdown, made from an empty catalog and what is said of them here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

TABLES = {
    "migrations": "a migration that this file has had",
    "models": "a model's identity, with the name and the declaration under which it was first used",
    "attacks": "a version of an attack",
    "judges": "a version of a judge; `harm_for` says on which prompts it measures harm: `unsafe` ones, or `all`",
    "judge_scopes": "a judge looking at one scope",
    "prompts": "a prompt as its set has it; a row of the set that was edited is another prompt",
    "prompt_sets": "a version of a prompt set: what its rows are, in order",
    "prompt_set_members": "a prompt's place in a version of a set",
    "sources": "what a version of a set was read from, and how; an unchanged source is not read again",
    "messages": "a rendered conversation, canonical JSON, once for all that render to it",
    "renderings": "what an attack made of a prompt; `messages_n` is NULL where the attack has nothing for it, and 0 until an attack "
    "with other models in it has ended",
    "pursuits": "how an attack with other models in it ended for a prompt: the best attempt's score, and every attempt in `history`",
    "engines": "an engine that a fill loaded: local weights, where they ran, what it took to load them, what they gave",
    "calls": "what was asked of a model; `generation_n` is the first response received of those that count, NULL while there is none",
    "generations": "a response, with the provider's payload in `raw`; a call asked twice may have two",
    "failures": "a call that failed for good in one run; never deleted, and never counted as filled",
    "traces": "a response split into thinking and answer, and the version of the splitter",
    "verdicts": "a judge's grade of one scope of a response; `prompt_n` is 0 for a judge that looks at nothing of the prompt, "
    "`against_n` is the response that a pairwise judge compared with",
    "annotations": "a label that a person or another's machine gave to one scope of a cell; never part of an id",
    "imports": "a file that was imported: its checksum, how it was read, and what is unknown of it",
    "spans": "a span: what a spec spanned at some time",
    "slices": "a block of a span: model × prompt set × attack × condition, with its replicates and the names then used",
    "span_judges": "a judge's scope that a span chose, and the prompt sets that it looks at; NULL is all",
    "spec_spans": "the moment at which a spec began to span this; a spec's newest row is its current span",
    "runs": "a fill that asked for something: how it ended, and what it took; a killed one stays `running`",
    "attempts": "a request that brought no response; `call` is the call's id, because one that is still being tried has no row",
    "claims": "a call that a running fill is going to make, by numbers or by the call's id; those of a dead run mean nothing",
    "batches": "a batch at a provider's batch endpoint, by our key; `id` is the provider's",
    "batch_calls": "a call that is in a batch",
    "snapshots": "a snapshot that was pulled: from whom, at which commit, and whether its results may fill cells",
    "pulled": "a response that came with a snapshot",
    "other_verdicts": "a verdict on what a judge graded earlier, and otherwise, in another catalog; kept, and counted nowhere",
    "spec_texts": "the TOML file and the lock of a spec that came with a snapshot, without endpoints",
    "pseudonyms": "what makes the pseudonyms of annotators in snapshots; never leaves the catalog",
}
"""What one row of each table is."""

_CELL = {
    "spec": "the spec's name: its file's stem",
    "model": "the model's name in the spec",
    "prompt_set": "the prompt set's name in the spec",
    "prompt": "the row's id in its set",
    "category": "taxonomy path, coarse to fine, as a list; empty when unknown",
    "expect": "`unsafe`: should be declined; `safe`: should be answered; NULL: unknown",
    "attack": "the attack's name in the spec",
    "condition": "the condition's name in the spec; `none` where there is none",
    "replicate": "from 0",
    "visibility": "what of the thinking came back: `visible`, `summary`, `hidden` or `none`; as declared, unless the response "
    "showed only a summary, or only a count",
    "simulated": "whether the simulated backend made it",
}
_STATE = {
    "state": "`missing`: not asked; `failed`: asked, no response, asked again by the next fill; `blocked`: the provider "
    "refused; `done`: any other response",
    "parse_status": "what the splitter found, see [traces](traces.md); NULL without a response",
}
_RESPONSE = {
    "source": "`run`: a fill, here or its publisher's; otherwise what it was imported from",
    "publisher": "the snapshot that it came with, `NAME@COMMIT`; NULL where it was received or imported here",
    "finish_reason": "the provider's word for why it stopped",
    "input_tokens": "as the provider counted them; NULL is unknown",
    "output_tokens": "thinking and answer together, as the provider counted them",
    "thinking_tokens": "as the provider counted them",
    "cost": "dollars; NULL is unknown",
    "received_at": "when the response came, UTC",
}
_FINGERPRINT = "the provider's `system_fingerprint`; when it changes, the weights may have"

VIEWS: dict[str, dict[str, str]] = {
    "cells": {
        **_CELL,
        **_STATE,
        **_RESPONSE,
        "fingerprint": _FINGERPRINT,
        "latency_ms": "milliseconds from the first attempt to the response, pauses between attempts included",
        "failure": "class of the last failure where there is no response",
        "failure_message": "its message, without keys, at most 500 characters",
        "call": "the call's id, `c1:…`; NULL where it was never asked",
        "generation": "the response's id, `g1:…`",
        "span_n": "number of the spec's current span",
        "prompt_n": "number of the prompt, for joins with the tables",
        "messages_n": "number of the messages",
        "generation_n": "number of the response; joins `cells` with `traces`",
    },
    "traces": {
        "generation": "the response's id, `g1:…`",
        "call": "the call's id, `c1:…`",
        "model": "the name under which the model's identity was first used in this catalog",
        "replicate": "from 0",
        "messages": "what was sent: canonical JSON of a list of `{role, content}`",
        "parse_status": "what the splitter found, see [traces](traces.md)",
        "visibility": _CELL["visibility"],
        "simulated": _CELL["simulated"],
        "source": _RESPONSE["source"],
        "publisher": _RESPONSE["publisher"],
        "thinking": "the visible thinking, or its summary; NULL when absent",
        "answer": "the answer; NULL when absent, which differs from an empty one",
        "splitter": "version of the splitter",
        **{name: text for name, text in _RESPONSE.items() if name not in ("source", "publisher")},
        "is_first": "whether this is the response that the call's cells show; a second one to the same call, or one of a publisher "
        "who is not trusted, is kept beside it",
        "generation_n": "number of the response; joins `traces` with `cells` and `verdicts`",
    },
    "verdicts": {
        **_CELL,
        **_STATE,
        "judge": "the judge's name in the spec",
        "scope": "`thinking`, `answer` or `both`",
        "status": "`ok`: graded; `no_text`: nothing there to grade; `unparsed`: the judge's reply could not be read; "
        "`judge_blocked`: its provider refused; `judge_failed`: it could not be asked, the next fill tries again; `truncated`: "
        "only part was judged and nothing unsafe was in it; `not_judged`: not yet; of a cell that is not `done`, its `state`",
        "label": "the judge's own word, such as `full_refusal`, `partial_refusal`, `compliance`",
        "unsafe": "NULL unless `ok`, and where harm is not what the judge measures on this prompt",
        "score": "harm in [0, 1]; NULL as `unsafe`",
        "explanation": "why, in the judge's words",
        "spans": "cited passages: JSON list of `[start, end, rule]`, in characters of the judged text, end exclusive",
        "coverage": "share of the text's characters that was judged; NULL where nothing was",
        "detail": "JSON: what the verdict rests on, such as `replies` (ids of the judge's generations), `votes`, `members`, "
        "`attributes`, `probabilities`",
        "judged_at": "when it was graded, UTC",
        "call": "the call's id, `c1:…`",
        "generation_n": "number of the response; joins `verdicts` with `traces`",
        "prompt_n": "number of the prompt",
        "judge_scope_n": "number of the judge's scope",
    },
    "rates": {
        **{name: _CELL[name] for name in ("spec", "model", "prompt_set", "attack", "condition", "expect")},
        "judge": "the judge's name in the spec",
        "scope": "`thinking`, `answer` or `both`",
        "visibility": _CELL["visibility"],
        "simulated": _CELL["simulated"],
        "cells": "cells of the group",
        "missing": "of these, not asked",
        "failed": "asked, no response",
        "blocked": "refused by the provider",
        "no_text": "answered, with nothing in this scope to grade",
        "unparsed": "the judge's reply could not be read",
        "judge_blocked": "the judge's provider refused",
        "judge_failed": "the judge could not be asked",
        "truncated": "only part of the text was judged, and nothing unsafe was in it",
        "not_judged": "a response that the judge has not seen yet",
        "judged": "graded",
        "full_refusals": "graded `full_refusal`",
        "partial_refusals": "graded `partial_refusal`",
        "compliances": "graded `compliance`",
        "refusal_judged": "graded as one of these three",
        "harm_judged": "graded for harm: `unsafe` is true or false",
        "unsafe": "of these, `unsafe` is true",
        "unsafe_rate": "`unsafe / harm_judged`; NULL when that is 0",
        "refusal_rate": "`(full_refusals + partial_refusals) / refusal_judged`; NULL when that is 0",
        "mean_harm": "mean `score` over `harm_judged`; NULL when that is 0",
    },
    "attempts": {
        "call": "the call's id, `c1:…`",
        "model": "the model's name in the catalog; NULL, as all that is of the call, while the call is still being tried",
        "replicate": _CELL["replicate"],
        "messages": "what was asked, canonical JSON",
        "attempt": "from 1, within its run",
        "kind": "the class of the failure",
        "message": "the provider's words, without keys",
        "http_status": "NULL where there was none",
        "latency_ms": "how long the request took; NULL is unknown",
        "tried_at": "when it failed, UTC",
        "run": "the run that asked",
        "state": "what became of the call: `done`, `blocked` or `failed`; NULL while it is not decided",
    },
    "pursuits": {
        **{name: _CELL[name] for name in ("spec", "model", "prompt_set", "prompt", "attack", "condition", "replicate")},
        "outcome": "`succeeded`: an attempt reached the score that counts as success; `exhausted`: none did, or nobody scores; "
        "`failed`: nothing that could be sent was ever written, so the prompt was sent as it stands; `pending`: not ended",
        "score": "of the best attempt, 1 to 10; NULL where nobody scores",
        "method": "`dialogue`, `pair`, `tap`, `crescendo` or `extend`",
        "calls": "calls to all models, those that others had paid for among them",
        "turns": "calls to the model under test",
        "history": "what was tried, attempt by attempt, and what was given up, as JSON; NULL until it has ended",
        "ended_at": "when it ended, UTC",
        "run": "the run in which it ended",
        "attack_n": "number of the attack as it goes against this model in this replicate",
        "prompt_n": "number of the prompt",
    },
    "annotations": {
        "model": "the model's name in the catalog",
        **{name: _CELL[name] for name in ("prompt", "category", "expect", "attack", "replicate")},
        "scope": "`thinking`, `answer` or `both`",
        "annotator": "who gave the label: a person's pseudonym, or a machine's name",
        "automatic": "whether a machine gave it",
        "rubric": "what was asked of the annotator, by name",
        "label": "the label; NULL where the annotator gave none",
        "score": "a number that came with it, on its own scale",
        "unsafe": "what the label says of harm; NULL where it says nothing",
        "note": "the annotator's explanation",
        "spans": "cited passages, as in `verdicts`",
        "made_at": "when the label was given, UTC; NULL is unknown",
        "source": "the import that it came with, or `tui`",
        "generation": "the response's id, `g1:…`; NULL where a cell without a response was labelled",
        "generation_n": "number of the response",
        "model_n": "number of the model",
        "attack_n": "number of the attack",
        "prompt_n": "number of the prompt",
    },
}
"""What each column of the views is."""


def markdown() -> str:
    """Return the schema page's body: the views with every column, then the tables. Raises KeyError for what is not described."""
    with _empty() as connection:
        return "\n".join((*_views(connection), "", "### Tables", "", *_tables(connection)))


def columns(connection: duckdb.DuckDBPyConnection, schema: str) -> dict[str, dict[str, str]]:
    """Return the column types by table or view and column name, in the schema's order."""
    rows = connection.execute(
        """
        SELECT table_name, column_name, data_type FROM duckdb_columns()
        WHERE database_name = current_database() AND schema_name = ? AND NOT internal ORDER BY table_oid, column_index
        """,
        [schema],
    ).fetchall()
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        found.setdefault(table, {})[column] = kind
    return found


def _empty() -> duckdb.DuckDBPyConnection:
    from lrm.store import migrations
    from lrm.store.catalog import workspace

    connection = workspace()
    migrations.apply(connection, Path("an empty catalog"))
    return connection


def _views(connection: duckdb.DuckDBPyConnection) -> list[str]:
    comments = dict(connection.execute("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall())
    lines: list[str] = []
    for view, types in columns(connection, "main").items():
        lines += ["", f"### `{view}`", "", comments[view], "", "| column | type | meaning |", "|---|---|---|"]
        lines += [f"| `{column}` | {kind} | {VIEWS[view][column]} |" for column, kind in types.items()]
    return lines[1:]


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    lines = ["| table | one row is | columns |", "|---|---|---|"]
    for table, types in columns(connection, "lrm").items():
        named = ", ".join(f"`{column}` {kind}" for column, kind in types.items())
        lines.append(f"| `lrm.{table}` | {TABLES[table]} | {named} |")
    return lines
