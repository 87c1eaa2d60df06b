"""The page of tables: the columns of a snapshot as Markdown, from the tables themselves and what is said of them here."""

from __future__ import annotations

from lrm.snapshot.tables import TABLES, Column, Table
from lrm.store.schema_page import VIEWS

_TYPES = {
    "string": "string", "strings": "list of strings", "int32": "int32", "int64": "int64", "float64": "double", "bool": "bool",
    "timestamp": "timestamp",
}  # fmt: skip
_ROLE = "`subject`: a model under test; `judge` or `attacker`: a model on the way"
_SPENT = {
    name: VIEWS["cells"][name]
    for name in ("finish_reason", "input_tokens", "output_tokens", "thinking_tokens", "cost", "received_at", "latency_ms", "fingerprint")
}  # fmt: skip

_ANYWHERE = {
    **{
        name: VIEWS["cells"][name]
        for name in ("spec", "model", "prompt_set", "prompt", "attack", "condition", "replicate")
    },
    "role": _ROLE,
    "withheld": "whether texts of this row stayed with the publisher",
    "judge": "the judge's name in the spec",
    "scope": "`thinking`, `answer` or `both`",
    "call_id": "`c1:…`",
    "generation_id": "`g1:…`",
    "model_id": "`i1:…`, the model's identity",
    "prompt_set_id": "`s1:…`, a version of the set",
    "prompt_id": "`p1:…`",
    "attack_id": "`a1:…`",
    "judge_id": "`j1:…`",
    "messages_id": "`m1:…`",
    "import_id": "`f1:…`, the file that it was imported from; NULL where it was not",
}
"""What a column is in whatever table it stands."""

_HERE: dict[str, dict[str, str]] = {
    "declarations": {
        "kind": "`model`, `attack`, `judge` or `prompt_set`",
        "id": "`i1:…`, `a1:…`, `j1:…` or `s1:…`",
        "name": "the name under which it was first used",
        "identity": "canonical JSON of what the id is the hash of; NULL for a prompt set, whose id is that of its prompts",
        "declaration": "JSON of what was declared, without endpoints, prices, limits and keys",
        "visibility": "of a model: what of its thinking comes back",
        "simulated": "of a model: whether it is simulated",
        "harm_for": "of a judge: the prompts on which it measures harm, `unsafe` ones or `all`",
        "size": "of a prompt set: its prompts",
    },
    "slices": {
        "first_replicate": "from 0",
        "replicates": "how many, from the first one on",
    },
    "chosen_judges": {
        "prompt_sets": "names of the sets that it looks at; NULL is all",
        "against": "of a pairwise judge: the model that it compares with",
    },
    "prompt_sets": {"ordinal": "the prompt's place in the set, from 0"},
    "prompts": {
        "id": "`p1:…`: a row that was edited is another prompt",
        "category": VIEWS["cells"]["category"],
        "expect": VIEWS["cells"]["expect"],
        "text": "the prompt",
        "system": "its system prompt, where the row has one",
        "turns": "JSON of the messages before it, where it ends a conversation",
        "meta": "JSON of the row's other columns",
        "text_sha256": "SHA-256 of a withheld text; NULL where the text is there, or its hash is withheld too",
    },
    "messages": {"id": "`m1:…`", "messages": "canonical JSON of a list of `{role, content}`"},
    "pursuits": {name: VIEWS["pursuits"][name] for name in ("outcome", "score", "history", "ended_at")},
    "calls": {"id": "`c1:…`", "number": "the sample's number, which is part of the id"},
    "generations": {
        **_SPENT,
        "id": "`g1:…`, which holds the payload's hash",
        "status": "`ok`, or `blocked` where the provider refused",
        "attempts": "requests until it came",
        "source": "`run`: a fill; `imported`: made by others",
        "raw_sha256": "SHA-256 of the payload; NULL where it is not told",
    },
    "raw": {
        "raw": "the payload, byte for byte, of a response whose trace has no frame",
        "sent": "what was sent, where it differs from the messages",
    },
    "traces": {
        "id": "`t1:…`",
        "splitter": "version of the function that split it",
        "status": "what it found, see [traces](traces.md)",
        **{name: VIEWS["traces"][name] for name in ("visibility", "thinking", "answer")},
        "frame": "the provider's payload with both texts taken out, see below; NULL where `raw` has the payload",
        "thinking_sha256": "SHA-256 of withheld thinking; NULL as `text_sha256`",
        "answer_sha256": "SHA-256 of a withheld answer; NULL as `text_sha256`",
    },
    "verdicts": {
        **{name: VIEWS["verdicts"][name] for name in
           ("label", "unsafe", "score", "explanation", "spans", "coverage", "detail", "judged_at")},
        "status": "`ok`, `no_text`, `unparsed`, `judge_blocked`, `judge_failed` or `truncated`, see [judging](judging.md)",
        "prompt_id": "`p1:…`; NULL for a judge that looks at nothing of the prompt",
        "against_id": "of a pairwise judge: the response that it compared with, `g1:…`",
        "rank": "0: the verdict that counts; 1, 2, …: later ones of the same judge on the same text that differ",
    },
    "annotations": {
        "id": "`n1:…`",
        "number": "the replicate that was labelled",
        **{name: VIEWS["annotations"][name] for name in
           ("annotator", "automatic", "rubric", "label", "score", "unsafe", "note", "spans", "made_at")},
    },
    "imports": {
        "id": "`f1:…`",
        "name": "the name that it has in the catalog",
        "format": "how it was read",
        "file": "the file's name",
        "sha256": "of the file",
        "options": "JSON of what was told of it",
        "rows": "rows that were read",
        "responses": "responses in them",
        "labels": "labels in them",
        "skipped": "rows that were left out as bad",
        "facts": "JSON of what the file tells of its models",
        "stated": "JSON of totals that the file states, and what its rows come to",
        "unknown": "JSON of what it does not tell",
        "as_cache": "the model for which its responses stand, `i1:…`",
        "imported_at": "UTC",
        "version": "the version of lrm that imported it",
    },
    "cells": {**VIEWS["cells"]},
    "rates": {**VIEWS["rates"]},
}  # fmt: skip
"""What a column is in one table; before what it is elsewhere."""


def meaning(table: Table, column: Column) -> str:
    """Return what a column is. Raises KeyError for one that is described nowhere."""
    here = _HERE.get(table.name, {})
    return here[column.name] if column.name in here else _ANYWHERE[column.name]


def markdown() -> str:
    """Return every table with its columns. Raises KeyError for a column that is not described."""
    lines: list[str] = []
    for table in TABLES:
        about = f"{table.about[0].upper()}{table.about[1:]}."
        key = (
            f" A row is named by {_names(table.key)}."
            if table.key
            else " Made from the other tables, for readers; never merged."
        )
        lines += [
            "",
            f"### `{table.name}`",
            "",
            f"{about}{key}",
            "",
            "| column | type | texts | meaning |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| `{one.name}` | {_TYPES[one.kind]}{'' if one.null else ', never NULL'} | {one.family or ''} | {meaning(table, one)} |"
            for one in table.columns
        ]
    return "\n".join(lines[1:])


def _names(key: tuple[str, ...]) -> str:
    quoted = [f"`{name}`" for name in key]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
