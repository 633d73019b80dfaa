"""The command line: the only module that prints, exits, or opens files for output."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

import tracekit
from tracekit import _native
from tracekit.analysis import Analysis
from tracekit.errors import TracekitError
from tracekit.stream import Progress as ProgressCall
from tracekit.words import printable

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
        _say("tracekit: there is no native core here, the Python one is about 100 times slower. Install a C compiler "
             "and tracekit again for the native one.")  # fmt: skip


@app.command()
def analyze(
    traces: Annotated[list[str], typer.Argument(metavar="TRACE...", help="Trace files; `-` is standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: an object a trace.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write into this file.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad line, with exit code 1.")] = False,
) -> None:
    """Summarise traces: what each thread held and waited, who waited for whom, what is wrong with the trace."""
    with _outcome():
        if sys.stdout is None and output is None:
            raise TracekitError("standard output is closed.", "Open it, or name a file with -o.")
        analyses, failed = [], False
        for path in traces:
            try:
                with _progress(path) as progress:
                    analyses.append(tracekit.analyze(path, strict=strict, progress=progress))
            except TracekitError as error:
                if len(traces) == 1 or error.exit_code == 1:
                    raise
                _say_error(error)
                failed = True
        if analyses:
            _write(_rendered(analyses, as_json, len(traces) > 1, output), output)
        if failed:
            raise typer.Exit(2)


def main() -> None:
    app()


def _rendered(analyses: list[Analysis], as_json: bool, as_list: bool, output: Path | None) -> str:
    if as_json:
        from tracekit.reporters import json

        return json.render(analyses, as_list)
    from tracekit.reporters import console

    to_terminal = output is None and sys.stdout.isatty()
    text = io.StringIO()
    screen = Console(
        file=text, width=None if to_terminal else PLAIN_WIDTH, no_color=None if to_terminal else True,
        force_terminal=to_terminal, highlight=False, emoji=False, markup=False,
    )  # fmt: skip
    for place, analysis in enumerate(analyses):
        if place:
            screen.print()
            screen.rule()
        screen.print(console.render(analysis))
    return text.getvalue()


def _write(text: str, output: Path | None) -> None:
    """To standard output, or beside the file and then in its place: a file is there whole or not at all."""
    if output is None:
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
        return
    try:
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
