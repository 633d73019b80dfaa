"""The slides' text format: docs/format.md, and its grammar in plain Python.

`parse_line` is the reference for `_native/scan.c`, which reads the same where it could be built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import pyarrow as pa

from tracekit import _native
from tracekit.model import attributes
from tracekit.model.arrays import categories, optional_integers, strings
from tracekit.model.attributes import NO_ATTRIBUTES, Attributes, natural
from tracekit.model.source import Source, lines
from tracekit.model.stream import (
    BAD_ATTRIBUTE,
    BATCH_SCHEMA,
    COUNT_LIMIT,
    EVENTS,
    ID_LIMIT,
    LINE_LIMIT,
    TIME_LIMIT,
    EventStream,
    event_column,
)

_BATCH_EVENTS = 1 << 16
_BOM = b"\xef\xbb\xbf"
_INTEGER = re.compile(rb"-?[0-9]+")
_ATTRIBUTE = re.compile(rb"([a-z][a-z-]*)=(.+)", re.DOTALL)
_CODES = {word.encode(): code for code, word in enumerate(EVENTS)}


def sniff(head: bytes) -> float:
    """How sure it is that this is the text format: the share of event lines, 0.1 at least for any text."""
    lines = [line for line in head.split(b"\n")[:-1] or [head] if line.strip() and not line.lstrip().startswith(b"#")]
    events = sum(isinstance(parse_line(line.removesuffix(b"\r")), Event) for line in lines[:100])
    return max(0.1, events / max(1, len(lines[:100])))


def open_stream(source: Source, strict: bool, whole: bool) -> EventStream:
    """A stream of the text in `source`, by the core in use."""
    if _native.library:
        from tracekit.parsers.native_text import NativeText

        return NativeText(source, strict, whole)
    return PlainText(source, strict, whole)


@dataclass(frozen=True)
class Event:
    thread: str
    ticks: int | None
    checks: int | None
    event: int
    time: int | None
    attributes: Attributes = NO_ATTRIBUTES
    bad_attributes: int = 0


class Comment:
    """A line whose first word begins with `#`."""


COMMENT = Comment()


def parse_line(line: bytes) -> Event | Comment | str | None:
    """What a line, without its LF and CR, is: an event, a comment, None for a blank one, else its bad-line code."""
    start = line[: LINE_LIMIT + 1].lstrip(b" \t")
    if not start and len(line) <= LINE_LIMIT:
        return None
    if start.startswith(b"#"):
        return COMMENT
    if len(line) > LINE_LIMIT:
        return "line-too-long"
    if b"\0" in line:
        return "nul-byte"
    words = [word for word in line.replace(b"\t", b" ").split(b" ") if word]
    if len(words) < 4:
        return "too-few-columns"
    try:
        thread = b" ".join(words[:4]).decode("utf-8").split(" ")[0]
    except UnicodeDecodeError:
        return "bad-encoding"
    if len(words[0]) > ID_LIMIT:
        return "id-too-long"
    counts: list[int | None] = []
    for word, code in ((words[1], "bad-ticks"), (words[2], "bad-checks")):
        if word == b"-":
            counts.append(None)
        elif not _INTEGER.fullmatch(word):
            return code
        elif (count := _integer(word, -COUNT_LIMIT, COUNT_LIMIT)) is None:
            return "integer-range"
        else:
            counts.append(count)
    event = _CODES.get(words[3].upper())
    if event is None:
        return "unknown-event"
    if len(words) == 4 or not _INTEGER.fullmatch(words[4]):
        return Event(thread, counts[0], counts[1], event, None)
    time = _integer(words[4], 0, TIME_LIMIT)
    if time is None:
        return "integer-range"
    return Event(thread, counts[0], counts[1], event, time, *_attributes(words[5:], EVENTS[event]))


def _attributes(words: list[bytes], event: str) -> tuple[Attributes, int]:
    """Those that belong to this event, and how many are not of their form. The first other word ends them."""
    told: dict[str, int | tuple[int, ...]] = {}
    bad = 0
    for word in words:
        match = _ATTRIBUTE.fullmatch(word)
        if not match:
            break
        key = match[1].decode()
        if key not in attributes.FIELDS:
            continue
        value = _value(key, match[2].decode("utf-8", "replace"))
        if value is None:
            bad += 1
        elif event in attributes.BELONGS[key]:
            told[key] = value
    return (Attributes(**told) if told else NO_ATTRIBUTES), bad  # type: ignore[arg-type]


def _value(key: str, word: str) -> int | tuple[int, ...] | None:
    if key != "unlocks":
        return natural(word, attributes.LEAST[key], attributes.VALUE_LIMIT)
    ids = [natural(one, 1, attributes.VALUE_LIMIT) for one in word.split(",", attributes.MOST_UNLOCKS)]
    known = tuple(one for one in ids if one is not None)
    return known if len(known) == len(ids) <= attributes.MOST_UNLOCKS else None


def _integer(word: bytes, least: int, most: int) -> int | None:
    """Its value if that is within the limits. The length is tested first: Python refuses thousands of digits."""
    digits = word.removeprefix(b"-").lstrip(b"0")
    if len(digits) > 20:
        return None
    value = int(digits or b"0") * (-1 if word.startswith(b"-") else 1)
    return value if least <= value <= most else None


class PlainText(EventStream):
    """The text of a source, line by line."""

    def __init__(
        self, source: Source, strict: bool = False, whole: bool = False, batch_events: int = _BATCH_EVENTS
    ) -> None:
        super().__init__(source.path)
        self._source = source
        self._strict = strict
        self._keep = whole
        self._batch_events = batch_events
        self._codes: dict[str, int] = {}
        self._read = 0
        self._events = self._parse()
        self._first = next(self._events, None)  # so that the metadata is known

    def _chunks(self) -> Iterator[bytes]:
        """All bytes but a byte order mark."""
        start: bytes | None = b""
        for chunk in chain((self._source.head,), self._source.chunks()):
            self._read += len(chunk)
            if start is None:
                yield chunk
            elif len(start := start + chunk) >= len(_BOM):
                yield start.removeprefix(_BOM)
                start = None
        if start:
            yield start

    def _parse(self) -> Iterator[Event]:
        seq = skipped = 0
        for number, line in enumerate(lines(self._chunks(), LINE_LIMIT), start=1):
            parsed = parse_line(line)
            if isinstance(parsed, Event):
                if skipped:
                    self.line_gaps.append((seq, skipped))
                    skipped = 0
                if parsed.bad_attributes:
                    self.ignored.take(BAD_ATTRIBUTE, number, parsed.bad_attributes)
                yield parsed
                seq += 1
                continue
            skipped += 1
            if isinstance(parsed, Comment) and len(line) <= LINE_LIMIT:
                self.take_comment(line.decode("utf-8", "replace"), seq, number)
            elif isinstance(parsed, str):
                self.bad_lines.take(number, parsed, line, self._keep)
                if self._strict:
                    raise self.bad_lines.refuse(self.path)
        self._source.finish(self._read)
        self.truncated = self._source.truncated

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        if self._first is None:
            return
        events = chain((self._first,), self._events)
        while piece := list(islice(events, self._batch_events)):
            codes = []
            for event in piece:
                code = self._codes.get(event.thread)
                if code is None:
                    code = self._codes[event.thread] = self.add_thread(event.thread)
                codes.append(code)
            batch = pa.RecordBatch.from_arrays(
                [
                    categories(np.array(codes), strings(self.threads)),
                    optional_integers([event.ticks for event in piece]),
                    optional_integers([event.checks for event in piece]),
                    event_column(np.array([event.event for event in piece], np.int8)),
                    optional_integers([event.time for event in piece]),
                ],
                schema=BATCH_SCHEMA,
            )
            told = attributes.gathered(event.attributes for event in piece)
            yield attributes.with_attributes(batch, attributes.columns(told, len(piece)))

    def position(self) -> tuple[int, int | None]:
        position = self._source.position()
        return (self._read, None) if position is None else (position, self._source.size)

    def close(self) -> None:
        self._source.close()
