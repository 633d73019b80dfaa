"""`tracekit fleet`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracekit.cli.common import AsJson, as_text, outcome, say, say_error, write
from tracekit.cli.thresholds import with_thresholds
from tracekit.errors import TracekitError
from tracekit.words import count, printable

if TYPE_CHECKING:
    from distributed import Client

    from tracekit.fleet.run import Watcher
    from tracekit.fleet.summary import Process

EXAMPLES = """\
tracekit fleet traces/ -o fleet
tracekit fleet "traces/*.gil.log" -o fleet --reports 10
tracekit query fleet "select trace, waited from threads order by waited desc limit 10"
"""


@with_thresholds
def fleet(
    traces: Annotated[
        list[str],
        typer.Argument(metavar="TRACES...", help="Trace files, folders, globs in quotes, addresses such as s3://b/c."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="Output folder for tables and summary page.")
    ],
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on this Dask cluster, e.g. tcp://host:8786."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep results in OUT of unchanged traces.")] = False,
    checksum: Annotated[
        bool,
        typer.Option("--checksum", help="Detect changed traces by checksum, not by size and time."),
    ] = False,
    reports: Annotated[
        int, typer.Option(metavar="N", min=0, help="Also write HTML reports of the N traces that lose the most time.")
    ] = 0,
    as_json: AsJson = False,
    *,
    thresholds: Any,
) -> None:
    """Analyze thousands of traces with Dask: which processes are affected, by what, and on which hosts and versions."""
    with outcome():
        from tracekit.fleet.cluster import require_dask

        require_dask()
        from tracekit.fleet.reporters import html, json
        from tracekit.fleet.run import run
        from tracekit.fleet.summary import summarise

        try:
            with _watched() as watcher:
                done = run(
                    traces, output, scheduler=scheduler, resume=resume, checksum=checksum, thresholds=thresholds,
                    watcher=watcher,
                )  # fmt: skip
            summary = summarise(output)
            _make_reports(summary.processes[:reports], output, thresholds)
            there = {str(path.relative_to(output)) for path in (output / "reports").glob("*.html")}
            write(html.render(summary, there), output / "summary.html", ())
            write(json.render(summary), output / "summary.json", ())
        except KeyboardInterrupt:
            say(f"Interrupted. Finished traces are saved in {printable(str(output))}; continue with --resume.")
            raise typer.Exit(2) from None
        if as_json:
            write(json.render(summary), None, ())
        else:
            from tracekit.fleet.reporters import console

            write(as_text([console.render(summary)], None), None, ())
        say(f"Tables: {printable(str(output))}. Page: {printable(str(output / 'summary.html'))}")
        if done.failed:
            failed = f"{done.failed:,} of {count(done.named, 'trace')} failed or were cut short"
            say(f"{failed}: see {printable(str(output / 'errors'))}.")
        if done.exit_code:
            raise typer.Exit(done.exit_code)


def _make_reports(processes: Sequence[Process], folder: Path, thresholds: Mapping[str, Any]) -> None:
    from tracekit.cli.report import write_report
    from tracekit.fleet.places import fetched
    from tracekit.fleet.reporters import report_file

    for process in processes:
        page = folder / report_file(process.trace)
        page.parent.mkdir(exist_ok=True)
        try:
            with fetched(process.trace) as path:
                write_report([path], page, title=process.trace, thresholds=thresholds)
        except TracekitError as error:
            say_error(error)


@contextmanager
def _watched() -> Iterator[Watcher]:
    """Prints the dashboard's address; on a terminal also shows a progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from tracekit.fleet.run import Watcher

    def connected(client: Client) -> None:
        say(f"Dask dashboard: {client.dashboard_link}")
        if not client.ncores():
            say("The scheduler has no workers yet; the run starts as soon as one connects: dask worker ADDRESS.")

    if not sys.stderr.isatty():
        yield Watcher(connected)
        return
    columns = (TextColumn("traces"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("traces", total=None)
        yield Watcher(connected, lambda done, named: bar.update(task, completed=done, total=named))
