"""Starts a program under the recorder, and waits for it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tracekit.errors import RecordError
from tracekit.recorder import BOOTSTRAP, require_library

FOLLOW = ("all", "forks", "none")
"""What is recorded of what a program starts."""


@dataclass(frozen=True)
class Program:
    """`python OPTIONS TARGET ARGUMENTS`, or `python OPTIONS -m TARGET ARGUMENTS` of a module."""

    python: str
    target: str
    arguments: Sequence[str] = ()
    is_module: bool = False
    options: Sequence[str] = ()  # the interpreter's own


def run(program: Program, base: str, *, max_bytes: int, stacks: bool = True, follow: str = "all", version: str) -> int:
    """Runs it, recorded into BASE.raw, and returns its exit code; -N if signal N ended it.

    max_bytes: size of the ring of newest events; 0 keeps all. stacks: take Python stacks. follow: of FOLLOW.
    Raises RecordError: it cannot be recorded, and did not run.
    """
    library = require_library()
    told, tell = os.pipe()
    os.set_inheritable(tell, True)
    kind = "module" if program.is_module else "script"
    command = [
        program.python, *program.options, str(BOOTSTRAP), library, base, str(tell), str(max_bytes), str(int(stacks)),
        follow, version, kind, program.target, *program.arguments,
    ]  # fmt: skip
    with _signals_reach_the_program() as children:
        try:
            child = subprocess.Popen(command, close_fds=False, env={**os.environ, "TRACEKIT_FOLLOW": ""})
        except OSError as error:
            os.close(told)
            raise RecordError(
                f"{program.python}: cannot be started: {error.strerror}.", "Name a Python interpreter with --python."
            ) from None
        finally:
            os.close(tell)
        children.append(child)
        with os.fdopen(told, encoding="utf-8", errors="replace") as pipe:
            answer = pipe.read()
        with kept(base):
            code = child.wait()
    if answer != "recording":
        if answer:
            raise RecordError(answer, "The program was not run.")
        raise RecordError(
            f"{program.python}: did not run Python; it ended with code {code} before the program began.",
            "Name a Python interpreter with --python.",
        )
    return code


@contextmanager
def kept(base: str) -> Iterator[None]:
    """The program may remove BASE.raw, or its folder. Then it is put back at the end, as far as it was written."""
    raw = Path(f"{base}.raw")
    try:
        file = raw.open("rb")
    except OSError:
        yield
        return
    with file:
        yield
        if not os.fstat(file.fileno()).st_nlink and not raw.exists():
            with suppress(OSError):
                raw.parent.mkdir(parents=True, exist_ok=True)
                with raw.open("wb") as again:
                    shutil.copyfileobj(file, again)


@contextmanager
def _signals_reach_the_program() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Signals are the program's, which gets those of a terminal anyway."""
    from_terminals = (signal.SIGINT, signal.SIGQUIT)
    forwarded = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)  # not every system has them all
    children: list[subprocess.Popen[bytes]] = []

    def forward(number: int, frame: FrameType | None) -> None:
        if number in from_terminals and _at_a_terminal():
            return
        for child in children:
            child.send_signal(number)

    before = {}
    for number in (*forwarded, *from_terminals):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, forward)  # a program started from here has the default again
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _at_a_terminal() -> bool:
    """Whether this process is in the foreground of a terminal, and the program, in the same group, too."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
