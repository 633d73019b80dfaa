"""`record`: this process' GIL into a trace. And raw recordings, of this process or another, into traces."""

from __future__ import annotations

import os
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import tracekit.recorder.bootstrap as inside
from tracekit.errors import OptionError, RecordError, SourceError
from tracekit.parsers import open_trace
from tracekit.parsers.raw import RawRecording
from tracekit.recorder import require_library
from tracekit.writing import Written, check_ending, write_trace


def version_of_tracekit() -> str:
    try:
        return version("tracekit")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


def raw_path(trace: Path) -> Path:
    """Where what becomes this trace is recorded."""
    return trace.with_name(trace.name + ".raw")


def write_recordings(trace: Path, keep_running: bool = True) -> list[Written]:
    """Turns the raw recording of a trace, and those of forked processes that have ended, into traces.

    A forked process' trace is TRACE.PID. Returns what was written, the first process' first; its raw recordings are
    removed. Raises RecordError, SourceError; then they stay.
    """
    own = _session(raw_path(trace))
    written = [_convert(raw_path(trace), trace, trace.suffix)]
    name = re.compile(re.escape(trace.name) + r"\.(\d+)\.raw")
    for raw in sorted(trace.parent.iterdir()):
        found = name.fullmatch(raw.name)
        if found and not Path("/proc", found[1]).exists() and _session(raw) == own:
            written.append(_convert(raw, trace.with_name(f"{trace.name}.{found[1]}"), trace.suffix))
    return written


def _session(raw: Path) -> int | None:
    """The number that a program's recordings share."""
    try:
        with open_trace(raw) as stream:
            return int(stream.header["session"]) if isinstance(stream, RawRecording) else None
    except SourceError:
        return None


def _convert(raw: Path, trace: Path, ending: str) -> Written:
    with open_trace(raw) as stream:
        written = write_trace(stream, trace, ending)
    raw.unlink()
    return written


class Recording:
    """A recording of this process: `with record(path):`, or `start` and `stop`, again if need be.

    Attributes:
        path: the trace. It is written by `stop`.
        written: what `stop` wrote: this process' trace, then those of forked processes that have ended (PATH.PID).
    """

    def __init__(self, path: str | os.PathLike[str], max_size: int | None = None) -> None:
        self.path = Path(path).absolute()
        self.written: list[Written] = []
        self._max_size = max_size
        self._running: inside.Recorder | None = None
        check_ending(self.path)
        if max_size is not None and max_size < 1:
            raise OptionError(f"max_size is {max_size}, but must be at least 1.", "It is in bytes.")

    def start(self) -> None:
        """Raises RecordError: this process cannot be recorded, or already is; the file cannot be written."""
        import sys

        try:
            recorder = inside.Recorder(require_library())
            metadata = inside.describe([sys.executable, *sys.argv], version_of_tracekit())
            recorder.start(str(self.path), self._max_size or 0, metadata)
        except inside.Refused as refused:
            raise RecordError(str(refused), "Nothing is recorded.") from None
        self._running, self._pid = recorder, os.getpid()

    def stop(self) -> None:
        """Writes the trace. Without a recording that runs it does nothing. Raises RecordError, SourceError."""
        recorder, self._running = self._running, None
        if recorder is None:
            return
        recorder.stop()
        if os.getpid() == self._pid:
            self.written = write_recordings(self.path)
        else:  # in a forked child
            path = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            self.written = [_convert(raw_path(path), path, self.path.suffix)]

    def __enter__(self) -> Recording:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def record(path: str | os.PathLike[str], *, max_size: int | None = None) -> Recording:
    """Records what every thread of this process does with the GIL.

        with tracekit.record("out.log") as recording:
            ...
        tracekit.analyze(recording.path)

    path: where the trace is written when the recording stops, as gzip if it ends in `.gz`.
    max_size: keep only the newest events, in about so many bytes (16 an event, at least 2 MiB).
    Linux only. Raises OptionError; starting and stopping raise RecordError.
    """
    return Recording(path, max_size)
