"""Labels on their way from the annotator's file into the catalog."""

from __future__ import annotations

from functools import partial

from textual.message import Message

from lrm.browse.labels import LabelFile, Stored, store_labels
from lrm.errors import LrmError
from lrm_tui.screens.annotate_labelling import Labelling
from lrm_tui.screens.annotate_state import WAITING_S


class Merged(Message):
    """Labels are in the catalog, or not yet."""

    def __init__(self, stored: Stored | None, problem: LrmError | None) -> None:
        super().__init__()
        self.stored, self.problem = stored, problem


class Storing(Labelling):
    """The part of labelling that has saved labels stored in the catalog."""

    def _wait_to_merge(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(WAITING_S, self._merge)

    def _merge(self) -> None:
        """Have what is pending stored, unless that is being done; what cannot be is tried again later."""
        if self.file is None or self._merging:
            return
        self._merging = True
        self.run_worker(partial(self._merge_now, self.file), thread=True, group="merge", exit_on_error=False)

    def _merge_now(self, file: LabelFile) -> None:
        try:
            self.post_message(Merged(store_labels(self.lrm.reader, file), None))
        except LrmError as error:
            self.post_message(Merged(None, error))

    def on_merged(self, message: Merged) -> None:
        """Say what became of it."""
        message.stop()
        self._merging = False
        if self.labelling is not None:
            self.labelling.problem = None if message.problem is None else message.problem.message
        stored = message.stored
        if stored is not None and stored.damaged:
            self.lrm.tell(f"some lines could not be read and are kept: {', '.join(stored.damaged)}", bad=True)
        if message.problem is not None or (self.file is not None and self.file.pending):
            self._wait_to_merge()
        self.say()

    def on_unmount(self) -> None:
        """Have the labels stored by a worker of the app; what that does not come to is stored by whoever labels next."""
        file, reader = self.file, self.lrm.reader
        if file is not None and file.pending:
            self.app.run_worker(partial(_store_last, reader, file), thread=True, group="labels", exit_on_error=False)
        elif file is not None:
            file.close()


def _store_last(reader: object, file: LabelFile) -> None:
    from contextlib import suppress

    from lrm.browse.reader import Reader

    assert isinstance(reader, Reader)
    with suppress(LrmError):
        store_labels(reader, file)
    file.close()
