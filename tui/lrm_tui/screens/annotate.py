"""The view `annotate`."""

from __future__ import annotations

from typing import ClassVar

from lrm_tui.base import View


class AnnotateView(View):
    """The view `annotate`."""

    view: ClassVar[str] = "annotate"
