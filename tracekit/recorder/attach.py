"""Records a process that runs already: brings the recorder into it, and tells it when to begin and when to end."""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tracekit.errors import RecordError
from tracekit.recorder import require_library
from tracekit.recorder.elf import Image
from tracekit.recorder.process import Process

_HERE = Path(__file__).parent
_ATTACHED, _IN_GDB, _REMOTE = _HERE / "attached.py", _HERE / "in_gdb.py", _HERE / "remote.py"
_DATA_BYTES = 56
_PATIENCE = 5.0
_GDB_PATIENCE = 60.0
_AGAIN = "Try again later."


class Attachment:
    """A recording of this process into BASE.raw, from `start` to `stop`.

    Attributes:
        how: by what the recorder came into it, and for how long that stopped it.
    """

    def __init__(self, pid: int) -> None:
        """Raises RecordError: it cannot be recorded."""
        self._library = require_library()
        self._process = Process(pid)
        self._pid = pid
        self._memory = Path(f"/proc/{pid}/mem")
        self.how = ""
        self._written: tuple[int, int] | None = None

    def start(self, base: str, *, max_bytes: int, stacks: bool, version: str) -> None:
        """Raises RecordError: nothing is recorded, and the program runs on."""
        self._connection = self._connect()
        try:
            words = [
                str(_ATTACHED), self._library, base, str(max_bytes), str(int(stacks)), version, f"attached: {self.how}",
            ]  # fmt: skip
            request = b"".join(os.fsencode(word) + b"\0" for word in words)
            self._connection.sendall(struct.pack("=I", len(request)) + request)
            answer = self._answer()
        except OSError:
            raise RecordError(f"{self._pid}: the process ended before it could be recorded.", "") from None
        if answer != "recording":
            self._connection.close()
            raise RecordError(answer, "The program runs on, unrecorded.")

    def wait(self, seconds: float | None, is_over: Callable[[], bool]) -> None:
        """Until the time is over, the process has ended, or something else says so."""
        until = None if seconds is None else time.monotonic() + seconds
        while not is_over():
            left = 0.2 if until is None else min(0.2, until - time.monotonic())
            if left <= 0 or select.select([self._connection], [], [], left)[0]:
                return

    def stop(self) -> None:
        """It lets go of the process, which need not run any more."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
            self._connection.settimeout(_PATIENCE)
            self._connection.recv(1)
        self._connection.close()
        self._clean()

    def _clean(self) -> None:
        """Puts back what was written into the process' code, once no thread can be there any more."""
        if self._written is None:
            return
        place, size = self._written
        with suppress(OSError), self._memory.open("r+b", buffering=0) as memory:
            memory.seek(place)
            memory.write(bytes(size))

    def _connect(self) -> socket.socket:
        """The recorder in the process, loaded and waiting for what to do."""
        armed = self._wake()
        if armed:
            self.how = "its being armed"
            return armed
        with socket.socket(socket.AF_UNIX) as listening:
            try:
                listening.bind(f"\0tracekit-attach-{self._process.inner_pid}")
            except OSError:
                raise RecordError(f"{self._pid}: another tracekit records it.", "Wait for its end.") from None
            listening.listen(1)
            if self._process.version >= (3, 14) and self._ask_python(listening):
                self.how = "sys.remote_exec"
            else:
                self._inject()
            return self._accept(listening)

    def _wake(self) -> socket.socket | None:
        """The connection to a process that waits for this (tk_arm)."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_PATIENCE)
        try:
            connection.connect(f"\0tracekit-armed-{self._process.inner_pid}")
            if _peer(connection) == self._process.inner_pid and connection.recv(1) == b"+":
                return connection
        except OSError:
            pass
        connection.close()
        return None

    def _accept(self, listening: socket.socket) -> socket.socket:
        until = time.monotonic() + _PATIENCE
        while (left := until - time.monotonic()) > 0:
            listening.settimeout(left)
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                break
            if _peer(connection) == self._process.inner_pid:
                connection.settimeout(_PATIENCE)
                asked = connection.recv(1)
                if asked == b"+":
                    return connection
                if asked == b"?":
                    connection.sendall(os.fsencode(self._library))
            connection.close()
        if self._process.is_loaded():
            raise RecordError(f"{self._pid}: the recorder does not answer in the program.", _AGAIN)
        raise RecordError(
            f"{self._pid}: {self._library} could not be loaded in the program.",
            "It must be able to read it, and to map memory.",
        )

    def _answer(self) -> str:
        """What the recorder says once it has had the GIL."""
        self._connection.settimeout(_PATIENCE)
        try:
            if not self._connection.recv(1):
                raise ConnectionError
        except TimeoutError:
            self._connection.close()
            raise RecordError(
                f"{self._pid}: a thread of it has kept the GIL for {_PATIENCE:g} s, in a call into C that does not "
                "let go of it.",
                f"Nothing is recorded. {_AGAIN}",
            ) from None
        self._connection.settimeout(_GDB_PATIENCE)
        told = b""
        while not told.endswith(b"\0"):
            more = self._connection.recv(4096)
            if not more:
                raise ConnectionError
            told += more
        return told[:-1].decode("utf-8", "replace")

    def _ask_python(self, listening: socket.socket) -> bool:
        """Has the interpreter run a script when its main thread can. False: it did not in time, and will not."""
        interpreter = f"/proc/{self._pid}/exe"
        code = "import sys; sys.remote_exec(int(sys.argv[1]), sys.argv[2])"
        done = subprocess.run(
            [interpreter, "-I", "-S", "-c", code, str(self._pid), str(_REMOTE)], capture_output=True, text=True
        )
        return not done.returncode and bool(select.select([listening], [], [], _PATIENCE)[0])

    def _inject(self) -> None:
        gdb = shutil.which("gdb")
        if not gdb:
            raise RecordError(
                f"{self._pid}: attaching to Python {self._shown_version()} needs gdb, which is not here.",
                "Install it: apt install gdb, dnf install gdb.",
            )
        try:
            plan = self._plan()
        except PermissionError:
            raise self._process.forbidden() from None
        try:
            done = subprocess.run(
                [gdb, "-nx", "-batch", "-iex", "set auto-load off", "-x", str(_IN_GDB)],
                env={**os.environ, "TRACEKIT_PLAN": json.dumps(plan), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_GDB_PATIENCE,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            self._process.go_on()
            raise RecordError(f"{self._pid}: gdb did not finish.", _AGAIN) from None
        lines = done.stdout.strip().splitlines()
        try:
            answer = json.loads(lines[-1])
        except (IndexError, ValueError):
            self._process.go_on()
            what = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            raise RecordError(f"{self._pid}: gdb failed: {what}", "It needs gdb 9 or newer, with Python.") from None
        error = answer.get("error", "")
        if error == "unsafe":
            raise RecordError(
                f"{self._pid}: whenever it was looked at, each of its threads was within malloc or the like, or in "
                "code that cannot be followed.",
                _AGAIN,
            )
        if "not permitted" in error:
            raise self._process.forbidden()
        if error:
            raise RecordError(f"{self._pid}: gdb cannot attach to it: {error}", _AGAIN)
        self.how = f"gdb, stopped for {answer['stopped'] * 1000:.0f} ms"

    def _shown_version(self) -> str:
        major, minor = self._process.version
        return f"{major}.{minor}" if minor else str(major)

    def _plan(self) -> dict[str, object]:
        """What gdb needs to know."""
        code = self._code()
        size = len(code) + _DATA_BYTES + len(os.fsencode(self._library)) + 1
        functions: dict[str, int] = {}
        for path, base in self._process.objects().items():
            if Path(path).name.startswith(("libc.so", "libdl.so", "libc-", "libdl-")):
                found = Image(path).symbols(["dlopen", "dlsym", "__errno_location"])
                functions.update({name: base + value for name, value in found.items()})
        if len(functions) < 3:
            raise RecordError(f"{self._pid}: its C library has no dlopen.", "The recorder needs glibc.")
        place = self._place(size)
        self._written = place, size
        return {
            "pid": self._pid, "library": self._library, "code": code.hex(), "place": place,
            "files": list(self._process.objects().items()),
            "ranges": [(m.start, m.end, m.path) for m in self._process.maps if "x" in m.flags and m.path],
            **{name.strip("_"): value for name, value in functions.items()},
        }  # fmt: skip

    def _code(self) -> bytes:
        library = ctypes.CDLL(self._library)
        library.tk_injection.restype = ctypes.c_uint64
        start = ctypes.c_void_p()
        size = library.tk_injection(ctypes.byref(start))
        if not size:
            raise RecordError(
                f"{self._pid}: on this processor only Python 3.14 and newer can be recorded while it runs.",
                "Start the program with TRACEKIT_ARM=1 in its environment.",
            )
        return ctypes.string_at(start.value or 0, size)

    def _place(self, wanted: int) -> int:
        """Where the last page of some code has room that nothing uses."""
        with self._memory.open("rb", buffering=0) as memory:
            for path, base in self._process.objects().items():
                if not path.startswith("/") or path.endswith(" (deleted)"):
                    continue
                for segment in Image(path).code():
                    start = -(-(base + segment.address + segment.size) // 16) * 16
                    end = -(-start // 4096) * 4096
                    if end - start >= wanted and any(
                        m.start <= start < m.end and "x" in m.flags for m in self._process.maps
                    ):
                        memory.seek(start)
                        if not any(memory.read(wanted)):
                            return start
        raise RecordError(f"{self._pid}: its code has no room for what would load the recorder.", "Start it again.")


def _peer(connection: socket.socket) -> int:
    """The process at its other end."""
    pid: int = struct.unpack("=iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return pid
