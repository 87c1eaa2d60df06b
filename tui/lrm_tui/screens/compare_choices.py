"""What is compared: which models, in which order, and which judge looks at them."""

from __future__ import annotations

from dataclasses import replace

from lrm.browse.places import ComparePlace
from lrm_tui.dialogs import Choose
from lrm_tui.screens.compare_columns import Comparing
from lrm_tui.screens.compare_state import MOST_MODELS, swapped


class Choosing(Comparing):
    """The part of the comparison that chooses models and judge."""

    def action_swap(self) -> None:
        """A becomes B, B becomes A."""
        first, second, *rest = self.at.models
        self._reopen(replace(self.at, models=(second, first, *rest), outcome=swapped(self.at.outcome)))

    def _reopen(self, place: ComparePlace) -> None:
        self.place = place
        self.load()
        self.say()

    def action_judge(self) -> None:
        """Choose judge and scope."""
        self.ask("judges", lambda stop: self.lrm.grids.judges(self.at.slice, stop), self._choose_judge)

    def _choose_judge(self, found: tuple[object, ...]) -> None:
        from lrm.browse.frame import JudgeScope

        judges = {f"{one.judge} · {one.scope}": one for one in found if isinstance(one, JudgeScope)}
        if not judges:
            self.lrm.tell("no judge looks at these cells")
            return
        options = [(name, "" if one.has_harm else "says nothing of harm") for name, one in judges.items()]

        def chosen(values: object) -> None:
            if isinstance(values, tuple):
                one = judges[values[0]]
                self._reopen(replace(self.at, judge=one.judge, scope=one.scope))

        now = f"{self.at.judge} · {self.at.scope}"
        self.app.push_screen(Choose("judge and scope", options, current=(now,)), chosen)

    def action_models(self) -> None:
        """Choose which models are compared."""
        models = self.at.models
        known = dict.fromkeys((*models, *self.lrm.names.models))
        if len(known) < 2:
            self.ask("models", lambda stop: self.lrm.grids.values(self.at.slice, "model", stop), self._choose_models)
        else:
            self._choose_models(tuple(known))

    def _choose_models(self, known: tuple[str, ...]) -> None:
        def chosen(values: object) -> None:
            if not isinstance(values, tuple):
                if len(self.at.models) < 2:
                    self.lrm.tell("a comparison needs two models: m chooses them")
            elif len(values) < 2:
                self.lrm.tell("choose two models or more: Tab marks them", bad=True)
            else:
                self._reopen(replace(self.at, models=values[:MOST_MODELS]))

        title = f"models side by side, two to {MOST_MODELS}, the first is A"
        self.app.push_screen(Choose(title, [(one, "") for one in known], current=self.at.models, several=True), chosen)
