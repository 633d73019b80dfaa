"""Children that a recorded program forks have traces of their own; programs of other kinds run as ever."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import every_interpreter, good, names, need_recorder, record, script
from tracekit.recorder import launch, recording

FORKS = """
import os, sys, threading, time
def nap():
    for _ in range(20): time.sleep(0.0005)
def child(number):
    thread = threading.Thread(target=nap, name="of a child"); thread.start(); thread.join()
    os._exit(7) if number == 0 else sys.exit(3)
thread = threading.Thread(target=nap); thread.start()
ends = []
for number in range(3):
    pid = os.fork()
    if not pid: child(number)
    ends.append((pid, os.waitpid(pid, 0)[1] >> 8))
thread.join()
print(ends)
"""


def check_forks(folder: Path, python: str) -> None:
    done = record(folder, script(folder, FORKS), options=["--python", python])
    assert done.returncode == 0, done.stderr
    ends = eval(done.stdout)
    assert [code for _, code in ends] == [7, 3, 3]
    assert {path.name for path in folder.glob("out.log*")} == {"out.log", *(f"out.log.{pid}" for pid, _ in ends)}
    own = good(folder / "out.log")
    for pid, _ in ends:
        trace = good(folder / f"out.log.{pid}")
        assert (trace.metadata["pid"], trace.metadata["forked-by"]) == (str(pid), own.metadata["pid"])
        threads = names(trace)
        assert threads["MainThread"] == str(pid)
        rows = {row["thread"]: row for row in trace.threads.to_pylist()}
        assert rows[threads["of a child"]]["blocking_releases"] >= 20


def test_forked_children_have_their_own_traces(tmp_path: Path) -> None:
    check_forks(tmp_path, sys.executable)


@pytest.mark.slow
@every_interpreter
def test_forked_children_on_every_interpreter(python: str, tmp_path: Path) -> None:
    check_forks(tmp_path, python)


IDLE = """
import os, time
def child(does):
    pid = os.fork()
    if not pid:
        does()
        os._exit(0)
    os.waitpid(pid, 0)
    return pid
def naps():
    for _ in range(3000): time.sleep(0)
for _ in range(20): child(lambda: None)
print(child(naps), child(lambda: child(naps)))
"""


def test_a_child_that_does_nothing_leaves_no_file(tmp_path: Path) -> None:
    """Unless it has forked one that does something, which names it."""
    done = record(tmp_path, script(tmp_path, IDLE))
    busy, between = done.stdout.split()
    traces = {path.name.rpartition(".")[2]: good(path) for path in tmp_path.glob("out.log.*")}
    first = tracekit.read(tmp_path / "out.log").metadata["pid"]
    assert {pid: trace.metadata["forked-by"] for pid, trace in traces.items() if pid in (busy, between)} == {
        busy: first,
        between: first,
    }
    (grandchild,) = traces.keys() - {busy, between}
    assert traces[grandchild].metadata["forked-by"] == between
    assert all(len(traces[pid].events) >= 9000 for pid in (busy, grandchild)), done.stderr


PREFORK = """
import os, signal, socket, sys, time
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(16)
def worker():
    while True:
        client, _ = server.accept()
        client.sendall(client.recv(10)); client.close()
workers = []
for _ in range(3):
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); worker()
    workers.append(pid)
for number in range(60):
    with socket.create_connection(server.getsockname()) as client:
        client.sendall(b"x"); assert client.recv(10) == b"x"
def end(pid):
    while True:  # Python sees a signal that comes right before a blocking call only after it
        os.kill(pid, signal.SIGTERM); time.sleep(0.01)
        ended = os.waitpid(pid, os.WNOHANG)
        if ended[0]: return ended
print([end(pid) for pid in workers])
"""


@pytest.mark.slow
def test_prefork_server(tmp_path: Path) -> None:
    done = record(tmp_path, script(tmp_path, PREFORK))
    assert done.returncode == 0, done.stderr
    workers = [pid for pid, status in eval(done.stdout)]
    replies = [good(tmp_path / f"out.log.{pid}") for pid in workers]
    assert sum(trace.threads["blocking_releases"].to_pylist()[0] for trace in replies) >= 60


POOL = """
import multiprocessing, os, time
def work(number):
    time.sleep(0.001)
    return number * number
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(work, range(20)))
        pool.close(); pool.join()
"""


def test_multiprocessing(tmp_path: Path) -> None:
    done = record(tmp_path, script(tmp_path, POOL))
    assert done.stdout == f"{[n * n for n in range(20)]}\n", done.stderr
    for path in tmp_path.glob("out.log*"):
        good(path)
    assert len(list(tmp_path.glob("out.log.*"))) == 2


def ended(pid: int) -> bool:
    try:
        return Path("/proc", str(pid), "stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def test_a_child_that_outlives_the_program(tmp_path: Path) -> None:
    text = """
import os, time
pid = os.fork()
if pid: print(pid)
else:
    os.close(1); os.close(2)
    while not os.path.exists("stop"): time.sleep(0.001)
"""
    (tmp_path / "out.log.1.raw").write_text("somebody else's")
    done = record(tmp_path, script(tmp_path, text))
    raw = tmp_path / f"out.log.{int(done.stdout)}.raw"
    assert f"{raw.name}: its process still runs" in done.stderr
    assert "out.log.1.raw" not in done.stderr
    assert tracekit.read(raw).metadata["pid"] == done.stdout.strip()
    (tmp_path / "stop").touch()
    deadline = time.monotonic() + 60
    while not ended(int(done.stdout)):
        assert time.monotonic() < deadline
    good(raw)


OTHERS = """
import os, subprocess, sys
print(subprocess.check_output([sys.executable, "-c", "import sys; print(sys.argv, len(os.environ) if 0 else 0)"]))
print(subprocess.check_output(["echo", "hi"], close_fds=False))
try: subprocess.Popen(["no such program"])
except OSError as error: print(error)
print(subprocess.Popen(["true"], preexec_fn=lambda: None).wait(), os.system("exit 3") >> 8)
import threading
thread = threading.Thread(target=sys.stdout.flush, name="after all these"); thread.start(); thread.join()
os.execv(sys.executable, [sys.executable, "-c", "print('another program'); raise SystemExit(9)"])
"""


def test_other_programs_run_as_ever(tmp_path: Path) -> None:
    path = script(tmp_path, OTHERS)
    alone = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60)
    done = record(tmp_path, path)
    assert (done.returncode, done.stdout) == (alone.returncode, alone.stdout) == (9, alone.stdout)
    assert "after all these" in names(good(tmp_path / "out.log"))


def test_traces_of_small_children_are_as_those_of_large_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_recorder()
    ways = [tmp_path / "small", tmp_path / "large"]
    ways[0].mkdir()
    forks = "import os, time\nfor _ in range(3):\n    if not os.fork(): time.sleep(0); os._exit(0)\n    os.wait()\n"
    program = launch.Program(sys.executable, script(tmp_path, forks))
    assert launch.run(program, str(ways[0] / "out.log"), max_bytes=0, version="1") == 0
    expected: list[tuple[str, int, int, int, int]] = []
    for path in (shutil.copytree(*ways) / "out.log", ways[0] / "out.log"):
        small = path.parent == ways[0]
        with monkeypatch.context() as patched:
            if small:
                patched.setattr(recording, "_convert", None)
            else:
                patched.setattr(recording, "_convert_small", lambda *_: None)
            written = recording.write_recordings(path).written
        counts = [(one.path.name, one.events, one.threads, one.duration, one.lost) for one in written]
        expected = counts if not small else expected
    assert counts == expected
    assert len(counts) == 4
    assert contents(ways[0]) == contents(ways[1])


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}
