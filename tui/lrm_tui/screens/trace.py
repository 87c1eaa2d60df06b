"""The view `trace`."""

from __future__ import annotations

from typing import ClassVar

from lrm_tui.base import View


class TraceView(View):
    """The view `trace`."""

    view: ClassVar[str] = "trace"
