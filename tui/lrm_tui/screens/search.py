"""The view `search`."""

from __future__ import annotations

from typing import ClassVar

from lrm_tui.base import View


class SearchView(View):
    """The view `search`."""

    view: ClassVar[str] = "search"
