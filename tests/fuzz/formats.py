"""Inputs that mean harm: real samples of every format, and what is changed in them with their structure in mind."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import sqlite3
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.conftest import GOLDEN, ROOT, SAMPLES
from tracekit import zstd
from tracekit.parsers import raw

IMPORTS = ROOT / "tests" / "data" / "imports"
EVENTS = ("ENTRY", "ACQUIRE", "RELEASE", "BUSY", "RETRY")
WORDS = [
    b"t1", b"t2", b"-", b"-1", b"0", b"100", b"1000000000000", b"1000000000001", b"-1000000000000",
    b"4611686018427387904", b"4611686018427387905", b"9223372036854775807", b"18446744073709551616", b"0" * 40,
    b"9" * 400,
    b"ENTRY", b"acquire", b"RELEASE", b"BUSY", b"RETRY", b"#", b"\0", b"\xff", b"\xed\xa0\x80", b"\xe2\x80\xae",
    b"\x1b[31m", b"\r", b"t" * 4097, b"\xef\xbb\xbf", b"1e5", b"1_0", b"nan", b"Infinity", b"null",
    b"\x22", b",", b"{", b"[",
    b"cpu=5", b"cpu=", b"stack=1", b"sample=2", b"unlocks=1,2,3", b"region=9", b"lock=4611686018427387904",
    b"# code: 1 = 1 f a.py", b"# stack: 1 = 0 1 2", b"# stack: 2 = 1 1 2", b"# region: 1 = x", b"# lost: 5",
    b"# thread: t1 = name", b"# check-interval: 7", b"# retries: unknown",
]  # fmt: skip
NUMBERS = [0, 1, 2, 7, 127, 128, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
Make = Callable[[random.Random], bytes]


@cache
def sample(path: Path, most: int = 1500) -> bytes:
    """The first lines of a file, or all of it where it is no text."""
    content = path.read_bytes()
    return content[:most].rpartition(b"\n")[0] + b"\n" if len(content) > most else content


# ---- any bytes ----


def bytes_changed(content: bytes, chance: random.Random, least: int = 1) -> bytes:
    """Bits, bytes, little numbers, pieces left out, doubled or moved."""
    made = bytearray(content)
    for _ in range(chance.choice([least, least, 2, 4, 16])):
        if not made:
            break
        at = chance.randrange(len(made))
        kind = chance.randrange(8)
        if kind == 0:
            made[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            made[at] = chance.randrange(256)
        elif kind in (2, 3):
            width = chance.choice([1, 2, 4, 8])
            at -= at % width
            number = chance.choice(NUMBERS) if chance.random() < 0.7 else chance.getrandbits(64)
            order: Any = chance.choice(["little", "little", "big"])
            made[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, order)
        elif kind == 4:
            del made[at : at + chance.choice([1, 4, 100])]
        elif kind == 5:
            piece = made[at : at + chance.choice([1, 8, 200])]
            made[at:at] = piece * chance.choice([1, 1, 3])
        elif kind == 6:
            other = chance.randrange(len(made))
            made[at : at + 8] = made[other : other + 8]
        elif chance.random() < 0.3:
            del made[at:]
    return bytes(made)


def packed(content: bytes, chance: random.Random) -> bytes:
    """As it is, or compressed, and then perhaps damaged."""
    kind = chance.randrange(12)
    if kind > 3:
        return content
    made = gzip.compress(content, 1, mtime=0) if kind % 2 else zstd.compress(content)
    return bytes_changed(made, chance) if kind > 1 else made


# ---- lines ----


def lines_changed(content: bytes, chance: random.Random) -> bytes:
    """Lines and their words: left out, doubled, moved, put in the place of others."""
    lines = content.split(b"\n")
    for _ in range(chance.choice([1, 2, 5, 20])):
        at = chance.randrange(len(lines))
        kind = chance.randrange(7)
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[chance.randrange(len(lines))])
        elif kind == 2:
            other = chance.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 3:
            lines.insert(at, b" ".join(chance.choices(WORDS, k=chance.randrange(7))))
        else:
            separator = b"," if b"," in lines[at] else b" "
            words = lines[at].split(separator)
            place = chance.randrange(len(words))
            words[place : place + chance.choice([0, 1, 1, 1])] = [chance.choice(WORDS)]
            lines[at] = separator.join(words)
    return b"\n".join(lines)


@cache
def _texts() -> list[Path]:
    return sorted([*SAMPLES.glob("*.log"), *GOLDEN.glob("edge/*.log"), *GOLDEN.glob("attributes/*.log")])


def text(chance: random.Random) -> bytes:
    content = lines_changed(sample(chance.choice(_texts())), chance)
    return packed(bytes_changed(content, chance) if chance.random() < 0.3 else content, chance)


def perf(chance: random.Random) -> bytes:
    files = sorted(IMPORTS.glob("perf*"))
    content = lines_changed(sample(chance.choice(files)), chance)
    return packed(bytes_changed(content, chance) if chance.random() < 0.3 else content, chance)


# ---- JSON ----


def json_changed(value: Any, chance: random.Random, depth: int = 0) -> Any:
    """One value somewhere in it is another."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        kind = chance.randrange(12)
        if kind == 0:
            return {name: inner for name, inner in value.items() if name != key}
        if kind == 1:
            name = chance.choice(["thread", "event", "ph", "ts", "", "a\ud800"])
            return {**value, name: chance.choice([1, None, [], "x"])}
        return {**value, key: json_changed(value[key], chance, depth + 1)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        kind = chance.randrange(12)
        if kind == 0:
            return value[:at] + value[at + 1 :]
        if kind == 1:
            return value[:at] + value[at : at + 1] * 3 + value[at + 1 :]
        return [*value[:at], json_changed(value[at], chance, depth + 1), *value[at + 1 :]]
    odd: list[Any] = [
        None, True, "", "x" * 300, "t2", -1, 2**63, 1e308, float("nan"), float("-inf"), 1.5, [], {}, [[[]]],
        {"a": {"b": [1]}},
        "\x00", "\u202e", 10**400, -(2**63), "12", "PID-GIL", [value], {"a": value},
    ]  # fmt: skip
    return chance.choice(odd)


def json_lines(chance: random.Random) -> bytes:
    rows: list[Any] = [json.loads(line) for line in _converted("jsonl").splitlines()]
    for _ in range(chance.choice([1, 1, 3])):
        at = chance.randrange(len(rows)) if chance.random() < 0.7 else 0
        rows[at] = json_changed(rows[at], chance)
    content = "\n".join(map(json.dumps, rows)).encode()
    return packed(bytes_changed(content, chance) if chance.random() < 0.3 else content, chance)


def json_of_others(chance: random.Random) -> bytes:
    value = json.loads((IMPORTS / chance.choice(["giltracer.json", "gecko.json"])).read_bytes())
    for _ in range(chance.choice([1, 1, 3])):
        value = json_changed(value, chance)
    content = json.dumps(value).encode()
    return packed(bytes_changed(content, chance) if chance.random() < 0.3 else content, chance)


def comma_separated(chance: random.Random) -> bytes:
    content = lines_changed(_converted("csv"), chance)
    return packed(bytes_changed(content, chance) if chance.random() < 0.3 else content, chance)


@cache
def _converted(name: str) -> bytes:
    from tracekit.writers import WRITERS
    from tracekit.writers.tablestream import TableStream

    out = io.BytesIO()
    with TableStream(GOLDEN / "attributes" / "ticks.log") as stream:
        next(writer for writer in WRITERS if writer.name == name).write(stream, out)  # type: ignore[arg-type]
    return b"\n".join(out.getvalue().split(b"\n")[:60])


# ---- columns ----


def _column(name: str, rows: int, chance: random.Random) -> pa.Array:
    """In one of the types that hold such values, or in one that does not."""
    words = [f"t{row % 3}" for row in range(rows)] if name == "thread" else [EVENTS[row % 3] for row in range(rows)]
    if name not in ("thread", "event"):
        numbers = list(range(rows))
        return chance.choice(
            [
                lambda: pa.array(numbers),
                lambda: pa.array(numbers, chance.choice([pa.int8(), pa.uint64(), pa.float64(), pa.decimal128(20, 2)])),
                lambda: pa.array([None if row % 4 else row for row in numbers]),
                lambda: pa.array(map(str, numbers)),
                lambda: pa.nulls(rows),
                lambda: pa.array(chance.choices(NUMBERS, k=rows), pa.uint64()),
                lambda: pa.array([[row] for row in numbers]),
                lambda: pa.array(numbers, pa.timestamp("ns")),
                lambda: pa.array(numbers).dictionary_encode(),
            ]
        )()
    codes = np.array([row % 3 for row in range(rows)], np.int32)
    if chance.random() < 0.3:
        codes[chance.randrange(rows)] = chance.choice([-1, 3, 100, -(2**31)])
    return chance.choice(
        [
            lambda: pa.array(words),
            lambda: pa.array(words, chance.choice([pa.large_string(), pa.string_view(), pa.binary()])),
            lambda: pa.array(words).dictionary_encode(),
            lambda: pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words[:3]), safe=False),
            lambda: pa.DictionaryArray.from_arrays(pa.array(codes), pa.array([words[0], None, words[1]]), safe=False),
            lambda: pa.array([None, *words[1:]]),
            lambda: pa.array([{"a": word} for word in words]),
            lambda: pa.array([[word] for word in words]),
            lambda: pa.RunEndEncodedArray.from_arrays(pa.array([rows], pa.int32()), pa.array(words[:1])),
            lambda: pa.array(words).slice(1),
        ]
    )()


def table(chance: random.Random) -> pa.Table:
    rows = chance.choice([3, 3, 12, 40])
    whole = ["thread", "ticks", "checks", "event", "time"]
    names = chance.choice([["thread", "event", "time"], whole, ["event", "thread"]])
    columns = {}
    for name in names:
        simple = pa.array([f"t{row % 3}" if name == "thread" else EVENTS[row % 3] for row in range(rows)])
        plain = simple if name in ("thread", "event") else pa.array(range(rows))
        columns[name] = _column(name, rows, chance) if chance.random() < 0.3 else plain
    shortest = min(map(len, columns.values()))
    metadata = chance.choice([None, None, {"tracekit.trace": "[[["}, {"tracekit.schema": "events/9"}])
    return pa.table({name: column.slice(0, shortest) for name, column in columns.items()}, metadata=metadata)


@cache
def _ipc(number: int) -> bytes:
    """One of the files that are changed."""
    chance = random.Random(number)
    try:
        made = table(chance)
        out = io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression=chance.choice([None, None, "lz4", "zstd"]))
        make = pa.ipc.new_file if chance.random() < 0.5 else pa.ipc.new_stream
        with make(out, made.schema, options=options) as writer:
            writer.write_table(made, chance.choice([None, 3, 7]))
    except (pa.ArrowException, ValueError):
        return b"ARROW1"
    return out.getvalue()


def arrow(chance: random.Random) -> bytes:
    content = _ipc(chance.randrange(1000))
    return bytes_changed(content, chance) if chance.random() < 0.9 else content


# ---- SQLite ----


@cache
def _database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "t.sqlite")
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA page_size = 512")
        connection.executescript((IMPORTS / "nsight.sql").read_text())
        connection.commit()
        connection.close()
        return Path(path).read_bytes()


def sqlite(chance: random.Random) -> bytes:
    content = bytearray(_database())
    if chance.random() < 0.6:
        page = 512 * chance.randrange(len(content) // 512)
        content[page : page + 512] = bytes_changed(bytes(content[page : page + 512]), chance).ljust(512, b"\0")[:512]
    else:
        content[:] = bytes_changed(bytes(content), chance)
    return packed(bytes(content), chance)


# ---- raw recordings ----


def _chunk(kind: int, order: int, rows: np.ndarray[Any, Any]) -> bytes:
    head = np.zeros((), raw._CHUNK)
    head["kind"], head["order"], head["count"] = kind, order, len(rows)
    return (head.tobytes() + rows.tobytes()).ljust(1 << 12, b"\0")


@cache
def _recording() -> bytes:
    header = np.zeros((), raw._HEADER)
    for name, value in {
        "magic": raw.MAGIC, "version": 1, "header_bytes": 1 << 12, "chunk_bytes": 1 << 12, "chunks": 3, "pid": 7,
        "lost": 1, "metadata_bytes": 15, "anchors": ((1, 1), (1000, 1000)),
    }.items():  # fmt: skip
        header[name] = value
    threads = np.zeros(3, raw.THREAD)
    threads["kind"], threads["thread"], threads["tid"] = 1, range(3), (71, 72, 71)
    records = np.zeros(90, raw._RECORD)
    records["thread"] = np.arange(90) // 3 % 3
    records["stamp"] = (np.arange(90, dtype=np.uint64) * 5 << 8) | np.array([1, 2, 3] * 30, np.uint64)
    head = (header.tobytes() + b"python: 3.13.0\n").ljust(1 << 12, b"\0")
    return head + _chunk(2, 0, threads) + _chunk(1, 0, records[:45]) + _chunk(1, 1, records[45:])


def recording(chance: random.Random) -> bytes:
    content = _recording()
    start = chance.choice([0, 0, 1 << 12, 2 << 12, 3 << 12])
    piece = content[start : start + 400]
    changed = bytes_changed(piece, chance)
    if chance.random() < 0.8:
        changed = changed.ljust(400, b"\0")[:400]
    return packed(content[:start] + changed + content[start + 400 :], chance)
