"""The command line: the only package that prints, exits, or opens files for output. One file a command."""

from __future__ import annotations

import os
from typing import Annotated

import typer

import tracekit
from tracekit import _native
from tracekit.cli.analyze import analyze
from tracekit.cli.common import ending_by_signals, say
from tracekit.cli.compare import compare
from tracekit.cli.convert import convert
from tracekit.cli.fleet import fleet
from tracekit.cli.query import query
from tracekit.cli.record import RecordCommand, record
from tracekit.cli.report import report

COMMANDS = (analyze, report, query, convert, compare, fleet)

app = typer.Typer(
    name="tracekit",
    help="Who waited for whom at the GIL, how long, and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"tracekit {tracekit.__version__} ({_native.core_name()} core)")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Tell the version and the core in use.")
    ] = False,
) -> None:
    if not _native.library and os.environ.get("TRACEKIT_CORE") != "python":
        say(
            "tracekit: there is no native core here, and the Python one is hundreds of times slower. Install a C "
            "compiler and tracekit again for the native one."
        )


app.command(cls=RecordCommand, context_settings={"allow_interspersed_args": False})(record)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    with ending_by_signals():
        app()
