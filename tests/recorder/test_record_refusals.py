"""What cannot be recorded gets one clear sentence, and does not run half-traced."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import INTERPRETERS, need_recorder, record, script
from tracekit import recorder

RUNS = "print('it ran')"


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def nothing_left(folder: Path) -> None:
    assert not list(folder.glob("out*"))


def test_no_such_program(tmp_path: Path) -> None:
    refused(record(tmp_path, "missing.py"), "missing.py: there is no such script")
    refused(record(tmp_path), "Name a script")
    refused(record(tmp_path, str(tmp_path)), "is a directory without __main__.py")
    refused(record(tmp_path, "--", "ls"), "is not a Python script")
    refused(record(tmp_path, "./no/such"), "there is no such script")
    nothing_left(tmp_path)


def test_no_such_place(tmp_path: Path) -> None:
    path = script(tmp_path, RUNS)
    refused(record(tmp_path, path, options=["-o", "no/such/out.log"]), "out.log.raw: cannot be written: No such file")
    refused(record(tmp_path, path, options=["-o", "/proc/out.log"]), "cannot be written")
    refused(record(tmp_path, path, options=["-o", "out.pftrace"]), "Perfetto")
    refused(record(tmp_path, path, options=["-o", path]), "-o names the program itself")
    for size in ("0", "many", "-1"):
        refused(record(tmp_path, path, options=["--max-size", size]), "is not a size")
    assert Path(path).read_text() == RUNS
    nothing_left(tmp_path)


def test_no_such_python(tmp_path: Path) -> None:
    path = script(tmp_path, RUNS)
    refused(record(tmp_path, path, options=["--python", "/no/such/python"]), "/no/such/python: cannot be started")
    refused(record(tmp_path, path, options=["--python", "/bin/true"]), "/bin/true: did not run Python")
    nothing_left(tmp_path)


def pretending(folder: Path, python: str, text: str) -> list[str]:
    """The options for an interpreter that runs this before the bootstrap."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(text)
    pretender = folder / "pretender"
    pretender.write_text(f'#!/bin/sh\nPYTHONPATH={folder}/site exec {python} "$@"\n')
    pretender.chmod(0o755)
    return ["--python", str(pretender)]


@pytest.mark.parametrize(
    ("pretence", "words"),
    [
        ("import sys, sysconfig; sysconfig.get_config_vars(); sys.abiflags = 't'", "free-threaded"),
        ("import sys; sys.implementation.name = 'pypy'", "it is not CPython"),
        ("import sys; sys.version_info = (3, 1, 5, 'final', 0)", "only 2.7, and 3.6 to 3.15"),
        ("import sys; sys.modules['ctypes'] = None", "no ctypes"),
    ],
)
def test_interpreters_that_cannot_be_recorded(pretence: str, words: str, tmp_path: Path) -> None:
    options = pretending(tmp_path, sys.executable, pretence)
    done = record(tmp_path, script(tmp_path, RUNS), options=options)
    refused(done, words, "The program was not run.")
    nothing_left(tmp_path)


def test_old_gil_with_threads_before_the_program(tmp_path: Path) -> None:
    old = [path for path in INTERPRETERS if path.parts[-3].startswith("2.7")]
    if not old:
        pytest.skip("needs Python 2.7")
    starts_a_thread = "import threading, time; threading.Thread(target=time.sleep, args=(1,)).start()"
    options = pretending(tmp_path, str(old[0]), starts_a_thread)
    done = record(tmp_path, script(tmp_path, RUNS), options=options)
    refused(done, "other threads run before the program does")
    nothing_left(tmp_path)


def compiled(folder: Path, name: str, source: str, *flags: str) -> Path:
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("needs a C compiler")
    (folder / f"{name}.c").write_text(source)
    built = subprocess.run([compiler, *flags, f"{name}.c", "-o", name], cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder / name


PRETENDER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
/* An interpreter, as far as the recorder can see. */
void *PyEval_SaveThread(void) { return 0; }
void PyEval_RestoreThread(void *state) { (void)state; }
typedef const char *start_function(const char *, const char *, uint64_t, uint64_t, int32_t, int32_t *);
int main(int count, char **words) {
    (void)count;
    void *library = dlopen(words[1], RTLD_NOW);
    start_function *start = library ? (start_function *)dlsym(library, "tk_record_start") : 0;
    int32_t no_file;
    if (!start) { puts(dlerror()); return 1; }
    LOCKS
    puts(start("out", "", 0, 0, 0, &no_file));
    return 0;
}
"""
LOCKS = """
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    struct timespec until = {0, 0};
    pthread_mutex_lock(&mutex);
    pthread_cond_timedwait(&condition, &mutex, &until);
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
"""


@pytest.mark.parametrize(
    ("locks", "words"), [("", "directly, not through slots"), (LOCKS, "is not a mutex and a condition")]
)
def test_builds_whose_lock_calls_cannot_be_followed(locks: str, words: str, tmp_path: Path) -> None:
    """Without slots, as where all is linked statically; and with a GIL of another make."""
    need_recorder()
    program = compiled(tmp_path, "pretender", PRETENDER.replace("LOCKS", locks), "-rdynamic", "-ldl", "-pthread")
    done = subprocess.run([program, recorder.LIBRARY], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert words in done.stdout, done
    nothing_left(tmp_path)


def test_full_disk(tmp_path: Path) -> None:
    """The program runs on, the trace has what there was room for, and says how much is missing."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(small)], capture_output=True).returncode:
        pytest.skip("cannot mount here")
    try:
        path = script(
            tmp_path,
            "import os\nr, w = os.pipe()\nfor _ in range(100000): os.write(w, b'x'); os.read(r, 1)\nprint('it ran')",
        )
        done = record(tmp_path, path, options=["-o", "small/out.log"])
        assert done.stdout == "it ran\n"
        assert done.returncode == 0  # the program's; there is no room for the text, and that is told
        assert "small/out.log: cannot be written: No space left on device" in done.stderr
        assert "out.log.raw, and tracekit reads it too" in done.stderr
        trace = tracekit.read(small / "out.log.raw")
        assert not trace.summary
        lost = int(trace.metadata["lost"])
        assert lost > 100000
        assert 600_000 < trace.events.num_rows + lost < 620_000
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_read_only_folder(tmp_path: Path) -> None:
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
    else:
        (tmp_path / "closed").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(tmp_path / "closed")], check=True)
    try:
        done = record(tmp_path, script(tmp_path, RUNS), options=["-o", "closed/out.log"])
        refused(done, "cannot be written", "The program was not run.")
    finally:
        if not os.geteuid():
            subprocess.run(["umount", str(tmp_path / "closed")], check=True)


def test_elsewhere_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(tracekit.RecordError, match="Recording needs Linux"):
        recorder.require_library()
    monkeypatch.undo()
    monkeypatch.setattr(recorder, "LIBRARY", Path("/no/such.so"))
    with pytest.raises(tracekit.RecordError, match="was not built"):
        recorder.require_library()


def test_two_into_one_trace(tmp_path: Path) -> None:
    """The second does not run; the first is whole."""
    need_recorder()
    begun, trace = tmp_path / "begun", tmp_path / "t.log"
    first = tmp_path / "first.py"
    first.write_text(f"import time\nopen({str(begun)!r}, 'w').close()\nwhile True:\n    time.sleep(0.01)\n")
    second = tmp_path / "second.py"
    second.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    command = [sys.executable, "-m", "tracekit", "record", "-o", str(trace)]
    with subprocess.Popen([*command, str(first)], stderr=subprocess.PIPE) as process:
        while not begun.exists():
            assert process.poll() is None
            time.sleep(0.01)
        done = subprocess.run([*command, str(second)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert done.stderr == (
            f"{trace}: another program is being recorded into it. Wait for its end, or name another file with -o.\n"
        )
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert not (tmp_path / "ran").exists()
    assert tracekit.analyze(trace).events
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun", "first.py", "second.py", "t.log"]


@pytest.mark.parametrize("code", [0, 7])
def test_the_program_removes_the_folder(code: int, tmp_path: Path) -> None:
    need_recorder()
    (tmp_path / "out").mkdir()
    program = tmp_path / "program.py"
    naps = 7000 if code else 10  # that are more events than there was room for already, or not
    program.write_text(
        f"import shutil, sys, time\nshutil.rmtree({str(tmp_path / 'out')!r})\n"
        f"for _ in range({naps}): time.sleep(0)\nsys.exit({code})\n"
    )
    trace = tmp_path / "out" / "t.log"
    command = [sys.executable, "-m", "tracekit", "record", "-o", str(trace), "--analyze", str(program)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert done.stderr.startswith(f"tracekit: {Path('out', 't.log')}: ")  # the shorter way, from where it was run
    found = tracekit.read(trace)
    assert found.events.num_rows > (16_000 if code else 30)
    because = "the file was removed while the program ran"
    assert (int(found.metadata["lost"]) > 0, found.metadata.get("lost-because")) == (
        (True, because) if code else (False, None)
    )
    assert (because in done.stderr) == (code == 7)
