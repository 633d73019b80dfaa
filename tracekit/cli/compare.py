"""`tracekit compare`."""

from __future__ import annotations

from typing import Annotated

import typer

import tracekit
from tracekit.cli.common import AsJson, Output, Strict, as_text, check_percent, outcome, progress_of, say, write
from tracekit.words import printable

EXAMPLES = """\
tracekit compare before.log after.log
tracekit compare before.log after.log --fail-on-regression 5%
"""


def compare(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A trace.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="A trace of the same program after a change.")],
    as_json: AsJson = False,
    output: Output = None,
    strict: Strict = False,
    fail_on_regression: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Exit with 1 if a share or cost rises by more than this many points."),
    ] = None,
) -> None:
    """Compare two traces of the same program. Metrics before and after; findings gone, new, better, worse."""
    with outcome():
        check_percent("--fail-on-regression", fail_on_regression)
        analyses = []
        for path in (before, after):
            with progress_of(path) as progress:
                analyses.append(tracekit.analyze(path, strict=strict, progress=progress))
        comparison = tracekit.compare(*analyses)
        if as_json:
            from tracekit.reporters import json

            text = json.render_comparison(comparison)
        else:
            from tracekit.reporters import console

            text = as_text([console.render_comparison(comparison)], output)
        write(text, output, [before, after])
        if fail_on_regression is not None and comparison.regression > fail_on_regression / 100:
            say(printable(f"{after}: worse by {100 * comparison.regression:.1f} points (--fail-on-regression)."))
            raise typer.Exit(1)
