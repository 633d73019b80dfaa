"""Makes a trace of any length by repeating a real one.

    python benchmarks/make_trace.py SOURCE OUT --events N [--shape plain|timed|blanks|threads512|bad1|attributes]

From one repetition to the next the checks move on by the source's span of checks, the times by its span of time;
everything else stays the same. The shapes:

    plain       SOURCE as it is
    timed       the same, of a SOURCE that must have times
    blanks      several blanks before, between and after the columns
    threads512  SOURCE's metadata, and 512 threads that hand the GIL round while all others wait; timed
    bad1        for every 99 events about one bad line, of every kind that fits on a short line
    attributes  two attributes at every RELEASE, and at every other ENTRY; of a SOURCE that must have times
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SHAPES = ("plain", "timed", "blanks", "threads512", "bad1", "attributes")
DEFINITIONS = "# code: 1 = 1 work app.py\n# stack: 1 = 0 1 7\n# region: 1 = GET /\n"
THREADS = 512
TURNS = 8  # rounds of all threads in one repetition
HOLD_NS = 50_000
BAD_SHARE = 0.01
BAD_LINES = (
    "t2 100\n",
    "t2 many 5353 ENTRY\n",
    "t2 100 5353.5 ENTRY\n",
    "t2 100 5353 TAKE\n",
    "t2 100 99999999999999999999 ENTRY\n",
    "t2 100 5353 ENTRY 99999999999999999999\n",
    "t\0 100 5353 ENTRY\n",
    "t\udcff 100 5353 ENTRY\n",  # a byte that is no UTF-8, once encoded with surrogateescape
)
_ROW = re.compile(
    r"[ \t]*(?P<thread>[^ \t#][^ \t]*)[ \t]+(?P<ticks>-|-?\d+)[ \t]+(?P<checks>-|-?\d+)[ \t]+"
    r"(?P<event>ENTRY|ACQUIRE|RELEASE|BUSY|RETRY)(?![^ \t\r\n])(?:[ \t]+(?P<time>\d+)(?![^ \t\r\n]))?(?P<rest>.*)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)


@dataclass(frozen=True)
class Line:
    """A line to fill in with `%`, and its numbers: (value, how far it moves from one repetition to the next)."""

    template: str
    numbers: tuple[tuple[int, int], ...]
    is_event: bool


def literal(text: str) -> Line:
    return Line(text.replace("%", "%%"), (), False)


def read_source(path: Path) -> tuple[str, list[str]]:
    """The comments at its head, and the other lines."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    lines = [line + "\n" for line in text.removesuffix("\n").split("\n")]
    head = next((place for place, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[:head]), lines[head:]


def with_blanks(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        row = _ROW.fullmatch(line)
        if row:
            columns = row.group("thread", "ticks", "checks", "event", "time")
            yield "  " + "   ".join(column for column in columns if column) + row["rest"]
        else:
            yield line


def with_attributes(lines: Iterable[str]) -> Iterator[str]:
    entries = 0
    for line in lines:
        row = _ROW.fullmatch(line)
        event = row["event"].upper() if row and row["time"] else ""
        entries += event == "ENTRY"
        if row and (event == "RELEASE" or (event == "ENTRY" and entries % 2)):
            told = " cpu=1234 stack=1" if event == "RELEASE" else " region=1 note=1"
            yield line[: row.end("time")] + told + row["rest"]
        else:
            yield line


def source_lines(source: Iterable[str]) -> Iterator[Line]:
    lines = [(line, _ROW.fullmatch(line)) for line in source]

    def span(column: str) -> int:
        known = [int(row[column]) for _, row in lines if row and row[column] not in (None, "-")]
        return max(known) - min(known) + 1 if known else 0

    spans = {column: span(column) for column in ("checks", "time")}
    for line, row in lines:
        if not row:
            yield literal(line)
            continue
        template, numbers, end = "", [], 0
        for column, moved in spans.items():
            if row[column] not in (None, "-"):
                template += line[end : row.start(column)].replace("%", "%%") + "%d"
                numbers.append((int(row[column]), moved))
                end = row.end(column)
        yield Line(template + line[end:].replace("%", "%%"), tuple(numbers), True)


def with_bad_lines(lines: Iterable[Line]) -> Iterator[Line]:
    chance = random.Random(1)
    for line in lines:
        if chance.random() < BAD_SHARE:
            yield literal(chance.choice(BAD_LINES))
        yield line


def hand_round() -> tuple[list[Line], list[Line]]:
    """All threads of `threads512` queueing up, and their turns: each repetition ends with the last one's hold."""
    turns = TURNS * THREADS
    queue, rounds = [], []

    def row(thread: int, ticks: int, event: str, checks: int, time: int, repeated: bool = True) -> Line:
        moves = (turns, turns * HOLD_NS) if repeated else (0, 0)
        return Line(f"w{thread} {ticks} %d {event} %d\n", ((checks, moves[0]), (time, moves[1])), True)

    holder = THREADS - 1
    for thread in (holder, *range(holder)):
        queue.append(row(thread, 100, "ENTRY", 0, 10 * thread, False))
        queue.append(row(thread, 50, "ACQUIRE" if thread == holder else "BUSY", 0, 10 * thread + 5, False))
    for turn in range(turns):
        thread, checks, time = turn % THREADS, turn + 1, (turn + 1) * HOLD_NS
        before = (thread - 1) % THREADS
        rounds += [
            row(before, 100, "RELEASE", checks, time),
            row(before, 100, "ENTRY", checks, time + 300),
            row(thread, 100, "ACQUIRE", checks, time + 5_000),
            row(before, 60, "BUSY", checks, time + 5_600),
        ]
    return queue, rounds


def write_repeated(path: Path, head: str, once: list[Line], lines: list[Line], events: int) -> None:
    """Writes beside `path` and renames, so that a trace is there in full or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as out:
            out.write(head.encode("utf-8", "surrogateescape"))
            events = _write(out, once, events, 0)
            repetition = 0
            whole = sum(line.is_event for line in lines)
            if not whole:
                raise SystemExit("make_trace: there is no event to repeat.")
            template = "".join(line.template for line in lines)
            values = [value for line in lines for value, _ in line.numbers]
            moves = [move for line in lines for _, move in line.numbers]
            while events >= whole:
                out.write((template % tuple(values)).encode("utf-8", "surrogateescape"))
                values = [value + move for value, move in zip(values, moves, strict=True)]
                repetition += 1
                events -= whole
            _write(out, lines, events, repetition)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _write(out: BinaryIO, lines: list[Line], events: int, repetition: int) -> int:
    """Writes lines up to so many events; how many remain to be written."""
    for line in lines:
        if not events:
            break
        numbers = tuple(value + repetition * move for value, move in line.numbers)
        out.write((line.template % numbers).encode("utf-8", "surrogateescape"))
        events -= line.is_event
    return events


def make(source: Path, out: Path, events: int, shape: str) -> None:
    """Makes the trace `out` of so many valid events."""
    head, body = read_source(source)
    once: list[Line] = []
    if shape == "threads512":
        once, lines = hand_round()
    else:
        change = {"blanks": with_blanks, "attributes": with_attributes}.get(shape, iter)
        lines = list(source_lines(change(body)))
    if shape == "attributes":
        head += DEFINITIONS
    if shape in ("timed", "attributes") and not any(len(line.numbers) == 2 for line in lines):
        raise SystemExit(f"make_trace: {source} has no times.")
    if shape == "bad1":
        lines = list(with_bad_lines(lines))
    write_repeated(out, head, once, lines, events)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--events", type=int, required=True, metavar="N")
    parser.add_argument("--shape", choices=SHAPES, default="plain")
    wanted = parser.parse_args()
    make(wanted.source, wanted.out, wanted.events, wanted.shape)
    print(f"{wanted.out}: {wanted.events:,} events, {wanted.out.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
