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
from tracekit.cli.folders import is_folder_of_traces, traces_in
from tracekit.cli.thresholds import with_thresholds
from tracekit.errors import OptionError
from tracekit.words import printable

if TYPE_CHECKING:
    from tracekit.analysis import Analysis
    from tracekit.model.window import Window

DEFAULT = Path("report.html")
MOST_REPLAYED = 100_000
"""Events of a trace that is replayed under other GILs for its page: more would take longer than the page."""
EXAMPLES = """\
tracekit report app.gil.log --open
tracekit report before.log after.log -o both.html
tracekit report traces/ -o processes.html
"""


@with_thresholds
def report(
    trace: Annotated[
        str,
        typer.Argument(metavar="TRACE", help="A trace, or a folder of a program's processes; `-` is standard input."),
    ],
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
    """The report of a trace, of two to compare, or of a folder of processes. Raises what `tracekit.analyze` raises."""
    from tracekit.analysis import analyze_and_draw, analyze_window
    from tracekit.reporters import html
    from tracekit.reporters.matter import ranked

    folder = paths[0] if len(paths) == 1 and is_folder_of_traces(paths[0]) else None
    paths = traces_in(paths) if folder else paths
    analyses = []
    for path in paths:
        with progress_of(path) as progress:
            options: dict[str, Any] = {"strict": strict, "progress": progress, "strip_prefix": strip_prefix}
            if folder:  # of many processes only those that matter are drawn
                analyses.append(analyze_window(path, window, **options, **thresholds))
            else:
                analyses.append(analyze_and_draw(path, window=window, **options, **thresholds))
    comparison = tracekit.compare(*analyses) if len(analyses) == 2 and not folder else None
    replayed = (
        [] if folder else [_replayed(path, analysis, window) for path, analysis in zip(paths, analyses, strict=True)]
    )
    analyses = ranked(analyses) if folder else analyses
    text = html.render(
        analyses, title=title, theme=theme, comparison=comparison, whatifs=replayed, folder=folder and Path(folder).name
    )
    write(text, output, paths)
    for analysis in analyses:
        say_faults(analysis)
    if output:
        size = f"{len(text.encode()) / 1e6:.1f} MB"
        say(printable(f"{output}: {size}. It opens in any browser, without a network."))


def _replayed(path: str, analysis: Analysis, window: Window | None) -> dict[str, Any]:
    """What other switch intervals would change, as the page takes it."""
    from tracekit.reporters import predictions
    from tracekit.trace import read_window
    from tracekit.whatif.ladder import ladder

    if path == "-" or analysis.events > MOST_REPLAYED:
        why = "It was read from standard input" if path == "-" else f"It has {analysis.events:,} events"
        return {"reason": f"{why}, so the page was made without a replay. tracekit whatif TRACE does it."}
    return predictions.for_page(ladder(read_window(path, window)))
