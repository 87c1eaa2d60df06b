"""Trust: whose pulled results may fill cells.

A response counts where it was received or imported here, or came with a snapshot of a publisher who is trusted. A call
points to the earliest response that counts, and to none where none does. What does not count stays in the catalog, with its
verdicts and labels, and counts again as soon as its publisher is trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lrm.errors import MissingError, known_names_hint
from lrm.text import visible

if TYPE_CHECKING:
    import duckdb

    from lrm.store.catalog import Catalog

ALL, NONE = "all", "none"
"""Words that stand for every publisher and for no publisher."""
COMMIT_DIGITS = 12
"""Digits of a commit that are shown, and that a response's run names."""
LABEL = f"s.name || coalesce('@' || left(s.commit, {COMMIT_DIGITS}), '')"
"""SQL of what a row `s` of `snapshots` is shown as: `acme/r1@1a2b3c4d5e6f`, or the folder's name."""


def snapshot_label(name: str, commit: str | None) -> str:
    """Return what a snapshot is shown as: `acme/r1@1a2b3c4d5e6f`, or the folder's name."""
    return name if commit is None else f"{name}@{commit[:COMMIT_DIGITS]}"


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose pulled results may fill cells."""

    publishers: frozenset[str] | None = None
    """Organisations, or names of folders for snapshots that came from one; None is everybody."""

    @classmethod
    def of(cls, words: Iterable[str]) -> Trust:
        """Return what a user's words mean: publishers, or `all` or `none` alone. Raises ValueError for both at once."""
        given = tuple(words)
        alone = [word for word in given if word in (ALL, NONE)]
        if alone and len(set(given)) > 1:
            raise ValueError(f"`{alone[0]}` says whom to trust already: name publishers, or say `all` or `none`")
        return cls(None if alone[:1] == [ALL] else frozenset() if alone else frozenset(given))

    def chosen(self, snapshots: Sequence[Snapshot]) -> frozenset[int]:
        """Return the numbers of the snapshots that are trusted. Raises MissingError for a publisher of none of them."""
        if self.publishers is None:
            return frozenset(one.n for one in snapshots)
        known = {one.whose for one in snapshots}
        for name in sorted(self.publishers):
            if name not in known:
                none = "nothing was pulled yet: `lrm snapshot pull ORG/NAME`"
                hint = known_names_hint(name, known) if known else none
                raise MissingError(f"no snapshot of `{name}` was pulled", hint=hint)
        # A folder that bears an organisation's name is not that organisation.
        organisations = {one.publisher for one in snapshots if one.publisher is not None}
        return frozenset(
            one.n
            for one in snapshots
            if one.whose in self.publishers and (one.publisher is not None or one.name not in organisations)
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that was pulled."""

    n: int
    name: str
    """`ORG/NAME` on the Hub, or the name of a folder."""
    publisher: str | None
    """The organisation; None for a folder."""
    commit: str | None
    trusted: bool
    """Whether its results may fill cells."""
    specs: tuple[str, ...]
    generations: int
    """Responses in it."""
    verdicts: int
    pulled_at: datetime
    """UTC."""
    responses: int
    """Responses that this catalog has from it."""

    @property
    def whose(self) -> str:
        """What `--trust` calls its publisher."""
        return self.publisher or self.name

    @property
    def label(self) -> str:
        """What it is shown as."""
        return snapshot_label(self.name, self.commit)


@dataclass(frozen=True, slots=True)
class Published:
    """Who published a response."""

    snapshot: str
    """The snapshot that it came with: `acme/r1@1a2b3c4d5e6f`."""
    whose: str
    """What `--trust` calls the publisher."""
    trusted: bool
    pulled_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True)
class Retrusted:
    """What changed when trust was set."""

    trusted: tuple[str, ...]
    """Publishers whose results count now, and whose did not before."""
    distrusted: tuple[str, ...]
    """Publishers whose results do not count any more."""
    emptied: int = 0
    """Calls that have no response now."""
    filled: int = 0
    """Calls that had none."""
    swapped: int = 0
    """Calls that have another response now."""

    @property
    def changed(self) -> bool:
        """Whether anything did."""
        return bool(self.trusted or self.distrusted)

    def said(self) -> tuple[str, ...]:
        """Return what changed in sentences; none where nothing did."""
        if not self.changed:
            return ()
        parts = [f"{', '.join(who)} {what}" for who, what in (
            (self.trusted, "trusted from now on"), (self.distrusted, "not trusted any more"),
        ) if who]  # fmt: skip
        calls = (
            (self.emptied, "lost their response"), (self.filled, "have one again"), (self.swapped, "have another response"),
        )  # fmt: skip
        counts = [f"{number:,} {what}" for number, what in calls if number]
        said = f"{'; '.join(parts)}: of the calls, {', '.join(counts) or 'none has another response'}"
        return (visible(said, one_line=True),)


def trusted_snapshots(lrm: str = "lrm") -> str:
    """Return SQL of the numbers of the snapshots that are trusted."""
    return f"SELECT n FROM {lrm}.snapshots WHERE trusted"


def counted(generation: str = "g.n", lrm: str = "lrm", *, trusted: str | None = None) -> str:
    """Return SQL of whether a response counts.

    Args:
        generation: SQL of the response's number.
        lrm: the schema, with the catalog's alias where it has one.
        trusted: SQL of a query of the snapshots that are trusted; as the catalog says by default.
    """
    return f"""{generation} NOT IN (
        SELECT generation_n FROM {lrm}.pulled GROUP BY generation_n
        HAVING NOT bool_or(snapshot_n IN ({trusted or trusted_snapshots(lrm)}))
    )"""


def first_counted(touched: str, lrm: str = "lrm", *, trusted: str | None = None) -> str:
    """Return SQL of (call_n, generation_n): the earliest response that counts of each call, NULL where none does.

    Calls without any response are left out. `touched` is SQL of a query of the calls' numbers.
    """
    # As `counted`, but for a few calls: a merge of a second's responses is not to sort through all that was ever pulled.
    return f"""
        WITH own AS (SELECT n, id, call_n, received_at FROM {lrm}.generations WHERE call_n IN ({touched})),
        came AS (
            SELECT generation_n, bool_or(snapshot_n IN ({trusted or trusted_snapshots(lrm)})) AS counts
            FROM {lrm}.pulled WHERE generation_n IN (SELECT n FROM own) GROUP BY generation_n
        )
        SELECT own.call_n, arg_min(own.n, (own.received_at, own.id)) FILTER (coalesce(came.counts, true)) AS generation_n
        FROM own LEFT JOIN came ON came.generation_n = own.n GROUP BY own.call_n
    """


def choosing_first(touched: str, lrm: str = "lrm", *, only_empty: bool = False) -> str:
    """Return the statement that points calls to the earliest of their responses that count, to NULL where none does.

    Args:
        touched: SQL of a query of the calls' numbers.
        lrm: the schema, with the catalog's alias where it has one.
        only_empty: leave calls alone that point to a response already.
    """
    which = "generation_n IS NULL" if only_empty else "generation_n IS DISTINCT FROM first.generation_n"
    return f"""
    UPDATE {lrm}.calls SET generation_n = first.generation_n FROM ({first_counted(touched, lrm)}) first
        WHERE {lrm}.calls.n = first.call_n AND {lrm}.calls.{which}
    """


def choose_first(connection: duckdb.DuckDBPyConnection, touched: str, lrm: str = "lrm") -> int:
    """Point calls to the earliest of their responses that count; return how many point elsewhere now.

    `touched` is SQL of a query of the calls' numbers, such as `SELECT call_n FROM fresh`.
    """
    return int(connection.execute(choosing_first(touched, lrm)).fetchall()[0][0])


# --- what comes -------------------------------------------------------------------------------------------------------


def pulled_with(connection: duckdb.DuckDBPyConnection, snapshot_n: int, came: str, fresh: str, lrm: str = "lrm") -> int:
    """Note which responses came with a snapshot: those that are new, and those that came with another one before.

    What was received or imported here does not become pulled. To be called before `choose_first`.

    Args:
        connection: in the transaction of the merge, with the responses inserted.
        snapshot_n: the snapshot's row in `snapshots`.
        came: SQL of a query of the numbers of all responses in the snapshot.
        fresh: SQL of a query of the numbers of those that the catalog did not have.
        lrm: the schema, with the catalog's alias where it has one.

    Returns:
        How many rows were added.
    """
    statement = f"""
        INSERT INTO {lrm}.pulled
            SELECT DISTINCT c.n, $snapshot_n FROM ({came}) c(n)
            WHERE (c.n IN ({fresh}) OR c.n IN (SELECT generation_n FROM {lrm}.pulled))
                AND c.n NOT IN (SELECT generation_n FROM {lrm}.pulled WHERE snapshot_n = $snapshot_n)
        """
    return int(connection.execute(statement, {"snapshot_n": snapshot_n}).fetchall()[0][0])


def starts_trusted(connection: duckdb.DuckDBPyConnection, publisher: str | None, name: str, lrm: str = "lrm") -> bool:
    """Return whether a snapshot that is being pulled is trusted: unless trust was taken from its publisher before."""
    known = [one.trusted for one in snapshots(connection, lrm) if one.publisher == publisher]
    if publisher is None:
        known = [one.trusted for one in snapshots(connection, lrm) if one.publisher is None and one.name == name]
    return not known or any(known)


TAKE_OVER = (
    """
    CREATE TEMP TABLE taken AS
        SELECT g.n, g.call_n, g.id FROM lrm.generations g
        WHERE g.call_n IN (SELECT n FROM touched) AND g.id IN (SELECT id FROM incoming_generations)
            AND g.n IN (SELECT generation_n FROM lrm.pulled)
    """,
    "INSERT INTO fresh SELECT n, call_n, id FROM taken",
    "DELETE FROM lrm.pulled WHERE generation_n IN (SELECT n FROM taken)",
    "DELETE FROM lrm.generations WHERE n IN (SELECT n FROM taken)",
    "DELETE FROM lrm.traces WHERE generation_n IN (SELECT n FROM taken)",
)
TAKE_OVER_VERDICTS = """
DELETE FROM lrm.verdicts
    USING (SELECT t.n, v.judge_scope_n, v.prompt_n FROM incoming_verdicts v JOIN taken t ON t.id = v.generation) o
    WHERE lrm.verdicts.generation_n = o.n AND lrm.verdicts.judge_scope_n = o.judge_scope_n AND lrm.verdicts.prompt_n = o.prompt_n
"""


def take_over(connection: duckdb.DuckDBPyConnection) -> bool:
    """Make room for responses that came with a snapshot and are received here now, byte for byte: they are ours then.

    A model that answers alike each time would else be asked for ever by whoever does not trust the publisher. Their rows are
    put into the table `fresh` of a merge, under the numbers that they have, to be written anew. Needs its tables `touched`
    and `incoming_generations`; makes `taken`. Returns whether there are any.
    """
    if not connection.execute("SELECT 1 FROM lrm.pulled LIMIT 1").fetchall():
        return False
    for statement in TAKE_OVER:
        connection.execute(statement)
    return bool(connection.execute("SELECT 1 FROM taken LIMIT 1").fetchall())


# --- who is trusted ---------------------------------------------------------------------------------------------------


def snapshots(connection: duckdb.DuckDBPyConnection, lrm: str = "lrm") -> tuple[Snapshot, ...]:
    """Return the snapshots that were pulled, in the order in which they were."""
    rows = connection.execute(
        f"""
        SELECT s.n, s.name, s.publisher, s.commit, s.trusted, s.specs, s.generations, s.verdicts, s.pulled_at,
            coalesce(p.responses, 0)
        FROM {lrm}.snapshots s
        LEFT JOIN (SELECT snapshot_n, count(*) AS responses FROM {lrm}.pulled GROUP BY ALL) p ON p.snapshot_n = s.n
        ORDER BY s.n
        """
    ).fetchall()
    return tuple(
        Snapshot(n, name, publisher, commit, trusted, tuple(specs), generations, verdicts, pulled_at, responses)
        for n, name, publisher, commit, trusted, specs, generations, verdicts, pulled_at, responses in rows
    )


def publisher_of(connection: duckdb.DuckDBPyConnection, generation_n: int, lrm: str = "lrm") -> Published | None:
    """Return with which snapshot a response came, of several the first that is trusted; None where it did not."""
    rows = connection.execute(
        f"""
        SELECT {LABEL}, coalesce(s.publisher, s.name), s.trusted, s.pulled_at
        FROM {lrm}.pulled p JOIN {lrm}.snapshots s ON s.n = p.snapshot_n
        WHERE p.generation_n = ? ORDER BY NOT s.trusted, s.n LIMIT 1
        """,
        [generation_n],
    ).fetchall()
    return Published(*rows[0]) if rows else None


def not_counted(connection: duckdb.DuckDBPyConnection, call_n: int, lrm: str = "lrm") -> tuple[Published, ...]:
    """Return who published the responses of a call that do not count."""
    rows = connection.execute(
        f"SELECT g.n FROM {lrm}.generations g WHERE g.call_n = ? AND NOT ({counted('g.n', lrm)}) ORDER BY g.received_at, g.n",
        [call_n],
    ).fetchall()
    found = (publisher_of(connection, n, lrm) for (n,) in rows)
    return tuple(dict.fromkeys(one for one in found if one is not None))


def set_trust(catalog: Catalog, trust: Trust) -> Retrusted:
    """Trust exactly these publishers from now on, in one transaction; return what changed.

    Calls point to the earliest of their responses that count; verdicts and labels stay with their responses. Raises
    MissingError for a publisher of whom nothing was pulled, BusyError, CatalogError.
    """
    if not catalog.exists():
        trust.chosen(())
        return Retrusted((), ())
    with catalog.reading() as connection:
        found = snapshots(connection)
    if _changed(found, trust.chosen(found)) == []:
        return Retrusted((), ())
    with catalog.writing() as connection:
        return _set(connection, trust)


def _changed(found: Sequence[Snapshot], chosen: frozenset[int]) -> list[Snapshot]:
    return [one for one in found if one.trusted != (one.n in chosen)]


def _set(connection: duckdb.DuckDBPyConnection, trust: Trust) -> Retrusted:
    found = snapshots(connection)
    chosen = trust.chosen(found)
    changed = _changed(found, chosen)
    values: dict[str, Any] = {"changed": [one.n for one in changed]}
    connection.execute("UPDATE lrm.snapshots SET trusted = NOT trusted WHERE list_contains($changed, n)", values)
    connection.execute(
        f"CREATE TEMP TABLE retold AS SELECT n, generation_n FROM lrm.calls WHERE n IN ({_touched()})", values
    )
    choose_first(connection, "SELECT n FROM retold")
    emptied, filled, swapped = connection.execute(
        """
        SELECT count(*) FILTER (c.generation_n IS NULL), count(*) FILTER (r.generation_n IS NULL),
            count(*) FILTER (c.generation_n IS NOT NULL AND r.generation_n IS NOT NULL)
        FROM retold r JOIN lrm.calls c ON c.n = r.n WHERE c.generation_n IS DISTINCT FROM r.generation_n
        """
    ).fetchall()[0]
    connection.execute("DROP TABLE retold")
    return Retrusted(
        tuple(dict.fromkeys(one.whose for one in changed if not one.trusted)),
        tuple(dict.fromkeys(one.whose for one in changed if one.trusted)),
        emptied,
        filled,
        swapped,
    )


def _touched(lrm: str = "lrm") -> str:
    """Return SQL of the numbers of calls that have a response from one of the snapshots `$changed`."""
    return f"""
        SELECT g.call_n FROM {lrm}.generations g
        WHERE g.n IN (SELECT generation_n FROM {lrm}.pulled WHERE list_contains($changed, snapshot_n))
    """


# --- supposing --------------------------------------------------------------------------------------------------------


def suppose(connection: duckdb.DuckDBPyConnection, trust: Trust) -> str:
    """Make a plan's workspace see the calls as if exactly these publishers were trusted; change nothing in the catalog.

    The workspace's view `calls` shows the catalog's calls with the responses that they would point to then. Returns SQL of
    the snapshots that would be trusted. Raises MissingError for a publisher of whom nothing was pulled.
    """
    found = snapshots(connection, "cat.lrm")
    chosen = trust.chosen(found)
    changed = [one.n for one in _changed(found, chosen)]
    if not changed:
        return trusted_snapshots("cat.lrm")
    trusted = f"SELECT unnest({sorted(chosen)}::INTEGER[])"
    first = first_counted(_touched("cat.lrm"), "cat.lrm", trusted=trusted)
    connection.execute(f"CREATE TABLE supposed AS {first}", {"changed": changed})
    connection.execute(
        """
        CREATE OR REPLACE VIEW calls AS
            SELECT c.* REPLACE (CASE WHEN s.call_n IS NULL THEN c.generation_n ELSE s.generation_n END AS generation_n)
            FROM cat.lrm.calls c LEFT JOIN supposed s ON s.call_n = c.n
        """
    )
    return trusted
