"""`tracekit top`."""

from __future__ import annotations

import os
import select
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tracekit.cli.commands import Command
from tracekit.cli.common import AsJson, outcome, say, standard_output
from tracekit.cli.programs import program_of
from tracekit.errors import NoEventsError, OptionError, RecordError, SourceError, TracekitError
from tracekit.recorder.launch import run
from tracekit.reporters.top import SORTS, View, as_text, render
from tracekit.words import printable

if TYPE_CHECKING:
    from tracekit.analysis import Analysis

EXAMPLES = """\
tracekit top 4711
tracekit top app.py --port 8080
tracekit top --once --json 4711
tracekit top --page 4711
"""
_RING = 8 << 20
_TRIES = 5


T = TypeVar("T")


@dataclass(frozen=True)
class _How:
    once: bool
    as_json: bool
    page: bool


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
    page: Annotated[
        bool, typer.Option("--page", help="Show it on a page of this machine, and print the address.")
    ] = False,
) -> None:
    """Watch what a program's threads hold and wait for, once a second.

    s sorts, t shows single threads, / filters, f freezes, w writes a trace, q ends.
    """
    with outcome():
        if as_json and not once:
            raise OptionError("--json goes with --once.", "Give both.")
        if page and once:
            raise OptionError("--page shows what --once would end.", "Give one of them.")
        if not once and not page and not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise OptionError("top needs a terminal.", "Give --once, and perhaps --json; or --page.")
        if len(program) == 1 and program[0].isdigit():
            with _recorded(int(program[0])) as raw:
                _watch(raw, lambda: Path("/proc", program[0]).exists(), _How(once, as_json, page))
            return
        raise typer.Exit(_around(program, _How(once, as_json, page)))


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


def _around(words: list[str], how: _How) -> int:
    """Runs a program and watches it. Returns its exit code."""
    from tracekit.version import VERSION

    to_run = program_of(words, None, None)
    ended = threading.Event()
    with tempfile.TemporaryDirectory(prefix="tracekit-top-") as folder:
        watching = threading.Thread(target=_watch_started, args=(Path(folder, "top.raw"), ended, how))
        watching.start()
        try:
            return run(to_run, f"{folder}/top", max_bytes=_RING, follow="none", version=VERSION)
        finally:
            ended.set()
            watching.join()


def _watch_started(raw: Path, ended: threading.Event, how: _How) -> None:
    ended.wait(1)
    try:
        if raw.exists():
            _watch(raw, lambda: not ended.is_set(), how)
    except TracekitError as error:
        say(printable(f"tracekit: {error}"))


def _watch(raw: Path, runs: Callable[[], bool], how: _How) -> None:
    if how.page:
        _show_page(raw, runs)
        return
    if how.once:
        analysis = _analysis(raw)
        with standard_output():
            if how.as_json:
                from tracekit.reporters import json

                print(json.render([analysis]))
            else:
                from rich.console import Console

                Console(soft_wrap=True).print(render(analysis, View(), raw.name))
        return
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    shown: Analysis | None = None
    with _keys() as pressed, Live(screen=True, auto_refresh=False) as screen:
        state = _State()
        while runs():
            if not state.frozen:
                try:
                    shown = _analysis(raw)
                except (NoEventsError, SourceError):
                    state.said = "nothing can be read yet"
            if shown is not None:
                screen.update(Group(Text(state.words()), render(shown, state.view, raw.name)), refresh=True)
            for key in pressed(1.0):
                if state.press(key, raw):
                    return


@dataclass
class _State:
    """What the keys have changed."""

    view: View = field(default_factory=View)
    frozen: bool = False
    typing: bool = False
    said: str = ""

    def press(self, key: str, raw: Path) -> bool:
        """Whether top ends."""
        if self.typing:
            self._type(key)
        elif key == "q":
            return True
        elif key == "s":
            self.view = replace(self.view, sort=SORTS[(SORTS.index(self.view.sort) + 1) % len(SORTS)])
        elif key == "t":
            self.view = replace(self.view, threads=not self.view.threads)
        elif key == "f":
            self.frozen = not self.frozen
        elif key == "/":
            self.typing = True
            self.view = replace(self.view, only="")
        elif key == "w":
            self.said = f"written: {_write(raw)}"
        return False

    def _type(self, key: str) -> None:
        if key in "\r\n\x1b":
            self.typing = False
        elif key in "\x7f\b":
            self.view = replace(self.view, only=self.view.only[:-1])
        elif key.isprintable():
            self.view = replace(self.view, only=self.view.only + key)

    def words(self) -> str:
        if self.typing:
            return f"only: {printable(self.view.only)}_  (Enter ends)"
        said = f"{self.said} {'(frozen)' if self.frozen else ''}".strip()
        return f"{said}  s sort  t single threads  / only ...  f freeze  w write a trace  q quit".strip()


def _show_page(raw: Path, runs: Callable[[], bool]) -> None:
    """Until the program ends, or Ctrl-C."""
    from tracekit.cli.toppage import Server

    def show(view: View) -> str:
        try:
            return as_text(render(_analysis(raw), view, raw.name))
        except (NoEventsError, SourceError):
            return "Nothing can be read yet."

    with Server(show) as server:
        threading.Thread(target=server.serve_forever, daemon=True, name="tracekit-page").start()
        say(f"tracekit: open {server.url} in a browser of this machine; Ctrl-C ends it.")
        try:
            while runs():
                time.sleep(0.2)
        finally:
            server.shutdown()


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
    """A function that waits so many seconds for keys."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        keys = os.read(sys.stdin.fileno(), 64).decode("utf-8", "ignore") if ready else ""
        return "" if keys.startswith("\x1b[") else keys  # an arrow, or another that means nothing here

    try:
        yield pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
