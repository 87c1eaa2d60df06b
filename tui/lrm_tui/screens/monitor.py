"""The view `monitor`."""

from __future__ import annotations

from typing import ClassVar

from lrm_tui.base import View


class MonitorView(View):
    """The view `monitor`."""

    view: ClassVar[str] = "monitor"
