"""Why an engine did not start, or ended: read from what vLLM printed."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lrm.engines.fault_rules import CRASHES, RULES, Rule, shortened

FaultKind = Literal[
    "memory",  # of a GPU or of the machine
    "context",  # `max_model_len` is not what the checkpoint or the cache can hold
    "gpus",  # too few, none, or a number that does not divide the model
    "unsupported",  # an architecture, quantization or number format that vLLM or the device lacks
    "files",  # of a checkpoint: missing, or not what they should be
    "gated",  # the Hub asks for a token, or for terms to be accepted
    "argument",  # one that vLLM does not know, or does not take
    "adapter",  # one that does not fit
    "port",  # taken
    "package",  # vLLM or what it needs is not installed as it should be
    "driver",  # the GPU, its driver or its links failed
    "died",  # a process of it was killed from outside, or crashed
    "unknown",
]

_ASIDE = re.compile(r"^\([^()\n]*\bpid=\d+[^()\n]*\) ?")
"""Which process printed a line."""
_LOGGED = re.compile(r"^(?P<level>[A-Z]+) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]\n]*\] ?(?P<text>.*)$")
"""vLLM's lines: level, day, time, place in its source."""
_RAISED = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Interrupt|NotFound|Exit)(?:: |:?$)")
"""The end of a traceback: an exception's class and text."""
_REFUSED = re.compile(
    r"^(?:[\w.-]+(?: [\w-]+)?: error: |\S*python[\w.]*: (?:No module named|Error while finding module) )"
)
"""What argparse ends with, and an interpreter that cannot find what it is to run."""
_VALUE = re.compile(r"^\s+(?:Value|Assertion) error, ")
"""What pydantic writes below `1 validation error for …`."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PYDANTIC_TAIL = re.compile(r" \[type=\w+, input_value=.*$")
_WRAPPERS = (
    "Engine core initialization failed",
    "EngineCore encountered an issue",
    "WorkerProc initialization failed",
    "WorkerProc failed to start",
    "EngineCore failed to start",
    "EngineCore encountered a fatal error",
    "AsyncLLM output_handler failed",
    "cancelled",
)
"""Texts that only say that something else said why."""
_QUOTED = re.compile(r"Worker failed with error '(?P<text>.*)', please check the stack trace above", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an engine ended."""

    kind: FaultKind
    sentence: str
    """What happened, to stand after a colon: no capital, no full stop. What vLLM itself said may be in it."""
    hint: str | None
    """What to do next; None where only the log can say."""


def why(log_text: str, returncode: int | None = None) -> Fault:
    """Return the root cause that a log tells of, else its last error, else how the process ended.

    `log_text`: what one start printed, or the end of that. `returncode`: its exit status, a signal's number below zero.
    """
    said = [message for message in _messages(log_text) if message]
    told = _told(RULES, said)
    if told is not None:
        return told
    if returncode is not None and returncode < 0:
        return _killed(-returncode)
    plain = [message for message in said if not message.partition(": ")[2].startswith(_WRAPPERS)]
    plain = [message for message in plain if not message.startswith(_WRAPPERS)]
    crash = _told(CRASHES, plain)
    errors = [message for message in plain if _RAISED.match(message)]
    if errors or (plain and crash is None):
        return Fault("unknown", shortened((errors or plain)[-1]), None)
    if crash is not None:
        return crash
    if said:
        return Fault(
            "died",
            "a process of it ended without a word, as when it is killed from outside or the machine's memory runs out",
            "look whether the machine's memory ran out (`dmesg` tells); a file of weights that was cut short ends it so too",
        )
    last = next((line.strip() for line in reversed(log_text.splitlines()) if line.strip()), "")
    ended = "it ended" if returncode is None else f"it ended with status {returncode}"
    return Fault(
        "unknown", f"{ended}; its last line is: {shortened(last)}" if last else f"{ended} without a word", None
    )


def _told(rules: tuple[Rule, ...], said: list[str]) -> Fault | None:
    """Return the fault of the first rule of which a text was said."""
    for rule in rules:
        for message in said:
            found = rule.pattern.search(message)
            if found is not None:
                return Fault(rule.kind, rule.told(found), rule.hint)
    return None


def _killed(number: int) -> Fault:
    if number == signal.SIGKILL:
        return Fault(
            "memory",
            "it was killed from outside, as the kernel or a scheduler does when the machine's memory runs out",
            "give it more memory, or lower `vllm.max_model_len` and `vllm.cpu_offload_gb`",
        )
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return Fault("died", f"it was ended by {name}", None)


def _messages(log_text: str) -> Iterator[str]:
    """Yield what the log tells as an error, in its order: the ends of tracebacks, and lines of the level ERROR."""
    lines = [_bare(line) for line in log_text.splitlines()]
    for index, (level, text) in enumerate(lines):
        if _RAISED.match(text) or _REFUSED.match(text):
            yield _whole(lines, index)
        elif level in ("ERROR", "CRITICAL", "FATAL") and text and not text.startswith((" ", "Traceback ")):
            yield text


def _bare(line: str) -> tuple[str, str]:
    """Return level and text of a line; no level where it is not one of vLLM's logger."""
    line = _ASIDE.sub("", _COLOUR.sub("", line))
    logged = _LOGGED.match(line)
    return (logged["level"], logged["text"]) if logged else ("", line)


def _whole(lines: list[tuple[str, str]], index: int) -> str:
    """Return the text of an exception that begins in a line, with the lines that it goes on in."""
    level, text = lines[index]
    parts = [text]
    for next_level, more in lines[index + 1 : index + 12]:
        if next_level != level or not more.strip() or more.startswith(("Traceback ", "During handling", "The above ")):
            break
        if _RAISED.match(more) or "For further information visit" in more:
            break
        if _VALUE.match(more):
            parts = [_VALUE.sub("", more)]
        else:
            parts.append(more)
    whole = _PYDANTIC_TAIL.sub("", "\n".join(parts))
    quoted = _QUOTED.search(whole)
    return quoted["text"] if quoted else whole
