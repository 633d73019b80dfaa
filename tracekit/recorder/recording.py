"""`record`: this process' GIL into a trace. And raw recordings, of this process or another, into traces."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ParamSpec, TypeVar, cast

import tracekit.recorder.bootstrap as inside
from tracekit.errors import OptionError, RecordError, SourceError, TracekitError
from tracekit.recorder import require_library
from tracekit.recorder.children import beside, not_recorded, read_part
from tracekit.words import size_in_bytes, whole_number
from tracekit.writers import TEXT, VIEWERS, FolderWriter, Writer, write_trace, writer_for

if TYPE_CHECKING:
    from tracekit.writers.tablestream import TableStream

P = ParamSpec("P")
T = TypeVar("T")
_SMALL = 1 << 20  # bytes of a raw recording
_MOST_SOURCES = 200
"""Files of source that are read to tell what their lines call."""


@dataclass(frozen=True)
class Written:
    """What was written where. duration: ns from the first event to the last."""

    path: Path
    events: int
    threads: int
    duration: int
    lost: int
    lost_because: str


def raw_path(trace: Path) -> Path:
    """Where what becomes this trace is recorded."""
    return trace.with_name(trace.name + ".raw")


def trace_writer(trace: Path) -> Writer | FolderWriter:
    """By the name's ending; the text format where that tells none. Raises OptionError."""
    writer = writer_for(trace, otherwise=TEXT)
    if writer.name in VIEWERS:
        raise OptionError(
            f"{trace}: tracekit does not read {writer.description}.", "Record a .log, and `tracekit convert` it then."
        )
    return writer


@dataclass(frozen=True)
class Processes:
    """What became of the recordings of a program's processes.

    written: the first process' trace, then the others' and those of other interpreters. running: raw recordings of
    processes that still run.
    missing: Pythons that were started and not recorded, `2 x python -I`.
    """

    written: list[Written]
    running: list[Path]
    missing: list[str]


@contextmanager
def alone(trace: Path) -> Iterator[Callable[[], Path]]:
    """While nobody else records into this trace. Gives what tells where that is meanwhile, if folders are renamed.

    Raises RecordError: somebody does. Where nothing can be written, nothing is locked: the recorder says why.
    """
    import fcntl

    path = _notes(trace)
    lock = -1
    try:
        while lock < 0:
            lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not (path.exists() and os.path.samestat(os.fstat(lock), os.stat(path))):
                os.close(lock)  # whoever had it is just gone, and took it away
                lock = -1
    except BlockingIOError:
        os.close(lock)
        raise RecordError(
            f"{trace}: another program is being recorded into it.", "Wait for its end, or name another file with -o."
        ) from None
    except OSError:
        pass

    def place() -> Path:
        notes = Path(os.readlink(f"/proc/self/fd/{lock}")) if lock >= 0 else path
        return notes.with_name(trace.name) if notes.exists() else trace

    try:
        yield place
    finally:
        if lock >= 0:
            _notes(place()).unlink(missing_ok=True)
            os.close(lock)


def write_recordings(trace: Path) -> Processes:
    """Turns the raw recordings of a trace, and of other processes that belong to it and have ended, into traces.

    Theirs are TRACE.PID. Raw recordings that have become traces are removed. Raises RecordError, SourceError.
    """
    own = read_part(raw_path(trace))
    if not own and not raw_path(trace).exists():
        raise RecordError(
            f"{trace}: the trace is lost: its recording was removed while the program ran.",
            "Name a file with -o that the program leaves alone.",
        )
    others = beside(trace, own.session) if own else []
    missing = not_recorded([own, *others], _reasons(trace)) if own else []
    processes = sum(not part.of_interpreter for part in others)
    about = {"processes": str(processes + 1)} if processes else {}
    if processes < len(others):
        about["interpreters"] = str(len(others) - processes)
    if missing:
        about["not-recorded"] = ", ".join(missing)
    writer = trace_writer(trace)
    written = [_convert_small(raw_path(trace), trace, writer, about) or _convert(raw_path(trace), trace, writer, about)]
    for part in others:
        if part.ended:
            becomes = part.raw.with_suffix("")
            written.append(_convert_small(part.raw, becomes, writer) or _convert(part.raw, becomes, writer))
    return Processes(written, [part.raw for part in others if not part.ended], missing)


def _notes(trace: Path) -> Path:
    """The file that says that this trace is being recorded; started processes that cannot be write into it why."""
    return trace.with_name(f".{trace.name}.recording")


def _reasons(trace: Path) -> dict[int, str]:
    try:
        lines = _notes(trace).read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {int(pid): why for pid, _, why in (line.partition(" ") for line in lines) if pid.isdecimal()}


def _convert(raw: Path, trace: Path, writer: Writer | FolderWriter, about: Mapping[str, str] = {}) -> Written:
    """about: more metadata."""
    from tracekit.writers.tablestream import TableStream

    with TableStream(raw) as tables:
        tables.header.metadata.update(about)
        _name_calls(tables)
        try:
            write_trace(tables, trace, writer)
        except SourceError:
            raise
        except TracekitError as error:
            kept = f"the recording itself is {raw}, and tracekit reads it too."
            raise RecordError(error.message, f"Make room, or name another file; {kept}") from error
        found = tables.analysis
    raw.unlink()
    return Written(trace, found.events, found.threads.num_rows, found.duration, *_lost(found.metadata))


def _convert_small(
    raw: Path, trace: Path, writer: Writer | FolderWriter, about: Mapping[str, str] = {}
) -> Written | None:
    """The same for a process with one thread that did little, without an analysis: a pool has hundreds of them, and a
    script that is over at once is told of at once."""
    from tracekit.model.header import Header
    from tracekit.parsers import open_trace
    from tracekit.writers.text import write_events

    plain = not trace.is_symlink() and (trace.is_file() or not trace.exists())
    if writer is not TEXT or not plain or not raw.exists() or raw.stat().st_size > _SMALL:
        return None
    with open_trace(raw) as stream:
        batches = list(stream)
        if len(stream.threads) != 1 or stream.truncated or stream.ignored.counts or not batches:
            return None
        header = Header("ns", {**stream.metadata, **about}, stream.names, definitions=stream.definitions)
    made = trace.with_name(f".{trace.name}.new")  # to make and remove a folder for it would take longer than all else
    try:
        with made.open("wb") as out:
            write_events(header, batches, cast(BinaryIO, out))
        os.replace(made, trace)
    except OSError:
        made.unlink(missing_ok=True)
        return None  # the other way tells what to do
    raw.unlink()
    first, last = batches[0].column("time")[0].as_py(), batches[-1].column("time")[-1].as_py()
    return Written(trace, sum(batch.num_rows for batch in batches), 1, last - first, *_lost(stream.metadata))


def _lost(metadata: Mapping[str, str]) -> tuple[int, str]:
    return whole_number(metadata.get("lost", ""), 2**62) or 0, metadata.get("lost-because", "")


def _name_calls(tables: TableStream) -> None:
    """Defines what the lines call at which the GIL was held, by their source as it is now: it is that which ran."""
    from tracekit.recorder.calls import Source
    from tracekit.timeline.definitions import definition_tables

    known, sources = tables.header.definitions, dict[str, Source]()
    before = datetime.fromisoformat(tables.header.metadata["started"]).timestamp()
    for stack in dict.fromkeys(tables.analysis.stack_blame.column("holder_stack").to_pylist()):
        leaf = known.stack(stack) if stack is not None else None
        if leaf and (leaf.code, leaf.line) not in known.calls and len(sources) < _MOST_SOURCES:
            file = known.codes[leaf.code].file
            if file not in sources:
                sources[file] = Source(file, before)
            if names := sources[file].calls(leaf.line):
                known.define_calls(leaf.code, leaf.line, names)
    if known.calls:
        made = definition_tables(known, tables.analysis.unit)
        tables.analysis = replace(tables.analysis, tables={**tables.analysis.tables, **made})


class Recording:
    """A recording of this process: `with record(path):`, or `start` and `stop`, as often as wanted.

    Attributes:
        path: the trace. It is written by `stop`.
        written: what `stop` wrote: this process' trace, then those of forked processes that have ended (PATH.PID).
    """

    def __init__(self, path: str | os.PathLike[str], max_size: int | str | None = None, stacks: bool = True) -> None:
        self.path = Path(path).absolute()
        self.written: list[Written] = []
        size = size_in_bytes(max_size) if isinstance(max_size, str) else max_size
        self._max_size = size
        self._stacks = stacks
        self._running: inside.Recorder | None = None
        trace_writer(self.path)
        if max_size is not None and (size is None or size < 1):
            raise OptionError(f"max_size is {max_size!r}, but must be at least 1.", "It is in bytes, or e.g. 100M.")

    def start(self) -> None:
        """Raises RecordError: this process cannot be recorded, or already is; the file cannot be written."""
        import sys

        from tracekit.version import VERSION

        try:
            recorder = inside.Recorder(require_library())
            metadata = inside.describe([sys.executable, *sys.argv], VERSION)
            recorder.start(str(self.path), self._max_size or 0, self._stacks, metadata)
        except inside.Refused as refused:
            raise RecordError(str(refused), "Nothing is recorded.") from None
        self._running, self._pid = recorder, os.getpid()

    def stop(self) -> None:
        """Writes the trace. Does nothing if no recording is running. Raises RecordError, SourceError."""
        recorder, self._running = self._running, None
        if recorder is None:
            return
        recorder.stop()
        if os.getpid() == self._pid:
            self.written = write_recordings(self.path).written
        else:  # in a forked child
            path = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            self.written = [_convert(raw_path(path), path, trace_writer(self.path))]

    def __enter__(self) -> Recording:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def record(path: str | os.PathLike[str], *, max_size: int | str | None = None, stacks: bool = True) -> Recording:
    """Records what every thread of this process does with the GIL.

        with tracekit.record("out.log") as recording:
            ...
        tracekit.analyze(recording.path)

    path: where the trace is written when the recording stops, as gzip if it ends in `.gz`.
    max_size: keep only the newest events, in about this many bytes (16 per event, at least 512 KiB), or e.g. "100M".
    stacks: take the Python stacks of threads that wait, and of those that they wait for.
    Linux only. Raises OptionError; starting and stopping raise RecordError.
    """
    return Recording(path, max_size, stacks)


@contextmanager
def record_or_cut(path: Path) -> Iterator[None]:
    """Records into a trace of text; where this process is being recorded already, that is cut out of what is recorded.

    Raises what `record` raises.
    """
    try:
        file: bytes | None = inside.load(require_library()).tk_record_file()
    except inside.Refused:
        file = None  # starting tells why
    if file is None:
        with record(path):
            yield
        return
    start = time.monotonic_ns()
    time.sleep(0)  # lets go of the GIL, so that who holds it is known from here on
    try:
        yield
    finally:
        time.sleep(0)
        _cut(Path(os.fsdecode(file)), path, start, time.monotonic_ns())


def _cut(running: Path, path: Path, start: int, end: int) -> None:
    """What a recording that goes on tells of the time between two moments of CLOCK_MONOTONIC."""
    from tracekit.model.window import window_of
    from tracekit.parsers import open_trace
    from tracekit.parsers.raw import RawRecording
    from tracekit.writers.tablestream import TableStream

    copy = raw_path(path)
    try:
        shutil.copyfile(running, copy)
        with open_trace(copy) as stream:
            assert isinstance(stream, RawRecording)
            first = stream.began + next(iter(stream)).column("time")[0].as_py()
        with TableStream(copy, window=window_of(max(0, start - first), end - first)) as tables:
            write_trace(tables, path, TEXT)
    finally:
        copy.unlink(missing_ok=True)


def recorded(
    path: str | os.PathLike[str], *, max_size: int | str | None = None
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Records each call of a function; the trace is that of the last one.

        @tracekit.recorded("out.log")
        def serve(): ...

    path, max_size: as for `record`, and so is what it raises.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            with record(path, max_size=max_size):
                return function(*args, **kwargs)

        return run

    return decorate
