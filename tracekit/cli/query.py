"""`tracekit query`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from tracekit.cli.common import (
    From,
    Output,
    StripPrefix,
    To,
    as_text,
    cli_window,
    ending_soon,
    outcome,
    progress_of,
    size_of,
    standard_output,
    write,
)
from tracekit.errors import OptionError
from tracekit.files import beside
from tracekit.querying import open_database, tables_of
from tracekit.sql import Database
from tracekit.writers.rows import ROW_FORMATS

FORMATS = ("table", *ROW_FORMATS)
EXAMPLES = """\
tracekit query app.gil.log "select thread, held, waited from threads order by waited desc"
tracekit query app.gil.log "from waits where contended" --format csv -o waits.csv
tracekit query app.gil.log --tables
tracekit query app.gil.log                          asks for SQL at a prompt
"""


def query(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="A trace, or a fleet's folder; `-` is standard input.")],
    sql: Annotated[str | None, typer.Argument(metavar="SQL", help="One SELECT; without it, a prompt opens.")] = None,
    row_format: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help=f"One of {', '.join(FORMATS)}; else by -o's ending."),
    ] = None,
    output: Output = None,
    tables: Annotated[bool, typer.Option("--tables", help="List the tables.")] = False,
    schema: Annotated[str | None, typer.Option(metavar="TABLE", help="Show the columns of a table.")] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Use no more memory than this, e.g. 2G; by default half of what is free."),
    ] = None,
    start: From = None,
    end: To = None,
    strip_prefix: StripPrefix = None,
) -> None:
    """Query a trace with SQL. SELECT from its tables (docs/tables.md), run by DuckDB; nothing is changed."""
    with outcome():
        if tables or schema is not None:
            _about(schema, output, trace)
            return
        chosen, limit = _format(row_format, output), size_of("--memory", memory)
        window = cli_window(start, end)
        if sql is None:
            if not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()):
                raise OptionError(
                    "There is no SQL, and no terminal to ask for it.",
                    'Write e.g. tracekit query TRACE "select thread, held from threads".',
                )
            from tracekit.cli.prompt import ask

            with open_database(trace, None, limit, window, strip_prefix or ()) as database:
                ask(
                    trace,
                    tables_of(trace),
                    lambda statement: _answer(database, statement, chosen, output, trace),
                    lambda table: _about(table, None, trace),
                )
            return
        with (
            ending_soon(),
            progress_of(trace) as progress,
            open_database(trace, progress, limit, window, strip_prefix or ()) as database,
        ):
            _answer(database, sql, chosen, output, trace)


def _about(table: str | None, output: Path | None, trace: str) -> None:
    """Shows the columns of a table, or what tables there are."""
    from tracekit.reporters import rows

    tables = tables_of(trace)
    shown = rows.render_tables(tables) if table is None else rows.render_schema(_schema_of(table, tables))
    write(as_text([shown], output), output, [trace])


def _answer(database: Database, sql: str, chosen: str, output: Path | None, trace: str) -> None:
    """Runs the SQL and writes what it finds."""
    if chosen == "parquet" and output is None and sys.stdout and sys.stdout.isatty():
        raise OptionError("--format parquet cannot be shown on a terminal.", "Name a file with -o.")
    result = database.stream(sql, as_text=chosen != "parquet")
    if chosen == "table":
        from tracekit.reporters import rows

        width = _terminal_width() if output is None else None
        write(as_text([rows.render(result, width)], output, wide=True), output, [trace])
    elif output is None:
        with standard_output() as out:
            ROW_FORMATS[chosen](result, out)
    else:
        with beside(output, [trace]) as path, path.open("wb") as file:
            ROW_FORMATS[chosen](result, file)


def _schema_of(name: str, tables: Mapping[str, str]) -> str:
    """The schema of a table. Raises OptionError."""
    if name.lower() not in tables:
        raise OptionError(f"There is no table {name!r}.", f"There are {', '.join(tables)}.")
    return tables[name.lower()]


def _terminal_width() -> int | None:
    """Of standard output, if that is a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout and sys.stdout.isatty() else None


def _format(name: str | None, output: Path | None) -> str:
    if name is None:
        ending = output.suffix.lower().removeprefix(".") if output else ""
        return ending if ending in ROW_FORMATS else "table"
    if name not in FORMATS:
        raise OptionError(f"--format: there is no format {name!r}.", f"There are {', '.join(FORMATS)}.")
    return name
