"""The view `compare`."""

from __future__ import annotations

from typing import ClassVar

from lrm_tui.base import View


class CompareView(View):
    """The view `compare`."""

    view: ClassVar[str] = "compare"
