"""Raw recordings: what is damaged is refused in a sentence, or read as far as it goes."""

from __future__ import annotations

import contextlib
import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import tracekit
from tests.recorder.recorded import PROGRAMS, good, need_recorder
from tracekit.parsers import raw
from tracekit.recorder import launch


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    need_recorder()
    base = tmp_path_factory.mktemp("raw") / "trace"
    program = launch.Program(sys.executable, str(PROGRAMS / "crowd.py"))
    assert launch.run(program, str(base), max_bytes=0, follow="none", version="1") == 0
    return base.with_suffix(".raw").read_bytes()


def written(folder: Path, content: bytes) -> Path:
    path = folder / "trace.raw"
    path.write_bytes(content)
    return path


def with_header(content: bytes, **fields: int) -> bytes:
    header = np.frombuffer(content[: raw._HEADER.itemsize], raw._HEADER).copy()
    for name, value in fields.items():
        header[name] = value
    return header.tobytes() + content[raw._HEADER.itemsize :]


CHUNKS = 1 << 16
EVENTS = CHUNKS + (1 << 18)


def test_it_is_recognised_by_content(recording: bytes, tmp_path: Path) -> None:
    trace = good(written(tmp_path, recording))
    assert trace.metadata["recorder"] == "tracekit 1"
    analysis = tracekit.analyze(tmp_path / "trace.raw")
    assert analysis.threads.num_rows == len(trace.threads) == 65
    packed = tmp_path / "trace.raw.gz"
    packed.write_bytes(gzip.compress(recording, 1))
    assert good(packed).events.equals(trace.events)
    piped = subprocess.run(
        [sys.executable, "-m", "tracekit", "analyze", "-"], input=recording, capture_output=True, timeout=60
    )
    assert piped.returncode == 0
    assert b"65 threads" in piped.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: with_header(b, version=3), "of version 3; this tracekit reads up to 2"),
        (lambda b: with_header(b, chunk_bytes=7), "its head makes no sense"),
        (lambda b: with_header(b, header_bytes=0), "its head makes no sense"),
        (lambda b: b[:50], "ends within its head"),
        (lambda b: b[:CHUNKS] + b"\x09" + b[CHUNKS + 1 :], f"there is no chunk at byte {CHUNKS}"),
        (lambda b: b[: CHUNKS + 24] + b"\xff" * 8 + b[CHUNKS + 32 :], f"there is no chunk at byte {CHUNKS}"),
        (lambda b: b[: EVENTS + 64] + b"\x07" + b[EVENTS + 65 :], "an unknown event"),
        (lambda b: b[: EVENTS + 72] + b"\xff" * 4 + b[EVENTS + 76 :], "of an unknown thread"),
    ],
)
def test_damage_is_told(recording: bytes, change: object, words: str, tmp_path: Path) -> None:
    path = written(tmp_path, change(recording))  # type: ignore[operator]
    with pytest.raises(tracekit.SourceError, match=words):
        tracekit.read(path)
    done = subprocess.run(
        [sys.executable, "-m", "tracekit", "analyze", str(path)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


@pytest.mark.parametrize("kept", [EVENTS + 64 + 16 * 100, EVENTS + 64 + 16 * 100 + 7])
def test_cut_short(recording: bytes, kept: int, tmp_path: Path) -> None:
    trace = tracekit.read(written(tmp_path, recording[:kept]))
    codes = np.frombuffer(recording, np.uint8, 1600, EVENTS + 64)[::16]
    assert trace.events.num_rows == 100 - np.count_nonzero(codes & raw._ATTRIBUTE)
    assert [found.code for found in trace.summary] == ["truncated-input"]


def test_without_any_event(recording: bytes, tmp_path: Path) -> None:
    for content in (recording[:EVENTS], with_header(recording, chunks=0)):
        with pytest.raises(tracekit.NoEventsError):
            tracekit.read(written(tmp_path, content))


def test_time_never_goes_back(recording: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ENTRY that was written later than all that is sorted together comes as early as it still can."""
    monkeypatch.setattr(raw, "_SORTED_TOGETHER", 8)
    chunk_bytes = int(np.frombuffer(recording[: raw._HEADER.itemsize], raw._HEADER)["chunk_bytes"][0])
    head = np.frombuffer(recording[EVENTS : EVENTS + 64], raw._CHUNK).copy()
    records = np.frombuffer(recording[EVENTS + 64 : EVENTS + 64 + 16 * 200], raw._RECORD)
    records = records[records["stamp"] & np.uint64(raw._ATTRIBUTE) == 0][:120]
    late = records[records["stamp"] & np.uint64(255) == 1][5:6]  # an ENTRY of the first hundred
    chunks = b""
    for order, rows in enumerate((records[:100], np.concatenate([records[100:], late]))):
        head["count"], head["order"] = len(rows), order
        chunks += (head.tobytes() + rows.tobytes()).ljust(chunk_bytes, b"\0")
    content = with_header(recording[:EVENTS], chunks=EVENTS // chunk_bytes + 2) + chunks
    events = tracekit.read(written(tmp_path, content)).events
    times = events["time"].to_numpy()
    assert len(times) == 121
    assert (times[1:] >= times[:-1]).all()
    assert events["event"].to_pylist().count("ENTRY") == int(np.sum(records["stamp"] & np.uint64(255) == 1)) + 1


def test_what_is_told_late_belongs_to_the_last_release(recording: bytes, tmp_path: Path) -> None:
    """That lies in the chunk before, or among other threads' events."""
    chunk_bytes = int(np.frombuffer(recording[: raw._HEADER.itemsize], raw._HEADER)["chunk_bytes"][0])
    head = np.frombuffer(recording[EVENTS : EVENTS + 64], raw._CHUNK).copy()
    entry, acquire, release = 1, 2, 3

    def rows(*told: tuple[int, int, int]) -> npt.NDArray[np.void]:
        """Of a time or a value, a code and a thread."""
        made = np.zeros(len(told), raw._RECORD)
        for row, (value, code, thread) in zip(made, told, strict=True):
            row["stamp"], row["thread"] = value << 8 | code, thread
        return made

    chunks = b""
    for order, records in enumerate((
        rows((1, entry, 0), (2, acquire, 0), (3, release, 0), (7, raw._UNLOCKS, 0), (4, entry, 1), (5, acquire, 1)),
        rows((6, raw._LOCK, 0), (6, release, 1), (7, entry, 0), (8, acquire, 0), (7, raw._UNLOCKS_LATE, 1),
             (9, raw._LOCK, 2), (9, release, 0)),
    )):  # fmt: skip
        head["count"], head["order"] = len(records), order
        chunks += (head.tobytes() + records.tobytes()).ljust(chunk_bytes, b"\0")
    content = with_header(recording[:EVENTS], chunks=EVENTS // chunk_bytes + 2) + chunks
    events = tracekit.read(written(tmp_path, content)).events
    assert events["lock"].to_pylist() == [None, None, 6, None, None, None, None, None, None]
    assert events["unlocks"].to_pylist() == [None, None, [7], None, None, [7], None, None, None]


@pytest.mark.slow
def test_whatever_is_flipped(recording: bytes, tmp_path: Path) -> None:
    """No byte of the heads can be changed so that anything but an error of ours comes out."""
    recording = recording[: EVENTS + 64 + 16 * 100]
    path = written(tmp_path, recording)
    places = [*range(raw._HEADER.itemsize), *range(CHUNKS, CHUNKS + 96), *range(EVENTS, EVENTS + 96)]
    with path.open("r+b", buffering=0) as file:
        for place in places:
            for value in (0, 1, 0x7F, 0x80, 0xFF):
                os.pwrite(file.fileno(), bytes([value]), place)
                with contextlib.suppress(tracekit.TracekitError):
                    tracekit.analyze(path)
            os.pwrite(file.fileno(), recording[place : place + 1], place)
