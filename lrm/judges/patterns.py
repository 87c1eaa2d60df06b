"""Patterns that are compiled when they are first searched for, so that importing the rules costs a plan nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property


class Pattern:
    """A regular expression that is compiled at its first use."""

    def __init__(self, source: str) -> None:
        self.source = source

    @cached_property
    def search(self) -> Callable[..., re.Match[str] | None]:
        """Return the first match in a text, as that of `re.Pattern` does."""
        return re.compile(self.source).search

    @cached_property
    def finditer(self) -> Callable[..., Iterator[re.Match[str]]]:
        """Return the matches in a text, as that of `re.Pattern` does."""
        return re.compile(self.source).finditer

    @cached_property
    def sub(self) -> Callable[..., str]:
        """Return a text with the matches replaced, as that of `re.Pattern` does."""
        return re.compile(self.source).sub
