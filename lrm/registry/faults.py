"""What pydantic found wrong, said to the person who wrote the file: where, what is allowed, what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from lrm.errors import SpecError, known_names_hint
from lrm.registry.positions import Keys
from lrm.registry.source import Place, Source, shown

_WANTED = {
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_ABOUT_A_WHOLE = {"missing", "union_tag_not_found", "value_error"}
"""Told last: a wrong key beside them is likely to be why."""


@dataclass(frozen=True, slots=True)
class _Fault:
    path: Keys
    """From the root of the source."""
    inside_union: bool
    """Whether pydantic's location names members of a union, so that a deeper fault says it better."""
    detail: ErrorDetails


def first_fault(error: ValidationError, source: Source, cls: Any, *, at: Keys, name: str) -> SpecError:
    """Return the fault that stands first in the file as a SpecError, with the number of the others."""
    faults = [_located(detail, source.data, at) for detail in error.errors(include_url=False)]
    faults = [
        fault
        for fault in faults
        if not (fault.inside_union and any(_below(other.path, fault.path) for other in faults))
    ]
    by_path: dict[Keys, list[ErrorDetails]] = {}
    for fault in faults:
        by_path.setdefault(fault.path, []).append(fault.detail)
    places = {path: source.place(path) for path in by_path}
    path = min(by_path, key=lambda path: (by_path[path][0]["type"] in _ABOUT_A_WHOLE, *_order(places[path], places)))
    schema = _schema(cls) if isinstance(cls, type) else TypeAdapter(cls).json_schema()
    message, hint = _said(by_path[path], _value(source.data, path), schema, path[len(at) :], name)
    if len(by_path) > 1:
        message += f" (and {len(by_path) - 1} more)"
    return places[path].error(message, hint=hint)


@cache
def _schema(cls: type) -> dict[str, Any]:
    return TypeAdapter(cls).json_schema()


def _order(place: Place, places: dict[Keys, Place]) -> tuple[int, int]:
    """Files in the order in which they first come up, lines within."""
    files = list(dict.fromkeys(other.file for other in places.values()))
    return files.index(place.file), place.line


def _located(detail: ErrorDetails, data: Any, at: Keys) -> _Fault:
    """Follow pydantic's location through the data; what is no key there is the name of a union's member."""
    value = _value(data, at)
    path = at
    loc = detail["loc"]
    skipped = False
    for number, part in enumerate(loc):
        if (isinstance(value, dict) and part in value) or (isinstance(value, list) and part in range(len(value))):
            value = _value(value, (part,))
            path = (*path, part)
        elif number == len(loc) - 1 and detail["type"] == "missing":
            path = (*path, part)
        elif part != "[key]":
            skipped = True
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, _discriminator(detail))
    return _Fault(path, skipped, detail)


def _discriminator(detail: ErrorDetails) -> str:
    return str(detail.get("ctx", {}).get("discriminator", "kind")).strip("'")


def _below(path: Keys, other: Keys) -> bool:
    return len(path) > len(other) and path[: len(other)] == other


def _value(value: Any, path: Keys) -> Any:
    """Return what stands at a path; None where nothing does."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def _said(
    details: list[ErrorDetails], value: Any, schema: dict[str, Any], path: Keys, name: str
) -> tuple[str, str | None]:
    """Return message and hint for what is wrong at one path, which counts from the root of the schema."""
    detail = details[0]
    key = str(path[-1]) if path else ""
    nodes = _nodes(schema, path)
    description = next(
        (node["description"] for node in nodes if "description" in node and "properties" not in node), None
    )
    message, hint = f"{name}: ", description
    match detail["type"]:
        case "extra_forbidden":
            message, hint = f"unknown key in {name}", known_names_hint(key, _known_keys(schema, path[:-1]), limit=24)
        case "missing" | "union_tag_not_found":
            known = [word for node in nodes for word in node.get("enum", [node["const"]] if "const" in node else [])]
            known = [str(word) for word in known] or _literals(detail)
            listing = f"Allowed: {', '.join(known)}" if known else None
            message = f"{name} needs the key `{key}`"
            hint = " ".join(filter(None, [description, listing])) or None
        case "value_error":
            message += str(detail["ctx"]["error"])
        case "invalid-json-value":
            message += "this value cannot be written as JSON"
        case _:
            said, guess = _not_allowed(details, value, key)
            message += said
            hint = guess or description
    return message, hint


def _not_allowed(details: list[ErrorDetails], value: Any, key: str) -> tuple[str, str | None]:
    """Return message and hint for a value of the wrong type, or not among those that are allowed."""
    detail = details[0]
    allowed = [word for other in details for word in _literals(other)]
    if allowed and detail["loc"][-1:] == ("[key]",):
        return f"the key `{shown(key)}` is not allowed", known_names_hint(key, allowed)
    if allowed and isinstance(value, str):
        return f"`{shown(value)}` is not allowed", known_names_hint(value, allowed)
    wanted = [_WANTED[other["type"]] for other in details if other["type"] in _WANTED]
    wanted += [f"one of {', '.join(allowed)}"] if allowed else []
    if wanted:
        return f"must be {_either(wanted)}, not {_kind_of(value)}", None
    return _plain(detail["msg"]), None


def _either(words: list[str]) -> str:
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} or {last}" if others else last


def _literals(detail: ErrorDetails) -> list[str]:
    ctx = detail.get("ctx", {})
    listed = str(ctx.get("expected") or ctx.get("expected_tags") or "")
    return re.findall(r"'([^']*)'", listed) if detail["type"] in ("literal_error", "enum", "union_tag_invalid") else []


def _plain(message: str) -> str:
    message = re.sub(r"^(Input|String|List|Dictionary|URL) should", "must", message)
    message = message.replace("List should", "the list must").replace("String should", "the text must")
    return message.replace(" after validation", "")


def _kind_of(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return "text"
        case int() | float():
            return f"the number {shown(value)}"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "this"


# --- reading the JSON schema: what may stand at a path ---------------------------------------------------------------


def _open(schema: dict[str, Any], nodes: Iterable[Any]) -> list[dict[str, Any]]:
    """Follow references and unions; the nodes themselves come first, for their descriptions."""
    found: list[dict[str, Any]] = []
    todo = list(nodes)
    while todo:
        node = todo.pop(0)
        if not isinstance(node, dict) or node in found:
            continue
        found.append(node)
        if "$ref" in node:
            todo.append(schema.get("$defs", {}).get(node["$ref"].rpartition("/")[2]))
        for union in ("anyOf", "oneOf", "allOf"):
            todo.extend(node.get(union, ()))
    return found


def _nodes(schema: dict[str, Any], path: Keys) -> list[dict[str, Any]]:
    """Return the schema's nodes for a value: several where there is a union, none for an unknown key."""
    nodes = _open(schema, [schema])
    for key in path:
        if isinstance(key, int):
            nodes = _open(schema, [node.get("items") for node in nodes])
        else:
            nodes = _open(
                schema, [node.get("properties", {}).get(key, node.get("additionalProperties")) for node in nodes]
            )
    return nodes


def _known_keys(schema: dict[str, Any], path: Keys) -> list[str]:
    """Return the keys that a table may have, by declaration order."""
    return list(dict.fromkeys(key for node in _nodes(schema, path) for key in node.get("properties", {})))
