"""Processes that a recorded program starts: each has a trace of its own, and sees nothing of that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import every_interpreter, good, record, script

TELL = """
import os, sys
names = [name for name in os.environ if name.startswith(("TRACEKIT", "PYTHON"))]
print([(name, os.environ[name]) for name in sorted(names)], sys.argv, sys.path, getattr(sys, "orig_argv", 0))
try:
    import sitecustomize
    print(getattr(sitecustomize, "WHOSE", None), sitecustomize.__file__)
except ImportError as error: print(error)
"""
STARTS = """
import os, subprocess, sys
child = [sys.executable, "tell.py", "a child"]
def show(told): print(told.decode()); sys.stdout.flush()
show(subprocess.check_output(child))
show(subprocess.check_output(child, close_fds=False, env=dict(os.environ, PYTHONPATH="x:")))
show(subprocess.check_output(child, preexec_fn=lambda: None, env=dict(os.environ, PYTHONPATH="")))
show(subprocess.check_output(["sh", "-c", sys.executable + " tell.py; exit 0"]))
print(os.system(sys.executable + " tell.py") >> 8, os.system("exit 3") >> 8)
sys.stdout.flush()
os.execv(sys.executable, child)
"""


@pytest.fixture(autouse=True)
def _no_variables_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that CI sets for the tests themselves are not the recorder's."""
    for name in [name for name in os.environ if name.startswith("TRACEKIT_")]:
        monkeypatch.delenv(name)


def run_twice(folder: Path, text: str, *options: str, python: str = sys.executable, env: dict[str, str] | None = None):
    """The program alone and recorded: it prints and returns the same. Returns the recorded run."""
    path = script(folder, text)
    alone = subprocess.run(
        [python, path], cwd=folder, capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})}
    )
    done = record(folder, path, options=["--python", python, *options], env=env)
    assert (done.returncode, done.stdout) == (alone.returncode, alone.stdout), done.stderr
    return done


def check_started(folder: Path, python: str) -> None:
    (folder / "tell.py").write_text(TELL)
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("WHOSE = 'the program\\'s own'\n")
    done = run_twice(folder, STARTS, python=python, env={"PYTHONPATH": str(site)})
    assert done.stdout.count("the program's own") == 4
    own = good(folder / "out.log")
    others = [good(path) for path in folder.glob("out.log.*")]
    assert own.metadata["processes"] == str(len(others) + 1) == "7"
    assert {trace.metadata["started-by"] for trace in others} == {own.metadata["pid"]}
    assert sum(trace.metadata["pid"] == own.metadata["pid"] for trace in others) == 1  # by exec
    assert sum("a child" in trace.metadata["command"] for trace in others) == 4
    assert done.stderr.splitlines()[-1].startswith("tracekit: out.log.PID: 6 other processes of the program")
    assert len(done.stderr.splitlines()) == 2


def test_started_programs_are_recorded_and_do_not_see_it(tmp_path: Path) -> None:
    check_started(tmp_path, sys.executable)


@pytest.mark.slow
@every_interpreter
def test_started_programs_on_every_interpreter(python: str, tmp_path: Path) -> None:
    check_started(tmp_path, python)


FLAGS = """
import subprocess, sys
for flag in %r:
    for what in (["-c", open("tell.py").read(), "a", "-c"], ["tell.py", "b"], ["-m", "tell", "c"]):
        done = subprocess.Popen([sys.executable, flag] + what, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        print([told.decode() for told in done.communicate()])
print(subprocess.Popen([sys.executable, "-Ec", "import sys; print(sys.argv); 1 / 0"], stderr=2).wait())
"""


def check_flags(folder: Path, python: str, *flags: str) -> None:
    (folder / "tell.py").write_text(TELL)
    run_twice(folder, FLAGS % (flags,), python=python)
    assert good(folder / "out.log").metadata["processes"] == str(3 * len(flags) + 2)


def test_started_pythons_that_ignore_their_environment(tmp_path: Path) -> None:
    check_flags(tmp_path, sys.executable, "-I", "-E", "-sS")


@pytest.mark.slow
@every_interpreter
def test_such_pythons_of_every_version(python: str, tmp_path: Path) -> None:
    check_flags(tmp_path, python, "-S" if "/2.7" in python else "-I")


POOLS = """
import multiprocessing, time
def work(number):
    time.sleep(0.001)
    return number * number
if __name__ == "__main__":
    for way in ("spawn", "forkserver"):
        with multiprocessing.get_context(way).Pool(2) as pool:
            print(pool.map(work, range(20)))
            pool.close(); pool.join()
"""


@pytest.mark.slow
def test_pools_of_spawned_processes(tmp_path: Path) -> None:
    run_twice(tmp_path, POOLS)
    commands = [good(path).metadata["command"] for path in tmp_path.glob("out.log.*")]
    assert sum("spawn_main" in command for command in commands) == 2
    assert sum("forkserver" in command for command in commands) == 3  # it, and the two that it forked


def test_how_much_is_followed(tmp_path: Path) -> None:
    text = """
import os, subprocess, sys, time
if not os.fork(): time.sleep(0.001); os._exit(0)
os.wait()
subprocess.check_call([sys.executable, "-c", "import time; time.sleep(0.001)"])
"""
    for how, files in (("all", 3), ("forks", 2), ("none", 1)):
        done = record(tmp_path, script(tmp_path, text), options=["-o", f"{how}.log", "--follow", how])
        assert done.returncode == 0, done.stderr
        assert len([good(path) for path in tmp_path.glob(f"{how}.log*")]) == files
    wrong = record(tmp_path, "program.py", options=["--follow", "some"])
    assert wrong.returncode == 2
    assert wrong.stderr == "--follow: there is no 'some'. There are all, forks, none.\n"


def test_what_is_not_recorded_is_named(tmp_path: Path) -> None:
    text = """
import os, subprocess, sys
environment = dict(os.environ, TRACEKIT_FOLLOW="")
for _ in range(2): subprocess.check_call([sys.executable, "-c", "pass"], env=environment)
subprocess.check_call([sys.executable, "-V"], env=environment, stdout=subprocess.DEVNULL)
subprocess.check_call(["true"])
os.system("A=1 exec %s -I -c pass | cat" % sys.executable)
subprocess.check_call("false && python3 -I -c pass; if true; then python3 -E -c pass; fi", shell=True)
"""
    done = record(tmp_path, script(tmp_path, text))
    name = Path(sys.executable).name
    missing = f"2 x {name} -c, 1 x {name} -I -c (started by a shell)"
    assert done.stderr.splitlines()[1:] == [f"tracekit: 3 processes were not recorded: {missing}."]
    assert tracekit.read(tmp_path / "out.log").metadata["not-recorded"] == missing


def test_a_recorder_that_breaks_stops_no_child(tmp_path: Path) -> None:
    """A folder in the trace's place, so that the child's recording cannot be opened."""
    text = """
import os, subprocess, sys
code = "import os; print([name for name in os.environ if 'TRACEKIT' in name])"
child = subprocess.Popen(["sh", "-c", 'mkdir -p out.log.$$.raw/x; exec "$0" "$@"', sys.executable, "-c", code])
child.wait()
"""
    done = record(tmp_path, script(tmp_path, text))
    assert done.stdout == "[]\n"
    assert done.returncode == 0


def test_a_program_that_records_programs_itself(tmp_path: Path) -> None:
    text = """
import subprocess, sys
subprocess.check_call([sys.executable, "-m", "tracekit", "record", "-o", "inner.log", "inner.py"])
"""
    (tmp_path / "inner.py").write_text("import os; print([name for name in os.environ if 'TRACEKIT' in name])")
    done = record(tmp_path, script(tmp_path, text))
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert "inner.py" in good(tmp_path / "inner.log").metadata["command"]
    (recording,) = [good(path) for path in tmp_path.glob("out.log.*")]
    assert "tracekit record" in recording.metadata["command"]
