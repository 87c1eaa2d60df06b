"""The tables of a snapshot: their columns, what names a row, and the order in which rows stand.

Rows name each other by ids (`c1:…`), never by a catalog's numbers, so that the same content gives the same bytes whatever
catalog it comes from. Columns named in `LABELS` are there for readers: the first cell that a row belongs to, by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FORMAT = 1
"""The format that this version writes. Older ones are read for ever, newer ones refused."""

Kind = Literal["string", "strings", "int32", "int64", "float64", "bool", "timestamp"]
Family = Literal["prompts", "responses", "judgements"]
"""Texts that leave the house together: what was asked; what models under test said; what judges and people said of it."""

LABELS = ("model", "prompt_set", "prompt", "attack", "condition", "replicate")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its type, and the family of texts that it holds, if it does."""

    name: str
    kind: Kind = "string"
    null: bool = True
    """Whether a row may lack it."""
    family: Family | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table, which is a config of the dataset."""

    name: str
    about: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """Columns that name a row; empty where the whole table is made from the others."""
    order: tuple[str, ...]
    """What rows are sorted by."""
    derived: bool = False
    """Whether it is for readers only: made from the other tables, and never merged."""

    def column(self, name: str) -> Column:
        """Return a column by name."""
        return next(one for one in self.columns if one.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(one.name for one in self.columns)


def _must(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, null=False) for name in names)


def _may(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name) for name in names)


_LABELS = (*_may("model", "prompt_set", "prompt", "attack", "condition"), Column("replicate", "int32"))
_BY_CELL = LABELS
_WITHHELD = Column("withheld", "bool", null=False)

TABLES: tuple[Table, ...] = (
    Table(
        "declarations",
        "models, attacks, judges and prompt sets as they were used; `identity` is what the id is made of",
        (
            *_must("kind", "id", "name"), Column("identity"), Column("declaration", null=False), Column("visibility"),
            Column("simulated", "bool"), Column("harm_for"), Column("size", "int32"),
        ),
        ("kind", "id"),
        ("kind", "name", "id"),
    ),
    Table(
        "slices",
        "what each spec spans: model × prompt set × attack × condition, with its replicates",
        (
            *_must("spec", "model", "prompt_set", "attack", "condition", "model_id", "prompt_set_id", "attack_id"),
            Column("first_replicate", "int32", null=False), Column("replicates", "int32", null=False),
        ),
        ("spec", "model", "prompt_set", "attack", "condition", "first_replicate"),
        ("spec", "model", "prompt_set", "attack", "condition", "first_replicate", "model_id", "prompt_set_id", "attack_id"),
    ),
    Table(
        "chosen_judges",
        "the judges that each spec chose, and what they look at; `prompt_sets` is absent for all",
        (*_must("spec", "judge", "judge_id", "scope"), Column("prompt_sets", "strings"), Column("against")),
        ("spec", "judge", "judge_id", "scope"),
        ("spec", "judge", "judge_id", "scope"),
    ),
    Table(
        "prompt_sets",
        "the prompts of each version of a set, in order",
        (*_must("prompt_set_id"), Column("ordinal", "int32", null=False), *_must("prompt_id")),
        ("prompt_set_id", "ordinal"),
        ("prompt_set_id", "ordinal"),
    ),
    Table(
        "prompts",
        "prompts as their sets have them",
        (
            *_must("id", "prompt"), Column("category", "strings", null=False), Column("expect"),
            Column("text", family="prompts"), Column("system", family="prompts"), Column("turns", family="prompts"),
            Column("meta", family="prompts"), Column("text_sha256"), _WITHHELD,
        ),
        ("id",),
        ("prompt", "id"),
    ),
    Table(
        "messages",
        "rendered conversations, as they were sent: canonical JSON",
        (*_must("id"), Column("messages", family="prompts"), _WITHHELD),
        ("id",),
        ("id",),
    ),
    Table(
        "renderings",
        "what an attack without other models made of a prompt; `messages_id` is absent where it has nothing for it",
        (*_must("attack_id", "prompt_id"), Column("messages_id")),
        ("attack_id", "prompt_id"),
        ("attack_id", "prompt_id"),
    ),
    Table(
        "pursuits",
        "how an attack with other models in it ended for a prompt",
        (
            *_must("attack_id", "prompt_id", "messages_id", "outcome"), Column("score", "float64"),
            Column("history", family="prompts"),
            Column("ended_at", "timestamp", null=False), _WITHHELD,
        ),
        ("attack_id", "prompt_id"),
        ("attack_id", "prompt_id"),
    ),
    Table(
        "calls",
        "what was asked of a model: of those under test, and of judges and attackers on the way",
        (
            *_LABELS, Column("role", null=False), *_must("id", "model_id", "messages_id"),
            Column("number", "int32", null=False),
        ),
        ("id",),
        ("role", *_BY_CELL, "id"),
    ),
    Table(
        "generations",
        "what came back: status, tokens, cost, time; the payload itself is in `raw`",
        (
            *_LABELS, Column("role", null=False), *_must("id", "call_id", "status"), Column("finish_reason"),
            Column("input_tokens", "int64"), Column("output_tokens", "int64"), Column("thinking_tokens", "int64"),
            Column("cost", "float64"), Column("received_at", "timestamp", null=False), Column("latency_ms", "float64"),
            Column("attempts", "int32", null=False), Column("fingerprint"), Column("source", null=False),
            Column("import_id"), Column("raw_sha256"),
        ),
        ("id",),
        ("role", *_BY_CELL, "id"),
    ),
    Table(
        "raw",
        "the providers' payloads, byte for byte, of responses whose trace has no `frame`; and what was sent besides messages",
        (*_LABELS, Column("role", null=False), Column("generation_id", null=False), Column("raw", family="responses"),
         Column("sent", family="prompts")),
        ("generation_id",),
        ("role", *_BY_CELL, "generation_id"),
    ),
    Table(
        "traces",
        "responses split into thinking and answer; `frame` is the payload with both taken out",
        (
            *_LABELS, Column("role", null=False), *_must("id", "generation_id"), Column("splitter", "int32", null=False),
            *_must("status", "visibility"), Column("thinking", family="responses"), Column("answer", family="responses"),
            Column("frame", family="responses"), Column("thinking_sha256"), Column("answer_sha256"), _WITHHELD,
        ),
        ("generation_id",),
        ("role", *_BY_CELL, "generation_id"),
    ),
    Table(
        "verdicts",
        "what judges said of a scope of a response; `unsafe` and `score` are harm",
        (
            *_LABELS, *_must("judge", "judge_id", "scope", "generation_id"), Column("prompt_id"), *_must("status"),
            Column("label"), Column("unsafe", "bool"), Column("score", "float64"),
            Column("explanation", family="judgements"), Column("spans", family="judgements"), Column("coverage", "float64"),
            Column("detail", family="judgements"), Column("against_id"), Column("judged_at", "timestamp", null=False),
            Column("rank", "int32", null=False), _WITHHELD,
        ),
        ("generation_id", "judge_id", "scope", "prompt_id", "rank"),
        ("rank", "judge", "judge_id", "scope", *_BY_CELL, "generation_id", "prompt_id"),
    ),
    Table(
        "annotations",
        "labels of people, and of others' machines; annotators by pseudonym",
        (
            *_LABELS, *_must("id", "model_id", "attack_id", "prompt_id"), Column("number", "int32", null=False),
            Column("generation_id"), *_must("scope", "annotator"), Column("automatic", "bool", null=False), *_must("rubric"),
            Column("label"), Column("score", "float64"), Column("unsafe", "bool"), Column("note", family="judgements"),
            Column("spans", family="judgements"), Column("made_at", "timestamp"), Column("import_id"), _WITHHELD,
        ),
        ("id",),
        (*_BY_CELL, "annotator", "id"),
    ),
    Table(
        "imports",
        "files that responses and labels were imported from",
        (
            *_must("id", "name", "format", "file", "sha256", "options"), Column("rows", "int32", null=False),
            Column("responses", "int32", null=False), Column("labels", "int32", null=False),
            Column("skipped", "int32", null=False), *_must("facts", "stated", "unknown"), Column("as_cache"),
            Column("imported_at", "timestamp", null=False), *_must("version"),
        ),
        ("id",),
        ("name", "id"),
    ),
    Table(
        "cells",
        "one row a cell of each spec: what it is, how far it has come, and which response it has",
        (
            *_must("spec", "model", "prompt_set", "prompt"), Column("category", "strings"), Column("expect"),
            *_must("attack", "condition"), Column("replicate", "int32", null=False), *_must("state"), Column("parse_status"),
            Column("visibility"), Column("simulated", "bool"), Column("source"), Column("finish_reason"),
            Column("input_tokens", "int64"), Column("output_tokens", "int64"), Column("thinking_tokens", "int64"),
            Column("cost", "float64"), Column("generation_id"),
        ),
        (),
        ("spec", "model", "prompt_set", "attack", "condition", "prompt", "replicate"),
        derived=True,
    ),
    Table(
        "rates",
        "counts and rates by model, set, attack, condition, judge and scope, each with its denominator",
        (
            *_must("spec", "model", "prompt_set", "attack", "condition"), Column("expect"), *_must("judge", "scope"),
            Column("visibility"), Column("simulated", "bool"),
            *(
                Column(name, "int64", null=False)
                for name in (
                    "cells", "missing", "failed", "blocked", "no_text", "unparsed", "judge_blocked", "judge_failed",
                    "truncated", "not_judged", "judged", "full_refusals", "partial_refusals", "compliances",
                    "refusal_judged", "harm_judged", "unsafe",
                )
            ),
            Column("unsafe_rate", "float64"), Column("refusal_rate", "float64"), Column("mean_harm", "float64"),
        ),
        (),
        ("spec", "model", "prompt_set", "attack", "condition", "expect", "judge", "scope", "visibility"),
        derived=True,
    ),
)  # fmt: skip
BY_NAME = {table.name: table for table in TABLES}
