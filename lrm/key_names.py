"""Names under which people and programs send keys and tokens."""

from __future__ import annotations

import re
from functools import lru_cache

_NAME = (
    r"authorization|api[-_ ]?key|apikey|access[-_ ]?key|access[-_ ]?token|auth[-_ ]?token|id[-_ ]?token|refresh[-_ ]?token"
    r"|bearer|client[-_ ]?secret|secret|password|passwd|credential|cookie|private[-_ ]?key|subscription[-_ ]?key|x[-_ ]?goog"
    r"|session[-_ ]?token|security[-_ ]?token|signature[-_ ]?key"
)
_IS_NAME = re.compile(_NAME, re.IGNORECASE)


@lru_cache(maxsize=4096)
def names_a_key(name: str) -> bool:
    """Return whether a field of this name is likely to hold a key, a token or a password."""
    return _IS_NAME.search(name) is not None
