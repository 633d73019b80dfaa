"""`tracekit top`, on programs that are run by it, and on one that has a flight recorder."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.recorder.recorded import need_recorder

BUSY = """
import sys, threading, time, tracekit
def spin():
    while True: sum(range(1000))
def nap():
    while True: time.sleep(0.001)
for name, work in (("spinner-1", spin), ("spinner-2", spin), ("napper", nap)):
    threading.Thread(target=work, name=name, daemon=True).start()
"""


def top(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    need_recorder()
    return subprocess.run(
        [sys.executable, "-m", "tracekit", "top", *words], cwd=folder, capture_output=True, text=True, timeout=100
    )


@pytest.mark.slow
def test_around_a_program(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(BUSY + "time.sleep(2.5)\nsys.exit(7)")
    done = top(tmp_path, "--once", "--json", "busy.py")
    assert done.returncode == 7, done.stderr
    told = json.loads(done.stdout)
    assert told["schema"] == "tracekit.analysis/1"
    assert {"spinner-1", "spinner-2", "napper"} <= {thread["name"] for thread in told["threads"]}
    done = top(tmp_path, "--once", "busy.py")
    assert "spinner-*" in done.stdout
    assert "nap" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["busy.py"]


def test_a_process_with_a_flight_recorder(tmp_path: Path) -> None:
    need_recorder()
    (tmp_path / "busy.py").write_text(
        "import tracekit\ntracekit.flight('f-{n}.log')\n" + BUSY + "print(1, flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "busy.py"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        program.stdout.readline()
        time.sleep(0.5)
        done = top(tmp_path, "--once", "--json", str(program.pid))
        program.stdin.close()
    assert done.returncode == 0, done.stderr
    assert "spinner-1" in {thread["name"] for thread in json.loads(done.stdout)["threads"]}


def test_on_a_terminal(tmp_path: Path) -> None:
    need_recorder()
    (tmp_path / "busy.py").write_text(BUSY + "time.sleep(60)")
    here, there = pty.openpty()
    seen = bytearray()

    def read() -> None:
        try:
            while part := os.read(here, 4096):
                seen.extend(part)
        except OSError:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    program = subprocess.Popen([sys.executable, "busy.py"], cwd=tmp_path)
    recorded = subprocess.Popen(
        [sys.executable, "-m", "tracekit", "top", str(program.pid)],
        cwd=tmp_path,
        stdin=there,
        stdout=there,
        stderr=there,
    )
    os.close(there)

    def wait_for(what: bytes) -> None:
        end = time.monotonic() + 60
        while what not in seen and recorded.poll() is None:
            assert time.monotonic() < end, bytes(seen)
            time.sleep(0.02)
        assert what in seen, bytes(seen)

    try:
        wait_for(b"spinner-*")
        os.write(here, b"sf")
        wait_for(b"frozen")
        os.write(here, b"w")
        wait_for(b"top-1.log")
        os.write(here, b"q")
        assert recorded.wait(60) == 0
    finally:
        program.kill()
        program.wait()
        recorded.kill()
        recorded.wait()
        reader.join()
        os.close(here)
    assert (tmp_path / "top-1.log").exists()


def test_bad_input(tmp_path: Path) -> None:
    for words, what in (
        (("--json", "1"), "--json goes with --once"),
        (("1",), "top needs a terminal"),
        (("--once", "99999999"), "No such file or directory"),
        (("--once", "nothing.py"), "there is no such script"),
    ):
        done = top(tmp_path, *words)
        assert done.returncode == 2, words
        assert what in done.stderr, words
        assert "Traceback" not in done.stderr
