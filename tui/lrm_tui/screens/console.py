"""The view `sql`."""

from __future__ import annotations

from typing import ClassVar

from lrm_tui.base import View


class ConsoleView(View):
    """The view `sql`."""

    view: ClassVar[str] = "sql"
