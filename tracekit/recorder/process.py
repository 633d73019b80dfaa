"""A process that runs already: what it is, and whether it can be recorded."""

from __future__ import annotations

import os
import pwd
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tracekit.errors import RecordError
from tracekit.recorder import LIBRARY
from tracekit.recorder.elf import Image

_LATE = 0.3
_OTHERWISE = "Or start the program with TRACEKIT_ARM=1 in its environment: then it need not be attached to."


class Mapping(NamedTuple):
    start: int
    end: int
    flags: str
    offset: int
    path: str


class Process:
    """A Python program of this machine. Raises RecordError: it cannot be recorded, and why."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._folder = Path("/proc", str(pid))
        try:
            self._status = dict(
                line.split(":", 1) for line in (self._folder / "status").read_text(errors="replace").splitlines()
            )
        except OSError:
            raise RecordError(f"{pid}: there is no such process.", "Take its number from ps or pgrep.") from None
        self._refuse_states()
        self._refuse_users()
        try:
            self.maps = self._read_maps()
            self._refuse_places()
        except PermissionError:
            raise self.forbidden() from None
        self.python, self.version = self._find_python()

    @property
    def inner_pid(self) -> int:
        """Its number as it sees it itself."""
        return int(self._status.get("NSpid", str(self.pid)).split()[-1])

    def command(self) -> str:
        words = (self._folder / "cmdline").read_bytes().split(b"\0")
        return " ".join(word.decode("utf-8", "replace") for word in words).strip()

    def is_loaded(self) -> bool:
        """Whether it has the recorder's library in it."""
        return any(mapping.path == str(LIBRARY) for mapping in self._read_maps())

    def go_on(self) -> None:
        """After a debugger was killed: the signal by which it began may reach the program only then, and stop it."""
        until = time.monotonic() + _LATE
        while time.monotonic() < until:
            with suppress(OSError):
                if (self._folder / "stat").read_text().rpartition(")")[2].split()[0] == "T":
                    os.kill(self.pid, signal.SIGCONT)
            time.sleep(0.01)

    def forbidden(self) -> RecordError:
        scope = _number(Path("/proc/sys/kernel/yama/ptrace_scope"))
        if scope == 3:
            return RecordError(
                f"{self.pid}: this system forbids to attach to any process (kernel.yama.ptrace_scope is 3).", _OTHERWISE
            )
        if scope and os.geteuid():
            return RecordError(
                f"{self.pid}: this system forbids to attach to other programs (kernel.yama.ptrace_scope is {scope}).",
                f"Run tracekit as root, or `sysctl kernel.yama.ptrace_scope=0`. {_OTHERWISE}",
            )
        return RecordError(
            f"{self.pid}: this system forbids to attach to it; containers need the capability SYS_PTRACE.",
            f"Start the container with --cap-add SYS_PTRACE. {_OTHERWISE}",
        )

    def objects(self) -> dict[str, int]:
        """The files whose code it has, and by how much their addresses are moved."""
        bases: dict[str, int] = {}
        for mapping in self.maps:
            if mapping.path.startswith("/") and not mapping.offset:
                bases.setdefault(mapping.path, mapping.start)
        with_code = {mapping.path for mapping in self.maps if "x" in mapping.flags}
        return {path: base - _first_address(path) for path, base in bases.items() if path in with_code}

    def _read_maps(self) -> list[Mapping]:
        found = []
        for line in (self._folder / "maps").read_text(errors="surrogateescape").splitlines():
            extent, flags, offset, _, _, *path = line.split(None, 5)
            start, _, end = extent.partition("-")
            found.append(Mapping(int(start, 16), int(end, 16), flags, int(offset, 16), path[0] if path else ""))
        return found

    def _refuse_states(self) -> None:
        state = self._status["State"].split()[0]
        if state in "ZX":
            raise RecordError(f"{self.pid}: the process has ended.", "Take another one's number from ps or pgrep.")
        tracer = int(self._status.get("TracerPid", "0"))
        if tracer:
            raise RecordError(
                f"{self.pid}: process {tracer} traces it already, and there can be only one.",
                "End that one (a debugger, strace) first.",
            )
        if state in "Tt":
            raise RecordError(f"{self.pid}: it is stopped.", f"Let it go on: kill -CONT {self.pid}.")

    def _refuse_users(self) -> None:
        self.uid = int(self._status["Uid"].split()[1])
        if os.geteuid() not in (0, self.uid):
            try:
                owner = pwd.getpwuid(self.uid).pw_name
            except KeyError:
                owner = str(self.uid)
            raise RecordError(f"{self.pid}: it belongs to the user {owner}.", f"Run tracekit as {owner}, or as root.")

    def _refuse_places(self) -> None:
        if any("/ld-musl-" in mapping.path for mapping in self.maps):
            raise RecordError(
                f"{self.pid}: it runs on musl; the recorder needs glibc.", "Run it on a Python with glibc."
            )
        own, its = LIBRARY, Path(f"{self._folder}/root{LIBRARY}")
        if not its.exists() or not os.path.samefile(own, its):
            raise RecordError(
                f"{self.pid}: it runs in another root, where this tracekit is not (a container, a chroot).",
                "Install and run tracekit in there.",
            )
        if os.readlink("/proc/self/ns/net") != os.readlink(self._folder / "ns/net"):
            raise RecordError(
                f"{self.pid}: it has a network of its own.", f"nsenter --net --target {self.pid} tracekit record ..."
            )
        if self.uid and not _all_may_read(LIBRARY) and self.uid != os.geteuid():
            raise RecordError(
                f"{self.pid}: its user may not read {LIBRARY}.", "Install tracekit where that user can read it."
            )

    def _find_python(self) -> tuple[str, tuple[int, int]]:
        """The file that has the interpreter, and its version; (3, 0) where it is older than 3.11 and tells none."""
        gone = None
        for path in self.objects():
            if path.endswith(" (deleted)"):
                gone = path
                continue
            try:
                image = Image(path)
                symbols = image.symbols(["PyGILState_Ensure", "PyString_FromString", "Py_Version"])
            except (OSError, ValueError):
                continue
            if "PyGILState_Ensure" not in symbols:
                continue
            if "PyString_FromString" in symbols:
                raise RecordError(
                    f"{self.pid}: it runs on Python 2, whose GIL cannot be replaced while it runs.",
                    "Start it with tracekit record.",
                )
            number = int.from_bytes(image.at(symbols["Py_Version"], 8), "little") if "Py_Version" in symbols else 0
            return path, (number >> 24 or 3, number >> 16 & 255)
        if gone:
            raise RecordError(
                f"{self.pid}: {gone.removesuffix(' (deleted)')} was replaced since it started.", "Start it again."
            )
        raise RecordError(f"{self.pid}: this is not Python ({self.command() or 'kernel'}).", "Name another one.")


def _first_address(path: str) -> int:
    """Where an object that is not moved begins: a program at its own address, a library at 0."""
    try:
        return min(segment.address for segment in Image(path).segments()) & -4096
    except (OSError, ValueError):
        return 0


def _all_may_read(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o004) and all(folder.stat().st_mode & 0o001 for folder in path.parents)


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
