"""Writers: a trace to other formats, each one file. `WRITERS` lists them, nothing registers itself.

A writer takes a `TableStream`: what is known of the whole trace (`analysis`: unit, metadata, threads, blame, findings
in words), and the rows of its large tables in pieces, as often as it wants to read them (`pieces("holds", "waits")`).
It must not keep them all: a trace may be larger than memory. It opens no file: `write_trace` gives it
one, beside the place where the output goes, and renames it when all is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from tracekit.errors import OptionError

if TYPE_CHECKING:
    from tracekit.writers.tablestream import TableStream


def _of(module: str, function: str = "write") -> Any:
    """A module's function; the module is loaded when that is called."""

    def write(trace: TableStream, out: Any) -> None:
        getattr(import_module(f"{__name__}.{module}"), function)(trace, out)

    return write


@dataclass(frozen=True)
class Writer:
    """A format that is one file.

    Attributes:
        name: for `--to`.
        endings: of file names, with their dots, lower case; the longest that fits any writer wins.
        description: a few words for the help.
        write: into a binary file that is open for writing, and need not be seekable. Raises SourceError.
    """

    name: str
    endings: tuple[str, ...]
    description: str
    write: Callable[[TableStream, BinaryIO], None]


@dataclass(frozen=True)
class FolderWriter:
    """A format that is a folder of files; `write` gets an empty one. The rest as in `Writer`."""

    name: str
    endings: tuple[str, ...]
    description: str
    write: Callable[[TableStream, Path], None]


WRITERS: tuple[Writer | FolderWriter, ...] = (
    Writer("text", (".log", ".txt", ".trace"), "the slides' text format", _of("text")),
    FolderWriter(
        "parquet", (".parquet",), "a folder with a Parquet file for each table", _of("parquet", "write_folder")
    ),
    Writer("parquet-events", (".events.parquet",), "the events in one Parquet file", _of("parquet", "write_events")),
    Writer("arrow", (".arrow", ".feather"), "the events as an Arrow IPC file", _of("arrow")),
    Writer("csv", (".csv",), "the events as CSV", _of("csv")),
    Writer("jsonl", (".jsonl", ".ndjson"), "the events as JSON lines", _of("jsonl")),
    Writer("perfetto", (".pftrace", ".perfetto-trace"), "a trace for Perfetto", _of("perfetto")),
    Writer("chrome", (".json", ".trace.json"), "Chrome's trace JSON, for many viewers", _of("chrome")),
    Writer("firefox", (".firefox.json", ".profile.json"), "a profile for the Firefox Profiler", _of("firefox")),
)


TEXT = WRITERS[0]
VIEWERS = ("perfetto", "chrome", "firefox")
"""These are for other programs: tracekit does not read them back."""
_GZIP_LEVEL = 6  # half the time of 9 for a hundredth more
_PACKED = {".gz": "gzip", ".zst": "zstd"}


def writer_for(
    path: Path, name: str | None = None, otherwise: Writer | FolderWriter | None = None
) -> Writer | FolderWriter:
    """The writer of this name, or the one whose ending `path` has; behind that `.gz` or `.zst` packs what is one file.

    Raises OptionError where no ending fits, unless there is a writer for `otherwise`.
    """
    known = ", ".join(f"{writer.name} ({', '.join(writer.endings)})" for writer in WRITERS)
    packing = _PACKED.get(path.suffix.lower())
    file_name = (path.name.removesuffix(path.suffix) if packing else path.name).lower()
    fitting = [(len(ending), writer) for writer in WRITERS for ending in writer.endings if file_name.endswith(ending)]
    fit = max(fitting, key=lambda fit: fit[0])[1] if fitting else otherwise
    if name is not None:
        fit = next((writer for writer in WRITERS if writer.name == name), None)
        if not fit:
            raise OptionError(f"--to: there is no format {name!r}.", f"There are {known}.")
    if not fit:
        raise OptionError(f"{path}: cannot infer the format from the file's ending.", f"Name it with --to: {known}.")
    if not packing:
        return fit
    if isinstance(fit, FolderWriter):
        raise OptionError(f"{path}: {fit.description} cannot be packed.", f"Leave out {path.suffix}.")
    return replace(fit, write=partial(_pack, fit, packing))


def _pack(writer: Writer, packing: str, trace: TableStream, out: BinaryIO) -> None:
    if packing == "gzip":
        import gzip

        with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0) as packed:
            writer.write(trace, cast(BinaryIO, packed))
        return
    from tracekit import zstd

    with zstd.writer(out) as packed:
        writer.write(trace, packed)


def write_trace(trace: TableStream, output: Path, writer: Writer | FolderWriter) -> None:
    """Into a file or folder that is there whole or not at all. Raises OptionError, SourceError, TracekitError."""
    from tracekit.files import beside

    with beside(output, [trace.path], folder=isinstance(writer, FolderWriter)) as path:
        if isinstance(writer, FolderWriter):
            writer.write(trace, path)
        else:
            with path.open("wb") as file:
                writer.write(trace, cast(BinaryIO, file))
