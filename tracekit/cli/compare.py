"""`tracekit compare`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import tracekit
from tracekit.cli.common import (
    AsJson,
    Output,
    Strict,
    StripPrefix,
    as_text,
    outcome,
    percent_of,
    progress_of,
    say,
    write,
)
from tracekit.cli.thresholds import with_thresholds
from tracekit.errors import OptionError
from tracekit.words import printable

EXAMPLES = """\
tracekit compare before.log after.log
tracekit compare before.log after.log --fail-on-regression 5%
"""


@with_thresholds
def compare(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A trace.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="A trace of the same program after a change.")],
    as_json: AsJson = False,
    output: Output = None,
    strict: Strict = False,
    strip_prefix: StripPrefix = None,
    fail_on_regression: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Exit with 1 if a share or cost rises by more than this many points."),
    ] = None,
    *,
    thresholds: Any,
) -> None:
    """Compare two traces of the same program. Metrics before and after; findings gone, new, better, worse."""
    with outcome():
        limit = percent_of("--fail-on-regression", fail_on_regression)
        analyses = []
        for path in (before, after):
            with progress_of(path) as progress:
                analyses.append(
                    tracekit.analyze(
                        path, strict=strict, progress=progress, strip_prefix=strip_prefix or (), **thresholds
                    )
                )
        comparison = tracekit.compare(*analyses)
        if limit is not None and comparison.meaningless:
            why, remedy = comparison.meaningless.split(". ", 1)
            raise OptionError(f"--fail-on-regression: {why}.", remedy)
        if as_json:
            from tracekit.reporters import json

            text = json.render_comparison(comparison)
        else:
            from tracekit.reporters import console

            text = as_text([console.render_comparison(comparison)], output)
        write(text, output, [before, after])
        if limit is not None and comparison.regression > limit / 100:
            say(printable(f"{after}: worse by {100 * comparison.regression:.1f} points (--fail-on-regression)."))
            raise typer.Exit(1)
