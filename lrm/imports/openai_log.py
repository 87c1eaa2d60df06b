"""Logs of OpenAI-style responses: JSONL with a request and its response on each line.

Read are, under the names that tools in use give them: `{request, response}`, `{messages, response}`, `{input, output}`,
`{question, response}`, a completion with `messages` beside its `choices`, and the output of a batch (`{custom_id,
response: {status_code, body}}`), whose requests are in the batch's input file. Responses are chat completions, kept as
they stand in the file, byte for byte; objects of the Responses API and legacy completions, which the splitter does not
read, are put into a chat completion.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lrm.backends.error_body import error_text, says_blocked
from lrm.backends.failures import redacted
from lrm.errors import SpecError
from lrm.imports import chat, facts
from lrm.imports.document import beside, not_of, read_lines
from lrm.imports.fault import RowError
from lrm.imports.labelling import read_labels
from lrm.imports.mapping import Mapping_
from lrm.imports.payload import dumped, made
from lrm.imports.presence import Presence
from lrm.imports.record import BadRow, ImportedRow, ModelFacts, Stated
from lrm.imports.responses_api import as_completion
from lrm.imports.slices import slice_of
from lrm.imports.table import Fields, seconds
from lrm.traces.split import first_choice, is_refused

Json = dict[str, Any]
_REQUESTS = ("request", "kwargs", "body", "params")
_RESPONSES = ("response", "completion", "output", "result", "raw_response")
_MESSAGES = ("messages", "input", "prompt", "question", "query", "instruction")


class Asked(NamedTuple):
    """What a request says."""

    messages: tuple[chat.Message, ...] | None
    model: str | None
    settings: Mapping[str, Any]


class Answered(NamedTuple):
    """One response: the payload's text, and whether the provider refused."""

    raw: str
    blocked: bool


@dataclass(slots=True)
class OpenAiLog:
    """A log of responses opened for reading."""

    path: Path
    mapping: Mapping_
    stated: tuple[Stated, ...] = ()
    facts: dict[str, ModelFacts] = field(default_factory=dict)

    def rows(self) -> Iterator[ImportedRow | BadRow]:
        """Yield the log's responses; those of one request with several choices one after the other."""
        requests = self._requests()
        presence = Presence(self.path, self.mapping)
        known_shape = False
        for line in read_lines(self.path, "openai-log"):
            if isinstance(line, BadRow):
                yield line
                continue
            number, text, entry = line
            if not known_shape:
                if not _is_entry(entry):
                    raise not_of(self.path, "openai-log", "its lines hold no responses")
                known_shape = True
            presence.see(entry)
            place = f"line {number}"
            try:
                yield from self._entry(place, text, entry, requests)
            except RowError as error:
                yield BadRow(place, str(error))
        presence.check()

    def _requests(self) -> dict[str, Asked]:
        """Return the requests of the batch's input file, by custom id."""
        if self.mapping.requests is None:
            return {}
        path = beside(self.path, self.mapping.requests)
        found: dict[str, Asked] = {}
        for line in read_lines(path, "batch input"):
            if isinstance(line, BadRow):
                raise SpecError(line.reason, file=path, hint=f"at {line.place}")
            number, _, entry = line
            if not isinstance(custom := entry.get("custom_id"), str):
                raise SpecError("the request has no `custom_id`", file=path, line=number)
            try:
                found[custom] = _asked(entry)
            except RowError as error:
                raise SpecError(str(error), file=path, line=number) from error
        return found

    def _entry(self, place: str, text: str, entry: Json, requests: Mapping[str, Asked]) -> Iterator[ImportedRow]:
        fields = Fields(self.mapping, entry)
        custom = entry.get("custom_id")
        asked = requests.get(custom) if isinstance(custom, str) else None
        asked = asked or _asked(entry)
        payload, answers = _answered(text, entry)
        mapping, messages = self.mapping, asked.messages
        if mapping.messages is not None or (
            mapping.prompt is not None and (messages is None or mapping.attacked is not None)
        ):
            _, messages, _, _ = fields.conversation()
        if messages is None:
            hint = "; say the batch's input file with requests=FILE" if custom is not None else ""
            raise RowError(f"what was asked is not in the line{hint}")
        system = fields.system()
        if system and messages[0]["role"] != "system":
            messages = ({"role": "system", "content": system}, *messages)
        served = payload.get("model")
        model = fields.constant_or_text("model") or asked.model or _name(entry.get("model")) or _name(served)
        if model is None:
            raise RowError("the line names no model; say model=NAME")
        facts.note(self.facts, model, asked.settings)
        expect = fields.expect()
        labels = read_labels(self.mapping.labels, entry, expect)
        created = seconds(payload.get("created") or payload.get("created_at"))
        for answer in answers:
            yield ImportedRow(
                place=place,
                model=model,
                prompt=chat.last_user(messages) if self.mapping.prompt is None else fields.text("prompt") or "",
                messages=messages,
                raw=answer.raw,
                blocked=answer.blocked,
                key=fields.identifier(),
                prompt_set=fields.constant_or_text("prompt_set"),
                attack=fields.attack(),
                category=fields.category(),
                expect=expect,
                meta=fields.meta(),
                labels=labels if answer is answers[0] else (),
                at=created if self.mapping.at is None else fields.at(),
            )


def _is_entry(entry: Json) -> bool:
    return "choices" in entry or "error" in entry or any(name in entry for name in _RESPONSES)


# --- the request ------------------------------------------------------------------------------------------------------


def _asked(entry: Json) -> Asked:
    """Return what a line says of its request; the messages are None where it says nothing."""
    request: Json = entry
    for _ in range(2):  # {request: {body: {...}}}, as batch inputs and proxies write it
        inner = next((entry_ for name in _REQUESTS if isinstance(entry_ := request.get(name), dict)), None)
        if inner is None:
            break
        request = inner
    value = next((request[name] for name in _MESSAGES if request.get(name) is not None), None)
    system = request.get("system", request.get("instructions"))
    system = system if isinstance(system, str) and system.strip() else None
    messages = None
    if isinstance(value, str):
        messages = chat.user(value, system)
    elif isinstance(value, list) and all(isinstance(item, str) for item in value) and len(value) == 1:
        messages = chat.user(value[0], system)
    elif value is not None:
        messages = chat.read_messages(value)
        if system is not None and messages[0]["role"] != "system":
            messages = ({"role": "system", "content": system}, *messages)
    return Asked(messages, _name(request.get("model")), {} if request is entry else request)


def _name(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


# --- the response -----------------------------------------------------------------------------------------------------


def _answered(text: str, entry: Json) -> tuple[Json, list[Answered]]:
    """Return the response's payload, and its choices one by one. Raises RowError for a line without a response."""
    response, path, status = _located(entry)
    if isinstance(response, str):
        return _from_text(response)
    if not isinstance(response, dict):
        raise RowError("the response is neither an object nor a text")
    raw = slice_of(text, path) or dumped(response)
    choices = response.get("choices")
    failed = response.get("error") is not None and not choices and not response.get("output")
    if failed or (status is not None and status >= 400):
        return response, [_refused(response, raw, status)]
    if response.get("object") == "response" or isinstance(response.get("output"), list):
        return response, [Answered(as_completion(response), False)]
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        raise RowError("the response has no `choices`")
    return response, _each_choice(response, choices, raw)


def _located(entry: Json) -> tuple[Any, list[str], int | None]:
    """Return the response of a line, the keys that lead to it, and the HTTP status that stands beside it."""
    if "choices" in entry:
        return entry, [], None
    name = next((name for name in _RESPONSES if entry.get(name) is not None), None)
    if name is None:
        if entry.get("error") is not None:
            return {"error": entry["error"]}, ["nowhere"], None
        raise RowError("there is no response in the line")
    path, response, status = [name], entry[name], None
    while isinstance(response, dict) and "choices" not in response and isinstance(response.get("body"), dict):
        code = response.get("status_code")
        status = code if type(code) is int else status
        path, response = [*path, "body"], response["body"]
    return response, path, status


def _each_choice(response: Json, choices: list[Json], raw: str) -> list[Answered]:
    if response.get("object") == "chat.completion.chunk" or "delta" in choices[0]:
        raise RowError("the response is one piece of a streamed one; log whole responses")
    if "message" not in choices[0]:
        return [_legacy(choice) for choice in choices]
    if len(choices) == 1:
        return [Answered(raw, is_refused(choices[0]))]
    # The splitter reads the first choice, and the tokens of all of them are counted together.
    shared = {name: value for name, value in response.items() if name not in {"choices", "usage"}}
    return [Answered(dumped({**shared, "choices": [choice]}), is_refused(choice)) for choice in choices]


def _from_text(response: str) -> tuple[Json, list[Answered]]:
    """Read a response that is a text: a payload as JSON text, or the answer itself."""
    try:
        payload = json.loads(response)
    except (ValueError, RecursionError):
        payload = None
    if isinstance(payload, dict) and (choice := first_choice(payload)) is not None:
        return payload, [Answered(response, is_refused(choice))]
    return {}, [Answered(made(response, None), False)]


def _legacy(choice: Json) -> Answered:
    text = choice.get("text")
    if not isinstance(text, str):
        raise RowError("the response's choice has no `message`")
    finish = choice.get("finish_reason")
    return Answered(made(text, None, finish if isinstance(finish, str) else None), is_refused(choice))


def _refused(payload: Json, raw: str, status: int | None) -> Answered:
    """Return a blocked response where an error says that a content filter refused. Raises RowError for all else."""
    if says_blocked(payload):
        return Answered(raw, True)
    said = redacted(error_text(payload, ""), ())
    code = f"HTTP {status}" if status is not None else "an error"
    raise RowError(f"the request ended in {code}: {said}" if said else f"the request ended in {code}")
