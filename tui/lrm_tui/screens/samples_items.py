"""The samples of a list as places: what views opened from it step through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrm.browse.places import Place, TracePlace
from lrm.browse.reader import Reader, Stop

if TYPE_CHECKING:
    from lrm.browse.samples import Sample, Samples


class SampleItems:
    """The list as what views opened from it step through."""

    def __init__(self, reader: Reader, samples: Samples) -> None:
        self._reader = reader
        self._samples = samples

    @property
    def count(self) -> int:
        """How many there are."""
        return self._samples.count

    def place_at(self, row: int) -> Place | None:
        """Return the place of a sample."""
        sample = self._samples.sample(row)
        return None if sample is None else place_of(self._reader, sample)


def place_of(reader: Reader, sample: Sample, stop: Stop | None = None) -> TracePlace:
    """Return the place of a sample; the call of one that nobody has asked for has no row, so its id is computed."""
    if sample.id is not None:
        return TracePlace(sample.id, sample.prompt)
    from lrm.browse.trace import read_trace_of

    return TracePlace(read_trace_of(reader, sample, stop, spec=sample.spec).call, sample.prompt)
