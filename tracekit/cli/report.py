"""`tracekit report`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import tracekit
from tracekit.cli.common import From, Strict, StripPrefix, To, cli_window, outcome, progress_of, say, say_faults, write
from tracekit.cli.thresholds import with_thresholds
from tracekit.errors import OptionError
from tracekit.words import printable

if TYPE_CHECKING:
    from tracekit.model.window import Window

DEFAULT = Path("report.html")
EXAMPLES = """\
tracekit report app.gil.log --open
tracekit report before.log after.log -o both.html
"""


@with_thresholds
def report(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="A trace; `-` is standard input.")],
    after: Annotated[
        str | None,
        typer.Argument(metavar="AFTER", help="A trace of the same program after a change: both on one page."),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Write to this file; `-` is standard output.")
    ] = DEFAULT,
    title: Annotated[str | None, typer.Option(help="The page's title instead of the trace's name.")] = None,
    theme: Annotated[
        Literal["auto", "light", "dark"], typer.Option(help="Colours; auto follows the reader's browser.")
    ] = "auto",
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    strict: Strict = False,
    strip_prefix: StripPrefix = None,
    start: From = None,
    end: To = None,
    *,
    thresholds: Any,
) -> None:
    """Draw a trace: a timeline in one HTML file. It opens anywhere, without a network."""
    with outcome():
        to_stdout = str(output) == "-"
        if to_stdout and open_it:
            raise OptionError("--open needs a file, and -o - is standard output.", "Name a file with -o.")
        if to_stdout and sys.stdout and sys.stdout.isatty():
            raise OptionError("A report is a page, not text for a terminal.", "Name a file with -o.")
        paths = [trace] if after is None else [trace, after]
        write_report(paths, None if to_stdout else output, title, theme, strict, strip_prefix or (), thresholds,
                     cli_window(start, end))  # fmt: skip
        if open_it:
            import webbrowser

            webbrowser.open(output.resolve().as_uri())


def write_report(
    paths: Sequence[str],
    output: Path | None,
    title: str | None = None,
    theme: str = "auto",
    strict: bool = False,
    strip_prefix: Sequence[str] = (),
    thresholds: Mapping[str, Any] = MappingProxyType({}),
    window: Window | None = None,
) -> None:
    """The report of a trace, or of two to compare. Raises what `tracekit.analyze` raises."""
    from tracekit.analysis import analyze_and_draw
    from tracekit.reporters import html

    analyses = []
    for path in paths:
        with progress_of(path) as progress:
            analyses.append(
                analyze_and_draw(
                    path, strict=strict, progress=progress, strip_prefix=strip_prefix, window=window, **thresholds
                )
            )
    comparison = tracekit.compare(*analyses) if len(analyses) == 2 else None
    text = html.render(analyses, title=title, theme=theme, comparison=comparison)
    write(text, output, paths)
    for analysis in analyses:
        say_faults(analysis)
    if output:
        size = f"{len(text.encode()) / 1e6:.1f} MB"
        say(printable(f"{output}: {size}. It opens in any browser, without a network."))
