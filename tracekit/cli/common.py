"""What the commands share: options, exit codes, and writing output."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from tracekit.errors import OptionError, TracekitError
from tracekit.words import INTERRUPTED, printable, size_in_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from tracekit.analysis import Analysis
    from tracekit.model.stream import OnProgress
    from tracekit.model.window import Window

PLAIN_WIDTH = 120  # columns where the output is no terminal
WIDE = 10_000
PATIENCE = 0.3  # s without a progress bar
_SHELLS_INTERRUPT = 130  # typer's exit code for Ctrl-C
_GRACE = 0.6  # s

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md).")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad line, with exit code 1.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Leave out what came before: 1.5s, 200ms; 20000 of a clock in ticks."),
]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Leave out what came after.")]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Leave out what came after.")]
"""The same where `--to` is another option."""
StripPrefix = Annotated[
    list[str] | None,
    typer.Option(metavar="FOLDER", help="Remove this folder from the names of files in stacks. Repeatable."),
]


def say_faults(analysis: Analysis) -> None:
    """Prints the trace's errors to standard error, for output that does not show them on the terminal."""
    for diagnostic in analysis.diagnostics:
        if diagnostic.severity == "error":
            where = f"{analysis.path}:{diagnostic.first_line}" if diagnostic.first_line else analysis.path
            say(printable(f"{where}: {diagnostic.count:,} {diagnostic.code}: {diagnostic.meaning}."))


def as_text(parts: list[RenderableType], output: Path | None, wide: bool = False) -> str:
    """wide: lines may be as long as they want to be where the output is no terminal."""
    from rich.console import Console

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


def write(text: str | Iterable[str], output: Path | None, traces: Sequence[str]) -> None:
    """To standard output, or into a file: a text, or one that comes in pieces."""
    pieces = [text] if isinstance(text, str) else text
    if output is None:
        with standard_output():
            sys.stdout.writelines(pieces)
        return
    from tracekit.files import beside

    with beside(output, traces) as path, path.open("w", encoding="utf-8") as file:
        file.writelines(pieces)


def require_standard_output() -> None:
    """Raises TracekitError where it is closed."""
    if sys.stdout is None:
        raise TracekitError("standard output is closed.", "Open it, or name a file with -o.")


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Standard output as a binary file. A pipe closed by its reader ends the output quietly. Raises TracekitError."""
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
    """A bar on standard error, if that is a terminal, once reading has taken as long as one notices."""
    if not (sys.stderr and sys.stderr.isatty()):
        yield None
        return
    bar = _Bar(Path(path).name)
    try:
        yield bar
    finally:
        bar.stop()


class _Bar:
    def __init__(self, name: str) -> None:
        self._name = name
        self._due = time.monotonic() + PATIENCE
        self._shown: tuple[RichProgress, TaskID] | None = None

    def __call__(self, done: int, whole: int | None) -> None:
        if self._shown is None:
            if time.monotonic() < self._due:
                return
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
            bar = Progress(*columns, console=Console(stderr=True), transient=True)
            bar.start()
            self._shown = bar, bar.add_task(self._name, total=None)
        bar, task = self._shown
        bar.update(task, completed=done, total=whole)

    def stop(self) -> None:
        if self._shown:
            self._shown[0].stop()


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def say_error(error: TracekitError) -> None:
    gap = "" if error.message.endswith("\n") else " "
    say("\n".join(map(printable, f"{error.message}{gap}{error.hint}".split("\n"))))


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. Of KeyboardInterrupt itself Python notes where it left code that a module in C ran, and in the end
    dies of the signal, whatever the exit code."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: as Ctrl-C, but a prompt ends too."""


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM end a command with a sentence and exit code 2, whatever it is just doing."""
    told = []

    def end(number: int, frame: FrameType | None) -> None:
        told.append(number)
        raise Terminated if number == signal.SIGTERM else Interrupted

    def end_late(number: int, frame: FrameType | None) -> None:
        say(INTERRUPTED)
        os._exit(2)

    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and not (told and error.code == _SHELLS_INTERRUPT):
            raise
        say(INTERRUPTED)
        raise SystemExit(2) from None
    finally:
        for number in numbers:
            signal.signal(number, end_late)  # the interpreter itself would show a stack trace


@contextmanager
def ending_soon() -> Iterator[None]:
    """For what may not listen in time: within a second of Ctrl-C or SIGTERM nobody is asked any more."""

    def give_up() -> None:
        say(INTERRUPTED)
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
    """Turns exceptions into a sentence on standard error and an exit code."""
    try:
        yield
    except TracekitError as error:
        say_error(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        say(INTERRUPTED)
        raise typer.Exit(2) from None
    except MemoryError:
        say("There is not enough memory. Close other programs, or analyze the trace on a larger machine.")
        raise typer.Exit(2) from None


def size_of(option: str, text: str | None) -> int | None:
    """Bytes: `100M`, `2G`. Raises OptionError."""
    if text is None:
        return None
    size = size_in_bytes(text)
    if not size:
        raise OptionError(f"{option}: {text!r} is not a size.", "Write e.g. 100M, 2G, or bytes.")
    return size


def percent_of(option: str, text: str | None) -> float | None:
    """`5` and `5%` are 5. Raises OptionError."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?)\s*%?", text.strip())
    value = float(match[1]) if match else -1
    if not 0 <= value <= 100:
        raise OptionError(
            f"{option} is {text!r}, but must be from 0 to 100, e.g. 5%.", "It is a percentage of the trace's duration."
        )
    return value


def cli_window(start: str | None, end: str | None, ends_with: str = "--to") -> Window | None:
    """Of `--from` and the option that `ends_with` names. Raises OptionError."""
    if start is None and end is None:
        return None
    from tracekit.model.window import window_of

    return window_of(start, end, ("--from", ends_with))
