"""The engines that fills loaded: kept at a run's end, read by the next plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

    from lrm.run.engines import Use

_MEASURED = """
SELECT avg(load_s), sum(output_tokens) / nullif(sum(busy_s), 0), any_value(device), count(*)
FROM cat.lrm.engines
WHERE checkpoint = $checkpoint AND load_s IS NOT NULL AND (NOT $same OR settings = $settings)
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What earlier engines of a checkpoint took."""

    load_s: float
    """Seconds to start, on average."""
    tokens_a_second: float | None
    """Tokens of replies a second while it was asked; None where it gave none."""
    device: str | None
    starts: int


def put_engines(connection: duckdb.DuckDBPyConnection, run: str, uses: Iterable[Use]) -> None:
    """Keep the engines of a run."""
    rows = [
        [
            run, one.settings.checkpoint, one.settings.arguments, one.settings.kind, one.device, one.gpus, one.vllm,
            one.started_at, one.load_s, round(one.busy_s, 3), one.load.prompt_tokens, one.load.cached_tokens,
            one.load.output_tokens, one.fault,
        ]
        for one in uses
    ]  # fmt: skip
    if rows:
        connection.executemany(f"INSERT INTO lrm.engines VALUES ({', '.join('?' * 14)})", rows)


def measured(connection: duckdb.DuckDBPyConnection, checkpoint: str, settings: str) -> Measured | None:
    """Return what engines of a checkpoint took before: loaded alike, else in any way; None where there were none."""
    for same in (True, False):
        given = {"checkpoint": checkpoint, "settings": settings, "same": same}
        load_s, speed, device, starts = connection.execute(_MEASURED, given).fetchall()[0]
        if starts:
            return Measured(load_s, speed or None, device, starts)
    return None
