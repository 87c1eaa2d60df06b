"""Capacity: how many calls a pool may have under way, found from what its provider does with them.

As TCP finds the width of a line: it begins low and doubles each round trip, until the provider says that it is too much;
that halves it, and it climbs back slowly. Slow start, congestion avoidance and the rule that a window which is not used
does not grow are from RFC 5681 and RFC 7661; the climb (fast while far below where it was too much, slow near it, faster
and faster beyond) follows the thought of BIC (Xu, Harfoush, Rhee 2004). A provider that counts by the minute and does not
say so is met by a pause that doubles, and then by the pace at which it served during the last minute.
"""

from __future__ import annotations

from lrm.run.bucket import Bucket, Recent

BEGIN = 16
"""Calls under way at the beginning."""
UNBOUNDED = 1_000_000_000
"""The limit of a pool that is not paced."""
ROW = 5
"""Calls in a row that did not reach the provider which mean that there are too many."""
LONGEST_CLOSED_S = 3600.0
"""A provider that asks for more is not waited for here: the model is given up, and others of the pool may be served."""
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 30.0
_LONGEST_OUTAGE_S = 2.0
"""Pause between two rows of calls that do not reach the provider; it is to be found soon when it is back."""
_CLIMB = 8
"""A round trip brings the limit nearer by this part of what lacks to where it was too much."""
_PATIENCE = 32
"""Replies, at least, before the limit goes again to where it was too much."""
_ENOUGH = 10
"""Replies within a minute from which a pace can be told; fewer between two refusals show that there is one."""
_BELOW, _FASTER, _FORGET = 0.95, 1.003, 8.0
"""The pace begins below what was served, grows with each reply, and is forgotten when it has grown so many times."""


class Capacity:
    """The adaptive limit of a pool. Tickets are numbers that rise; one event loop, no threads."""

    __slots__ = (
        "_ceiling",
        "_credit",
        "_cut_at",
        "_learnt",
        "_paced",
        "_recent",
        "_row",
        "_since",
        "_slow_start",
        "_stride",
        "_told",
        "_unreached",
        "full_at",
        "in_flight",
        "issued",
        "limit",
        "pace",
        "shut_until",
    )

    def __init__(self, now: float, *, paced: bool) -> None:
        self._paced = paced
        self.limit = BEGIN if paced else UNBOUNDED
        self.in_flight = 0
        self.issued = 0
        """The number of the last ticket."""
        self.full_at = 0
        """The last ticket at which the limit was in use."""
        self.shut_until = 0.0
        """No call begins before; 0.0 while there is no such time."""
        self.pace: Bucket | None = None
        """Spaces calls, where the provider was found to count by time."""
        self._told = False
        self._slow_start = True
        self._cut_at = 0
        self._ceiling = 0
        self._stride = 1
        self._credit = 0
        self._row = 0
        self._since = 0
        self._unreached = 0
        self._learnt = 0.0
        self._recent = Recent(now)

    def wait_s(self, now: float) -> float:
        """Return the seconds until a call of this pool may begin as far as time is concerned; 0.0 when it may now."""
        wait = 0.0
        if self.shut_until:
            wait = self.shut_until - now
            if wait <= 0:
                wait = self.shut_until = 0.0
        if self.pace is not None:
            wait = max(wait, self.pace.wait_s(1, now))
        return wait

    def reason(self, now: float) -> str | None:
        """Return why no call of this pool may begin now; None while time does not forbid it."""
        if self.wait_s(now) <= 0:
            return None
        if self.shut_until:
            return "the provider asked to wait" if self._told else "the provider has too much to do"
        return "spaced as the provider served them"

    def served(self, ticket: int, now: float) -> None:
        """A reply came."""
        self._recent.add(now)
        self._unreached = 0
        if self.pace is not None:
            self.pace.rate *= _FASTER
            if self.pace.rate > _FORGET * self._learnt:
                self.pace = None
        if ticket <= self._cut_at:
            return
        self._row = 0
        self._since += 1
        if ticket > self.full_at:
            return
        if self._slow_start:
            self.limit += 1
            return
        self._credit += 1
        if self._credit >= self.limit and (self.limit + 1 != self._ceiling or self._credit >= _PATIENCE):
            self._credit = 0
            self._climb()

    def limited(self, ticket: int, now: float, retry_after_s: float | None) -> None:
        """The provider has too much to do."""
        self._unreached = 0
        if ticket > self._cut_at:
            again = self._row > 0 if retry_after_s is None else 0 < self._since < _ENOUGH
            self._cut()
            self._row += 1
            if retry_after_s is None and self._row > 1:
                pause = min(_FIRST_PAUSE_S * 2.0 ** min(self._row - 2, 20), _LONGEST_PAUSE_S)
                self._shut(now + pause, told=False)
            if again or self.pace is not None:
                self._find_pace(now)
        if retry_after_s is not None:
            self.told_to_wait(retry_after_s, now)

    def told_to_wait(self, seconds: float, now: float) -> None:
        """Close until then, unless that is longer than is waited for."""
        if 0 < seconds <= LONGEST_CLOSED_S:
            self._shut(now + seconds, told=True)

    def unreached(self, ticket: int, now: float) -> None:
        """A call did not reach the provider, or its answer did not come.

        Refusals by a server that is down come at once, so many would be met in a moment: each row of them means a pause.
        """
        self._unreached += 1
        if self._unreached % ROW == 0:
            pause = min(_FIRST_PAUSE_S * 2.0 ** min(self._unreached // ROW - 1, 20), _LONGEST_OUTAGE_S)
            self._shut(now + pause, told=False)
            if ticket > self._cut_at:
                self._cut()

    def reached(self) -> None:
        """A call failed in a way that says nothing of capacity, but the provider was there."""
        self._unreached = 0

    def _shut(self, until: float, *, told: bool) -> None:
        if until > self.shut_until:
            self.shut_until = until
            self._told = told

    def _cut(self) -> None:
        self._ceiling = self.limit
        self.limit = (self.limit + 1) // 2
        self._cut_at = self.issued
        self._slow_start = False
        self._stride = 1
        self._credit = 0
        self._since = 0

    def _climb(self) -> None:
        if self.limit < self._ceiling:
            self.limit += max(1, (self._ceiling - self.limit) // _CLIMB)
            return
        self.limit += self._stride
        self._stride = max(1, min(self._stride * 2, self.limit // 4))

    def _find_pace(self, now: float) -> None:
        served = self._recent.rate(now, _ENOUGH)
        if served is not None:
            self._learnt = _BELOW * served
            self.pace = Bucket(self._learnt, max(1.0, self._learnt), now)
            self.pace.take(self.pace.size)
