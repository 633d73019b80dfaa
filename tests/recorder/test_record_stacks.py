"""Which line kept the GIL, which waited for it: programs that know are right."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recorder.lines import Recorded, recorded
from tests.recorder.recorded import PROGRAMS, every_interpreter, need_recorder, script
from tracekit.recorder import BOOTSTRAP, launch, require_library

GUILTY = PROGRAMS / "guilty.py"
MARKED = {number for number, line in enumerate(GUILTY.read_text().splitlines(), 1) if line.endswith("# guilty")}
NAMES = re.findall(r"^def (\w+)\(", GUILTY.read_text(), re.MULTILINE)
QUICK = ("from_json", "loop")


def run(folder: Path, python: str, program: str | Path, *arguments: str, stacks: bool = True) -> Recorded:
    need_recorder()
    base = folder / "out"
    to_run = launch.Program(python, str(program), arguments)
    assert launch.run(to_run, str(base), max_bytes=0, stacks=stacks, version="1") == 0
    return recorded(folder / "out.raw")


def thread_named(found: Recorded, name: str) -> str:
    return next(thread for thread, its in found.stream.names.items() if its == name)


def share_of_marked_lines(found: Recorded, ran: bool) -> tuple[float, float, str]:
    """Of what the victim waited for the main thread where its line is known, by the innermost frame of the program; the
    share that is known; and what else there is. ran: the first of them in holds that were not preempted."""
    threads = thread_named(found, "victim"), thread_named(found, "MainThread")
    whole, waited = found.waited_for(*threads), found.waited_for(*threads, ran)
    right, wrong = 0, {}
    for stack, time in waited.items():
        own = [(function, line) for function, file, line in found.frames(stack) if file == str(GUILTY)]
        if own and own[0][1] in MARKED:
            right += time
        elif stack:
            wrong[own[0] if own else stack] = time
    known = right + sum(wrong.values())
    if known < 5_000_000:
        pytest.skip("next to nothing was waited for")
    of_whole = 1 - whole[None] / sum(whole.values())
    return right / known, of_whole, f"{wrong} of {known}, {of_whole:.0%} known"


def check_guilty(folder: Path, python: str, name: str, seconds: str, least: float) -> None:
    found = run(folder, python, GUILTY, name, seconds)
    assert found.stream.metadata["stacks"] == "on"
    share, known, others = share_of_marked_lines(found, ran=name != "c_call")  # which sleeps with the GIL
    assert share >= least, others
    assert known >= least - 0.2, others  # short holds that come and go while the victim wakes up are seen by nobody
    victim = thread_named(found, "victim")
    own = [found.frames(stack)[0][2] for thread, _, _, stack in found.waits if thread == victim and stack]
    assert own
    sleeping = next(
        number for number, line in enumerate(GUILTY.read_text().splitlines(), 1) if "time.sleep(0.0007)" in line
    )
    assert own.count(sleeping) >= 0.9 * len(own)


@pytest.mark.slow
@every_interpreter
def test_the_guilty_line(python: str, tmp_path: Path) -> None:
    for name in QUICK:
        check_guilty(tmp_path, python, name, "0.4", 0.7)  # other processes may be about


@pytest.mark.soak
@every_interpreter
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("victim", "called", "produced")])
def test_every_guilty_line(python: str, name: str, tmp_path: Path) -> None:
    check_guilty(tmp_path, python, name, "1.5", 0.95)


def test_without_stacks(tmp_path: Path) -> None:
    found = run(tmp_path, sys.executable, GUILTY, "loop", "0.1", stacks=False)
    assert found.stream.metadata["stacks"] == "off"
    assert not found.stream.definitions
    assert not any(row.get("stack") or row.get("sample") for row in found.rows)


CHURN = """
import ctypes, gc, json, sys, threading, time
over = []
def victim():
    while not over: time.sleep(0.0002)
threading.Thread(target=victim, name="victim").start()
library, names = ctypes.PyDLL(None), []
for number in range(300):
    space = {"call": library.usleep}
    name = "made_%d" % number
    exec("def %s():\\n%s    call(1500)\\n%s()" % (name, "\\n" * (number % 50), name), space)
    space.clear()
    gc.collect()
over.append(1)
"""


@pytest.mark.slow
@every_interpreter
def test_code_that_lies_where_other_code_was(python: str, tmp_path: Path) -> None:
    """Each function is gone before the next one is made, which often lies at its address."""
    found = run(tmp_path, python, script(tmp_path, CHURN))
    waited = found.waited_for(thread_named(found, "victim"), thread_named(found, "MainThread"))
    made = [frames[0] for stack in waited if (frames := found.frames(stack)) and frames[0][0].startswith("made_")]
    assert len({function for function, _, _ in made}) > 50
    assert all(line == int(function[5:]) % 50 + 2 for function, _, line in made)


FORKS = """
import ctypes, os, threading, time
library = ctypes.PyDLL(None)
def burn(): library.usleep(20000)
def of_the_child(): burn()
def of_the_parent(): burn()
def contended(work):
    over = []
    def victim():
        while not over: time.sleep(0.0002)
    thread = threading.Thread(target=victim, name="victim")
    thread.start()
    for _ in range(10): work()
    over.append(1)
    thread.join()
contended(of_the_parent)
child = os.fork()
if not child:
    contended(of_the_child)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.slow
@every_interpreter
def test_a_forked_child_has_stacks_of_its_own(python: str, tmp_path: Path) -> None:
    parent = run(tmp_path, python, script(tmp_path, FORKS))
    child = recorded(next(path for path in tmp_path.glob("out.*.raw")))
    for found, caller in ((parent, "of_the_parent"), (child, "of_the_child")):
        waited = found.waited_for(thread_named(found, "victim"))
        stack, _ = waited.most_common(1)[0]
        assert [function for function, _, _ in found.frames(stack)[:2]] == ["burn", caller]


DEEP = """
import sys, threading, time
over = []
def victim():
    while not over: time.sleep(0.0002)
threading.Thread(target=victim, name="victim").start()
def down(depth):
    if depth: return down(depth - 1)
    end = time.time() + 0.2
    while time.time() < end: pass
down(500)
over.append(1)
"""


@pytest.mark.slow
@every_interpreter
def test_of_a_deep_stack_the_outermost_frames_are_cut(python: str, tmp_path: Path) -> None:
    found = run(tmp_path, python, script(tmp_path, DEEP))
    waited = found.waited_for(thread_named(found, "victim"), thread_named(found, "MainThread"))
    stack, time = waited.most_common(1)[0]
    assert time > 50_000_000
    frames = found.frames(stack)
    assert len(frames) == 128
    assert {function for function, _, _ in frames} == {"down"}
    assert int(found.stream.metadata["stacks-cut"]) > 0


GENERATORS = """
import ctypes, sys, threading, time
over = []
def victim():
    while not over: time.sleep(0.0002)
threading.Thread(target=victim, name="victim").start()
library = ctypes.PyDLL(None)
callback = ctypes.PYFUNCTYPE(None)(lambda: library.usleep(3000))
def produced():
    while True:
        library.usleep(3000)
        yield
if sys.version_info[0] == 3:
    import asyncio
    exec("async def inner(): library.usleep(3000)\\nasync def outer(): await inner()")
else:
    sys.setcheckinterval(10)  # else one wait lasts for many calls
numbers = produced()
for _ in range(20):
    next(numbers)
    callback()
    if sys.version_info[0] == 3:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(outer())
        loop.close()
over.append(1)
"""


@every_interpreter
def test_generators_coroutines_and_callbacks(python: str, tmp_path: Path) -> None:
    """A coroutine's stack has those that await it; a callback's has who called the C code."""
    found = run(tmp_path, python, script(tmp_path, GENERATORS))
    waited = found.waited_for(thread_named(found, "victim"), thread_named(found, "MainThread"))
    stacks = [
        [function for function, _, _ in found.frames(stack)] for stack, time in waited.items() if time > 5_000_000
    ]
    assert ["produced", "<module>"] in stacks
    assert ["<lambda>", "<module>"] in stacks
    if found.stream.metadata["python"] >= "3":
        assert any(stack[:2] == ["inner", "outer"] and stack[-1] == "<module>" for stack in stacks)


INSIDE = """
import threading, time
from _testcapi import run_in_subinterp
over = []
def victim():
    while not over: time.sleep(0.0002)
threading.Thread(target=victim, name="victim").start()
inside = '''
import time
def inside():
    end = time.time() + 0.03
    while time.time() < end: pass
inside()
'''
def calls(): run_in_subinterp(inside)
for _ in range(8): calls()
over.append(1)
"""


@pytest.mark.slow
@every_interpreter
def test_sub_interpreters_that_share_the_gil(python: str, tmp_path: Path) -> None:
    if subprocess.run([python, "-c", "import _testcapi"], capture_output=True).returncode or "2.7" in python:
        pytest.skip("it has nothing to start one with")
    found = run(tmp_path, python, script(tmp_path, INSIDE))
    waited = found.waited_for(thread_named(found, "victim"))
    ((stack, time),) = waited.most_common(1)
    assert time > 50_000_000
    version = [int(part) for part in found.stream.metadata["python"].split(".")[:2]]
    assert found.frames(stack)[0][0] == ("inside" if version >= [3, 12] else "calls")


FILTER = """
import ctypes, os, struct, sys
numbers = {"x86_64": (0xC000003E, 310), "aarch64": (0xC00000B7, 270)}
arch, readv = numbers[os.uname()[4]]
answer = {"forbids": 0x00050001, "kills": 0x80000000}[sys.argv[1]]
def step(code, value, yes=0, no=0): return struct.pack("HBBI", code, yes, no, value)
program = b"".join([
    step(0x20, 4), step(0x15, arch, 0, 3), step(0x20, 0), step(0x15, readv, 2, 0), step(0x15, readv + 1, 1, 0),
    step(0x06, 0x7FFF0000), step(0x06, answer),
])
buffer = ctypes.create_string_buffer(program)
filter = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, filter, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize("answer", ["forbids", "kills"])
@every_interpreter
def test_where_other_threads_cannot_be_read(python: str, answer: str, tmp_path: Path) -> None:
    """A seccomp filter is there before the program: its holds have the stack at their end, their waits have theirs."""
    need_recorder()
    bootstrap = [str(BOOTSTRAP), require_library(), str(tmp_path / "out"), "2", "0", "1", "all", "1", "script"]
    command = [python, *bootstrap, str(GUILTY), "from_json", "0.4"]
    done = subprocess.run(
        [sys.executable, script(tmp_path, FILTER), answer, *command], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found = recorded(tmp_path / "out.raw")
    assert found.stream.metadata["stacks"] == "own: the system forbids process_vm_writev"
    assert not any(row.get("sample") for row in found.rows)
    waited = found.waited_for(thread_named(found, "victim"), thread_named(found, "MainThread"))
    known = sum(time for stack, time in waited.items() if stack)
    assert known > 0.9 * sum(waited.values())
    victim = thread_named(found, "victim")
    assert any(
        found.frames(stack)[0][0] == "victim" for thread, _, _, stack in found.waits if thread == victim and stack
    )


@pytest.mark.soak
@every_interpreter
def test_nothing_crashes(python: str, tmp_path: Path) -> None:
    """Code churn, generators, recursion, callbacks, forks, imports, 200 threads, an end at any moment."""
    for seed in range(3):
        found = run(tmp_path, python, PROGRAMS / "stress.py", "4", str(seed))
        assert found.stream.metadata["stacks"] == "on"
        assert any(row.get("sample") for row in found.rows)
