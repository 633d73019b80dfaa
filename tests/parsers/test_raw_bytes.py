"""Raw recordings made byte by byte, as recorder/native/raw.h has them: what becomes of each of their fields."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tracekit
from tracekit.model.definitions import REGION_LIMIT
from tracekit.model.source import Source
from tracekit.parsers import raw
from tracekit.parsers.raw import RawRecording

HEADER, CHUNK = 1 << 16, 1 << 12
ENTRY, ACQUIRE, RELEASE, BUSY, RETRY, CHECK = 1, 2, 3, 4, 5, 8
CPU, STACKS, LOCK, UNLOCKS, UNLOCKS_LATE, REGION, REGION_IS = range(16, 23)
EVENTS, THREADS, DEFINITIONS, STARTS = 1, 2, 3, 4
NEW, NAME, SYSTEM_NAME = 1, 2, 3
NO_TICKS = -(2**31)
DAY = 86_400 * 10**9


def record(clock: int, code: int, thread: int = 0, ticks: int = NO_TICKS) -> bytes:
    return struct.pack("<QIi", clock << 8 | code, thread, ticks)


def thread(number: int, tid: int, name: str = "", kind: int = NEW) -> bytes:
    return struct.pack("<IIII112s", kind, number, tid, len(name), name.encode())


def start(pid: int, *words: str) -> bytes:
    text = b"".join(word.encode() + b"\0" for word in words)
    return struct.pack("<II248s", pid, len(text), text)


def padded(text: bytes) -> bytes:
    return text + bytes(-len(text) % 16)


def code(first_line: int, function: str, file: str) -> bytes:
    head = struct.pack("<IIII", 1, first_line, len(function.encode()), len(file.encode()))
    return head + padded(function.encode() + file.encode())


def stack(parent: int, of: int, line: int) -> bytes:
    return struct.pack("<IIII", 2, parent, of, line)


def name_of_regions(number: int, name: str) -> bytes:
    return struct.pack("<IIII", 3, number, len(name), 0) + padded(name.encode())


def region_is(region: int, name: int) -> bytes:
    return struct.pack("<QIi", region << 8 | REGION_IS, name, 0)


SIZES = {EVENTS: 16, THREADS: 128, DEFINITIONS: 16, STARTS: 256}


def chunk(kind: int, *records: bytes, order: int = 0, checks: int = 0, regions_named: int = 0) -> bytes:
    content = b"".join(records)
    head = struct.pack("<IIQQQ", kind, 0, order, checks, len(content) // SIZES.get(kind, 16))
    head += struct.pack("<QQ16x", 0, regions_named)
    return (head + content).ljust(CHUNK, b"\0")


def recording(path: Path, *chunks: bytes, metadata: str = "", **fields: int) -> Path:
    """A ns a count, if nothing else is said; a whole header, of the version after the first."""
    values = {
        "version": 2, "old_gil": 0, "pid": 811, "parent": 0, "started": 0, "lost": 0, "overwritten": 0, "stopped": 1,
        "chunks": len(chunks), "rate": 1, "lost_why": 0, "stacks_lost": 0, "stacks_cut": 0, "stacks_missed": 0,
        "chunk_bytes": CHUNK, "metadata_bytes": len(metadata), "later": 10_000, **fields,
    }  # fmt: skip
    of = values.__getitem__
    head = struct.pack("<8sIIII", b"TKGILRAW", of("version"), HEADER, of("chunk_bytes"), of("old_gil"))
    head += struct.pack("<IIQQ", of("pid"), of("parent"), 5, of("started"))
    head += struct.pack("<qqqq", 0, 1000, of("later"), 1000 + 10_000 * of("rate"))
    head += struct.pack("<QQIIII", *map(of, ("lost", "overwritten", "chunks", "stopped", "metadata_bytes", "lost_why")))
    if values["version"] > 1:
        head += struct.pack("<QQQ40x", *map(of, ("stacks_lost", "stacks_cut", "stacks_missed")))
    path.write_bytes((head + metadata.encode()).ljust(HEADER, b"\0") + b"".join(chunks))
    return path


def attributes(trace: tracekit.Trace, name: str) -> list[Any]:
    column: list[Any] = trace.events.column(name).to_pylist()
    return column


HOLD = (record(10, ENTRY), record(20, ACQUIRE), record(30, RELEASE))


@pytest.mark.parametrize("version", [1, 2])
def test_what_the_head_says(version: int, tmp_path: Path) -> None:
    path = recording(
        tmp_path / "t.raw", chunk(THREADS, thread(0, 70)), chunk(EVENTS, *HOLD), metadata="python: 3.12\nx: y z\n",
        version=version, parent=700, started=3 * DAY + 5_000_001, lost=4, overwritten=9, lost_why=errno.ENOSPC,
        rate=3, stacks_lost=1, stacks_cut=2, stacks_missed=3,
    )  # fmt: skip
    trace = tracekit.read(path)
    told = {
        "python": "3.12", "x": "y z", "pid": "811", "forked-by": "700",
        "started": "1970-01-04T00:00:00.005000001+00:00",
        "lost": "4", "lost-because": "there was no room on the disk", "overwritten": "9",
    }  # fmt: skip
    stacks = {"stacks-lost": "1", "stacks-cut": "2", "stacks-missed": "3"}
    assert trace.metadata == told | (stacks if version == 2 else {})
    assert [row["clock"] for row in trace.events.to_pylist()] == [30, 60, 90]
    bare = tracekit.read(recording(path, chunk(THREADS, thread(0, 70)), chunk(EVENTS, *HOLD))).metadata
    assert bare == {"pid": "811", "started": "1970-01-01T00:00:00.000000000+00:00", "lost": "0"}


@pytest.mark.parametrize(
    "odd",
    [
        {"chunk_bytes": CHUNK - 1}, {"metadata_bytes": HEADER}, {"metadata_bytes": HEADER - 175}, {"rate": 0},
        {"rate": 1000}, {"started": 230 * 365 * DAY}, {"later": 0},
    ],
)  # fmt: skip
def test_a_head_that_cannot_be(odd: dict[str, int], tmp_path: Path) -> None:
    """And beside it one that can: the shortest chunks, metadata that fill the head, a clock as slow as 999 ns."""
    chunks = chunk(THREADS, thread(0, 70)), chunk(EVENTS, *HOLD)
    with pytest.raises(tracekit.SourceError, match="its head makes no sense"):
        tracekit.read(recording(tmp_path / "t.raw", *chunks, **odd))
    for fine in ({"metadata_bytes": HEADER - 176}, {"rate": 999}, {"started": 230 * 365 * DAY - 1}):
        assert tracekit.read(recording(tmp_path / "t.raw", *chunks, **fine)).events.num_rows == 3


def test_threads_are_called_by_their_ids_and_names(tmp_path: Path) -> None:
    """An id that the system uses again has a number; a name may come before its thread, or later; the system's counts
    only where the program gave none."""
    rows = [
        thread(0, 70, "main"), thread(1, 71), thread(2, 70, "again"), thread(9, 72, "early", NAME), thread(3, 72),
        thread(1, 71, "io  1", NAME), thread(1, 71, "python", SYSTEM_NAME), thread(4, 73),
        thread(4, 73, "native", SYSTEM_NAME), thread(5, 70),
    ]  # fmt: skip
    events = [record(10 * n, ENTRY, n) for n in range(6)]
    trace = tracekit.read(recording(tmp_path / "t.raw", chunk(THREADS, *rows), chunk(EVENTS, *events)))
    assert [(row["thread"], row["name"]) for row in trace.threads.to_pylist()] == [
        ("70", "main"), ("71", "io 1"), ("70-2", "again"), ("72", "early"), ("73", "native"), ("70-3", None),
    ]  # fmt: skip
    wrong = recording(tmp_path / "t.raw", chunk(THREADS, thread(1, 70)), chunk(EVENTS, *HOLD))
    with pytest.raises(tracekit.SourceError, match="its threads are not in order"):
        tracekit.read(wrong)


@pytest.mark.parametrize("old", [0, 1])
def test_checks_are_counted_and_ticks_are_the_old_gils(old: int, tmp_path: Path) -> None:
    """From what the first chunk has before its first record; releases that were forced count."""
    rows = [
        record(1, ENTRY, ticks=7), record(2, ACQUIRE, ticks=6), record(3, RELEASE | CHECK, ticks=0),
        record(3, ENTRY, ticks=0), record(4, BUSY), record(5, RETRY), record(6, ACQUIRE), record(7, RELEASE),
    ]  # fmt: skip
    path = recording(
        tmp_path / "t.raw", chunk(THREADS, thread(0, 70)), chunk(EVENTS, *rows[:4], order=5, checks=40),
        chunk(EVENTS, *rows[4:], order=6, checks=41), old_gil=old,
    )  # fmt: skip
    events = tracekit.read(path).events.to_pylist()
    assert [row["event"] for row in events] == [
        "ENTRY", "ACQUIRE", "RELEASE", "ENTRY", "BUSY", "RETRY", "ACQUIRE", "RELEASE",
    ]  # fmt: skip
    assert [row["checks"] for row in events] == [40, 40, *[41] * 6]
    assert [row["ticks"] for row in events] == ([7, 6, 0, 0, *[None] * 4] if old else [None] * 8)


def test_chunks_are_taken_in_their_order_and_what_never_was_is_passed_over(tmp_path: Path) -> None:
    """A ring writes over its oldest chunk; a chunk that was being made when the program ended has no kind yet."""
    path = recording(
        tmp_path / "t.raw", chunk(EVENTS, record(30, RELEASE), order=8), bytes(CHUNK),
        chunk(EVENTS, *HOLD[:2], order=7), chunk(THREADS, thread(0, 70)),
    )  # fmt: skip
    assert [row["event"] for row in tracekit.read(path).events.to_pylist()] == ["ENTRY", "ACQUIRE", "RELEASE"]


def test_a_hole_in_the_file_is_passed_over(tmp_path: Path) -> None:
    """Parts of the file that were never written, before the last chunk and many chunks long."""
    path = recording(tmp_path / "t.raw", chunk(THREADS, thread(0, 70)), chunk(EVENTS, *HOLD), chunks=203)
    with path.open("r+b") as file:
        for place, order in ((100, 1), (101, 2), (202, 3)):
            file.truncate(HEADER + place * CHUNK)
            file.seek(HEADER + place * CHUNK)
            file.write(chunk(EVENTS, record(40 + order, order), order=order))  # ENTRY, ACQUIRE, RELEASE
    trace = tracekit.read(path)
    assert trace.events.column("clock").to_pylist() == [10, 20, 30, 41, 42, 43]
    assert trace.diagnostics.num_rows == 0


@pytest.mark.parametrize(("count", "fits"), [((CHUNK - 64) // 16, True), ((CHUNK - 64) // 16 + 1, False)])
def test_a_chunk_has_no_more_records_than_fit(count: int, fits: bool, tmp_path: Path) -> None:
    rows = chunk(EVENTS, *(record(n, ENTRY) for n in range((CHUNK - 64) // 16)))
    rows = rows[:24] + struct.pack("<Q", count) + rows[32:]
    path = recording(tmp_path / "t.raw", chunk(THREADS, thread(0, 70)), rows)
    if fits:
        assert tracekit.read(path).events.num_rows == count
    else:
        with pytest.raises(tracekit.SourceError, match=f"there is no chunk at byte {HEADER + CHUNK}"):
            tracekit.read(path)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (chunk(EVENTS, *HOLD, checks=10**12 + 1), "there is no chunk"),
        (chunk(5, *HOLD), "there is no chunk"),
        (chunk(EVENTS, record(1, 7)), "an unknown event"),
        (chunk(EVENTS, record(1, ENTRY, 1)), "of an unknown thread"),
        (chunk(DEFINITIONS, struct.pack("<IIII", 4, 0, 0, 0)), "a definition that there is not"),
        (chunk(DEFINITIONS, struct.pack("<IIII", 1, 0, 5, 5)), "a definition that there is not"),
        (chunk(DEFINITIONS, struct.pack("<IIII", 3, 1, 17, 0), bytes(16)), "a definition that there is not"),
    ],
)
def test_what_cannot_be_is_damage(odd: bytes, said: str, tmp_path: Path) -> None:
    path = recording(tmp_path / "t.raw", chunk(THREADS, thread(0, 70)), odd, chunk(EVENTS, *HOLD, order=1))
    with pytest.raises(tracekit.SourceError, match=said):
        tracekit.read(path)


def test_the_most_checks_are_read(tmp_path: Path) -> None:
    path = recording(tmp_path / "t.raw", chunk(THREADS, thread(0, 70)), chunk(EVENTS, *HOLD, checks=10**12))
    assert tracekit.read(path).events.column("checks").to_pylist() == [10**12] * 3


def test_definitions_are_numbered_in_their_order(tmp_path: Path) -> None:
    told = [
        code(3, "main", "/a.py"), stack(0, 1, 5), name_of_regions(0, "other"), code(9, "Größe", "/b/c d.py"),
        stack(1, 2, 11), stack(9, 1, 1),
    ]  # fmt: skip
    path = recording(
        tmp_path / "t.raw", chunk(THREADS, thread(0, 70)), chunk(DEFINITIONS, *told[:3]),
        chunk(STARTS, start(900, "x")), chunk(DEFINITIONS, *told[3:], order=1), chunk(EVENTS, *HOLD),
    )  # fmt: skip
    trace = tracekit.read(path)
    assert [
        (row["stack"], row["parent"], row["function"], row["file"], row["first_line"], row["line"])
        for row in trace.stacks.to_pylist()
    ] == [(1, None, "main", "/a.py", 3, 5), (2, 1, "Größe", "/b/c d.py", 9, 11)]
    (found,) = trace.summary
    assert (found.code, found.count, found.first_line) == ("bad-definition", 1, None)  # its parent comes later


def test_regions_are_named_where_they_end(tmp_path: Path) -> None:
    """The last that is told counts; of an unknown name it is nothing."""
    names = name_of_regions(1, "GET /"), name_of_regions(2, "(no route)"), name_of_regions(0, "other")
    events = [*HOLD, region_is(7, 2), region_is(9, 3), region_is(3, 0), region_is(7, 1)]
    chunks = chunk(THREADS, thread(0, 70)), chunk(DEFINITIONS, *names), chunk(EVENTS, *events, regions_named=4)
    trace = tracekit.read(recording(tmp_path / "t.raw", *chunks))
    assert [(row["region"], row["name"]) for row in trace.regions.to_pylist()] == [(3, "other"), (7, "GET /")]
    assert trace.events.num_rows == 3
    assert not trace.summary


def test_of_too_many_regions_the_newest_are_named(tmp_path: Path) -> None:
    many = REGION_LIMIT + 2
    events = [*HOLD, *(region_is(1 + number, 1) for number in range(many))]
    size = 1 << 21
    chunks = [chunk(THREADS, thread(0, 70)), chunk(DEFINITIONS, name_of_regions(1, "GET /"))]
    chunks.append(chunk(EVENTS, *events, regions_named=many))
    path = recording(tmp_path / "t.raw", *(one.ljust(size, b"\0") for one in chunks), chunk_bytes=size)
    trace = tracekit.read(path)
    assert trace.regions.column("region").to_pylist() == list(range(3, many + 1))
    (found,) = trace.summary
    assert (found.code, found.count) == ("too-many-definitions", 2)


def test_what_a_program_started_is_known(tmp_path: Path) -> None:
    path = recording(
        tmp_path / "t.raw", chunk(THREADS, thread(0, 70)), chunk(EVENTS, *HOLD),
        chunk(STARTS, start(900, "/bin/ls", "-l", ""), start(0, "/bin/no"), start(901)),
    )  # fmt: skip
    with Source(path) as source:
        assert RawRecording(source).starts == [(900, ["/bin/ls", "-l", ""]), (901, [""])]


def test_attributes_belong_to_the_event_before_them(tmp_path: Path) -> None:
    rows = [
        record(10, ENTRY, 0, 7), record(20, ACQUIRE), record(25, ENTRY, 1), record(25, BUSY, 1),
        record(3, STACKS, 1, 4), record(30, RELEASE), record(9, CPU), record(5, REGION), record(6, STACKS, 0, 0),
        record(31, ACQUIRE, 1), record(1, UNLOCKS), record(2, UNLOCKS), record(33, RELEASE, 1), record(8, UNLOCKS, 1),
        record(9, UNLOCKS, 1), record(11, LOCK), record(12, UNLOCKS_LATE, 1), record(40, ENTRY, 0, 0),
    ]  # fmt: skip
    chunks = chunk(THREADS, thread(0, 70), thread(1, 71)), chunk(EVENTS, *rows)
    trace = tracekit.read(recording(tmp_path / "t.raw", *chunks))
    expected = {
        "region": {0: 7, 4: 5}, "stack": {3: 3, 4: 6}, "sample": {3: 4}, "cpu": {4: 9}, "lock": {4: 11},
        "unlocks": {6: [8, 9, 12]},
    }  # fmt: skip
    for name, values in expected.items():
        assert {row: value for row, value in enumerate(attributes(trace, name)) if value is not None} == values, name
    old = tracekit.read(recording(tmp_path / "t.raw", *chunks, old_gil=1))
    assert attributes(old, "region") == [None] * 4 + [5] + [None] * 3, "an ENTRY of the old GIL has ticks there"


def test_the_first_of_everything_counts(tmp_path: Path) -> None:
    """Ids begin with 1, and a thread may have used no CPU time at all."""
    rows = [
        record(10, ENTRY, 0, 1), record(20, ACQUIRE), record(30, RELEASE), record(0, CPU), record(1, STACKS),
        record(1, LOCK), record(40, ENTRY), record(50, BUSY), record(0, STACKS, 0, 1),
    ]  # fmt: skip
    trace = tracekit.read(recording(tmp_path / "t.raw", chunk(THREADS, thread(0, 70)), chunk(EVENTS, *rows)))
    for name, value, row in (("region", 1, 0), ("cpu", 0, 2), ("stack", 1, 2), ("lock", 1, 2), ("sample", 1, 4)):
        assert attributes(trace, name)[row] == value, name
    assert attributes(trace, "stack")[4] is None


@pytest.mark.parametrize("together", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("at", [1, 4, 7, 9, 12])
def test_however_events_are_cut_attributes_are_the_same(
    together: int, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk may end between an event and its attributes, and what is told late may lie chunks behind its release."""
    rows = [
        record(10, ENTRY), record(20, ACQUIRE), record(30, RELEASE), record(9, CPU), record(31, ACQUIRE, 1),
        record(33, RELEASE, 1), record(8, UNLOCKS, 1), record(11, LOCK), record(34, BUSY, 2), record(6, STACKS, 2, 5),
        record(35, ACQUIRE, 2), record(36, RELEASE, 2), record(12, UNLOCKS_LATE, 1), record(13, LOCK, 2),
    ]  # fmt: skip
    threads = chunk(THREADS, *(thread(n, 70 + n) for n in range(3)))
    whole = tracekit.read(recording(tmp_path / "whole.raw", threads, chunk(EVENTS, *rows))).events
    monkeypatch.setattr(raw, "_SORTED_TOGETHER", together)
    chunks: Sequence[bytes] = [chunk(EVENTS, *rows[:at]), chunk(EVENTS, *rows[at:], order=1)]
    events = tracekit.read(recording(tmp_path / "cut.raw", threads, *chunks)).events
    wanted = {"cpu": {2: 9}, "unlocks": {4: [8, 12]}, "lock": {2: 11, 7: 13}, "stack": {5: 6}, "sample": {5: 5}}
    for name, values in wanted.items():
        assert {row: v for row, v in enumerate(whole.column(name).to_pylist()) if v is not None} == values
    if together == 100:
        assert events.equals(whole)
    assert events.select(["thread", "event", "clock"]).equals(whole.select(["thread", "event", "clock"]))


def test_a_hole_up_to_the_end_is_passed_over(tmp_path: Path) -> None:
    """Where the program ended before it had written anything there."""
    path = recording(tmp_path / "t.raw", chunk(THREADS, thread(0, 70)), chunk(EVENTS, *HOLD), chunks=300)
    with path.open("r+b") as file:
        file.truncate(HEADER + 300 * CHUNK)
    trace = tracekit.read(path)
    assert (trace.events.num_rows, trace.diagnostics.num_rows) == (3, 0)
