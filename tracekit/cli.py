"""The command line: the only module that prints, exits, or opens files for output."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

import tracekit
from tracekit import _native
from tracekit.analysis import Analysis
from tracekit.analyzers import KINDS
from tracekit.errors import OptionError, TracekitError
from tracekit.machine import Options
from tracekit.stream import Progress as ProgressCall
from tracekit.words import percent, printable

PLAIN_WIDTH = 120  # columns where the output is no terminal

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
        _say(
            "tracekit: there is no native core here, and the Python one is hundreds of times slower. Install a C "
            "compiler and tracekit again for the native one."
        )


def _threshold(help_text: str) -> Any:
    return typer.Option(help=help_text, rich_help_panel="Thresholds (docs/analyses.md)")


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write into this file.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad line, with exit code 1.")]


@app.command()
def analyze(
    traces: Annotated[list[str], typer.Argument(metavar="TRACE...", help="Trace files; `-` is standard input.")],
    as_json: AsJson = False,
    output: Output = None,
    strict: Strict = False,
    fail_on: Annotated[
        str | None, typer.Option(metavar="KIND,...", help=f"Exit with 1 if one of these is found: {', '.join(KINDS)}.")
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Only fail on kinds that cost more of the trace's duration than this."),
    ] = None,
    only: Annotated[str | None, typer.Option(metavar="KIND,...", help="Show findings of these kinds only.")] = None,
    min_rounds: Annotated[int, _threshold("Lost rounds that make a wait a battle.")] = Options.min_rounds,
    ratio: Annotated[float, _threshold("A short hold is delayed if it waited so many times as long.")] = Options.ratio,
    min_cycles: Annotated[int, _threshold("Delayed short holds that make a convoy.")] = Options.min_cycles,
    max_gap: Annotated[int, _threshold("Undelayed short holds in a row that do not end a convoy.")] = Options.max_gap,
    min_frozen: Annotated[int, _threshold("Checks at 0 ticks in a row: frozen signals.")] = Options.min_frozen,
    min_timeouts: Annotated[int, _threshold("Timeouts of one waiter: a long hold.")] = Options.min_timeouts,
    long_hold: Annotated[
        str, _threshold("A hold this long, with somebody waiting at its end: e.g. 500us, 10ms, or ns.")
    ] = f"{Options.long_hold // 10**6}ms",
    worst: Annotated[int, _threshold("Findings kept of each kind, the costliest; all are counted.")] = Options.worst,
) -> None:
    """Say what is wrong: findings, what each thread held and waited, who waited for whom."""
    with _outcome():
        named, failing = _kinds("--only", only, KINDS), _kinds("--fail-on", fail_on, ())
        _percent("--max-cost", max_cost)
        if max_cost is not None and not failing:
            raise OptionError(
                "--max-cost says nothing without --fail-on.", "Name the kinds that fail, e.g. --fail-on convoys."
            )
        thresholds: dict[str, float] = {
            "min_rounds": min_rounds, "ratio": ratio, "min_cycles": min_cycles, "max_gap": max_gap,
            "min_frozen": min_frozen, "min_timeouts": min_timeouts, "long_hold": _nanoseconds(long_hold),
            "worst": worst,
        }  # fmt: skip
        if sys.stdout is None and output is None:
            raise TracekitError("standard output is closed.", "Open it, or name a file with -o.")
        analyses, failed = [], False
        for path in traces:
            try:
                with _progress(path) as progress:
                    analyses.append(tracekit.analyze(path, strict=strict, progress=progress, **thresholds))
            except TracekitError as error:
                if len(traces) == 1 or error.exit_code == 1:
                    raise
                _say_error(error)
                failed = True
        if analyses:
            if as_json:
                from tracekit.reporters import json

                text = json.render(analyses, named, as_list=len(traces) > 1)
            else:
                from tracekit.reporters import console

                text = _as_text([console.render(analysis, named) for analysis in analyses], output)
            _write(text, output, traces)
        if as_json or output:
            for analysis in analyses:
                _say_faults(analysis)
        if failed:
            raise typer.Exit(2)
        failures = [failure for analysis in analyses for failure in _failures(analysis, failing, max_cost)]
        for failure in failures:
            _say(printable(failure))
        if failures:
            raise typer.Exit(1)


@app.command()
def compare(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A trace.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="One of the same program, after a change.")],
    as_json: AsJson = False,
    output: Output = None,
    strict: Strict = False,
    fail_on_regression: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Exit with 1 if a share or finding got worse by so many points."),
    ] = None,
) -> None:
    """Compare two traces of the same program: metrics before and after, findings gone, new, better, worse."""
    with _outcome():
        _percent("--fail-on-regression", fail_on_regression)
        analyses = []
        for path in (before, after):
            with _progress(path) as progress:
                analyses.append(tracekit.analyze(path, strict=strict, progress=progress))
        comparison = tracekit.compare(*analyses)
        if as_json:
            from tracekit.reporters import json

            text = json.render_comparison(comparison)
        else:
            from tracekit.reporters import console

            text = _as_text([console.render_comparison(comparison)], output)
        _write(text, output, [before, after])
        if fail_on_regression is not None and comparison.regression > fail_on_regression / 100:
            _say(printable(f"{after}: worse by {100 * comparison.regression:.1f} points (--fail-on-regression)."))
            raise typer.Exit(1)


def main() -> None:
    app()


def _kinds(option: str, listed: str | None, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    if listed is None:
        return otherwise
    hint = f"There are {', '.join(KINDS)}."
    kinds = tuple(kind.strip() for kind in listed.split(",") if kind.strip())
    if not kinds:
        raise OptionError(f"{option}: no kind of finding is named.", hint)
    for kind in kinds:
        if kind not in KINDS:
            raise OptionError(f"{option}: there is no kind of finding {kind!r}.", hint)
    return kinds


def _percent(option: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 100:
        raise OptionError(
            f"{option} is {value}, but must be from 0 to 100.", "It is a percentage of the trace's duration."
        )


def _nanoseconds(text: str) -> int:
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)\s*(ns|us|µs|ms|s)?", text.strip())
    if not found:
        raise OptionError(f"--long-hold: {text!r} is no duration.", "Write e.g. 10ms, 500us, or nanoseconds.")
    return round(float(found[1]) * {"us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9}.get(found[2], 1))


def _failures(analysis: Analysis, kinds: tuple[str, ...], max_cost: float | None) -> list[str]:
    """A sentence for each of these kinds of which there is too much."""
    found = [(kind.replace("_", " "), *analysis.found(kind)) for kind in kinds]
    limit = "" if max_cost is None else f", more than {max_cost:g} %"
    return [
        f"{analysis.path}: {number:,} {kind}, {percent(cost)} of the trace{limit} (--fail-on)."
        for kind, number, cost in found
        if number and (max_cost is None or 100 * cost > max_cost)
    ]


def _say_faults(analysis: Analysis) -> None:
    """Faults of the trace where the output does not tell them to whoever sits at the terminal."""
    for found in analysis.diagnostics:
        if found.severity == "error":
            where = f"{analysis.path}:{found.first_line}" if found.first_line else analysis.path
            _say(printable(f"{where}: {found.count:,} {found.code}: {found.meaning}."))


def _as_text(parts: list[RenderableType], output: Path | None) -> str:
    to_terminal = output is None and sys.stdout.isatty()
    text = io.StringIO()
    screen = Console(
        file=text, width=None if to_terminal else PLAIN_WIDTH, no_color=None if to_terminal else True,
        force_terminal=to_terminal, highlight=False, emoji=False, markup=False,
    )  # fmt: skip
    for place, part in enumerate(parts):
        if place:
            screen.print()
            screen.rule()
        screen.print(part)
    return text.getvalue() if to_terminal else "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _write(text: str, output: Path | None, traces: Sequence[str]) -> None:
    """To standard output, or beside the file and then in its place: a file is there whole or not at all."""
    if output is None:
        _print(text)
        return
    try:
        output = output.resolve()
        if any(trace != "-" and os.path.samefile(trace, output) for trace in traces if output.exists()):
            raise OptionError(f"{output}: -o names the trace itself.", "Name another file with -o.")
        if output.exists() and not output.is_file():
            output.write_text(text, encoding="utf-8")  # a pipe or a device: nothing to put in its place
            return
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=output.parent, prefix=f".{output.name}.", delete=False
        ) as file:
            try:
                file.write(text)
                file.flush()
                mode = output.stat().st_mode & 0o777 if output.exists() else 0o666 & ~_umask()
                os.chmod(file.name, mode)
                os.replace(file.name, output)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise TracekitError(f"{output}: cannot be written: {error.strerror}.", "Name another file with -o.") from error


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Nothing may be flushed again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return  # whoever read it has seen enough
        raise TracekitError(
            f"standard output: cannot be written: {error.strerror}.", "Make room, or name a file with -o."
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def _progress(path: str) -> Iterator[ProgressCall | None]:
    """A bar on standard error, if that is a terminal and the trace is long enough to wait for."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(Path(path).name, total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _say_error(error: TracekitError) -> None:
    _say(printable(f"{error.message} {error.hint}"))


@contextmanager
def _outcome() -> Iterator[None]:
    """Turns what can go wrong into a sentence on standard error and the exit code."""
    try:
        yield
    except TracekitError as error:
        _say_error(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        _say("Interrupted: nothing was written. Run it again to analyze the whole trace.")
        raise typer.Exit(2) from None
    except MemoryError:
        _say("There is not enough memory. Close other programs, or analyze the trace on a larger machine.")
        raise typer.Exit(2) from None
