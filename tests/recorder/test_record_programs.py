"""Programs as they are: what they print and return is untouched, and their traces are flawless."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import PROGRAMS, every_interpreter, good, names, record, script


@pytest.mark.parametrize(
    "text",
    [
        "import sys; sys.exit(41)",
        pytest.param("import sys; sys.exit('a sentence')", marks=pytest.mark.slow),
        pytest.param("import sys; sys.exit()", marks=pytest.mark.slow),
        "import os; os._exit(3)",
        "def f(): raise ValueError('no')\nf()",
        pytest.param("try: 1 / 0\nexcept ZeroDivisionError: raise KeyError(1)", marks=pytest.mark.slow),
        "import sys\ndef hook(*a): print('hooked', a[0]); sys.exit(8)\nsys.excepthook = hook\nraise OSError",
        "import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(9)",
        pytest.param("this is no Python", marks=pytest.mark.slow),
        "import threading, time\nX = 5\ndef f(): time.sleep(0.05); print(X, __name__, __file__)\n"
        "threading.Thread(target=f).start()",
        "import sys, os; print(sys.argv, sys.path, __name__, sorted(globals()), __spec__, __loader__, __builtins__)",
        "import sys; print(sys.orig_argv, sys.flags, os.listdir('/proc/self/fd') if 0 else 0)",
        "import os; print(sorted(os.listdir('/proc/self/fd')), os.environ)",
        pytest.param(
            "import atexit; atexit.register(print, 'at exit'); import sys; print('err', file=sys.stderr)",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "import pickle\nclass C: pass\nprint(pickle.loads(pickle.dumps(C())).__class__)", marks=pytest.mark.slow
        ),
        pytest.param("import sys; print(repr(sys.stdin.read()))", marks=pytest.mark.slow),
        "import threading\ndef f(): raise ValueError\nthreading.Thread(target=f, name='t').start()",
    ],
)
def test_as_if_started_directly(text: str, tmp_path: Path) -> None:
    path = script(tmp_path, text)
    command = [sys.executable, path, "-o", "--", "-m", "x y", ""]
    alone = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, input="in")
    done = subprocess.run(
        [sys.executable, "-m", "tracekit", "record", "-o", "out.log", *command[1:]],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, input="in",
    )  # fmt: skip
    assert without_addresses(done.stdout) == without_addresses(alone.stdout)
    assert done.returncode == alone.returncode
    *errors, last = done.stderr.splitlines()
    assert errors == alone.stderr.splitlines()
    assert last.startswith("tracekit: out.log: ")
    assert last.endswith("tracekit analyze out.log")
    good(tmp_path / "out.log")


def without_addresses(text: str) -> str:
    import re

    return re.sub(r"0x[0-9a-f]+", "0x", text)


@pytest.mark.slow
def test_modules_folders_and_console_scripts(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys; print(__name__, __package__, sys.argv, sys.path[0])")
    for words, name in ((["-m", "package"], "package"), (["package"], "package"), (["-mpackage.__main__"], None)):
        alone = subprocess.run(
            [sys.executable, *words, "-o", "x", "--analyze"], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        done = subprocess.run(
            [sys.executable, "-m", "tracekit", "record", *words, "-o", "x", "--analyze"],
            cwd=tmp_path, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.stdout == alone.stdout, done.stderr
        good(tmp_path / f"{name or 'package.__main__'}.gil.log")
    command = tmp_path / "command"
    command.write_text(f"#!{sys.executable}\nimport sys; print(sys.argv)\n")
    command.chmod(0o755)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = record(elsewhere, "--", "command", "-x", "tests", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.stdout == f"{[str(command), '-x', 'tests']}\n", done.stderr
    missing = record(tmp_path, "-m", "no_such_module")
    assert missing.returncode == 1
    assert "No module named no_such_module" in missing.stderr


def test_names_of_threads(tmp_path: Path) -> None:
    text = """
import ctypes, threading, time, _thread
def f(): threading.current_thread().name = "renamed by itself"
def g(): time.sleep(0.05)
def h(): ctypes.CDLL(None).prctl(15, b"known to kernel", 0, 0, 0)
a = threading.Thread(target=f, name="first"); a.start(); a.join()
b = threading.Thread(target=g); b.start(); b.name = "renamed\\nby another"; b.join()
_thread.start_new_thread(h, ()); time.sleep(0.05)
c = threading.Thread(target=g, name="caf\\u00e9 \\U0001f40d = # " + "x" * 200); c.start(); c.join()
class Named(threading.Thread):
    def __init__(self): super().__init__(); self.name = "in its constructor"
    def run(self): pass
d = Named(); d.start(); d.join()
threading.Thread(name="a greenlet, to gevent")._set_ident()
"""
    done = record(tmp_path, script(tmp_path, text))
    assert done.returncode == 0, done.stderr
    found = names(good(tmp_path / "out.log"))
    assert set(found) >= {
        "MainThread",
        "renamed by itself",
        "renamed by another",
        "known to kernel",
        "in its constructor",
    }
    assert "a greenlet, to gevent" not in found
    (long,) = [name for name in found if name.startswith("caf\u00e9 \U0001f40d = # xxx")]
    assert len(long.encode()) == 104
    earlier = {row["name"]: row["earlier_names"] for row in good(tmp_path / "out.log").threads.to_pylist()}
    assert earlier["renamed by itself"] == "first"
    assert earlier["known to kernel"] is earlier["MainThread"] is None


REQUESTS = """
import ctypes, threading, time
def serve():
    for number in range(50):
        threading.current_thread().name = "request %d" % number
        time.sleep(0)
thread = threading.Thread(target=serve, name="worker"); thread.start(); thread.join()
libc = ctypes.CDLL(None)
def run(stays):
    libc.prctl(15, b"of a C pool", 0, 0, 0)
    named.set()
    if stays: time.sleep(1000)
body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(run)
for stays in (0, 1):
    named = threading.Event()
    libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, body, stays)
    named.wait()
"""


@pytest.mark.slow
@every_interpreter
def test_every_rename_stands_at_its_time(python: str, tmp_path: Path) -> None:
    """And threads that C code has made have the system's names, those that never end too."""
    done = record(tmp_path, script(tmp_path, REQUESTS), options=["--python", python])
    assert done.returncode == 0, done.stderr
    found = good(tmp_path / "out.log").threads.to_pylist()
    (worker,) = [row for row in found if row["name"] == "request 49"]
    assert worker["earlier_names"] == " -> ".join(["worker", *(f"request {number}" for number in range(49))])
    assert [row["earlier_names"] for row in found if row["name"] == "of a C pool"] == [None, None]
    lines = (tmp_path / "out.log").read_text().splitlines()
    renames = [place for place, line in enumerate(lines) if line.startswith(f"# thread: {worker['thread']} = request")]
    between = [lines[start + 1 : end] for start, end in itertools.pairwise(renames)]
    assert len(renames) == 50
    assert all(any(line.startswith(f"{worker['thread']} ") for line in part) for part in between)


@pytest.mark.slow
def test_thousands_of_short_threads(tmp_path: Path) -> None:
    text = """
import os, threading
for number in range(9000):
    thread = threading.Thread(target=os.getpid, name="t%d" % number); thread.start(); thread.join()
"""
    done = record(tmp_path, script(tmp_path, text))
    assert done.returncode == 0, done.stderr
    trace = good(tmp_path / "out.log")
    assert len(trace.threads) == 9001
    assert len(names(trace)) == 9001


def test_daemon_threads_at_exit(tmp_path: Path) -> None:
    text = """
import threading, time
def f():
    while True: time.sleep(0.0002); sum(range(50))
for _ in range(16): threading.Thread(target=f, daemon=True).start()
time.sleep(0.1)
"""
    for _ in range(2):
        done = record(tmp_path, script(tmp_path, text))
        assert done.returncode == 0, done.stderr
        good(tmp_path / "out.log")


@pytest.mark.slow
def test_executors_ssl_numpy_and_a_changing_switch_interval(tmp_path: Path) -> None:
    text = """
import asyncio, concurrent.futures, hashlib, ssl, sys, time
import numpy
def work(_):
    numpy.linalg.inv(numpy.random.rand(60, 60)); hashlib.sha256(bytes(10**6)).digest(); time.sleep(0.001)
async def main():
    loop = asyncio.get_running_loop()
    with concurrent.futures.ThreadPoolExecutor(4, thread_name_prefix="pool") as pool:
        for interval in (0.005, 0.00001, 0.1):
            sys.setswitchinterval(interval)
            await asyncio.gather(*(loop.run_in_executor(pool, work, n) for n in range(40)))
        ssl.create_default_context()
asyncio.run(main())
"""
    done = record(tmp_path, script(tmp_path, text))
    assert done.returncode == 0, done.stderr
    trace = good(tmp_path / "out.log")
    assert {"pool_0", "pool_3"} <= set(names(trace))


def test_subinterpreters_with_their_own_gil_are_left_alone(tmp_path: Path) -> None:
    from tests.recorder.recorded import INTERPRETERS

    own_gil = [path for path in INTERPRETERS if any(part.startswith(("3.12", "3.13")) for part in path.parts)]
    if not own_gil:
        pytest.skip("needs Python 3.12 or newer")
    text = """
import threading, time
try:
    import _interpreters as interpreters
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string
other = interpreters.create()
def naps(): run(other, "import time\\nfor _ in range(500): time.sleep(0.0001)")
thread = threading.Thread(target=naps, name="in another interpreter"); thread.start()
for _ in range(50): time.sleep(0.001)
thread.join()
"""
    for python in own_gil:
        done = record(tmp_path, script(tmp_path, text), options=["--python", str(python)])
        assert done.returncode == 0, done.stderr
        trace = good(tmp_path / "out.log")
        rows = {row["name"]: row for row in trace.threads.to_pylist()}
        assert rows["MainThread"]["blocking_releases"] >= 50
        assert rows["in another interpreter"]["blocking_releases"] < 200  # its 500 naps are not the main one's


KILLED = """
import os, signal, sys, threading, time
reader, writer = os.pipe()
def loop():
    while True: os.write(writer, b"x"); os.read(reader, 1)
threading.Thread(target=loop, name="loop", daemon=True).start()
time.sleep(0.2)
print("now", flush=True)
"""


@pytest.mark.parametrize(
    "end",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        pytest.param("os.abort()", marks=pytest.mark.slow),
        pytest.param("os._exit(4)", marks=pytest.mark.slow),
    ],
)
def test_nothing_is_lost_when_it_dies(end: str, tmp_path: Path) -> None:
    done = record(tmp_path, script(tmp_path, KILLED + end))
    assert done.stdout == "now\n"
    assert done.returncode == {"os.k": -signal.SIGKILL, "os.a": -signal.SIGABRT}.get(end[:4], 4)
    trace = good(tmp_path / "out.log")
    rows = {row["name"]: row for row in trace.threads.to_pylist()}
    assert rows["loop"]["blocking_releases"] > 1000


def test_signals_reach_the_program(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(33))\n"
        "print('ready', flush=True)\ntime.sleep(60)",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "tracekit", "record", "-o", "out.log", path],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 33, errors
    good(tmp_path / "out.log")


def test_the_recording_outlives_the_recorder(tmp_path: Path) -> None:
    """Where `tracekit record` itself is killed, the raw recording stays, and can be read."""
    path = script(tmp_path, "import time\nprint('ready', flush=True)\nfor _ in range(100): time.sleep(0.005)")
    process = subprocess.Popen(
        [sys.executable, "-m", "tracekit", "record", "-o", "out.log", path],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.kill()
    while process.stdout.read():  # until the program, which has the other end, has ended too
        pass
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "out.log").exists()
    trace = good(tmp_path / "out.log.raw")
    assert trace.threads["blocking_releases"][0].as_py() >= 100


@pytest.mark.slow
def test_ring(tmp_path: Path) -> None:
    path = script(tmp_path, "import os\nr, w = os.pipe()\nfor _ in range(200000): os.write(w, b'x'); os.read(r, 1)")
    whole, ring = record(tmp_path, path), record(tmp_path, path, options=["--max-size", "4M", "-o", "ring.log"])
    assert whole.returncode == ring.returncode == 0, ring.stderr
    every, newest = good(tmp_path / "out.log"), good(tmp_path / "ring.log", cut=True)
    kept = newest.events.num_rows
    assert 3 * 2**20 / 16 - 100 < kept <= 4 * 2**20 / 16
    overwritten = int(newest.metadata["overwritten"])
    assert abs(overwritten + kept - every.events.num_rows) < 1000
    assert newest.events["checks"][0].as_py() <= newest.events["checks"][-1].as_py()


@pytest.mark.parametrize("name", ["out.log.zst", "out.parquet", "out.arrow", "out.trace-of-mine"])
def test_formats_by_the_endings(name: str, tmp_path: Path) -> None:
    path = script(tmp_path, "print('said')")
    done = record(tmp_path, path, options=["-o", name, "--report", "page.html"])
    assert (done.returncode, done.stdout) == (0, "said\n")
    assert f"tracekit analyze {name}" in done.stderr
    good(tmp_path / name)
    assert "</html>" in (tmp_path / "page.html").read_text()
    assert {found.name for found in tmp_path.iterdir()} == {"program.py", name, "page.html"}


def test_gzip_and_analyze(tmp_path: Path) -> None:
    path = script(tmp_path, "print('printed')")
    done = record(tmp_path, path, options=["-o", "out.log.gz", "--analyze"])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.log.gz").read_bytes()[:2] == b"\x1f\x8b"
    good(tmp_path / "out.log.gz")
    assert done.stdout.startswith("printed\n")
    assert "MainThread" in done.stdout


@pytest.mark.slow
@every_interpreter
def test_it_dies_on_every_interpreter(python: str, tmp_path: Path) -> None:
    text = KILLED.replace('"now", flush=True', '"now"').replace(", daemon=True).start()", ")") + (
        "\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    text = text.replace(
        'threading.Thread(target=loop, name="loop")',
        'thread = threading.Thread(target=loop, name="loop"); thread.daemon = True; thread.start()',
    )
    done = record(tmp_path, script(tmp_path, text), options=["--python", python])
    assert done.returncode == -signal.SIGKILL, done.stderr
    trace = good(tmp_path / "out.log")
    assert {row["name"]: row for row in trace.threads.to_pylist()}["loop"]["blocking_releases"] > 1000


@pytest.mark.slow
def test_under_load(tmp_path: Path) -> None:
    """More busy processes than cores, and runs beside each other."""
    load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        for _ in range(5):
            done = record(tmp_path, str(PROGRAMS / "crowd.py"))
            assert done.returncode == 0, done.stderr
            good(tmp_path / "out.log")
    finally:
        for process in load:
            process.kill()
            process.wait()


def test_reading_while_it_is_recorded(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        "import os, sys\nr, w = os.pipe()\nprint('ready', flush=True)\n"
        "import select\nwhile not select.select([0], [], [], 0)[0]: os.write(w, b'x'); os.read(r, 1)",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "tracekit", "record", "-o", "out.log", path],
        cwd=tmp_path, stdout=subprocess.PIPE, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 60
    sizes: list[int] = []
    while len(sizes) < 3 or sizes[-1] == sizes[0]:
        assert time.monotonic() < deadline
        trace = tracekit.read(tmp_path / "out.log.raw")
        assert not [found for found in trace.summary if found.severity == "error"]
        sizes.append(trace.events.num_rows)
    process.communicate("stop", timeout=60)
    good(tmp_path / "out.log")
