"""Transforms: named pure functions from a prompt's text to another text, and where they are found.

Built in are those of `encodings`, `ciphers`, `obfuscations`, `lookalikes` and `templates`. An installed package adds
its own through the entry point group `lrm.transforms`, which maps a name to a `Transform`; such packages are looked for
only when a step names a transform that is not built in, and when all are listed.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, create_model

from lrm.errors import SpecError, known_names_hint

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "lrm.transforms"
_BUILT_IN_MODULES = ("templates", "encodings", "ciphers", "obfuscations", "lookalikes")


@dataclass(frozen=True, slots=True)
class Transform:
    """A named transform. Its function takes the text, and its parameters as keywords."""

    name: str
    """What a step calls it."""
    description: str
    """One line for lists."""
    source: str
    """The paper, standard or format that it follows; empty when it needs none."""
    function: Callable[..., str]
    """Pure and deterministic: the same text and parameters give the same text on every machine."""
    version: int = 1
    """Part of an attack's id; counted up when the output changes."""
    package: str | None = None
    """Name and version of the package that adds it; None for a built-in."""

    @property
    def params(self) -> type[BaseModel]:
        """Return the model of its parameters, derived from the function's keyword arguments."""
        return _params_model(self.function)

    def resolve(self, given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Return every parameter with its value, defaults included, as JSON.

        Raises SpecError, with the parameter as its key, for one that is unknown, missing or wrong.
        """
        try:
            resolved: dict[str, JsonValue] = self.params.model_validate(dict(given)).model_dump(mode="json")
        except ValidationError as error:
            raise self._refusal(error) from error
        return resolved

    def __call__(self, prompt: str, /, **params: JsonValue) -> str:
        """Return the transformed text; parameters are checked as `resolve` does."""
        return self.function(prompt, **self.resolve(params))

    def _refusal(self, error: ValidationError) -> SpecError:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        known = self.params.model_fields
        takes = f"`{self.name}` takes: {', '.join(known)}" if known else f"`{self.name}` takes no parameters"
        match first["type"]:
            case "extra_forbidden":
                hint = known_names_hint(name, known) if known else takes
                return SpecError(f"transform `{self.name}` has no parameter `{name}`", key=name, hint=hint)
            case "missing":
                return SpecError(f"transform `{self.name}` needs the parameter `{name}`", key=name, hint=takes)
            case _:
                reason = first["msg"].removeprefix("Value error, ")
                return SpecError(f"transform `{self.name}`, parameter `{name}`: {reason}", key=name, hint=takes)


def transform(
    name: str, description: str, *, source: str = "", version: int = 1
) -> Callable[[Callable[..., str]], Transform]:
    """Return a decorator that makes a function `(prompt, /, *, parameter: type = default, …) -> str` a Transform."""

    def decorate(function: Callable[..., str]) -> Transform:
        return Transform(name, description, source, function, version)

    return decorate


@cache
def _params_model(function: Callable[..., str]) -> type[BaseModel]:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        parameter.name: (hints[parameter.name], ... if parameter.default is parameter.empty else parameter.default)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    return create_model(getattr(function, "__name__", "params"), __config__=config, **fields)


@cache
def built_in() -> Mapping[str, Transform]:
    """Return the built-in transforms by name, in the order of their modules."""
    found: dict[str, Transform] = {}
    for module in _BUILT_IN_MODULES:
        for value in vars(importlib.import_module(f"lrm.attacks.{module}")).values():
            if isinstance(value, Transform):
                found[value.name] = value
    return MappingProxyType(found)


def known() -> Mapping[str, Transform]:
    """Return every transform by name: the built-in ones, then those of installed packages by name.

    Raises SpecError, naming the package, when a plug-in is broken or takes the name of a built-in one.
    """
    found = dict(built_in())
    for name in sorted(_plug_ins(tuple(sys.path))):
        if name in found:
            package = _package(_plug_ins(tuple(sys.path))[name][0])
            raise SpecError(
                f"the package {package} names a transform `{name}`, which is built in",
                hint=f"rename its entry point in the group {GROUP}, or uninstall the package",
            )
        found[name] = _load(name)
    return MappingProxyType(found)


def find(name: str) -> Transform:
    """Return the transform called `name`; packages are looked through only when it is not built in.

    Raises SpecError with the nearest known name when there is none, or naming the package when its plug-in is broken.
    """
    if (found := built_in().get(name)) is not None:
        return found
    plug_ins = _plug_ins(tuple(sys.path))
    if name in plug_ins:
        return _load(name)
    raise SpecError(
        f"there is no transform `{name}`", key="transform", hint=known_names_hint(name, [*built_in(), *plug_ins])
    )


@lru_cache(maxsize=4)
def _plug_ins(_path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    """Return the entry points of the group by name; the search path is the key under which the scan is remembered."""
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return found


def _package(entry: EntryPoint) -> str:
    return "(unnamed)" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def _load(name: str) -> Transform:
    entry, *others = _plug_ins(tuple(sys.path))[name]
    package = _package(entry)
    if others:
        packages = " and ".join(_package(each) for each in (entry, *others))
        raise SpecError(f"transform `{name}` is named by more than one package: {packages}", hint="uninstall one")
    hint = f"mend or uninstall {package}; `{name}` is its entry point `{entry.value}` in the group {GROUP}"
    try:
        loaded = entry.load()
    except Exception as error:
        raise SpecError(
            f"transform `{name}` of the package {package} cannot be loaded: {type(error).__name__}: {error}", hint=hint
        ) from error
    if not isinstance(loaded, Transform):
        raise SpecError(
            f"transform `{name}` of the package {package} is a {type(loaded).__name__}, not a Transform", hint=hint
        )
    if loaded.name != name:
        raise SpecError(
            f"the package {package} calls its transform `{loaded.name}`, its entry point `{name}`", hint=hint
        )
    return replace(loaded, package=package)
