"""Beside C code: locks that are not the GIL's, threads that are not Python's; and the recorder's own C, sanitized."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import (
    INTERPRETERS,
    PROGRAMS,
    every_interpreter,
    good,
    names,
    need_recorder,
    record,
    script,
)
from tracekit import recorder

STATUS = os.open(os.devnull, os.O_WRONLY)  # what the bootstrap says is of no interest here
HERE = Path(__file__).parent
NATIVE = recorder.LIBRARY.parent / "native"


def shared_library(target: Path, sources: list[Path], *flags: str) -> Path:
    """Without a compiler that has these flags: skips, or fails in CI."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    if not shutil.which(compiler[0]):
        give_up(f"there is no C compiler {compiler[0]!r}")
    command = [*compiler, "-std=gnu11", "-g", "-O1", "-shared", "-fPIC", "-pthread", *flags, *map(str, sources), "-ldl"]
    built = subprocess.run([*command, "-o", str(target)], capture_output=True, text=True)
    if built.returncode:
        give_up(built.stderr)
    return target


WILD = """
import ctypes, sys, threading
library = ctypes.CDLL(sys.argv[1])
def work():
    for _ in range(10): library.take_locks()
threads = [threading.Thread(target=work, name="wild-%d" % number) for number in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
called = []
callback = ctypes.CFUNCTYPE(None)(lambda: called.append(1))
library.call_back(callback)
assert len(called) == 8
"""


def check_foreign_locks(folder: Path, python: str) -> None:
    library = shared_library(folder / "wild.so", [HERE / "wild.c"])
    done = record(folder, script(folder, WILD), str(library), options=["--python", python])
    assert done.returncode == 0, done.stderr
    trace = good(folder / "out.log")
    rows = trace.threads.to_pylist()
    assert sorted(row["name"] for row in rows) == ["MainThread", *["native"] * 8, "wild-0", "wild-1"]
    for row in rows:
        if row["name"].startswith("wild"):  # a release a call, and those of a thread's start and end
            assert 10 <= row["blocking_releases"] <= 20
        elif row["name"] == "native":
            assert 1 <= row["blocking_releases"] + row["check_releases"] <= 5


def test_not_one_foreign_event(tmp_path: Path) -> None:
    check_foreign_locks(tmp_path, sys.executable)


@pytest.mark.slow
@every_interpreter
def test_not_one_foreign_event_on_every_interpreter(python: str, tmp_path: Path) -> None:
    if "2.7" in python:
        pytest.skip("a thread that is not Python's has no events but its first there")
    check_foreign_locks(tmp_path, python)


def runtime(name: str) -> str:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    return subprocess.run([*compiler, f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()


SANITIZERS = {
    "address": (["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], ["libasan.so", "libubsan.so"]),
    "thread": (["-fsanitize=thread"], ["libtsan.so"]),
}


def sanitized(folder: Path, kind: str) -> tuple[Path, dict[str, str]]:
    flags, runtimes = SANITIZERS[kind]
    library = shared_library(folder / "sanitized.so", sorted(NATIVE.glob("*.c")), *flags, "-fvisibility=hidden")
    return library, {
        **os.environ,
        "LD_PRELOAD": ":".join(runtime(name) for name in runtimes),
        "ASAN_OPTIONS": "detect_leaks=0:handle_segv=0",
        "TSAN_OPTIONS": "report_signal_unsafe=0:exitcode=66",
    }


def under(kind: str, command: list[str], folder: Path, env: dict[str, str]) -> None:
    prefix = ["setarch", "-R"] if kind == "thread" and shutil.which("setarch") else []
    ran = subprocess.run(
        [*prefix, *command], cwd=folder, env=env, capture_output=True, text=True, timeout=300, pass_fds=[STATUS]
    )
    assert "Sanitizer" not in ran.stderr, ran.stderr[-8000:]
    assert "runtime error" not in ran.stderr, ran.stderr[-8000:]
    assert ran.returncode == 0, ran.stderr[-8000:]


PRELUDE = "import sys, tracekit.recorder as r, pathlib; r.LIBRARY = pathlib.Path(sys.argv[1])\n"
CYCLES = """
import os, threading, time, tracekit
stop = False
def churn():
    while not stop: time.sleep(0.0001)
threads = [threading.Thread(target=churn) for _ in range(4)]
for thread in threads: thread.start()
for number in range(10):
    with tracekit.record(f"{number}.log", max_size=1): time.sleep(0.005)
stop = True
for thread in threads: thread.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(SANITIZERS))
def test_sanitized(kind: str, tmp_path: Path) -> None:
    need_recorder()
    library, env = sanitized(tmp_path, kind)
    start = [str(recorder.BOOTSTRAP), str(library), str(tmp_path / "out.log")]
    for python in INTERPRETERS:
        # No program that forks with threads: a lock of the sanitizer's allocator may stay held in the child.
        command = [str(python), *start, str(STATUS), "3000000", "1", "all", "1", "script", str(PROGRAMS / "crowd.py")]
        under(kind, command, tmp_path, env)
        trace = tracekit.read(tmp_path / "out.log.raw")
        assert not [found for found in trace.summary if found.severity == "error"]
    under(kind, [sys.executable, script(tmp_path, PRELUDE + CYCLES), str(library)], tmp_path, env)
    for number in range(10):
        good(tmp_path / f"{number}.log", cut=True)
    assert names(trace)
