"""Recording a program that runs already: it goes on as if nothing had been, whatever becomes of who records it."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import tracekit
from tests.recorder.attached import check_running, ends_well, record_pid, running, tracekit_record
from tests.recorder.recorded import INTERPRETERS, PROGRAMS, good, need_recorder
from tracekit.recorder import attach
from tracekit.recorder.attach import Attachment
from tracekit.recorder.process import Process

pytestmark = pytest.mark.slow
OLDEST = (3, 8)
"""Where `threading` knows the system's ids; older ones can be recorded, but without names."""


def _version(python: Path) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)", str(python.resolve()))
    return (int(found[1]), int(found[2])) if found else (0, 0)


ATTACHABLE = [str(python) for python in INTERPRETERS if _version(python) >= OLDEST]
every_attachable = pytest.mark.parametrize(
    "python",
    [pytest.param(path, id=Path(path).parts[-3] if "versions" in path else Path(path).name) for path in ATTACHABLE],
)


def need_gdb() -> None:
    need_recorder()
    if not shutil.which("gdb"):
        if "CI" in os.environ:
            pytest.fail("needs gdb")
        pytest.skip("needs gdb")


def text_of(pid: int) -> dict[tuple[int, int], bytes]:
    """The program's code, as it is in memory."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        found = {}
        for mapping in Process(pid).maps:
            if "x" in mapping.flags and mapping.path.startswith("/") and "_recorder" not in mapping.path:
                memory.seek(mapping.start)
                found[mapping.start, mapping.end] = memory.read(mapping.end - mapping.start)
    return found


@every_attachable
def test_as_often_as_wanted(python: str, tmp_path: Path) -> None:
    need_gdb()
    with running(python, str(PROGRAMS / "running.py")) as program:
        before = text_of(program.pid)
        for turn in range(2):
            check_running(record_pid(program, tmp_path / f"{turn}.log"), program.pid)
        after = text_of(program.pid)
        assert all(after[place] == text for place, text in before.items())
        ends_well(program)


def test_a_main_thread_in_c_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter cannot be asked then, and what it was asked does nothing when it can."""
    need_gdb()
    monkeypatch.setattr(attach, "_PATIENCE", 2.0)
    new = [python for python in ATTACHABLE if _version(Path(python)) >= (3, 14)]
    if not new:
        pytest.skip("needs Python 3.14")
    with running(new[0], str(PROGRAMS / "running.py"), "deaf") as program:
        attachment = Attachment(program.pid)
        attachment.start(str(tmp_path / "out.log"), max_bytes=0, stacks=True, version="1")
        attachment.stop()
        assert attachment.how.startswith("gdb")
        ends_well(program)


def test_tracekit_dies(tmp_path: Path) -> None:
    """The recording ends, and is whole; the next one begins."""
    need_gdb()
    with running(ATTACHABLE[-1], str(PROGRAMS / "running.py")) as program:
        command = [sys.executable, "-m", "tracekit", "record", "--pid", str(program.pid), "-o", "dead.log"]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as recording:
            assert recording.stderr
            assert recording.stderr.readline().startswith(f"tracekit: recording {program.pid}, by ")
            recording.kill()
        raw = tmp_path / "dead.log.raw"
        while not _is_over(raw):
            time.sleep(0.01)
        assert not [fault for fault in tracekit.read(raw).summary if fault.severity != "info"]
        check_running(record_pid(program, tmp_path / "next.log"), program.pid)
        ends_well(program)


def _is_over(raw: Path) -> bool:
    """The field `stopped` of its header."""
    with raw.open("rb") as file:
        return int.from_bytes(file.read(108)[100:104], "little") == 1


def test_ctrl_c_ends_the_recording_and_not_the_program(tmp_path: Path) -> None:
    need_gdb()
    with running(ATTACHABLE[-1], str(PROGRAMS / "running.py")) as program:
        command = [sys.executable, "-m", "tracekit", "record", "--pid", str(program.pid)]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as recording:
            assert recording.stderr
            assert "Ctrl-C" in recording.stderr.readline()
            recording.send_signal(signal.SIGINT)
            assert f"{program.pid}.gil.log: " in recording.stderr.read()
            assert recording.wait(60) == 0
        good(tmp_path / f"{program.pid}.gil.log", cut=True)
        ends_well(program)


FORKING = """
import os, time
print("runs", flush=True)
while True:
    if not os.fork(): os._exit(0)
    os.wait(); time.sleep(0.02)
"""


@pytest.mark.slow
def test_what_the_program_forks_meanwhile_is_named(tmp_path: Path) -> None:
    need_gdb()
    with running(ATTACHABLE[-1], "-c", FORKING) as program:
        words = ("--pid", str(program.pid), "--duration", "0.5s", "-o", "out.log")
        done = tracekit_record(*words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    why = "forked child (the program ran already when its recording began)"
    told = done.stderr.splitlines()[-1]
    assert re.fullmatch(rf"tracekit: \d+ process(es were| was) not recorded: \d+ x {re.escape(why)}\.", told), told
    assert good(tmp_path / "out.log", cut=True).metadata["not-recorded"].endswith(why)
    assert [path.name for path in tmp_path.iterdir()] == ["out.log"]


def test_the_program_ends_meanwhile(tmp_path: Path) -> None:
    need_gdb()
    with running(ATTACHABLE[-1], str(PROGRAMS / "running.py")) as program:
        command = [sys.executable, "-m", "tracekit", "record", "--pid", str(program.pid), "-o", "out.log"]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as recording:
            assert recording.stderr
            recording.stderr.readline()
            told, _ = program.communicate(timeout=60)
            assert json.loads(told)["threads"] == ["MainThread"]
            assert program.returncode == 7
            assert recording.wait(60) == 0
        good(tmp_path / "out.log", cut=True)


def test_gdb_is_killed_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program never notices, and can be recorded afterwards."""
    need_gdb()
    python = next(python for python in ATTACHABLE if _version(Path(python)) < (3, 14))
    fatal = tmp_path / "gdb"
    fatal.write_text(f'#!/bin/sh\nexec timeout -s KILL "$LIFE" {shutil.which("gdb")} "$@"\n')
    fatal.chmod(0o755)
    chance = random.Random(1)
    path = os.environ["PATH"]
    with running(python, str(PROGRAMS / "running.py")) as program:
        for _ in range(8):
            monkeypatch.setenv("PATH", f"{tmp_path}:{path}")
            monkeypatch.setenv("LIFE", f"{chance.uniform(0.05, 0.7):.3f}")
            attachment = Attachment(program.pid)
            try:
                attachment.start(str(tmp_path / "killed.log"), max_bytes=0, stacks=True, version="1")
            except tracekit.RecordError:
                continue
            attachment.stop()
        monkeypatch.setenv("PATH", path)
        check_running(record_pid(program, tmp_path / "out.log"), program.pid)
        ends_well(program)


def refused(pid: int, *words: str) -> None:
    with pytest.raises(tracekit.RecordError) as error:
        Attachment(pid).start("/proc/nowhere", max_bytes=0, stacks=True, version="1")
    for word in words:
        assert word in str(error.value)


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_gdb()
    refused(2**30, "there is no such process")
    with subprocess.Popen(["sleep", "60"]) as other:
        refused(other.pid, "this is not Python (sleep 60)")
        other.kill()
    with running(ATTACHABLE[0], str(PROGRAMS / "running.py")) as program:
        refused(program.pid, "/proc/nowhere.raw: cannot be written")
        program.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
        refused(program.pid, "it is stopped", f"kill -CONT {program.pid}")
        program.send_signal(signal.SIGCONT)
        with monkeypatch.context() as patched:
            patched.setattr(os, "geteuid", lambda: 12345)
            refused(program.pid, "it belongs to the user root. Run tracekit as root" if not os.geteuid() else "belongs")
        with monkeypatch.context() as patched:
            patched.setenv("PATH", "/nowhere")
            refused(program.pid, "needs gdb, which is not here", "Install it")
        ends_well(program)
    with subprocess.Popen(["sleep", "0"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        refused(ended.pid, "the process has ended")


def test_what_the_system_forbids() -> None:
    """Without the capability, in another network, and beside another debugger."""
    need_gdb()
    if os.geteuid() or subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        pytest.skip("needs root that may have a network of its own")
    record = [sys.executable, "-m", "tracekit", "record", "--duration", "1s", "--pid"]

    def told(*command: str) -> str:
        done = subprocess.run(command, cwd="/proc", capture_output=True, text=True, timeout=120)
        return done.stdout + done.stderr

    with running(ATTACHABLE[0], str(PROGRAMS / "running.py")) as program:
        own = [*record, str(program.pid)]
        without = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
        assert "containers need the capability SYS_PTRACE" in told(*without, *own)
        within = ["gdb", "-nx", "-batch", "-ex", f"attach {program.pid}", "-ex", f"shell {' '.join(own)}"]
        assert "traces it already, and there can be only one" in told(*within)
        assert "it has a network of its own" in told("unshare", "--net", *own)
        ends_well(program)


def test_old_python_is_refused() -> None:
    need_gdb()
    old = [path for path in INTERPRETERS if path.parts[-3].startswith("2.7")]
    if not old:
        pytest.skip("needs Python 2.7")
    code = "import sys, time; sys.stdout.write('runs\\n'); sys.stdout.flush(); time.sleep(60)"
    with running(str(old[0]), "-c", code) as program:
        refused(program.pid, "it runs on Python 2", "Start it with tracekit record.")


HOLDS = """
import ctypes, threading
hold = ctypes.PyDLL(None).poll
print("runs", flush=True)
hold(None, 0, 6000)
print("and on", flush=True)
"""


def test_a_gil_held_for_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_gdb()
    monkeypatch.setattr(attach, "_PATIENCE", 2.0)
    with running(ATTACHABLE[0], "-c", HOLDS) as program:
        refused(program.pid, "has kept the GIL for 2 s, in a call into C that does not let go of it", "Try again")
        told, _ = program.communicate(timeout=60)
        assert told == "and on\n"
        assert program.returncode == 0


def test_words_that_do_not_fit(tmp_path: Path) -> None:
    def wrong(words: Sequence[str], told: str) -> None:
        done = tracekit_record(*words, folder=tmp_path)
        assert done.returncode == 2
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1

    wrong(["--pid", "1", "app.py"], "--pid records a program that runs already")
    wrong(["--duration", "3s", "app.py"], "--duration goes with --pid")
    wrong(["--pid", "1", "--duration", "soon"], "--duration: 'soon' is not a duration")
