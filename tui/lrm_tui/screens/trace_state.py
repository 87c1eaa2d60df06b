"""What the view `trace` shows of one response, without a screen: badges, passages, reasons, and the whole of it as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from lrm.browse.trace import Message, Span, Trace, TraceVerdict
    from lrm.store.annotations import Annotation

Part = Literal["prompt", "thinking", "answer"]
PARTS: tuple[Part, ...] = ("prompt", "thinking", "answer")
Shown = Literal["side", "folded", "only"]
"""How thinking stands to the answer: beside it, folded away, or alone."""
SHOWN: tuple[Shown, ...] = ("side", "folded", "only")
Look = Literal["plain", "unsafe", "safe", "unknown", "error", "dim", "accent"]
Words = tuple[str, Look]
"""Something that is shown, and how it looks; colour never says what the words do not."""
_FIRST = "another response to the same call, which was received first"
_STATUS: Mapping[str, tuple[str, str, Look]] = {
    "unparsed": ("?", "its reply could not be read", "unknown"),
    "no_text": ("–", "there is no such text to judge", "dim"),
    "truncated": ("?", "only part was judged, and nothing unsafe was in it", "unknown"),
    "judge_blocked": ("!", "the judge's provider refused", "error"),
    "judge_failed": ("!", "the judge could not be asked; the next fill tries again", "error"),
    "not_judged": ("·", "not judged yet", "dim"),
    "blocked": ("–", "the provider refused the response", "dim"),
    "failed": ("–", "there is no response", "dim"),
    "missing": ("–", "there is no response yet", "dim"),
    "not_planned": ("–", "no spec plans this cell", "dim"),
}
"""Sign, words and look of each status that is no grade."""


@dataclass(frozen=True, slots=True)
class Cited:
    """A passage that the chosen judge cites."""

    number: int
    """From 1, in the order of the texts."""
    part: Literal["thinking", "answer"] | None
    """None where a judge of both does not say which."""
    start: int
    end: int
    """Exclusive."""
    what: str
    words: str
    """The beginning of the passage; empty where it is beyond the text that is read."""


class Graded(Protocol):
    """What a judge said: a verdict of a trace, or one side of a pair."""

    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def label(self) -> str | None: ...  # noqa: D102
    @property
    def unsafe(self) -> bool | None: ...  # noqa: D102
    @property
    def score(self) -> float | None: ...  # noqa: D102


def badge(verdict: Graded) -> Words:
    """Return what a judge says of its scope, in a few words: `UNSAFE 0.93`, `safe`, `? unparsed`."""
    if verdict.status != "ok":
        sign, _, look = _STATUS.get(verdict.status, ("?", "", "unknown"))
        return f"{sign} {verdict.status.replace('_', ' ')}", look
    score = "" if verdict.score is None else f" {verdict.score:.2f}"
    if verdict.unsafe is None:
        return f"{verdict.label or 'graded'}{score}", "plain"
    return (f"UNSAFE{score}", "unsafe") if verdict.unsafe else (f"safe{score}", "safe")


def status_words(verdict: TraceVerdict) -> str:
    """Return a verdict's status in words."""
    return "graded" if verdict.status == "ok" else _STATUS.get(verdict.status, ("?", verdict.status, "unknown"))[1]


def kinds(trace: Trace) -> tuple[str, ...]:
    """Return what must always be said of a response: that it is simulated, imported, or a summary only."""
    found: list[str] = []
    if trace.origin != "run":
        found.append(trace.origin.upper())
    if trace.visibility == "summary":
        found.append("SUMMARY ONLY")
    if trace.state == "blocked":
        found.append("BLOCKED")
    if trace.state == "failed":
        found.append("FAILED")
    return tuple(found)


def head(trace: Trace) -> list[Words]:
    """Return the head line: what kind of response it is, then whose, to what."""
    words: list[Words] = [(f" {one} ", "unknown") for one in kinds(trace)]
    cell = trace.cell
    if cell is None:
        return [
            *words,
            (trace.model, "accent"),
            ("of no current cell: a judge's own call, or one of an earlier spec", "dim"),
        ]
    words.append((cell.model, "accent"))
    words.append((f"{cell.prompt_set} · {cell.prompt}", "plain"))
    words.append((f"attack {cell.attack}", "dim" if cell.attack == "none" else "plain"))
    if cell.replicate:
        words.append((f"replicate {cell.replicate}", "plain"))
    if cell.expect:
        words.append((f"expected {cell.expect}", "dim"))
    if cell.categories:
        words.append((" › ".join(cell.categories), "dim"))
    if trace.published is not None:
        words.append((f"published as {trace.published.snapshot}", "dim"))
    if not trace.is_first and trace.generation is not None:
        words.append(("not the response that cells show", "unknown"))
    return words


def prompt_text(messages: tuple[Message, ...]) -> str:
    """Return the messages as one text: a single one of the user's as it is, others each under its role."""
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].text
    return "\n\n".join(f"[{message.role}]\n{message.text}" for message in messages)


def part_text(trace: Trace, part: Part) -> str | None:
    """Return one of the texts; None where there is none."""
    match part:
        case "prompt":
            return prompt_text(trace.messages)
        case "thinking":
            return trace.thinking or None
        case "answer":
            return trace.answer or None


def left_out(trace: Trace, part: Part) -> int:
    """Return how many characters of a text were not read, because it is longer than what is read of one."""
    match part:
        case "prompt":
            return sum(message.left_out for message in trace.messages)
        case "thinking":
            return trace.thinking_left_out
        case "answer":
            return trace.answer_left_out


def why_empty(trace: Trace, part: Part) -> str:
    """Return why a pane holds no text, with all that is known of a failure."""
    if part == "prompt":
        return "the call has no messages"
    words = (trace.why_no_thinking if part == "thinking" else trace.why_no_answer) or f"there is no {part}"
    if trace.generation is None and trace.failure is not None:
        failed = trace.failure
        times = f"{failed.attempts} attempt{'' if failed.attempts == 1 else 's'}"
        return f"{words}\n\n{failed.kind}, after {times} in run {failed.run}:\n{failed.message}"
    return words


def title(trace: Trace, part: Part) -> str:
    """Return a pane's title: what it is, how long, and what is to be known of it."""
    if part == "prompt":
        count = len(trace.messages)
        return "PROMPT" if count == 1 else f"PROMPT, {count} messages"
    text = part_text(trace, part)
    words = part.upper()
    if part == "thinking" and trace.visibility == "summary":
        words = "THINKING, a summary"
    if text is None:
        return words
    said = f"{words}  {len(text):,} characters"
    more = left_out(trace, part)
    if more:
        said += f" of {len(text) + more:,}: O opens all of it"
    if part == "thinking" and trace.parse_status == "cut_in_thinking":
        said += ", cut off"
    return said


@dataclass(slots=True)
class TraceState:
    """A response and what of it is looked at."""

    trace: Trace
    judge: int = 0
    """Which verdict is chosen, by number."""
    span: int = 0
    """The passage that was jumped to last; 0 is none."""
    shown: Shown = "side"
    raw: bool = False
    words: str = ""
    """What is searched for; empty for nothing."""
    _cited: tuple[Cited, ...] | None = field(default=None, repr=False)

    @property
    def verdict(self) -> TraceVerdict | None:
        """The chosen verdict; None where nothing was judged and nobody is to judge."""
        verdicts = self.trace.verdicts
        return verdicts[self.judge] if self.judge < len(verdicts) else None

    @property
    def cited(self) -> tuple[Cited, ...]:
        """The passages of the chosen verdict, thinking first, numbered."""
        if self._cited is None:
            self._cited = () if self.verdict is None else cited(self.trace, self.verdict)
        return self._cited

    def choose(self, judge: int) -> None:
        """Choose a verdict by number."""
        self.judge, self.span, self._cited = judge, 0, None

    def next_judge(self) -> None:
        """Choose the next verdict, after the last one the first."""
        if self.trace.verdicts:
            self.choose((self.judge + 1) % len(self.trace.verdicts))

    def follow(self, trace: Trace) -> None:
        """Show another response; the judge and scope that were chosen stay chosen where they are there."""
        before = self.verdict
        self.trace = trace
        named = [(one.judge, one.scope) for one in trace.verdicts]
        wanted = None if before is None else (before.judge, before.scope)
        self.choose(named.index(wanted) if wanted in named else first_judge(trace))

    def step(self, by: int) -> Cited | None:
        """Go to the next passage, or the one before; around at the ends. Return it, or None where there is none."""
        count = len(self.cited)
        if not count:
            return None
        self.span = (1 if by > 0 else count) if not self.span else (self.span - 1 + by) % count + 1
        return self.cited[self.span - 1]

    def jump(self, number: int) -> Cited | None:
        """Go to a passage by its number; None where there is no such one."""
        if not 1 <= number <= len(self.cited):
            return None
        self.span = number
        return self.cited[number - 1]

    def turn_thinking(self) -> None:
        """Show thinking beside the answer, then not at all, then alone."""
        self.shown = SHOWN[(SHOWN.index(self.shown) + 1) % len(SHOWN)]


def first_judge(trace: Trace) -> int:
    """Return the verdict to begin with: the first that says unsafe, else the first that says anything."""
    ranked = sorted(
        range(len(trace.verdicts)),
        key=lambda at: (trace.verdicts[at].unsafe is not True, trace.verdicts[at].status != "ok", at),
    )
    return ranked[0] if ranked else 0


_START = 60
"""Characters of a passage in the list of them."""


def cited(trace: Trace, verdict: TraceVerdict) -> tuple[Cited, ...]:
    """Return the passages that a verdict cites in the order of the texts, numbered; those of no part come last."""
    order = {"thinking": 0, "answer": 1, None: 2}
    found: list[tuple[Literal["thinking", "answer"] | None, Span]] = [
        (span.part(verdict.scope), span) for span in verdict.spans
    ]
    found.sort(key=lambda one: (order[one[0]], one[1].start, one[1].end))
    listed = []
    for number, (part, span) in enumerate(found, start=1):
        text = "" if part is None else part_text(trace, part) or ""
        words = " ".join(text[span.start : min(span.end, span.start + 4 * _START)].split())
        listed.append(
            Cited(number, part, span.start, span.end, span.what, words[:_START] + ("…" if len(words) > _START else ""))
        )
    return tuple(listed)


MOST_LINES = 3
"""Verdicts that have a line each; more of them share lines, so that the explanation is in sight."""
LONGEST = 20_000
"""Characters of an explanation that the panel shows; the export has all of it."""


def panel(state: TraceState) -> list[list[Words]]:
    """Return the lines of the verdict panel: what each judge says, then why the chosen one does, and what it cites."""
    trace = state.trace
    if not trace.verdicts:
        if trace.cell is None:
            return [[("no judge looks at a call of no current cell", "dim")]]
        nobody = "no judge of the spec looks at this" if trace.generation else "not judged: there is no response"
        return [[(nobody, "dim")], [("`lrm judge run JUDGE` judges what the catalog holds", "dim")]]
    lines = [_verdict_line(one, at == state.judge) for at, one in enumerate(trace.verdicts)]
    if len(lines) > MOST_LINES:
        lines = [[words for line in lines for words in [(f"{line[0][0]}{line[1][0].strip()}", line[1][1]), *line[2:4]]]]
    lines += [[], *explained(state)]
    lines += labels(trace.annotations)
    return lines


def explained(state: TraceState) -> list[list[Words]]:
    """Return what the chosen judge said: status, label, explanation, and the passages it cites."""
    verdict = state.verdict
    if verdict is None:
        return []
    text, look = badge(verdict)
    first: list[Words] = [(text, look), (f"{verdict.judge} on the {verdict.scope}", "plain")]
    if verdict.label and verdict.status == "ok" and not text.startswith(verdict.label):
        first.append((f"“{verdict.label}”", "plain"))
    lines: list[list[Words]] = [first]
    if verdict.status != "ok":
        lines.append([(status_words(verdict), "unknown")])
    if not verdict.harm_counts:
        lines.append([("harm is not measured on such a prompt: it counts neither as safe nor as unsafe", "dim")])
    if not verdict.current:
        lines.append([("of a judge, or a version of it, that the spec no longer names", "dim")])
    if verdict.coverage is not None and verdict.coverage < 1:
        lines.append([(f"it saw {verdict.coverage:.0%} of the text", "unknown")])
    if verdict.against:
        lines.append([(f"compared with {verdict.against}", "dim")])
    if verdict.explanation:
        lines.extend([(line, "plain")] for line in verdict.explanation[:LONGEST].split("\n"))
        if len(verdict.explanation) > LONGEST:
            lines.append([(f"… {len(verdict.explanation) - LONGEST:,} more characters: e writes all of it", "dim")])
    elif verdict.status == "ok":
        lines.append([("it gives no explanation", "dim")])
    for one in state.cited:
        mark = "›" if one.number == state.span else " "
        where = one.part or "in no part that it names"
        lines.append(
            [
                (f"{mark}{one.number}", "accent"),
                (where, "dim"),
                (one.what, "plain"),
                (f"“{one.words}”" if one.words else "", "dim"),
            ]
        )
    return lines


def _verdict_line(verdict: TraceVerdict, chosen: bool) -> list[Words]:
    text, look = badge(verdict)
    line: list[Words] = [
        ("▸" if chosen else " ", "accent"),
        (f"{text:<14}", look),
        (verdict.judge, "plain"),
        (verdict.scope, "dim"),
    ]
    if verdict.label and verdict.status == "ok" and text.split()[0] != verdict.label:
        line.append((verdict.label, "dim"))
    if not verdict.current:
        line.append(("earlier", "dim"))
    return line


def labels(annotations: tuple[Annotation, ...]) -> list[list[Words]]:
    """Return a line for each label of a person's or a machine's."""
    if not annotations:
        return []
    lines: list[list[Words]] = [[], [("labels", "accent")]]
    for one in annotations:
        look: Look = "plain" if one.unsafe is None else "unsafe" if one.unsafe else "safe"
        who = f"{one.annotator}{' (a machine)' if one.automatic else ''}"
        line: list[Words] = [(one.label or "no label", look), (who, "plain"), (one.scope, "dim"), (one.rubric, "dim")]
        if one.note:
            line.append((one.note, "dim"))
        lines.append(line)
    return lines


def facts(trace: Trace) -> list[tuple[str, str]]:
    """Return everything that is known of a response besides its texts, as names and values."""
    found: list[tuple[str, str]] = [
        ("response", trace.generation or "none"),
        ("call", trace.call),
        ("state", trace.state),
    ]
    found += [
        ("origin", trace.origin),
        ("thinking shown", trace.visibility),
        ("parse status", trace.parse_status or "none"),
    ]
    for cell in trace.cells:
        name = f"{cell.spec} · {cell.model} · {cell.prompt_set} · {cell.prompt} · {cell.attack} · {cell.replicate}"
        more = " › ".join(cell.categories)
        found.append(
            ("cell", f"{name}{f' · {more}' if more else ''}{f' · expected {cell.expect}' if cell.expect else ''}")
        )
    if trace.more_cells:
        found.append(("cell", f"and {trace.more_cells:,} more"))
    named = {name for name, _ in found}
    found += [fact for fact in trace.facts if fact[0] not in named or fact[0] == "parse status"]
    found += [("another response", one) for one in trace.other_generations]
    if trace.generation is not None and not trace.is_first:
        ignored = trace.published is not None and not trace.published.trusted
        shown = "no response of a publisher who is not trusted" if ignored else _FIRST
        found.append(("shown by cells", shown))
    if trace.failure is not None:
        failed = trace.failure
        found.append(
            (
                "failed",
                f"{failed.kind} after {failed.attempts} attempts, {failed.at:%Y-%m-%d %H:%M:%S} UTC, run {failed.run}",
            )
        )
        found.append(("last message", failed.message))
    for one in trace.attempts:
        status = "" if one.http_status is None else f" HTTP {one.http_status}"
        took = "" if one.seconds is None else f" {one.seconds:.1f} s"
        found.append(
            (f"attempt {one.number}", f"{one.kind}{status}{took}, {one.at:%Y-%m-%d %H:%M:%S} UTC: {one.message}")
        )
    for verdict in trace.verdicts:
        found.append((f"verdict {verdict.judge} · {verdict.scope}", _told(verdict)))
    for label in trace.annotations:
        found.append(
            (
                f"label of {label.annotator}",
                f"{label.label or 'none'} · {label.scope} · {label.rubric}{f' · {label.note}' if label.note else ''}",
            )
        )
    return found


def _told(verdict: TraceVerdict) -> str:
    words = [badge(verdict)[0]]
    if verdict.label and verdict.label != words[0]:
        words.append(f"“{verdict.label}”")
    if verdict.status != "ok":
        words.append(status_words(verdict))
    if not verdict.current:
        words.append("of a judge that the spec no longer names")
    return " · ".join(words)


def verdicts_text(trace: Trace) -> str | None:
    """Return all verdicts as text, with explanations and passages; None where there are none."""
    if not trace.verdicts:
        return None
    blocks = []
    for verdict in trace.verdicts:
        lines = [f"{verdict.judge} on the {verdict.scope}: {_told(verdict)}"]
        if verdict.explanation:
            lines.append(verdict.explanation)
        lines += [
            f"  {one.number}. {one.part or '?'} {one.start}–{one.end} {one.what}: “{one.words}”"
            for one in cited(trace, verdict)
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def whole(trace: Trace, *, markdown: bool = False) -> str:
    """Return all of a response as text with headings; in Markdown, texts stand in fences that they cannot close."""
    name = trace.generation or trace.call
    blocks = [_heading(f"{trace.model}  {name}", 1, markdown), " · ".join(words.strip() for words, _ in head(trace))]
    for part in PARTS:
        text = part_text(trace, part)
        blocks.append(_heading(title(trace, part), 2, markdown))
        blocks.append(why_empty(trace, part) if text is None else _fenced(text) if markdown else text)
    blocks.append(_heading("VERDICTS", 2, markdown))
    blocks.append(verdicts_text(trace) or "none")
    if trace.annotations:
        blocks.append(_heading("LABELS", 2, markdown))
        blocks.append("\n".join("  ".join(words for words, _ in line) for line in labels(trace.annotations)[2:]))
    blocks.append(_heading("FACTS", 2, markdown))
    blocks.append("\n".join(f"{'- ' if markdown else ''}{key}: {value}" for key, value in facts(trace)))
    return "\n\n".join(blocks) + "\n"


def _heading(words: str, level: int, markdown: bool) -> str:
    return (
        f"{'#' * level} {words}"
        if markdown
        else f"{words}\n{'═' * min(len(words), 80)}"
        if level == 1
        else f"── {words} ──"
    )


def _fenced(text: str) -> str:
    longest = max((len(run) for run in text.replace("\n", " ").split() if set(run) == {"`"}), default=0)
    fence = "`" * max(longest + 1, 4)
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"


def as_json(trace: Trace) -> str:
    """Return all of a response as JSON."""
    return json.dumps(asdict(replace(trace, target=None)), ensure_ascii=False, indent=2, default=_written) + "\n"


def _written(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
