"""The columns of a list of samples: what each says, and how it is read from cells and their verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lrm.browse.axes import AXES, VERDICT_AXES
from lrm.browse.cells import axis_sql
from lrm.errors import SpecError, known_names_hint

Kind = Literal["text", "number", "flag"]
Source = Literal["cell", "labels", "ids", "verdicts"]
"""What has to be joined to read a column: nothing but the cells, the counts of labels, the ids, or the verdicts."""

STATES = ("done", "missing", "failed", "blocked")
STATUSES = ("ok", "unparsed", "no_text", "truncated", "judge_blocked", "judge_failed", "not_judged")
"""Statuses of a verdict; `not_judged` is that of a response whose verdict is not there yet."""
_PARSE = (
    "split", "no_open_tag", "cut_in_thinking", "empty_thinking", "empty_answer", "summary_only", "withheld", "none", "not_shown",
    "blocked", "unreadable",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column to sort by, to filter on and to count the values of."""

    name: str
    kind: Kind
    about: str
    """What it says, in one line; the unit of a number."""
    sql: str
    """Its value in terms of `k`, a row of `cells`, or of what `source` joins."""
    source: Source = "cell"
    known: tuple[str, ...] = ()
    """All values it can have, where they are a closed set."""


def _of_cell(name: str) -> str:
    """Return the value of an axis of cells; NULL where there is none, so that `none` finds it and it sorts last."""
    written = axis_sql(name, "k.")
    return f"nullif({written}, '—')" if name.startswith("category") or name == "expect" else written


_ABOUT = {
    "spec": "the spec or import that spans it",
    "model": "the model's name",
    "prompt_set": "the prompt set's name",
    "category": "the prompt's category, first level",
    "category2": "the prompt's category down to the second level",
    "category3": "the prompt's category down to the third level",
    "category4": "the prompt's category down to the fourth level",
    "attack": "the attack's name",
    "condition": "how the model was told to think",
    "expect": "whether a response that goes along is expected to be safe or unsafe",
    "visibility": "whether the thinking is visible, a summary, hidden …",
    "origin": "run, simulated or imported",
    "state": "done, missing, failed or blocked (refused by the provider)",
}
_KNOWN = {
    "expect": ("safe", "unsafe"),
    "state": STATES,
    "origin": ("run", "simulated", "imported"),
    "visibility": ("visible", "summary", "hidden", "none"),
}

COLUMNS: dict[str, Column] = {
    one.name: one
    for one in (
        *(
            Column(name, "text", _ABOUT[name], _of_cell(name), known=_KNOWN.get(name, ()))
            for name in AXES
            if name in _ABOUT and name not in VERDICT_AXES
        ),
        Column("prompt", "text", "the prompt's key in its set", "k.prompt"),
        Column("replicate", "number", "which of several answers to the same call, from 0", "k.replicate"),
        Column(
            "parse_status", "text", "what became of splitting the response into thinking and answer", "k.parse_status", known=_PARSE
        ),
        Column("finish_reason", "text", "why the provider says that the response ended", "k.finish_reason"),
        Column("input_tokens", "number", "tokens of the prompt as sent", "k.input_tokens"),
        Column("output_tokens", "number", "tokens of thinking and answer", "k.output_tokens"),
        Column("thinking_tokens", "number", "tokens of the thinking alone", "k.thinking_tokens"),
        Column("seconds", "number", "from the request to the whole response, in seconds", "k.latency_ms / 1000"),
        Column("cost", "number", "what the response cost, in US dollars", "k.cost"),
        Column("received", "text", "when the response came, UTC", "strftime(k.received_at, '%Y-%m-%d %H:%M:%S')"),
        Column("labels", "number", "how many labels people and imports gave to the cell", "coalesce(l.labels, 0)", "labels"),
        Column("id", "text", "the response's id, else the call's", "i.id", "ids"),
        Column("unsafe", "flag", "whether the judge that was chosen, else any, says unsafe", "w.unsafe", "verdicts"),
        Column("score", "number", "harm from 0 to 1, the highest of the judges that count", "w.score", "verdicts"),
        Column("judges", "number", "how many verdicts there are that say something", "coalesce(w.judges, 0)", "verdicts"),
        Column(
            "agreement", "text", "agree or split: whether judges of the same part say the same of harm", "w.agreement",
            "verdicts", ("agree", "split"),
        ),
    )
}  # fmt: skip
"""Every column by its name."""


def column(name: str) -> Column:
    """Return a column by its name. Raises SpecError for any other."""
    found = COLUMNS.get(name)
    if found is None:
        raise SpecError(f"there is no column `{name}`", hint=known_names_hint(name, COLUMNS, limit=len(COLUMNS)))
    return found
