"""Conversations out of data files and declarations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrm.prompts.values import shown

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation that ends with the user."""

    text: str
    """The last user message."""
    system: str | None
    """The system message that it opens with; None when it has none."""
    turns: tuple[tuple[str, str], ...]
    """(role, content) of the messages between the two."""


def conversation(value: object) -> Conversation:
    """Return a conversation from a list of `{role, content}`, or from the JSON text of one.

    Raises ValueError, with a message for the user, for anything else, and where the last message is not the user's.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("the conversation is a text that is not JSON") from None
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or not value:
        raise ValueError("a conversation must be a list of {role, content} with at least one message")
    messages = [_message(item, number) for number, item in enumerate(value, start=1)]
    if messages[-1][0] != "user":
        raise ValueError(
            f"the last message of a conversation must be the user's; it is of the role `{messages[-1][0]}`"
        )
    system = messages.pop(0)[1] if messages[0][0] == "system" else None
    return Conversation(text=messages[-1][1], system=system or None, turns=tuple(messages[:-1]))


def _message(item: object, number: int) -> tuple[str, str]:
    if not isinstance(item, Mapping):
        raise ValueError(f"message {number} of the conversation is not {{role, content}}")  # noqa: TRY004
    extra = next((name for name, value in item.items() if name not in {"role", "content"} and value is not None), None)
    if "role" not in item or "content" not in item:
        raise ValueError(f"message {number} of the conversation lacks `{'role' if 'role' not in item else 'content'}`")
    if extra is not None:
        raise ValueError(f"message {number} of the conversation has {shown(extra)}; only role and content are sent")
    role, content = item["role"], item["content"]
    if role not in ROLES:
        raise ValueError(f"message {number} of the conversation has the role {shown(role)}; known: {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise ValueError(f"the content of message {number} of the conversation is not text")  # noqa: TRY004
    return str(role), content
