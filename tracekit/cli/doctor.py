"""`tracekit doctor`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path

from tracekit.cli.common import outcome, standard_output
from tracekit.words import printable

EXAMPLES = """\
tracekit doctor
"""
Check = tuple[str, bool, str]
"""What it is about; whether that works here; how it is, and what to do if it does not."""


def doctor() -> None:
    """Check what works on this machine. A line each: core, recorder, interpreters to record on, SQL, Dask, browser."""
    with outcome():
        checks = [*_checks()]
        with standard_output():
            for what, works, told in checks:
                print(printable(f"{'ok  ' if works else 'NO  '}{what + ':':14}{told}"))


def _checks() -> Iterator[Check]:
    from tracekit.version import VERSION

    yield "tracekit", True, f"{VERSION}, on Python {sys.version.split()[0]} ({sys.executable})"
    yield _core()
    yield _recorder()
    yield _interpreters()
    yield _attaching()
    yield _module("SQL", "duckdb", "tracekit query", "pip install duckdb")
    yield _module("fleet", "distributed", "tracekit fleet", "pip install 'tracekit[fleet]'")
    yield _module("Perfetto", "perfetto", "tracekit convert -o TRACE.pftrace", "pip install 'tracekit[perfetto]'")
    yield _browser()


def _core() -> Check:
    from tracekit import _native

    if _native.library:
        return "core", True, f"native, {_native.workers()} threads"
    if os.environ.get("TRACEKIT_CORE") == "python":
        return "core", False, "TRACEKIT_CORE=python is set, which is hundreds of times slower. Unset it."
    return "core", False, "only the Python one, hundreds of times slower. Install a C compiler and tracekit again."


def _recorder() -> Check:
    from tracekit.errors import RecordError
    from tracekit.recorder import require_library

    try:
        require_library()
    except RecordError as error:
        return "recorder", False, f"{error.message} {error.hint}"
    return "recorder", True, "tracekit record, tracekit.record, @pytest.mark.gil"


def _interpreters() -> Check:
    """Those on the PATH and pyenv's."""
    names = ["python2.7", *(f"python3.{minor}" for minor in range(6, 20))]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    executables: dict[str, str] = {}
    for name in names:
        on_path = shutil.which(name)
        if on_path and "shims" not in Path(on_path).parts:
            executables[name] = on_path
        for path in sorted(root.glob(f"*/bin/{name}")):
            executables.setdefault(name, str(path))
    if not executables:
        return "interpreters", True, f"{sys.executable}; --python EXE names others"
    return "interpreters", True, ", ".join(executables.values())


def _attaching() -> Check:
    """Whether `record --pid` can reach programs of Pythons before 3.14, which need a debugger."""
    used = "tracekit record --pid"
    gdb = shutil.which("gdb")
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if os.geteuid() and scope.exists() and scope.read_text().strip() != "0":
        return "attach", False, f"{used}: the system forbids it. Run it as root, or sysctl kernel.yama.ptrace_scope=0"
    if gdb is None:
        return "attach", False, f"{used} needs gdb for Pythons before 3.14: apt install gdb, dnf install gdb"
    return "attach", True, f"{used}, by {gdb} or, from Python 3.14 on, sys.remote_exec"


def _module(what: str, module: str, used: str, install: str) -> Check:
    if importlib.util.find_spec(module):
        return what, True, used
    return what, False, f"{used} needs it: {install}"


def _browser() -> Check:
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return "browser", False, "none that tracekit report --open could use. Open the file in one elsewhere."
    return "browser", True, f"{getattr(browser, 'name', type(browser).__name__)}, for tracekit report --open"
