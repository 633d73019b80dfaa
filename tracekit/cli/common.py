"""What the commands share: options, how a run ends, and output that is there whole or not at all."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, BinaryIO

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
_SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_INTERRUPTED = "Interrupted before the end. Run it again for all of it."
_SHELLS_INTERRUPT = 130  # typer's exit code for Ctrl-C
_GRACE = 0.6  # s

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write into this file.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad line, with exit code 1.")]


def say_faults(analysis: Analysis) -> None:
    """Faults of the trace where the output does not tell them to whoever sits at the terminal."""
    for diagnostic in analysis.diagnostics:
        if diagnostic.severity == "error":
            where = f"{analysis.path}:{diagnostic.first_line}" if diagnostic.first_line else analysis.path
            say(printable(f"{where}: {diagnostic.count:,} {diagnostic.code}: {diagnostic.meaning}."))


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


class Terminated(KeyboardInterrupt):
    """SIGTERM: as Ctrl-C, but a prompt ends too."""


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM end a command with a sentence and exit code 2, whatever it is just doing."""
    told = []

    def end(number: int, frame: FrameType | None) -> None:
        told.append(number)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    def end_late(number: int, frame: FrameType | None) -> None:
        say(_INTERRUPTED)
        os._exit(2)

    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and not (told and error.code == _SHELLS_INTERRUPT):
            raise
        say(_INTERRUPTED)
        raise SystemExit(2) from None
    finally:
        for number in numbers:
            signal.signal(number, end_late)  # the interpreter itself would show a stack trace


@contextmanager
def ending_soon() -> Iterator[None]:
    """For what may not listen in time: within a second of Ctrl-C or SIGTERM nobody is asked any more."""

    def give_up() -> None:
        say(_INTERRUPTED)
        os._exit(2)

    def told(number: int, frame: FrameType | None) -> Any:
        late = threading.Timer(_GRACE, give_up)
        late.daemon = True
        late.start()
        return before[number](number, frame)

    both = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {int(number): handler for number, handler in both.items() if callable(handler)}
    for number in before:
        signal.signal(number, told)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def outcome() -> Iterator[None]:
    """Turns what can go wrong into a sentence on standard error and the exit code."""
    try:
        yield
    except TracekitError as error:
        say_error(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        say(_INTERRUPTED)
        raise typer.Exit(2) from None
    except MemoryError:
        say("There is not enough memory. Close other programs, or analyze the trace on a larger machine.")
        raise typer.Exit(2) from None


def size_of(option: str, text: str | None) -> int | None:
    """Bytes: `100M`, `2G`. Raises OptionError."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,15})\s*([KMG]?)i?B?", text.strip(), re.IGNORECASE)
    if not found or not int(found[1]):
        raise OptionError(f"{option}: {text!r} is no size.", "Write e.g. 100M, 2G, or bytes.")
    return int(found[1]) * _SIZES[found[2].upper()]


def check_percent(option: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 100:
        raise OptionError(
            f"{option} is {value}, but must be from 0 to 100.", "It is a percentage of the trace's duration."
        )
