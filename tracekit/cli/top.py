"""`tracekit top`."""

from __future__ import annotations

import os
import select
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tracekit.cli.commands import Command
from tracekit.cli.common import AsJson, outcome, say, standard_output
from tracekit.cli.programs import program_of
from tracekit.errors import NoEventsError, OptionError, RecordError, SourceError, TracekitError
from tracekit.recorder.launch import run
from tracekit.words import at_line, duration, fold, printable, share

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tracekit.analysis import Analysis

EXAMPLES = """\
tracekit top 4711
tracekit top app.py --port 8080
tracekit top --once --json 4711
"""
_RING = 8 << 20
_TRIES = 5
_LINES, _FINDINGS = 8, 4
_SORTS = ("waited", "held")


T = TypeVar("T")


class COMMAND(Command):
    """Whatever stands behind the program is its own."""

    allow_interspersed_args = False


def top(
    program: Annotated[
        list[str],
        typer.Argument(
            metavar="PID | SCRIPT [ARGS]", help="A running process, or a program to start.", show_default=False
        ),
    ],
    once: Annotated[bool, typer.Option("--once", help="Print one table after a second, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch what a program's threads hold and wait for, once a second. s sorts, f freezes, w writes a trace, q ends."""
    with outcome():
        if as_json and not once:
            raise OptionError("--json goes with --once.", "Give both.")
        if not once and not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise OptionError("top needs a terminal.", "Give --once, and perhaps --json.")
        if len(program) == 1 and program[0].isdigit():
            with _recorded(int(program[0])) as raw:
                _watch(raw, lambda: Path("/proc", program[0]).exists(), once, as_json)
            return
        raise typer.Exit(_around(program, once, as_json))


@contextmanager
def _recorded(pid: int) -> Iterator[Path]:
    """The raw recording of this process: its own, or one that is made as long as it is watched."""
    own = _own_recording(pid)
    if own is not None:
        yield own
        return
    from tracekit.recorder.attach import Attachment
    from tracekit.version import VERSION

    with tempfile.TemporaryDirectory(prefix="tracekit-top-") as folder:
        os.chmod(folder, 0o755)
        attachment = Attachment(pid)
        attachment.start(f"{folder}/top", max_bytes=_RING, stacks=True, version=VERSION)
        try:
            time.sleep(1)
            yield Path(folder, "top.raw")
        finally:
            attachment.stop()


def _own_recording(pid: int) -> Path | None:
    """What it has mapped of a recording. Raises RecordError: there is no such process, or it is not ours."""
    try:
        maps = Path("/proc", str(pid), "maps").read_text()
    except OSError as error:
        raise RecordError(f"{pid}: {error.strerror}.", "Name a process of your own that runs.") from None
    for line in maps.splitlines():
        path = line.split(maxsplit=5)[5:]
        if path and path[0].endswith(".raw") and os.path.exists(path[0]):
            return Path(path[0])
    return None


def _around(words: list[str], once: bool, as_json: bool) -> int:
    """Runs a program and watches it. Returns its exit code."""
    from tracekit.version import VERSION

    to_run = program_of(words, None, None)
    ended = threading.Event()
    with tempfile.TemporaryDirectory(prefix="tracekit-top-") as folder:
        watching = threading.Thread(target=_watch_started, args=(Path(folder, "top.raw"), ended, once, as_json))
        watching.start()
        try:
            return run(to_run, f"{folder}/top", max_bytes=_RING, follow="none", version=VERSION)
        finally:
            ended.set()
            watching.join()


def _watch_started(raw: Path, ended: threading.Event, once: bool, as_json: bool) -> None:
    ended.wait(1)
    try:
        if raw.exists():
            _watch(raw, lambda: not ended.is_set(), once, as_json)
    except TracekitError as error:
        say(printable(f"tracekit: {error}"))


def _watch(raw: Path, runs: Callable[[], bool], once: bool, as_json: bool) -> None:
    from rich.console import Console

    if once:
        analysis = _analysis(raw)
        with standard_output():
            if as_json:
                from tracekit.reporters import json

                print(json.render([analysis]))
            else:
                Console(soft_wrap=True).print(_screen(analysis, _SORTS[0], "", raw.name))
        return
    from rich.live import Live

    sort, frozen, said = 0, False, ""
    shown: Analysis | None = None
    with _keys() as pressed, Live(screen=True, auto_refresh=False) as screen:
        while runs():
            if not frozen:
                try:
                    shown = _analysis(raw)
                except (NoEventsError, SourceError):
                    said = "nothing can be read yet"
            if shown is not None:
                screen.update(
                    _screen(shown, _SORTS[sort], f"{said}{' (frozen)' if frozen else ''}", raw.name), refresh=True
                )
            key = pressed(1.0)
            if key == "q":
                return
            if key == "s":
                sort = (sort + 1) % len(_SORTS)
            elif key == "f":
                frozen = not frozen
            elif key == "w":
                said = f"written: {_write(raw)}"


def _analysis(raw: Path) -> Analysis:
    """Of a copy: the recording goes on. One that was written over meanwhile may make no sense, but hardly twice."""
    from tracekit.analysis import analyze

    return _of_a_copy(raw, analyze)


def _of_a_copy(raw: Path, use: Callable[[Path], T]) -> T:
    with tempfile.TemporaryDirectory(prefix="tracekit-top-") as folder:
        for left in reversed(range(_TRIES)):
            try:
                return use(Path(shutil.copyfile(raw, f"{folder}/{raw.name}")))
            except SourceError:
                if not left:
                    raise
        raise AssertionError


def _write(raw: Path) -> str:
    from tracekit.writers import TEXT, write_trace
    from tracekit.writers.tablestream import TableStream

    number = 1
    while (path := Path(f"top-{number}.log")).exists():
        number += 1

    def write(copy: Path) -> None:
        with TableStream(copy) as tables:
            write_trace(tables, path, TEXT)

    _of_a_copy(raw, write)
    return str(path)


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """A function that waits so many seconds for a key."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return os.read(sys.stdin.fileno(), 1).decode("latin-1") if ready else ""

    try:
        yield pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _screen(analysis: Analysis, sort: str, said: str, name: str) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    whole = analysis.duration
    groups: dict[str, list[int]] = {}
    of = {thread: fold(called) for thread, called in analysis.called.items() if thread is not None}
    for row in analysis.threads.to_pylist():
        group = groups.setdefault(of[row["thread"]], [0, 0, 0])
        for place, value in enumerate((1, row["held"], row["waited"])):
            group[place] += value
    causes: dict[str, Counter[str]] = {}
    for cause, waited_for in analysis.waited.items():
        for thread, each in waited_for.items():
            causes.setdefault(of[thread], Counter())[cause] += each.duration
    threads = Table("threads", "", "held", "waited", "mostly for", box=None, expand=True)
    place = 1 + ("held", "waited").index(sort)
    for group_name, (number, held, waited) in sorted(groups.items(), key=lambda item: -item[1][place]):
        mostly, _ = causes.get(group_name, Counter([""])).most_common(1)[0]
        threads.add_row(
            Text(printable(group_name)), str(number), share(held, whole * number), share(waited, whole * number),
            mostly.replace("_", " ") if waited else "",
        )  # fmt: skip
    lines = Table("who held the GIL meanwhile", "waited", "cause", box=None, expand=True)
    for row in analysis.lines.slice(0, _LINES).to_pylist():
        function, file = row["holder_function"], os.path.basename(row["holder_file"] or "")
        lines.add_row(
            Text(printable(at_line(function, file, row["holder_line"]) if function else "unknown")),
            duration(row["duration"], analysis.unit),
            row["cause"].replace("_", " "),
        )
    head = f"{name}: the last {duration(whole, analysis.unit)}, {analysis.events:,} events  {said}"
    findings = [Text(printable(finding.title)) for finding in analysis.findings[:_FINDINGS]]
    return Group(Text(printable(head)), threads, lines, *findings)
