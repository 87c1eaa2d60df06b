"""The built-in transforms as a table for the documentation."""

from __future__ import annotations

import json

from lrm.attacks.transforms import Transform, built_in


def markdown_table() -> str:
    """Return a Markdown table of the built-in transforms: name, what it does, parameters with defaults, source."""
    lines = ["| transform | what it does | parameters | source |", "|---|---|---|---|"]
    for transform in built_in().values():
        cells = (f"`{transform.name}`", transform.description, parameters(transform) or "–", transform.source or "–")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def parameters(transform: Transform) -> str:
    """Return a transform's parameters with what they may be and their defaults, as Markdown; empty when it has none."""
    schema = transform.params.model_json_schema()
    required = schema.get("required", [])
    return ", ".join(
        f"`{name}` ({_values(field)}{'' if name in required else ' = ' + _default(field)})"
        for name, field in schema.get("properties", {}).items()
    )


def _values(field: dict[str, object]) -> str:
    if isinstance(choices := field.get("enum"), list):
        return " / ".join(f"`{choice}`" for choice in choices)
    if isinstance(options := field.get("anyOf"), list):
        return " or ".join(_values(option) for option in options)
    low, high = field.get("minimum"), field.get("maximum")
    span = f" {low}–{high}" if low is not None and high is not None else ""
    names = {"string": "text", "boolean": "true or false", "number": "share", "null": "none"}
    return f"{names.get(str(field.get('type')), str(field.get('type')))}{span}"


def _default(field: dict[str, object]) -> str:
    value = field.get("default")
    return "none" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"
