"""`tracekit analyze`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

import tracekit
from tracekit.analyzers import ANALYZERS, KINDS
from tracekit.cli.common import (
    AsJson,
    From,
    Output,
    Strict,
    StripPrefix,
    To,
    as_text,
    cli_window,
    outcome,
    percent_of,
    progress_of,
    require_standard_output,
    say,
    say_error,
    say_faults,
    write,
)
from tracekit.cli.folders import is_folder_of_traces, traces_in
from tracekit.cli.thresholds import with_thresholds
from tracekit.errors import OptionError, TracekitError
from tracekit.words import percent, printable

if TYPE_CHECKING:
    from tracekit.analysis import Analysis
    from tracekit.names import Kind

EXAMPLES = f"""\
tracekit analyze app.gil.log
tracekit analyze app.gil.log --json -o app.json
tracekit analyze traces
tracekit analyze app.gil.log --fail-on {",".join(KINDS[:2])} --max-cost 5%
"""


@with_thresholds
def analyze(
    traces: Annotated[
        list[str], typer.Argument(metavar="TRACE...", help="Trace files, or a folder of them; `-` is standard input.")
    ],
    as_json: AsJson = False,
    output: Output = None,
    strict: Strict = False,
    strip_prefix: StripPrefix = None,
    start: From = None,
    end: To = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND,...", help=f"Exit with 1 if one of these is found: {', '.join(KINDS)}."),
    ] = None,
    max_cost: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT", help="With --fail-on: only fail if the kind costs more than this share of the trace."
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="KIND,...", help="Show findings of these kinds only.")
    ] = None,
    *,
    thresholds: Any,
) -> None:
    """Find GIL problems in traces. Findings first, costliest on top; then what each thread held and waited."""
    with outcome():
        named, failing = _kinds("--only", only, KINDS), _kinds("--fail-on", fail_on, ())
        limit = percent_of("--max-cost", max_cost)
        window = cli_window(start, end)
        if limit is not None and not failing:
            raise OptionError(
                "--max-cost has no effect without --fail-on.", f"Name the kinds that fail, e.g. --fail-on {KINDS[0]}."
            )
        if output is not None and output.suffix.lower() in (".html", ".htm"):
            raise OptionError(
                f"{output}: analyze writes text, or JSON with --json.", f"For a page: tracekit report -o {output}."
            )
        if output is None:
            require_standard_output()
        from tracekit.analysis import analyze_window

        analyses, failed = [], False
        folder = traces[0] if len(traces) == 1 and is_folder_of_traces(traces[0]) else None
        traces = traces_in(traces)
        for path in traces:
            try:
                with progress_of(path) as progress:
                    analyses.append(
                        analyze_window(
                            path,
                            window,
                            strict=strict,
                            progress=progress,
                            strip_prefix=strip_prefix or (),
                            **thresholds,
                        )
                    )
            except TracekitError as error:
                if len(traces) == 1 or error.exit_code == 1:
                    raise
                say_error(error)
                failed = True
        failures = [failure for analysis in analyses for failure in _failures(analysis, failing, limit)]
        if analyses:
            if as_json:
                from tracekit.reporters import json

                written: str | Iterable[str] = json.pieces(analyses, named, len(traces) > 1 or folder is not None)
            else:
                from tracekit.reporters import console, processes

                parts = [console.render(analysis, named) for analysis in analyses] if folder is None else []
                written = as_text(parts or [processes.render(folder or "", analyses)], output)
            write(written, output, traces)
        if as_json or output:
            for analysis in analyses:
                say_faults(analysis)
        if failed:
            raise typer.Exit(2)
        for failure in failures:
            say(printable(failure))
        if failures:
            raise typer.Exit(1)


def print_summary(trace: str) -> None:
    """What `tracekit analyze TRACE` prints. Raises what `tracekit.analyze` raises."""
    from tracekit.reporters import console

    with progress_of(trace) as progress:
        analysis = tracekit.analyze(trace, progress=progress)
    write(as_text([console.render(analysis)], None), None, [trace])


def _kinds(option: str, given: list[str] | None, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    """Those of every time that the option is given."""
    if not given:
        return otherwise
    hint = f"There are {', '.join(KINDS)}."
    named = [[kind.strip() for kind in listed.split(",") if kind.strip()] for listed in given]
    kinds = tuple(dict.fromkeys(kind for listed in named for kind in listed))
    if not all(named):
        raise OptionError(f"{option}: no kind of finding is named.", hint)
    for kind in kinds:
        if kind not in KINDS:
            raise OptionError(f"{option}: there is no kind of finding {kind!r}.", hint)
    return kinds


def _failures(analysis: Analysis, kinds: tuple[str, ...], max_cost: float | None) -> list[str]:
    """A sentence for each of these kinds that exceeds its limit."""
    counted = [(ANALYZERS[kind].words, *analysis.found(cast("Kind", kind))) for kind in kinds]
    limit = "" if max_cost is None else f", more than {max_cost:g} %"
    return [
        f"{analysis.path}: {number:,} {kind}, {percent(cost)} of the trace{limit} (--fail-on)."
        for kind, number, cost in counted
        if number and (max_cost is None or 100 * cost > max_cost)
    ]
