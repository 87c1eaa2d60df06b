"""Reads a model's key from the environment; the declaration names the variable and never holds the key."""

from __future__ import annotations

import base64
import os
from urllib.parse import unquote, urlsplit

from lrm.errors import ModelError
from lrm.registry.declarations import Model


def declared_key(model: Model) -> str | None:
    """Return the key in the variable that `api_key_env` names; None when none is declared.

    Raises ModelError when the variable is not set or cannot be sent in a header. No message shows the value.
    """
    name = model.api_key_env
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise ModelError(
            f"model `{model.model}` needs the environment variable `{name}`, which is not set",
            hint=f"export {name}=… in the shell from which you run lrm",
        )
    if not (key.isascii() and key.isprintable()):
        raise ModelError(
            f"the environment variable `{name}` does not hold a key: it has signs that no header may have",
            hint="look for a line break or a copied typographic sign in it",
        )
    return key


def url_secrets(url: str) -> tuple[str, ...]:
    """Return what of a URL must be kept secret: its password, as written and as meant, and what is sent for it (RFC 7617)."""
    parts = urlsplit(url)
    if not parts.password:
        return ()
    user, password = unquote(parts.username or ""), unquote(parts.password)
    sent = base64.b64encode(f"{user}:{password}".encode()).decode()
    return tuple(dict.fromkeys((sent, parts.password, password)))
