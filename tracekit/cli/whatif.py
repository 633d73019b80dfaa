"""`tracekit whatif`."""

from __future__ import annotations

from typing import Annotated

import typer

import tracekit
from tracekit.cli.common import AsJson, Output, as_text, outcome, write
from tracekit.cli.thresholds import nanoseconds
from tracekit.errors import OptionError

EXAMPLES = """\
tracekit whatif server.gil.log
tracekit whatif server.gil.log --interval 0.5ms --move spinner
tracekit whatif server.gil.log --no-gil --slowdown 1.1
"""


def whatif(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="A trace of the new GIL, with times.")],
    interval: Annotated[
        list[str] | None,
        typer.Option(metavar="DURATION", help="Change the switch interval: 0.5ms. Repeatable."),
    ] = None,
    move: Annotated[
        list[str] | None, typer.Option(metavar="THREAD", help="Move this thread to a process of its own. Repeatable.")
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="THREAD", help="Split this thread's C calls that hold the GIL in ten. Repeatable."),
    ] = None,
    cores: Annotated[int | None, typer.Option(metavar="N", help="Change the number of cores.")] = None,
    no_gil: Annotated[bool, typer.Option("--no-gil", help="Assume a free-threaded build.")] = False,
    slowdown: Annotated[
        float | None,
        typer.Option(metavar="FACTOR", help="With --no-gil: how many times longer a single thread takes, e.g. 1.1."),
    ] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(metavar="THREAD=N/s", help="Assume N requests a second for this thread, however fast it answers."),
    ] = None,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    """Predict what each thread would wait under another GIL. Without options: the usual changes."""
    from tracekit.reporters import whatif as reporter

    with outcome():
        intervals = [nanoseconds("--interval", text) / 1e9 for text in interval or ()]
        rates = dict(map(_rate, rate or ()))
        prediction = tracekit.what_if(
            trace, interval=intervals, move=move or (), split=split or (), cores=cores, no_gil=no_gil,
            slowdown=slowdown, rate=rates,
        )  # fmt: skip
        write(
            reporter.as_json(prediction) if as_json else as_text([reporter.render(prediction)], output), output, [trace]
        )


def _rate(text: str) -> tuple[str, float]:
    thread, _, often = text.rpartition("=")
    try:
        return thread, float(often.removesuffix("/s"))
    except ValueError:
        raise OptionError(f"--rate: {text!r} is not a rate.", "Write e.g. --rate server=40/s.") from None
