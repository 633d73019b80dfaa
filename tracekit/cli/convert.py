"""`tracekit convert`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import typer

from tracekit.cli.common import Strict, beside, outcome, progress_of, say, say_faults
from tracekit.errors import OptionError
from tracekit.tablestream import TableStream
from tracekit.words import count, printable
from tracekit.writers import WRITERS, FolderWriter, Writer, writer_for


def convert(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="A trace; `-` is standard input.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Write this; `-` is standard output.")],
    to: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help=f"One of {', '.join(w.name for w in WRITERS)}; else by the ending of OUT."),
    ] = None,
    strict: Strict = False,
) -> None:
    """Write a trace in another format. Parquet, Arrow, CSV, JSON lines and text, which tracekit reads too;
    Perfetto, Chrome and Firefox Profiler, which their viewers open."""
    with outcome():
        writer = writer_for(output, to)
        if str(output) == "-" and isinstance(writer, FolderWriter):
            raise OptionError(f"-: {writer.name} is {writer.description}.", "Name a folder with -o.")
        with progress_of(trace) as progress, TableStream(trace, strict=strict, progress=progress) as tables:
            if str(output) == "-":
                _to_standard_output(writer, tables)
                return
            with beside(output, [trace], folder=isinstance(writer, FolderWriter)) as path:
                if isinstance(writer, FolderWriter):
                    writer.write(tables, path)
                else:
                    with path.open("wb") as file:
                        writer.write(tables, cast(BinaryIO, file))
            say(printable(f"{output}: {count(tables.analysis.events, 'event')}, {writer.description}."))
            say_faults(tables.analysis)


def _to_standard_output(writer: Writer | FolderWriter, tables: TableStream) -> None:
    assert isinstance(writer, Writer)
    writer.write(tables, sys.stdout.buffer)
    sys.stdout.flush()
