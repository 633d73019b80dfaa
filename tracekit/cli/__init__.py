"""The command line: the only package that prints, exits, or opens files for output. One file a command.

A command's module is loaded when it is called: `COMMANDS` says all that `tracekit --help` tells of it.
"""

from __future__ import annotations

import gc
import os
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tracekit.cli.commands import Command, Quick
from tracekit.cli.common import ending_by_signals, say

COMMANDS = {
    "analyze": ("Traces", "Find GIL problems in traces."),
    "report": ("Traces", "Draw a trace: a timeline in one HTML file."),
    "query": ("Traces", "Query a trace with SQL."),
    "flame": ("Traces", "Show which stacks held the GIL while others waited"),
    "compare": ("Traces", "Compare two traces of the same program."),
    "whatif": ("Traces", "Predict what each thread would wait under another GIL."),
    "convert": (
        "Traces",
        "Convert a trace to another format",
    ),
    "record": ("Programs", "Record the GIL of a program."),
    "top": ("Programs", "Watch what a program's threads hold and wait for, once a second."),
    "snapshot": ("Programs", "Make a running program write what its flight recorder holds."),
    "fleet": (
        "Many traces",
        "Analyze thousands of traces with Dask",
    ),
    "doctor": ("Help", "Check what works on this machine."),
}
"""Each command's panel, and the first sentence of its help."""
EPILOG = """\
tracekit record app.py            record a program: app.gil.log
tracekit analyze app.gil.log      what is wrong, and who waited for whom
tracekit report app.gil.log       the same as a page: report.html
"""
_CONTEXT = {"help_option_names": ["-h", "--help"]}


class Commands(Quick, TyperGroup):
    """Stands for commands that are not loaded yet."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(str(name)) if command else None, rest


def load(name: str) -> Any:
    """The command, with its options."""
    module = import_module(f"tracekit.cli.{name}")
    one = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    cls = getattr(module, "COMMAND", Command)
    one.command(name, cls=cls, context_settings=_CONTEXT, epilog=module.EXAMPLES)(getattr(module, name))
    return typer.main.get_command(one)


app = typer.Typer(
    name="tracekit",
    cls=Commands,
    help="Who waited for whom at the GIL, how long, and why.",
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings=_CONTEXT,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from tracekit import _native
        from tracekit.version import VERSION

        print(f"tracekit {VERSION} ({_native.core_name()} core)")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Show the version, and whether the native core is in use.",
        ),
    ] = False,
) -> None:
    from tracekit import _native

    if not _native.library and os.environ.get("TRACEKIT_CORE") != "python":
        say(
            "tracekit: the native core is not available, so the much slower Python one is used. Install a C "
            "compiler and reinstall tracekit."
        )


def _stands_for(name: str) -> None:
    """Registers a command that is loaded when it is called."""
    panel, sentence = COMMANDS[name]
    app.command(name, help=sentence, rich_help_panel=panel)(lambda: None)


for name in COMMANDS:
    _stands_for(name)


def main() -> None:
    gc.set_threshold(100_000)  # what is made while modules are loaded is no garbage, and looking costs 10 ms
    with ending_by_signals():
        app()
