"""Writers: a trace to other formats, each one file. `WRITERS` lists them, nothing registers itself.

A writer takes a `TableStream`: what is known of the whole trace (`analysis`: unit, metadata, threads, blame, findings
in words), and the rows of its large tables in pieces, as often as it wants to read them (`pieces("holds", "waits")`).
It must not keep them all: a trace may be larger than memory. It opens no file: the command line gives it one, beside
the place where the output goes, and renames it when all is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tracekit.errors import OptionError
from tracekit.tablestream import TableStream
from tracekit.writers import arrow, chrome, csv, firefox, jsonl, parquet, perfetto, text


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
    Writer("text", (".log", ".txt", ".trace"), "the slides' text format", text.write),
    FolderWriter("parquet", (".parquet",), "a folder with a Parquet file for each table", parquet.write_folder),
    Writer("parquet-events", (".events.parquet",), "the events in one Parquet file", parquet.write_events),
    Writer("arrow", (".arrow", ".feather"), "the events as an Arrow IPC file", arrow.write),
    Writer("csv", (".csv",), "the events as CSV", csv.write),
    Writer("jsonl", (".jsonl", ".ndjson"), "the events as JSON lines", jsonl.write),
    Writer("perfetto", (".pftrace", ".perfetto-trace"), "a trace for Perfetto", perfetto.write),
    Writer("chrome", (".json", ".trace.json"), "Chrome's trace JSON, for many viewers", chrome.write),
    Writer("firefox", (".firefox.json", ".profile.json"), "a profile for the Firefox Profiler", firefox.write),
)


def writer_for(path: Path, name: str | None = None) -> Writer | FolderWriter:
    """The writer of this name, or the one whose ending `path` has. Raises OptionError."""
    known = ", ".join(f"{writer.name} ({', '.join(writer.endings)})" for writer in WRITERS)
    if name is not None:
        for writer in WRITERS:
            if writer.name == name:
                return writer
        raise OptionError(f"--to: there is no format {name!r}.", f"There are {known}.")
    fitting = [
        (len(ending), writer) for writer in WRITERS for ending in writer.endings if path.name.lower().endswith(ending)
    ]
    if not fitting:
        raise OptionError(f"{path}: its ending tells no format.", f"Say --to FORMAT. There are {known}.")
    return max(fitting, key=lambda found: found[0])[1]
