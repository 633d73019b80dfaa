"""Atomic output: a temporary sibling, then rename."""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tracekit.errors import OptionError, TracekitError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


_LOCK = ".in-use"
_ROOM = re.compile("[a-z0-9_]{8}")  # as tempfile names them


@contextmanager
def beside(output: Path, traces: Sequence[str] = (), folder: bool = False) -> Iterator[Path]:
    """Yields a temporary file (or folder) next to the output, and renames it to the output on success.

    traces: input files, which must not be overwritten. Raises OptionError; TracekitError if writing fails.
    """
    try:
        output = output.resolve()
        if any(trace != "-" and os.path.samefile(trace, output) for trace in traces if output.exists()):
            raise OptionError(f"{output}: -o names the trace itself.", "Name another file with -o.")
        if any(trace != "-" and output.is_relative_to(Path(trace).resolve()) for trace in traces):
            raise OptionError(f"{output}: -o names a file of the trace.", "Name another file with -o.")
        if output.exists() and not output.is_file() and not output.is_dir():
            yield output  # a pipe or a device cannot be replaced
            return
        _check_replaceable(output, folder)
        umask = _umask()
        mode = output.stat().st_mode & 0o777 if output.exists() else (0o777 if folder else 0o666) & ~umask
        _clear(output)
        with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as room, _used(Path(room)):
            made = Path(room) / output.name
            if folder:
                made.mkdir()
            yield made
            os.chmod(made, mode)
            if folder and output.exists():
                os.replace(output, Path(room) / "before")
            os.replace(made, output)
    except OSError as error:
        raise TracekitError(
            f"{output}: cannot be written: {error.strerror or error}.", "Name another file with -o."
        ) from error


@contextmanager
def _used(room: Path) -> Iterator[None]:
    """So long as this process lives, others see that the room is in use."""
    if fcntl is None:
        yield
        return
    with (room / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _clear(output: Path) -> None:
    """Removes what a run for this output left, if it was killed."""
    for room in output.parent.glob(f".{glob.escape(output.name)}.*"):
        if fcntl is None or not _ROOM.fullmatch(room.name.removeprefix(f".{output.name}.")) or not room.is_dir():
            continue
        with suppress(OSError), (room / _LOCK).open("r+b") as lock:  # else it is in use, or somebody else's
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(room)


def _check_replaceable(output: Path, folder: bool) -> None:
    if output.is_dir() and not folder:
        raise OptionError(f"{output}: cannot be written: it is a folder.", "Name a file with -o.")
    if folder and output.exists():
        inside = list(output.iterdir()) if output.is_dir() else None
        if inside is None or any(path.suffix != ".parquet" for path in inside):
            raise OptionError(f"{output}: exists already and is not a folder of tables.", "Name another one with -o.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
