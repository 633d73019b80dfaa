"""Raw recordings, as the recorder writes them while a program runs: recorder/native/raw.h."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.errors import SourceError
from tracekit.model.arrays import categories, optional_integers, strings
from tracekit.model.attributes import BELONGS, FIELDS, LEAST, SPARSE, columns, with_attributes
from tracekit.model.definitions import REGION_LIMIT, Code, code_words, region_words
from tracekit.model.source import Source
from tracekit.model.stream import BATCH_SCHEMA, EVENTS, THREAD_LIMIT, EventStream, event_column
from tracekit.parsers.rawthreads import THREAD, Threads
from tracekit.words import at_line

MAGIC = b"TKGILRAW"
VERSIONS = (1, 2)
_HEADER = np.dtype(
    [
        ("magic", "S8"), ("version", "<u4"), ("header_bytes", "<u4"), ("chunk_bytes", "<u4"), ("old_gil", "<u4"),
        ("pid", "<u4"), ("parent", "<u4"), ("session", "<u8"), ("started", "<u8"), ("anchors", "<i8", (2, 2)),
        ("lost", "<u8"), ("overwritten", "<u8"), ("chunks", "<u4"), ("stopped", "<u4"),
        ("metadata_bytes", "<u4"), ("lost_why", "<u4"),
    ]
)  # fmt: skip
_HEADER_2 = np.dtype(
    [("first", _HEADER), ("stacks_lost", "<u8"), ("stacks_cut", "<u8"), ("stacks_missed", "<u8"), ("unused", "<u8", 5)]
)
_CHUNK = np.dtype(
    [
        ("kind", "<u4"), ("padding", "<u4"), ("order", "<u8"), ("checks", "<u8"), ("count", "<u8"),
        ("attributes", "<u8"), ("regions_named", "<u8"), ("unused", "<u8", 2),
    ]
)  # fmt: skip
_RECORD = np.dtype([("stamp", "<u8"), ("thread", "<u4"), ("ticks", "<i4")])
_DEFINITION = np.dtype([("kind", "<u4"), ("first", "<u4"), ("second", "<u4"), ("third", "<u4")])
_START = np.dtype([("pid", "<u4"), ("length", "<u4"), ("text", "V248")])
_EVENTS, _THREADS, _DEFINITIONS, _STARTS = 1, 2, 3, 4
_RECORDS = {_EVENTS: _RECORD, _THREADS: THREAD, _DEFINITIONS: _DEFINITION, _STARTS: _START}
_CODE, _STACK, _REGION_NAME = 1, 2, 3
_ENTRY, _RELEASE = 1, 3
_CHECK = 8
_ATTRIBUTE = 16
_CPU, _STACKS, _LOCK, _UNLOCKS, _UNLOCKS_LATE, _REGION, _REGION_IS = 16, 17, 18, 19, 20, 21, 22
"""Attributes belong to the event before them; their value stands where that has its clock, a second one in `ticks`."""
_LATE = (_LOCK, _UNLOCKS_LATE)
"""These belong to their thread's last RELEASE: they are told when it has begun to wait, or when it ends."""
_KEYS = {
    _CPU: ("cpu", None),
    _STACKS: ("stack", "sample"),
    _LOCK: ("lock", None),
    _UNLOCKS: ("unlocks", None),
    _UNLOCKS_LATE: ("unlocks", None),
    _REGION: ("region", None),
}
_NO_TICKS = -(2**31)
_SORTED_TOGETHER = 1 << 12  # events: an ENTRY is written late, but never by so many
_EVENT_CODES = np.full(256, -1, np.int8)
_EVENT_CODES[[1, 2, 3, 4, 5, 3 | _CHECK]] = [0, 1, 2, 3, 4, 2]
_FRAMES_TOLD = 30
_MOST_CHECKS = 10**12
_WHY = {
    **dict.fromkeys([errno.ENOSPC, errno.EDQUOT], "there was no room on the disk"),
    **dict.fromkeys([errno.EACCES, errno.EPERM], "the program had given up the right to write there"),
    **dict.fromkeys([errno.ENOENT, errno.ENOTDIR, errno.ESTALE], "the file was removed while the program ran"),
    **dict.fromkeys([errno.EMFILE, errno.ENFILE], "the program had no descriptor left to open the file with"),
    errno.EFBIG: "the program's limit on the size of files was reached",
    errno.ENOMEM: "the program's limit on memory was reached",
}
_YEAR_2200 = 230 * 365 * 86400 * 10**9
_LEAST_CHUNK = 1 << 12
_METADATA_LIMIT = 1 << 24
_NOWHERE = 1 << 62
_HINT = "Record again; what is damaged cannot be mended."

Record = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]


def sniff(head: bytes) -> float:
    return 1.0 if head.startswith(MAGIC) else 0.0


class RawRecording(EventStream):
    """The events of a raw recording in the order in which they happened."""

    def __init__(self, source: Source, strict: bool = False, whole: bool = False) -> None:
        super().__init__(source.path)
        self._source = source
        self._bytes = _Bytes(source)
        header = self._bytes.one(_HEADER, 0)
        if header is None:
            raise self._damaged("it ends within its head")
        if header["version"] not in VERSIONS:
            raise SourceError(
                f"{self.path}: is a raw recording of version {header['version']}; "
                f"this tracekit reads up to {VERSIONS[-1]}.",
                "Read it with the tracekit that recorded it.",
            )
        (first, first_ns), (last, last_ns) = header["anchors"].tolist()
        self._rate = (last_ns - first_ns) / (last - first) if last > first else 0.0
        self._more = self._bytes.one(_HEADER_2, 0) if header["version"] > 1 else None
        self._metadata_at = (_HEADER if self._more is None else _HEADER_2).itemsize
        room = int(header["header_bytes"]) - self._metadata_at
        if (
            not 0 <= header["metadata_bytes"] <= room
            or header["metadata_bytes"] > _METADATA_LIMIT
            or header["chunk_bytes"] < _LEAST_CHUNK
            or header["started"] >= _YEAR_2200
            or not 1e-3 < self._rate < 1e3
        ):
            raise self._damaged("its head makes no sense")
        self.header = header
        self._read = 0
        self._attributes = _Attributes(regions=not header["old_gil"])
        self._chunks = self._find_chunks()
        self._take_metadata()
        threads = self._name_threads()
        self._numbers, self._renames = threads.ids, threads.renames
        self.names.update(threads.names())
        self._name_regions(self._define())
        self._tell_stacks()
        self.starts = self._find_starts()
        """What the process and those that it forked have started by exec: pid, path and arguments."""

    def _damaged(self, what: str) -> SourceError:
        return SourceError(f"{self.path}: this raw recording is damaged: {what}.", _HINT)

    @property
    def began(self) -> int:
        """The 0 of its times, by CLOCK_MONOTONIC in ns."""
        first, first_ns = self.header["anchors"][0]
        return int(first_ns) - round(int(first) * self._rate)

    def _find_chunks(self) -> list[tuple[int, np.void]]:
        """Each chunk's place in the file, and its head; those of each kind in their order."""
        heads, size = [], int(self.header["chunk_bytes"])
        first, count = int(self.header["header_bytes"]), int(self.header["chunks"])
        number = -1
        while (number := number + 1) < count:
            start = first + number * size
            if number < count - 1 and (data := self._bytes.data(start)) > start + size:
                number = min((data - first) // size, count - 1) - 1  # a hole: chunks that never were
                continue
            head = self._bytes.one(_CHUNK, start)
            if head is None:
                self.truncated = f"the file ends before the last {count - number} of its chunks"
                break
            record = _RECORDS.get(int(head["kind"]))
            rows = int(head["count"])
            if record is None and not rows:
                continue  # the program ended while it was being made
            if record is None or rows * record.itemsize > size - _CHUNK.itemsize or head["checks"] > _MOST_CHECKS:
                raise self._damaged(f"there is no chunk at byte {start}")
            heads.append((start, head))
        return sorted(heads, key=lambda chunk: (-int(chunk[1]["kind"]), int(chunk[1]["order"])))

    def _records(self, start: int, head: np.void, dtype: np.dtype[np.void]) -> Record:
        wanted = int(head["count"]) * dtype.itemsize
        got = self._bytes.at(start + _CHUNK.itemsize, wanted)
        if len(got) < wanted:
            self.truncated = "the file ends within a chunk"
        return np.frombuffer(got, dtype, len(got) // dtype.itemsize)

    def _take_metadata(self) -> None:
        header = self.header
        text = self._bytes.at(self._metadata_at, int(header["metadata_bytes"])).decode("utf-8", "replace")
        for line in text.splitlines():
            self.take_comment(f"# {line}", 0, 0)
        self.metadata["pid"] = str(header["pid"])
        if header["parent"]:
            self.metadata["forked-by"] = str(header["parent"])
            self.metadata.pop("started-by", None)  # that was its parent
        started = datetime.fromtimestamp(int(header["started"]) // 10**9, UTC)
        self.metadata["started"] = f"{started:%Y-%m-%dT%H:%M:%S}.{int(header['started']) % 10**9:09}+00:00"
        self.metadata["lost"] = str(header["lost"])
        if header["lost_why"]:
            why = int(header["lost_why"])
            self.metadata["lost-because"] = _WHY.get(why) or os.strerror(min(why, 2**31 - 1))
        if header["overwritten"]:
            self.metadata["overwritten"] = str(header["overwritten"])
        for name in ("lost", "cut", "missed"):
            if self._more is not None and self._more[f"stacks_{name}"]:
                self.metadata[f"stacks-{name}"] = str(self._more[f"stacks_{name}"])

    def _name_threads(self) -> Threads:
        found = Threads()
        for start, head in self._chunks:
            if head["kind"] == _THREADS:
                for row in self._records(start, head, THREAD):
                    if wrong := found.take(row):
                        raise self._damaged(wrong)
                    if len(found.ids) > THREAD_LIMIT:
                        raise self.too_many_threads()
        return found

    def _define(self) -> dict[int, str]:
        """Codes and stacks are numbered from 1, in their order. Returns the names that regions have, by number."""
        codes = stacks = 0
        names: dict[int, str] = {}
        for start, head in self._chunks:
            if head["kind"] != _DEFINITIONS:
                continue
            rows = self._records(start, head, _DEFINITION)
            content, place = rows.tobytes(), 0
            while place < len(content):
                kind, first, second, third = rows[place // rows.itemsize].tolist()
                place += rows.itemsize
                function, end = place + second, place + second + third
                if kind == _STACK:
                    stacks += 1
                    self._take_definition("stack", f"{stacks} = {first} {second} {third}")
                elif kind == _CODE and end <= len(content):
                    codes += 1
                    texts = (content[place:function], content[function:end])
                    code = Code(first, *(text.decode("utf-8", "replace") or "?" for text in texts))
                    self._take_definition("code", f"{codes} = {code_words(code)}")
                    place = -(-end // rows.itemsize) * rows.itemsize
                elif kind == _REGION_NAME and function <= len(content):
                    names[first] = content[place:function].decode("utf-8", "replace") or "?"
                    place = -(-function // rows.itemsize) * rows.itemsize
                elif self.truncated:
                    return names
                else:
                    raise self._damaged("it has a definition that there is not")
        return names

    def _name_regions(self, names: dict[int, str]) -> None:
        """Told where regions end, so that a ring forgets it with their events. Of too many the newest are kept."""
        called: dict[int, int] = {}
        for start, head in self._chunks:
            if head["kind"] != _EVENTS or not head["regions_named"]:
                continue
            records = self._records(start, head, _RECORD)
            told = records[records["stamp"] & np.uint64(255) == _REGION_IS]
            called.update(zip((told["stamp"] >> np.uint64(8)).tolist(), told["thread"].tolist(), strict=True))
        known = sorted((number, names[name]) for number, name in called.items() if name in names)
        for number, name in known[-REGION_LIMIT:] + known[:-REGION_LIMIT]:
            self._take_definition("region", f"{number} = {region_words(name)}")

    def _tell_stacks(self) -> None:
        """Where each thread was when a snapshot was taken: the innermost frame first."""
        for key, value in self.metadata.items():
            if key.startswith("stack-of-") and value.isdigit():
                frames = self.definitions.frames(int(value))
                self.metadata[key] = " <- ".join(
                    at_line(code.function, os.path.basename(code.file), line) for code, line in frames[:_FRAMES_TOLD]
                )

    def _find_starts(self) -> list[tuple[int, list[str]]]:
        return [
            (int(row["pid"]), _texts(row["text"].tobytes()[: int(row["length"])]))
            for start, head in self._chunks
            if head["kind"] == _STARTS
            for row in self._records(start, head, _START)
            if row["pid"]
        ]

    def _take_definition(self, kind: str, told: str) -> None:
        if why := self.definitions.take(kind, told):
            self.ignored.take(why, 0)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        checks, first = 0, True
        seq, renames = 0, self._renames[::-1]
        codes = np.full(len(self._numbers), -1, np.int64)
        for records, before in self._sorted():
            if first:
                checks, first = before, False
            while renames and renames[-1][0] < records["stamp"][-1] >> np.uint64(8):
                clock, thread, name = renames.pop()
                self.names.take(seq + int(np.searchsorted(records["stamp"] >> np.uint64(8), clock)), thread, name)
            seq += len(records)
            batch, checks = self._batch(records, checks, codes)
            yield with_attributes(batch, self._attributes.columns(records))
        for _, thread, name in reversed(renames):
            self.names.take(seq, thread, name)

    def _sorted(self) -> Iterator[tuple[Record, int]]:
        """The events by time, in pieces, each with the checks before its chunk.

        An ENTRY is written when its thread has the lock under which all events are, and by then others may have been.
        All others are in order already, and stay so where times are the same.
        """
        kept, latest, before = np.empty(0, _RECORD), 0, 0
        for start, head in self._chunks:
            if head["kind"] != _EVENTS:
                continue
            records = self._records(start, head, _RECORD)
            if not len(kept):
                before = int(head["checks"])
            self._read += records.nbytes
            records = np.concatenate([kept, self._attributes.split(records)])
            records = records[np.argsort(records["stamp"] >> np.uint64(8), kind="stable")]
            whole, kept = records[: -_SORTED_TOGETHER or None], records[-_SORTED_TOGETHER:]
            if len(whole):
                yield self._not_before(latest, whole), before
                latest = int(whole["stamp"][-1] >> np.uint64(8))
        if len(kept):
            yield self._not_before(latest, kept), before

    @staticmethod
    def _not_before(latest: int, records: Record) -> Record:
        stamps = records["stamp"]
        late = stamps < (latest << 8)
        if late.any():
            records = records.copy()
            records["stamp"] = np.where(late, np.uint64(latest << 8) | stamps & np.uint64(255), stamps)
        return records

    def _batch(self, records: Record, checks: int, codes: Integers) -> tuple[pa.RecordBatch, int]:
        raw_codes = (records["stamp"] & np.uint64(255)).astype(np.uint8)
        events = _EVENT_CODES[raw_codes]
        threads = records["thread"]
        if (events < 0).any() or (threads >= len(codes)).any():
            raise self._damaged("it has an unknown event, or an event of an unknown thread")
        counted = checks + np.cumsum(raw_codes & _CHECK != 0, dtype=np.int64)
        new = codes[threads] < 0
        if new.any():
            numbers, first = np.unique(threads[new], return_index=True)
            for number in numbers[np.argsort(first)].tolist():
                codes[number] = self.add_thread(self._numbers[number])
        ticks = records["ticks"]
        told = [
            categories(codes[threads], strings(self.threads)),
            optional_integers([None if tick == _NO_TICKS else tick for tick in ticks.tolist()])
            if self.header["old_gil"]
            else pa.nulls(len(records), pa.int64()),
            _integers(counted),
            event_column(events),
            _integers(self._nanoseconds(records["stamp"] >> np.uint64(8))),
        ]
        return pa.RecordBatch.from_arrays(told, schema=BATCH_SCHEMA), int(counted[-1])

    def _nanoseconds(self, clocks: npt.NDArray[np.uint64]) -> Integers:
        """Of the monotonic clock, since the recording began."""
        return np.rint(clocks.astype(np.float64) * self._rate).astype(np.int64)

    def position(self) -> tuple[int, int | None]:
        return self._read, self._source.size

    def close(self) -> None:
        self._bytes.close()
        self._source.close()


class _Attributes:
    """Attributes on their way from the records to the batches.

    Sorting moves ENTRYs only, and these have theirs in them: so an attribute's event is known by its place among the
    others.
    """

    def __init__(self, regions: bool) -> None:
        self._regions = regions
        self._waiting: list[tuple[Integers, Record]] = []
        self._read = self._given = 0
        self._released = np.full(0, -1, np.int64)  # of each thread the place of its last RELEASE

    def split(self, records: Record) -> Record:
        """Takes the attributes out of these records."""
        codes = (records["stamp"] & np.uint64(255)).astype(np.uint8)
        attribute = codes & _ATTRIBUTE != 0
        others = np.cumsum((codes != _ENTRY) & ~attribute)
        before, self._read = self._read, self._read + int(others[-1] if len(others) else 0)
        places = before + others - 1
        own = places[attribute]
        late = np.isin(codes, _LATE)
        if late.any():
            own[late[attribute]] = self._last_releases(records, codes, late, places)
        if (releases := np.flatnonzero(codes & ~np.uint8(_CHECK) == _RELEASE)).size:
            self._remember(records["thread"][releases], places[releases])
        if not attribute.any():
            return records
        known = own >= self._given
        self._waiting.append((own[known], records[attribute][known]))
        events: Record = records[~attribute]
        return events

    def _last_releases(
        self, records: Record, codes: npt.NDArray[np.uint8], late: npt.NDArray[np.bool_], places: Integers
    ) -> Integers:
        """For each late attribute the place of its thread's last RELEASE; -1: not known."""
        rows = np.flatnonzero(late | (codes & ~np.uint8(_CHECK) == _RELEASE))
        rows = rows[np.argsort(records["thread"][rows], kind="stable")]
        threads, late = records["thread"][rows], late[rows]
        last = np.maximum.accumulate(np.where(late, -1, np.arange(len(rows))))
        here = (last >= 0) & (threads[last] == threads)
        at = np.where(here, places[rows[last]], -1)
        earlier = late & ~here & (threads < len(self._released))
        at[earlier] = self._released[threads[earlier]]
        return at[late][np.argsort(rows[late])]

    def _remember(self, threads: npt.NDArray[np.uint32], places: Integers) -> None:
        if (most := int(threads.max())) >= THREAD_LIMIT:
            return  # it is told when they become a batch
        if most >= len(self._released):
            self._released = np.concatenate([self._released, np.full(most + 1 - len(self._released), -1, np.int64)])
        self._released[threads] = places  # of a thread given twice the last counts

    def _entries(self, records: Record, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.void]:
        """An ENTRY of the new GIL has its region where others have ticks."""
        rows = np.flatnonzero((codes == _ENTRY) & (records["ticks"] > 0)) if self._regions else np.empty(0, np.int64)
        told = np.empty(len(rows), SPARSE)
        told["row"], told["value"], told["key"] = rows, records["ticks"][rows], list(FIELDS).index("region")
        return told

    def columns(self, records: Record) -> dict[str, pa.Array]:
        """The columns of the batch that these events become."""
        codes = (records["stamp"] & np.uint64(255)).astype(np.uint8)
        rows = np.flatnonzero(codes != _ENTRY)
        before, self._given = self._given, self._given + len(rows)
        told = [self._entries(records, codes)]
        if not self._waiting:
            return columns(told[0], len(records)) if len(told[0]) else {}
        places = np.concatenate([places for places, _ in self._waiting])
        waiting = np.concatenate([attributes for _, attributes in self._waiting])
        order = np.argsort(places, kind="stable")
        places, waiting = places[order], waiting[order]
        begin, end = np.searchsorted(places, [before, self._given])
        self._waiting = [(places[end:], waiting[end:])] if end < len(places) else []
        own = rows[places[begin:end] - before]
        those = waiting[begin:end]
        kinds, events = (those["stamp"] & np.uint64(255)).astype(np.uint8), _EVENT_CODES[codes[own]]
        for kind in np.unique(kinds).tolist():
            for key, values in zip(_KEYS.get(kind, ()), (those["stamp"] >> np.uint64(8), those["ticks"]), strict=False):
                if key is None:
                    continue
                belongs = np.isin(events, [EVENTS.index(event) for event in BELONGS[key]])
                chosen = (
                    (kinds == kind) & belongs & (values >= LEAST[key]) & (those["thread"] == records["thread"][own])
                )
                told.append(np.empty(int(chosen.sum()), SPARSE))
                told[-1]["row"], told[-1]["value"] = own[chosen], values[chosen].astype(np.int64)
                told[-1]["key"] = list(FIELDS).index(key)
        made = np.concatenate(told)
        return columns(made[np.lexsort((made["key"], made["row"]))], len(records))


class _Bytes:
    """The bytes of a source at any place. What cannot be sought in is put into a file."""

    def __init__(self, source: Source) -> None:
        self._copy = source.unpacked() if source.plain_file is None else None
        self._fd = self._copy.fileno() if self._copy else source.descriptor()

    def at(self, start: int, size: int) -> bytes:
        return os.pread(self._fd, size, start)

    def data(self, start: int) -> int:
        """Where the next bytes are that were ever written: `start` if it is there, or behind the end."""
        if not hasattr(os, "SEEK_DATA") or start >= os.fstat(self._fd).st_size:
            return start
        try:
            return os.lseek(self._fd, start, os.SEEK_DATA)
        except OSError as error:
            return _NOWHERE if error.errno == errno.ENXIO else start

    def close(self) -> None:
        if self._copy:
            self._copy.close()

    def one(self, dtype: np.dtype[np.void], start: int) -> np.void | None:
        got = self.at(start, dtype.itemsize)
        return np.frombuffer(got, dtype)[0] if len(got) == dtype.itemsize else None


def _texts(zero_terminated: bytes) -> list[str]:
    return zero_terminated.removesuffix(b"\0").decode("utf-8", "replace").split("\0")


def _integers(values: Integers) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def open_stream(source: Source, strict: bool, whole: bool) -> EventStream:
    return RawRecording(source, strict, whole)
