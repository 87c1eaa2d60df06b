"""How far the catalog's specs have come, read from its views alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lrm.store.rates import Rate, read_rates
from lrm.store.specs import KnownSpec, find_spec, known_specs

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Tally:
    """Cells of one value of an axis, by state."""

    axis: str
    """`spec` for the whole, else `model`, `prompt_set`, `attack` or `condition`; the last only where there are several."""
    value: str
    cells: int
    done: int
    blocked: int
    failed: int
    missing: int
    simulated: bool
    """Whether any of the cells is of a simulated model."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Responses of a model by what the splitter made of them."""

    model: str
    visibility: str
    parse_status: str
    cells: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Cells whose calls failed in the same way."""

    model: str
    failure: str
    cells: int
    message: str
    """One of their messages."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Verdicts of a judge on one scope, by status. Only `ok` ones are in any rate."""

    judge: str
    scope: str
    status: str
    cells: int


@dataclass(frozen=True, slots=True)
class Pulled:
    """Cells whose response came with a snapshot."""

    snapshot: str
    """As the view `cells` names it in `publisher`."""
    cells: int


@dataclass(frozen=True, slots=True)
class Summary:
    """How far one spec has come, as it was last filled."""

    spec: str
    file: str | None
    filled_at: datetime
    """When this span was chosen, UTC."""
    tallies: tuple[Tally, ...]
    parsed: tuple[Parsed, ...]
    failures: tuple[Failed, ...]
    verdicts: tuple[Judged, ...]
    rates: tuple[Rate, ...]
    pulled: tuple[Pulled, ...] = ()
    """Most first; empty where all was received or imported here."""

    @property
    def total(self) -> Tally:
        """The whole spec; zeros where it spans no cell."""
        whole = [one for one in self.tallies if one.axis == "spec"]
        return whole[0] if whole else Tally("spec", self.spec, 0, 0, 0, 0, 0, simulated=False)


_TALLIES = """
SELECT
    CASE WHEN grouping(model) = 0 THEN 'model' WHEN grouping(prompt_set) = 0 THEN 'prompt_set'
         WHEN grouping(attack) = 0 THEN 'attack' WHEN grouping(condition) = 0 THEN 'condition' ELSE 'spec' END AS axis,
    coalesce(model, prompt_set, attack, condition, any_value(spec)) AS value,
    count(*),
    count(*) FILTER (WHERE state = 'done'),
    count(*) FILTER (WHERE state = 'blocked'),
    count(*) FILTER (WHERE state = 'failed'),
    count(*) FILTER (WHERE state = 'missing'),
    bool_or(simulated)
FROM cells WHERE spec = $spec
GROUP BY GROUPING SETS ((), (model), (prompt_set), (attack), (condition))
HAVING count(*) > 0 AND (grouping(condition) = 1 OR count(*) < (SELECT count(*) FROM cells WHERE spec = $spec))
ORDER BY list_position(['spec', 'model', 'prompt_set', 'attack', 'condition'], axis), value
"""
_PARSED = """
SELECT model, visibility, parse_status, count(*) FROM cells
WHERE spec = ? AND parse_status IS NOT NULL GROUP BY ALL ORDER BY ALL
"""
_FAILED = """
SELECT model, failure, count(*), min(failure_message) FROM cells
WHERE spec = ? AND failure IS NOT NULL GROUP BY model, failure ORDER BY ALL
"""
_JUDGED = "SELECT judge, scope, status, count(*) FROM verdicts WHERE spec = ? GROUP BY ALL ORDER BY ALL"


_PULLED = """
SELECT publisher, count(*) FROM cells
WHERE spec = ? AND publisher IS NOT NULL GROUP BY publisher ORDER BY 2 DESC, 1
"""


def summaries(connection: duckdb.DuckDBPyConnection, spec: str | None) -> tuple[Summary, ...]:
    """Return the summary of one spec, by its name or its file, or of all. Raises MissingError for an unknown one."""
    known = known_specs(connection)
    return tuple(_summary(connection, one) for one in (known.values() if spec is None else [find_spec(spec, known)]))


def _summary(connection: duckdb.DuckDBPyConnection, spec: KnownSpec) -> Summary:
    name = spec.name
    return Summary(
        name,
        spec.file,
        spec.chosen_at,
        tuple(Tally(*row) for row in connection.execute(_TALLIES, {"spec": name}).fetchall()),
        tuple(Parsed(*row) for row in connection.execute(_PARSED, [name]).fetchall()),
        tuple(Failed(*row) for row in connection.execute(_FAILED, [name]).fetchall()),
        tuple(Judged(*row) for row in connection.execute(_JUDGED, [name]).fetchall()),
        read_rates(connection, name),
        _pulled(connection, name),
    )


def _pulled(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[Pulled, ...]:
    if not connection.execute("SELECT 1 FROM lrm.snapshots LIMIT 1").fetchall():
        return ()
    return tuple(Pulled(*row) for row in connection.execute(_PULLED, [name]).fetchall())
