"""A trace as a stream of record batches: what every parser gives and the timeline takes."""

from __future__ import annotations

import bisect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.errors import BadLineError, SourceError
from tracekit.model import definitions
from tracekit.model.arrays import strings
from tracekit.model.attributes import FIELDS
from tracekit.model.code import shorten_words
from tracekit.model.definitions import Definitions
from tracekit.model.naming import Names
from tracekit.model.rows import Faults, Machine, TooManyPairs
from tracekit.words import whole_number

EVENTS = ("ENTRY", "ACQUIRE", "RELEASE", "BUSY", "RETRY")
ENTRY, ACQUIRE, RELEASE, BUSY, RETRY = range(5)
"""Their codes."""
COUNT_LIMIT = 10**12
"""Ticks and checks are no further from 0,"""
TIME_LIMIT = 2**62
"""and times no later."""
BATCH_SCHEMA = pa.schema(
    [
        pa.field("thread", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("ticks", pa.int64()),
        pa.field("checks", pa.int64()),
        pa.field("event", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("time", pa.int64()),
    ]
)
"""The columns of a batch. Its integers and thread codes may be narrower. The thread dictionaries of a stream only grow:
each begins with the one before. Behind these a batch has the columns of `attributes.FIELDS` that it has a value of."""

LINE_CODES = (
    "line-too-long",
    "nul-byte",
    "too-few-columns",
    "bad-encoding",
    "id-too-long",
    "bad-ticks",
    "bad-checks",
    "unknown-event",
    "integer-range",
)
"""What can be wrong with a line of the text format, in the order in which it is tested."""

BAD_LINE_TEXTS = 1000
"""So many bad lines are kept with their text,"""
BAD_LINE_CHARACTERS = 120
"""so much of each."""
LINE_LIMIT = 1 << 20
ID_LIMIT = 1 << 12
"""Bytes of a thread's id,"""
IDS_LIMIT = 1 << 26
"""and of all ids of a trace together."""
THREAD_LIMIT = 1 << 20
METADATA_LIMIT = 1 << 20
"""Characters of all metadata together,"""
NAME_LIMIT = 1 << 16
"""of a thread's name,"""
NAMES_LIMIT = 1 << 26
"""and of all names, with the ids that have them."""
DEFAULT_INTERVAL = 100
_METADATA = re.compile(r"[ \t]*#[ \t]*([A-Za-z][A-Za-z0-9_-]*):(?:[ \t]+(.*))?", re.DOTALL)
OnProgress = Callable[[int, int | None], None]
"""Called now and then with the bytes read so far and those in all (None: not known)."""


@cache
def event_dictionary() -> pa.Array:
    return strings(EVENTS)


def event_column(codes: npt.NDArray[np.int8]) -> pa.Array:
    """The event column of a batch from numbers, 0 for ENTRY and so on."""
    indices = pa.Array.from_buffers(pa.int8(), len(codes), [None, pa.py_buffer(codes)])
    return pa.DictionaryArray.from_arrays(indices, event_dictionary(), safe=False)


@dataclass(frozen=True)
class BadLine:
    line: int
    code: str
    text: str | None


@dataclass
class BadLines:
    """All counts, and at least the first `BAD_LINE_TEXTS` lines themselves."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    lines: list[BadLine] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def take(self, number: int, code: str, line: bytes, whole: bool) -> None:
        """Counts a bad line. Once there are enough texts, `whole` says whether its number is still kept."""
        if len(self.lines) < BAD_LINE_TEXTS:
            text = line[: 4 * BAD_LINE_CHARACTERS].decode("utf-8", "replace")[:BAD_LINE_CHARACTERS]
            self.lines.append(BadLine(number, code, text))
        elif whole:
            self.lines.append(BadLine(number, code, None))
        self.counts[code] = self.counts.get(code, 0) + 1
        self.first.setdefault(code, number)

    def refuse(self, path: str) -> BadLineError:
        """The error for the first of them."""
        bad = min(self.lines, key=lambda bad: bad.line)
        shown = f": {bad.text!r}" if bad.text else ""
        return BadLineError(f"{path}:{bad.line}: {SENTENCES[bad.code]} ({bad.code}){shown}.", STRICT_HINT)


BAD_ATTRIBUTE = "bad-attribute"
TOO_MUCH_METADATA = "too-much-metadata"
IGNORED_CODES = (BAD_ATTRIBUTE, definitions.BAD_DEFINITION, definitions.TOO_MANY, TOO_MUCH_METADATA)
"""What is passed over without making its line a bad one."""


@dataclass
class Ignored:
    """Counts by `IGNORED_CODES`, and the line where each came first; only those that occurred."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    def take(self, code: str, line: int, count: int = 1) -> None:
        """`line` is 0 where the trace has no lines."""
        self.counts[code] = self.counts.get(code, 0) + count
        if line:
            self.first.setdefault(code, line)


SENTENCES = {
    "line-too-long": "the line is longer than 1 MiB",
    "nul-byte": "the line has a NUL byte",
    "too-few-columns": "the line has fewer than the four columns thread, ticks, checks, EVENT",
    "bad-encoding": "the line is not UTF-8",
    "id-too-long": "the id of the thread is longer than 4 KiB",
    "bad-ticks": "the second column, ticks, is neither an integer nor `-`",
    "bad-checks": "the third column, checks, is neither an integer nor `-`",
    "unknown-event": "the fourth column is none of ENTRY, ACQUIRE, RELEASE, BUSY, RETRY",
    "integer-range": "an integer is out of range (ticks, checks: 10^12 either way; time: 0 to 2^62)",
    "bad-record": "the line is not a record of the tracer that wrote the file",
}
STRICT_HINT = "Mend the line, or leave out --strict to count and skip bad lines."


class EventStream(ABC):
    """One reading of a trace. Iterate it once, or `feed` a state machine with it; then the attributes are complete.

    One that is `repeatable` has all of the trace in memory: it can be iterated again, closed or not.

    Attributes:
        path: as the user named it.
        metadata: known from the start, but for what may stand anywhere (`lost`).
        names: thread id -> the name to show; complete at the end, with the renames.
        threads: thread ids in the order of their first events.
        bad_lines: counts by code, and the lines.
        attributes: keys of those that any event has; complete at the end.
        definitions: what the ids among the attributes mean; complete at the end only, as an id may be used before.
        ignored: attributes and definitions that are none.
        truncated: why the input ended too early, else None.
        line_gaps: (seq, count): so many lines that are no events stand right before this event. Only of what was
            iterated.
        fault_lines: (code, severity) -> the line where this fault came first, where the parser fed the machine itself
            or the trace has no lines any more.
        strip_prefixes: folders to leave out of the names of files, the longest first.
    """

    repeatable = False

    def __init__(self, path: str) -> None:
        self.path = path
        self.metadata: dict[str, str] = {}
        self.names = Names()
        self.threads: list[str] = []
        self._id_bytes = self._metadata_size = self._names_size = 0
        self.bad_lines = BadLines()
        self.attributes: set[str] = set()
        self.definitions = Definitions()
        self.ignored = Ignored()
        self.truncated: str | None = None
        self.line_gaps: list[tuple[int, int]] = []
        self.fault_lines: dict[tuple[str, str], int] = {}
        self.strip_prefixes: tuple[str, ...] = ()

    def shorten(self) -> None:
        """Leaves `strip_prefixes` out of the names of files; only once all is read."""
        if self.strip_prefixes:
            self.definitions.shorten(self.strip_prefixes)
            self.metadata = shorten_words(self.metadata, self.strip_prefixes)

    def take_comment(self, text: str, seq: int, line: int) -> None:
        """Keeps what a comment says: `# KEY: VALUE`, `# lost: N`, `# thread: ID = NAME`, or a definition.

        seq: of the event behind it.
        """
        match = _METADATA.fullmatch(text)
        if not match:
            return
        key, value = match[1], (match[2] or "").strip(" \t")
        thread, equals, name = value.partition(" = ")
        if key == "thread" and equals:
            self._keep_name(thread.strip(" \t"), name.strip(" \t")[:NAME_LIMIT], seq, line)
        elif key in definitions.KINDS and equals:
            if why := self.definitions.take(key, value):
                self.ignored.take(why, line)
        elif not seq or key == "lost":
            self._keep_metadata(key, value, line)

    def _keep_metadata(self, key: str, value: str, line: int) -> None:
        size = self._metadata_size + len(value)
        size += -len(self.metadata[key]) if key in self.metadata else len(key)
        if size > METADATA_LIMIT:
            self.ignored.take(TOO_MUCH_METADATA, line)
            return
        self._metadata_size = size
        self.metadata[key] = value

    def _keep_name(self, thread: str, name: str, seq: int, line: int) -> None:
        size = self._names_size + len(name)
        if thread not in self.names:
            size += len(thread)
        elif not seq:
            size -= len(self.names[thread])
        if size > NAMES_LIMIT or (len(self.names) >= THREAD_LIMIT and thread not in self.names):
            self.ignored.take(TOO_MUCH_METADATA, line)
            return
        self._names_size = size
        self.names.take(seq, thread, name)

    def add_thread(self, thread: str) -> int:
        """The code of one that is new. Raises SourceError: there are too many."""
        self._id_bytes += len(thread.encode())
        if len(self.threads) == THREAD_LIMIT or self._id_bytes > IDS_LIMIT:
            raise self.too_many_threads()
        self.threads.append(thread)
        return len(self.threads) - 1

    def too_many_threads(self) -> SourceError:
        return SourceError(
            f"{self.path}: it has more than {THREAD_LIMIT:,} threads, or more than {IDS_LIMIT >> 20} MiB of their ids.",
            "No program has so many: what wrote this trace gives a thread a new id again and again.",
        )

    def too_many_pairs(self) -> SourceError:
        return SourceError(
            f"{self.path}: too many threads waited for too many others: there are more than 4,194,304 pairs of them.",
            "No program has so many: what wrote this trace gives a thread a new id again and again.",
        )

    def feed(self, machine: Machine, progress: OnProgress | None = None) -> None:
        """Runs the whole stream through a state machine. Raises what iterating raises."""
        for batch in self:
            self.attributes.update(name for name in batch.schema.names if name in FIELDS)
            try:
                machine.feed(batch)
            except TooManyPairs:
                raise self.too_many_pairs() from None
            if progress:
                progress(*self.position())

    def line_numbers(self) -> Callable[[int], int | None]:
        """From an event's `seq` to its line, as far as it was iterated; None for a trace that has no lines."""
        return LineNumbers(self.line_gaps)

    def first_line(self, faults: Faults) -> int | None:
        """The line where this fault of the events came first. Only once all is read."""
        return self.fault_lines.get((faults.code, faults.severity)) or self.line_numbers()(faults.first_seq)

    @property
    def check_interval(self) -> int:
        """Ticks between two checks: the metadata's, or 100 where that is no integer from 1 to 10^6."""
        return whole_number(self.metadata.get("check-interval", ""), 10**6) or DEFAULT_INTERVAL

    @abstractmethod
    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The batches, of `BATCH_SCHEMA`. Raises BadLineError when reading strictly, SourceError."""

    @abstractmethod
    def position(self) -> tuple[int, int | None]:
        """Bytes read so far, and in all if that is known."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class LineNumbers:
    """Turns an event's `seq` into the number of its line, from `EventStream.line_gaps`."""

    def __init__(self, gaps: list[tuple[int, int]]) -> None:
        self._seqs = [seq for seq, _ in gaps]
        self._skipped = np.cumsum([0, *(count for _, count in gaps)]).tolist()

    def __call__(self, seq: int) -> int:
        return seq + 1 + int(self._skipped[bisect.bisect_right(self._seqs, seq)])
