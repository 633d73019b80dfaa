"""What a recording tells, against what Python 3.15 says of each thread: whether it holds the GIL, or asks for it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.recorder.recorded import every_interpreter, good, need_recorder, script

PROGRAM = """
import ctypes, os, threading, time
print(os.getpid(), ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime")), flush=True)
def spin():
    end = time.monotonic() + 1
    while time.monotonic() < end: sum(range(100))
def nap():
    end = time.monotonic() + 1
    while time.monotonic() < end: time.sleep(0.001)
threads = [threading.Thread(target=work) for work in (spin, spin, nap)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
NEAR = 50_000
"""ns around a look in which nothing may change in the trace, for it to be compared."""
Look = tuple[int, int, set[int], set[int]]


class Threads:
    """The thread states of another process, by the offsets that its interpreter tells."""

    def __init__(self, pid: int, runtime: int) -> None:
        self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        offsets = struct.unpack("<48Q", os.pread(self._memory, 8 + 48 * 8, runtime)[8:])
        assert offsets[0] >> 16 == 0x030F
        interpreter, self._threads_head = offsets[4], offsets[8]
        self._next, self._tid = offsets[23], offsets[30]
        self._holds, self._asks = offsets[33:35]
        self._interpreter = self._word(runtime + interpreter)

    def _word(self, at: int) -> int:
        return int.from_bytes(os.pread(self._memory, 8, at), "little")

    def look(self) -> Look:
        """When it began and ended, the ids of the threads that hold the GIL, and of those that ask for it."""
        holds: set[int] = set()
        asks: set[int] = set()
        start = time.time_ns()
        thread = self._word(self._interpreter + self._threads_head)
        while thread:
            state = os.pread(self._memory, self._tid + 8, thread)
            tid = int.from_bytes(state[self._tid :], "little")
            for place, found in ((self._holds, holds), (self._asks, asks)):
                if int.from_bytes(state[place : place + 4], "little"):
                    found.add(tid)
            thread = int.from_bytes(state[self._next : self._next + 8], "little")
        return start, time.time_ns(), holds, asks


def looks_at(folder: Path, python: str) -> list[Look]:
    command = [sys.executable, "-m", "tracekit", "record", "-o", "out.log", "--python", python, script(folder, PROGRAM)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as recording:
        assert recording.stdout
        pid, runtime = map(int, recording.stdout.readline().split())
        threads, looks = Threads(pid, runtime), []
        until = time.monotonic() + 0.9
        while time.monotonic() < until:
            try:
                looks.append(threads.look())
            except OSError:  # a thread is gone while it is looked at
                continue
            time.sleep(0.0005)
        assert recording.wait(60) == 0
    return looks


@pytest.mark.slow
@every_interpreter
def test_the_interpreter_says_the_same(python: str, tmp_path: Path) -> None:
    if Path(python).name != "python3.15":
        pytest.skip("needs Python 3.15, whose debug offsets tell holds_gil and gil_requested")
    need_recorder()
    looks = looks_at(tmp_path, python)
    trace = good(tmp_path / "out.log")
    told = trace.metadata["started"]
    zero = int(datetime.fromisoformat(told[:19] + "+00:00").timestamp()) * 10**9 + int(told[20:29])
    holds, waits = (
        [(int(row["thread"]), zero + row[begin], zero + row[begin] + row["duration"]) for row in table.to_pylist()]
        for table, begin in ((trace.holds, "start_clock"), (trace.waits, "entry_clock"))
    )
    agree = differ = asked = 0
    for start, end, holding, asking in looks:
        covering = [
            {thread for thread, begin, over in spans if begin < start - NEAR and end + NEAR < over}
            for spans in (holds, waits)
        ]
        if covering[0]:
            agree += holding == covering[0]
            differ += holding != covering[0]
        if covering[1] <= asking:
            asked += len(covering[1])
        else:
            differ += 1
    assert agree > 20
    assert asked > 20
    assert differ <= 0.02 * agree
