"""Marks on samples and what they are for: samples to compare, or to label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrm.browse.places import AnnotatePlace, ComparePlace
from lrm.browse.reader import Stop
from lrm_tui.dialogs import Choose
from lrm_tui.screens.samples_listing import Listing
from lrm_tui.screens.samples_state import key_of

if TYPE_CHECKING:
    from lrm.browse.samples import Sample


class Marking(Listing):
    """The part of the list that marks samples and takes the marked ones elsewhere."""

    def action_mark(self) -> None:
        """Mark the sample, or take its mark off, and go to the next."""
        sample = self._now()
        marked = self.rows.mark()
        if sample is None or marked is None:
            return
        if marked:
            self.held.marked[key_of(sample)] = sample
        else:
            self.held.marked.pop(key_of(sample), None)
        self.rows.move(1, 0)
        self.say()

    def action_compare(self) -> None:
        """Compare the marked samples, or ask with which model."""
        marked = list(self.held.marked.values())
        if len(marked) >= 2:
            if len({(one.prompt_set, one.prompt) for one in marked}) > 1:
                self.lrm.tell("the marked samples answer different prompts: mark answers to the same one", bad=True)
            elif len({one.model for one in marked}) < len(marked):
                self.lrm.tell("two of the marked samples are of the same model: mark one of each", bad=True)
            else:
                self._compare(marked[0], tuple(one.model for one in marked))
            return
        sample = marked[0] if marked else self._now()
        if sample is None:
            return
        others = [(name, "") for name in self.lrm.names.models if name != sample.model]
        if not others:
            self.lrm.tell("the catalog has no other model")
            return

        def chosen(answer: object) -> None:
            if isinstance(answer, tuple):
                self._compare(sample, (sample.model, answer[0]))

        self.app.push_screen(Choose(f"compare {sample.model} with", others), chosen)

    def _compare(self, sample: Sample, models: tuple[str, ...]) -> None:
        part = self.listed.slice.narrowed("model", None).narrowed("prompt_set", (sample.prompt_set,))
        part = part.narrowed("attack", (sample.attack,))
        self.lrm.open(ComparePlace(part, models, judge=self.listed.judge, scope=self.listed.scope, at=sample.prompt))

    def action_annotate(self) -> None:
        """Label the marked samples, or all that are listed."""
        if self.samples is None or not self.samples.count:
            self.lrm.tell("there is nothing to label")
            return
        if not self.held.marked:
            self.lrm.open(AnnotatePlace(samples=self.listed))
            return
        ids = [one.id for one in self.held.marked.values() if one.id is not None]
        if not ids:
            self.lrm.tell("nobody has asked for what is marked yet: there is nothing to label", bad=True)
            return

        def write(_: Stop) -> str:
            from lrm_tui.outward import write_new

            return str(write_new(self.lrm.folder, "marked", "ids.txt", "".join(f"{one}\n" for one in ids)))

        self.ask("queue", write, self._queued)

    def _queued(self, path: str) -> None:
        self.lrm.tell(f"the marked samples are a queue now: {path}")
        self.lrm.open(AnnotatePlace(queue=path))
