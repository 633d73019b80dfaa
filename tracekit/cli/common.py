"""What the commands share: options, how a run ends, and output that is there whole or not at all."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tracekit.analysis import Analysis
from tracekit.errors import OptionError, TracekitError
from tracekit.model.stream import OnProgress
from tracekit.words import printable
from tracekit.writers.files import beside

PLAIN_WIDTH = 120  # columns where the output is no terminal
WIDE = 10_000

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write into this file.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad line, with exit code 1.")]


def say_faults(analysis: Analysis) -> None:
    """Faults of the trace where the output does not tell them to whoever sits at the terminal."""
    for found in analysis.diagnostics:
        if found.severity == "error":
            where = f"{analysis.path}:{found.first_line}" if found.first_line else analysis.path
            say(printable(f"{where}: {found.count:,} {found.code}: {found.meaning}."))


def as_text(parts: list[RenderableType], output: Path | None, wide: bool = False) -> str:
    """wide: lines may be as long as they want to be where the output is no terminal."""
    if output is None:
        require_standard_output()
    to_terminal = output is None and sys.stdout.isatty()
    text = io.StringIO()
    screen = Console(
        file=text, width=None if to_terminal else WIDE if wide else PLAIN_WIDTH, no_color=None if to_terminal else True,
        force_terminal=to_terminal, highlight=False, emoji=False, markup=False,
    )  # fmt: skip
    for place, part in enumerate(parts):
        if place:
            screen.print()
            screen.rule()
        screen.print(part)
    return text.getvalue() if to_terminal else "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def write(text: str, output: Path | None, traces: Sequence[str]) -> None:
    """To standard output, or into a file."""
    if output is None:
        with standard_output():
            sys.stdout.write(text)
        return
    with beside(output, traces) as file:
        file.write_text(text, encoding="utf-8")


def require_standard_output() -> None:
    """Raises TracekitError where it is closed."""
    if sys.stdout is None:
        raise TracekitError("standard output is closed.", "Open it, or name a file with -o.")


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """To be written to. A closed pipe ends that quietly: whoever read it has seen enough. Raises TracekitError."""
    require_standard_output()
    try:
        yield sys.stdout.buffer
        sys.stdout.flush()
    except OSError as error:
        # Nothing may be flushed again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise TracekitError(
                f"standard output: cannot be written: {error.strerror}.", "Make room, or name a file with -o."
            ) from error


@contextmanager
def progress_of(path: str) -> Iterator[OnProgress | None]:
    """A bar on standard error, if that is a terminal and the trace is long enough to wait for."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(Path(path).name, total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def say_error(error: TracekitError) -> None:
    gap = "" if error.message.endswith("\n") else " "
    say("\n".join(map(printable, f"{error.message}{gap}{error.hint}".split("\n"))))


@contextmanager
def outcome() -> Iterator[None]:
    """Turns what can go wrong into a sentence on standard error and the exit code."""
    try:
        yield
    except TracekitError as error:
        say_error(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        say("Interrupted: nothing was written. Run it again to analyze the whole trace.")
        raise typer.Exit(2) from None
    except MemoryError:
        say("There is not enough memory. Close other programs, or analyze the trace on a larger machine.")
        raise typer.Exit(2) from None


def check_percent(option: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 100:
        raise OptionError(
            f"{option} is {value}, but must be from 0 to 100.", "It is a percentage of the trace's duration."
        )
