"""What strangers are told of a declaration: what it is and how it behaves, not where it runs here or what it costs us."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

# Fields by kind. All others stay here: endpoints, prices, limits, names of environment variables, rows of prompts.
_SHOWN: dict[str, frozenset[str]] = {
    "model": frozenset({
        "backend", "model", "engine", "revision", "quantization", "dtype", "chat_template", "epoch", "context_tokens",
        "thinking", "sampling", "extra_body", "simulation", "vllm", "pins", "description", "homepage", "licence", "citation",
    }),
    "prompt_set": frozenset({
        "description", "homepage", "licence", "citation", "gated", "hub", "origin", "standin", "sha256", "size", "levels",
        "expect", "file",
    }),
}  # fmt: skip
ELSEWHERE = "http://endpoint.invalid/v1"
"""Stands for an endpoint: a declaration that needs one stays readable, and no request to it can be made (RFC 2606)."""
_PLACED = re.compile(r"^(?:/|~|\.\.?/|[A-Za-z]:[\\/]|\\\\)")
_PATHS = frozenset({"file", "path"})
"""Fields that name a file; in others a text may begin as a path does."""
_VLLM = frozenset({
    "tokenizer", "tokenizer_revision", "adapter", "adapter_revision", "kv_cache_dtype", "batch_invariant", "max_model_len",
    "arguments",
})  # fmt: skip


def public(kind: str, declaration: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a snapshot says of a declaration of a kind (`model`, `attack`, `judge`, `prompt_set`)."""
    shown = _SHOWN.get(kind)
    kept = {name: value for name, value in declaration.items() if shown is None or name in shown}
    if kind == "model" and isinstance(kept.get("vllm"), dict):
        kept["vllm"] = {name: value for name, value in kept["vllm"].items() if name in _VLLM}
    if kind == "model" and declaration.get("endpoint") is not None:
        kept["endpoint"] = ELSEWHERE
    if kind == "judge":
        # What it looks at is the spec's choice, and stands in `chosen_judges`: the same judge is the same row for all.
        kept.pop("scopes", None)
    if kind != "model":
        return {name: _unplaced(value, name) for name, value in kept.items()}
    # What is not pinned is part of the model's id as it stands, and could not be derived from anything else.
    pins = kept.get("pins") or {}
    for part, pin in (("model", "checkpoint_sha256"), ("chat_template", "template_sha256")):
        if part in kept and pin in pins:
            kept[part] = _placed(kept[part])
    if "vllm" in kept:
        held = kept["vllm"]
        pinned = {part for part in ("tokenizer", "adapter") if f"{part}_sha256" in pins}
        kept["vllm"] = {name: _placed(value) if name in pinned else value for name, value in held.items()}
    return kept


def public_text(kind: str, declaration: str) -> str:
    """Return `public` of a declaration's JSON, as JSON with sorted keys."""
    return json.dumps(public(kind, json.loads(declaration)), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


_TEXT = r"""(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_ENDPOINT = re.compile(rf"""((?<![\w-])["']?(?:endpoint|api_key_env)["']?\s*=\s*){_TEXT}""", re.DOTALL)
_PATH = re.compile(r"""(?<=["'])(?:~?/|[A-Za-z]:(?:\\\\?|/)|\\\\)[^"'\s]*[/\\](?=[^"'/\\\s]+["'])""")
_USER = re.compile(r"(?<=://)[^/\s@\"']+@")


def public_spec(text: str, withheld: Collection[str] = ()) -> str:
    """Return a spec's TOML as strangers may read it.

    Endpoints, names of variables that hold keys, users in addresses, places of files and what looks like a key are taken out.

    Sets whose prompts are withheld lose the rows that they have in the spec; the spec is written anew then, without comments.
    """
    import tomllib

    import tomli_w

    from lrm.imports.secrets import clean

    kept = text
    if withheld:
        said = tomllib.loads(text)
        over = said.get("overrides", {}).get("prompt_sets", {})
        declared = {name: one for name, one in said.get("prompt_sets", {}).items() if name in withheld}
        told = [one for one in (*declared.values(), *over.values()) if isinstance(one, dict) and "rows" in one]
        for one in told:
            one["rows"] = []
        kept = tomli_w.dumps(said) if told else text
    found: str = clean(public_paths(_USER.sub("", _ENDPOINT.sub(_elsewhere, kept))))
    return found


def _elsewhere(found: re.Match[str]) -> str:
    return f'{found[1]}"{ELSEWHERE if "endpoint" in found[1] else "KEY"}"'


def public_paths(text: str) -> str:
    """Return TOML in which paths to places on this machine are the last part of them."""
    return _PATH.sub("", text)


def _unplaced(value: Any, name: str) -> Any:
    """Return a field's value in which a path to a place on this machine is the last part of it; other texts stay."""
    match value:
        case str() if name in _PATHS:
            return _placed(value)
        case dict():
            return {name: _unplaced(part, name) for name, part in value.items()}
        case list():
            return [_unplaced(part, name) for part in value]
        case _:
            return value


def _placed(value: Any) -> Any:
    return last_part(value) if isinstance(value, str) and _PLACED.match(value) else value


def last_part(path: str) -> str:
    """Return the last part of a path of either kind of system."""
    return (PureWindowsPath(path).name if "\\" in path else PurePosixPath(path).name) or "."
