"""The view `samples`."""

from __future__ import annotations

from typing import ClassVar

from lrm_tui.base import View


class SamplesView(View):
    """The view `samples`."""

    view: ClassVar[str] = "samples"
