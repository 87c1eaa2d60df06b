"""What driver and workers say to each other. Plain values: each crosses processes as it is."""

from __future__ import annotations

from dataclasses import dataclass

from lrm.backends.base import Call, CallFailure, FailureClass, Quota, Reply
from lrm.engines.engine import Device, Load


@dataclass(frozen=True, slots=True)
class Place:
    """Where the workers of a run write down what they receive, before they send it."""

    run: str
    folder: str
    """The run's spool folder beside the catalog, as the driver sees it."""
    nonce: str
    """What the file `nonce` in it says. A worker that reads the same there sees the driver's disk."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a worker says of itself."""

    node: str
    """Ray's id of its node, in hex."""
    host: str
    pid: int
    lrm: str
    spool: str
    """Folder on its node that holds its spools."""
    shared: bool
    """Whether the driver sees that folder under the same path."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A ModelError of a worker's."""

    message: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class Item:
    """One call of a shard."""

    ticket: int
    """The driver's number of this attempt."""
    model: str
    """Key by which the model was opened."""
    call: Call
    attempts: int
    """Requests made for it, this one among them."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A CallFailure: an exception with keyword arguments does not survive pickling."""

    kind: FailureClass
    message: str
    retry_after_s: float | None = None
    status: int | None = None
    quota: Quota | None = None
    final: bool = False

    @classmethod
    def of(cls, failure: CallFailure) -> Failed:
        """Return what is to be sent of a failure."""
        return cls(
            failure.kind, failure.message, failure.retry_after_s, failure.status, failure.quota, failure.final
        )  # fmt: skip

    def failure(self) -> CallFailure:
        """Return the failure as it was raised."""
        return CallFailure(
            self.kind, self.message, retry_after_s=self.retry_after_s, status=self.status, quota=self.quota,
            final=self.final,
        )  # fmt: skip


Result = Reply | Failed


@dataclass(frozen=True, slots=True)
class Batch:
    """What a worker has to say at one moment."""

    serial: int
    """Counts up from 1."""
    answers: tuple[tuple[int, Result], ...] = ()
    """(ticket, what came of it)."""
    said: tuple[str, ...] = ()
    """Lines for the user."""
    load: Load | None = None
    """What the worker's engine is doing."""
    died: str | None = None
    """Why the worker's engine does not run any more."""


@dataclass(frozen=True, slots=True)
class Started:
    """An engine that runs on a worker's node."""

    device: Device | None
    load_s: float
