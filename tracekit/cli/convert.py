"""`tracekit convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tracekit.cli.common import (
    From,
    Strict,
    StripPrefix,
    Until,
    cli_window,
    outcome,
    progress_of,
    say,
    say_faults,
    standard_output,
)
from tracekit.errors import OptionError
from tracekit.words import count, printable
from tracekit.writers import WRITERS, FolderWriter, Writer, write_trace, writer_for

if TYPE_CHECKING:
    from tracekit.writers.tablestream import TableStream

EXAMPLES = """\
tracekit convert app.gil.log -o app.parquet         tables to query
tracekit convert app.gil.log -o app.pftrace         for https://ui.perfetto.dev
tracekit convert app.gil.log -o app.firefox.json    for https://profiler.firefox.com
"""


def convert(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="A trace; `-` is standard input.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Write this; `-` is standard output.")],
    to: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help=f"One of {', '.join(w.name for w in WRITERS)}; else by the ending of OUT."),
    ] = None,
    strict: Strict = False,
    strip_prefix: StripPrefix = None,
    start: From = None,
    end: Until = None,
) -> None:
    """Convert a trace to another format: Parquet, Arrow, CSV, JSON lines and text, which tracekit reads too;
    Perfetto, Chrome and Firefox Profiler, for their viewers."""
    with outcome():
        from tracekit.writers.tablestream import TableStream

        writer, window = writer_for(output, to), cli_window(start, end, "--until")
        if str(output) == "-" and isinstance(writer, FolderWriter):
            raise OptionError(f"-: {writer.name} is {writer.description}.", "Name a folder with -o.")
        with (
            progress_of(trace) as progress,
            TableStream(
                trace, strict=strict, progress=progress, strip_prefix=strip_prefix or (), window=window
            ) as tables,
        ):
            if str(output) == "-":
                _to_standard_output(writer, tables)
                return
            write_trace(tables, output, writer)
            say(printable(f"{output}: {count(tables.analysis.events, 'event')}, {writer.description}."))
            say_faults(tables.analysis)


def _to_standard_output(writer: Writer | FolderWriter, tables: TableStream) -> None:
    assert isinstance(writer, Writer)
    with standard_output() as out:
        writer.write(tables, out)
