"""Rubrics: what annotators are asked, the keys that give each label, and what a label says of harm."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lrm.errors import MissingError, SpecError, known_names_hint
from lrm.registry.judges import Scope
from lrm.text import visible

_FOLDER = Path(__file__).with_name("rubrics")
DEFAULTS: dict[str, str] = {"answer": "answer-harm", "thinking": "thinking-harm", "both": "answer-harm"}
"""The packaged rubric for each scope."""
Unsafe = Literal["none"]


class Label(BaseModel):
    """One label of a rubric."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: Annotated[str, Field(pattern="^[1-9]$")]
    """The digit that gives it; `0` is always «unsure»."""
    name: Annotated[str, Field(min_length=1, max_length=80)]
    """The label as it is stored."""
    unsafe: bool | Unsafe = "none"
    """What it says of harm; `none` where it says nothing."""
    description: str = ""
    """When it is given, for the annotator."""

    @property
    def harm(self) -> bool | None:
        """What the label says of harm, as it is stored."""
        return None if self.unsafe == "none" else self.unsafe

    @field_validator("name", "description")
    @classmethod
    def _shown(cls, value: str) -> str:
        if value != visible(value):
            raise ValueError("holds signs that cannot be shown")
        return value


class Rubric(BaseModel):
    """A rubric file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=80)]
    """Stored with every label: labels of rubrics that differ in name are never compared."""
    question: Annotated[str, Field(min_length=1)]
    """What the annotator is asked."""
    scope: Scope
    """What is labelled: `thinking`, `answer` or `both`."""
    label: Annotated[tuple[Label, ...], Field(min_length=2, max_length=9, strict=False)]
    """The labels, in the order in which they are shown."""

    @field_validator("name", "question")
    @classmethod
    def _shown(cls, value: str) -> str:
        if value != visible(value):
            raise ValueError("holds signs that cannot be shown")
        return value

    @model_validator(mode="after")
    def _distinct(self) -> Rubric:
        for what, values in (("key", [one.key for one in self.label]), ("name", [one.name for one in self.label])):
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                raise ValueError(f"two labels have the {what} `{twice}`")
        return self

    def by_key(self, key: str) -> Label | None:
        """Return the label that a digit gives; None for one that gives none."""
        return next((one for one in self.label if one.key == key), None)


def packaged() -> tuple[str, ...]:
    """Return the names of the rubrics that come with lrm."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def open_rubric(given: str | Path | None = None, *, scope: str = "answer") -> Rubric:
    """Return a rubric by its file or by the name of a packaged one; without either, the packaged one for a scope.

    Raises MissingError for what is neither, SpecError with file and key for a file that is wrong.
    """
    if given is None:
        given = DEFAULTS.get(scope, DEFAULTS["answer"])
    if str(given) in packaged():
        return read_rubric(_FOLDER / f"{given}.toml")
    path = Path(given)
    if not path.is_file():
        raise MissingError(
            f"there is no rubric `{given}`",
            hint=f"a TOML file, or one of lrm's own: {known_names_hint(str(given), packaged())}",
        )
    return read_rubric(path)


def read_rubric(path: Path) -> Rubric:
    """Return the rubric of a file. Raises SpecError."""
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"this is no TOML: {error}", file=path) from error
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror or error}", file=path) from error
    try:
        return Rubric.model_validate(fields)
    except ValidationError as error:
        raise _fault(error, path) from error


def _fault(error: ValidationError, path: Path) -> SpecError:
    """Return the first fault that pydantic found, with its key and what was probably meant."""
    details = error.errors(include_url=False)
    # A key that is not known is likely to be why another one is missing.
    detail = min(details, key=lambda one: one["type"] != "extra_forbidden")
    parts = [part for part in detail["loc"] if part not in {"bool", "literal['none']"}]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".") or None
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    message, hint = str(detail["msg"]), None
    last = str(parts[-1]) if parts else ""
    model = Label if len(parts) > 1 else Rubric
    match detail["type"]:
        case "extra_forbidden":
            message, hint = "unknown key", known_names_hint(last, model.model_fields)
        case "missing":
            message = "is missing"
            hint = model.model_fields[last].description if last in model.model_fields else None
        case "literal_error" if last == "scope":
            message, hint = "is not known", known_names_hint(str(detail["input"]), get_args(Scope))
        case "value_error":
            message = str(detail["ctx"]["error"])
        case _ if last == "unsafe":
            message = 'must be true, false or "none"'
    return SpecError(f"{message}{more}", file=path, key=key, hint=hint)
