"""The view `matrix`."""

from __future__ import annotations

from typing import ClassVar

from lrm_tui.base import View


class MatrixView(View):
    """The view `matrix`."""

    view: ClassVar[str] = "matrix"
