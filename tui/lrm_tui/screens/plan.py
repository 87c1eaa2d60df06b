"""The view `plan`."""

from __future__ import annotations

from typing import ClassVar

from lrm_tui.base import View


class PlanView(View):
    """The view `plan`."""

    view: ClassVar[str] = "plan"
