"""`tracekit.region`: what it tells is held against what the threads themselves measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import tracekit
from tests.conftest import ROOT
from tests.recorder.recorded import names
from tests.recorder.test_record_here import run

SPIN = """
import asyncio, json, os, sys, threading, time, tracekit
def spin(seconds):
    end = time.thread_time_ns() + seconds * 1e9
    while time.thread_time_ns() < end: pass
def told(region):
    return [region.name, region.wall_ns, region.held_ns, region.waited_ns, region.off_ns, sum(region.causes.values())]
def show(*regions): print(json.dumps([told(region) for region in regions]))
"""


def regions(out: str) -> dict[str, list[int]]:
    return {name: figures for line in out.splitlines() for name, *figures in json.loads(line)}


def test_nested_and_in_threads(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        SPIN
        + """
stop = False
def disturb():
    while not stop: pass
with tracekit.region("outer") as outer:
    spin(0.01)
    assert 10**7 <= outer.held_ns <= outer.wall_ns
    time.sleep(0.02)
    with tracekit.region("inner") as inner: spin(0.005)
show(outer, inner)
rival = threading.Thread(target=disturb); rival.start()
@tracekit.region("waits")
def nap(): time.sleep(0.001)
with tracekit.region("contended") as contended:
    for _ in range(5): nap()
stop = True
rival.join()
show(contended)
""",
    )
    told = regions(out)
    for wall, held, waited, off, causes in told.values():
        assert abs(wall - held - waited - off) <= 2
        assert abs(causes - waited) <= 5
    wall, held, waited, off, _ = told["outer"]
    assert held >= 15 * 10**6
    assert off >= 20 * 10**6
    inner_wall, inner_held, *_ = told["inner"]
    assert 5 * 10**6 <= inner_held <= held - 10**7
    assert inner_wall <= wall - 30 * 10**6
    assert told["contended"][2] > 5 * 10**6  # a switch interval each, or most of one
    assert told["contended"][3] >= 5 * 10**6


TASKS = """
async def work(name, seconds, turns):
    with tracekit.region(name) as region:
        for _ in range(turns):
            spin(seconds)
            await asyncio.sleep(0)
        with tracekit.region(name + " sleeps") as sleeps:
            await asyncio.sleep(0.02)
            spin(seconds)
    return region, sleeps
@tracekit.region("decorated")
async def decorated():
    await asyncio.sleep(0.005)
    return "result"
async def cancelled():
    with tracekit.region("cancelled") as region:
        try: await asyncio.sleep(9)
        except asyncio.CancelledError: spin(0.01)
    return region
async def main():
    before = tracekit.counters()[-1]["held_ns"]
    with tracekit.region("whole task") as whole:
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0.01)
        task.cancel()
        pairs = await asyncio.gather(work("one", 0.002, 5), work("two", 0.004, 5), work("three", 0.001, 20))
        assert await decorated() == "result"
        show(*(region for pair in pairs for region in pair), await task)
    show(whole)
    print(json.dumps([["thread", tracekit.counters()[-1]["held_ns"] - before]]))
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_interleaved_tasks_of_one_thread(tmp_path: Path, loop: str) -> None:
    """Each has at least the CPU time that it used itself, and all together no more than their thread held."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    out = run(tmp_path, f"{SPIN}{TASKS}\nimport {loop}\ntracekit.count()\n{loop}.run(main())")
    told = regions(out)
    (thread,) = told.pop("thread")
    parts = {"one": 12, "two": 24, "three": 21, "cancelled": 10, "one sleeps": 2, "two sleeps": 4, "three sleeps": 1}
    for name, ms in parts.items():
        assert told[name][1] >= ms * 10**6, name
    assert sum(told[name][1] for name in ("one", "two", "three", "cancelled", "whole task")) <= thread
    assert told["one"][3] >= 20 * 10**6
    assert told["whole task"][0] >= 77 * 10**6 + 10**7
    assert told["whole task"][1] < 67 * 10**6  # what its children held is theirs


def test_what_is_left_open_and_what_is_not_nested(tmp_path: Path) -> None:
    run(
        tmp_path,
        SPIN
        + """
import gc, warnings
def leave(): left.append(tracekit.region("left").__enter__())
left = []
for _ in range(3):
    thread = threading.Thread(target=leave); thread.start(); thread.join()
time.sleep(0.01)
for region in left: region.__exit__()
assert all(region.wall_ns >= 10**7 > region.held_ns for region in left), list(map(told, left))
for _ in range(3000):
    tracekit.region("dropped").__enter__()
async def never():
    tracekit.region("in a task").__enter__()
async def keeps(): left.append(tracekit.region("kept").__enter__())
async def both():
    await asyncio.gather(never(), keeps())
    asyncio.get_running_loop().call_soon(callback)
    await asyncio.sleep(0)
def callback():
    with tracekit.region("callback") as region: spin(0.001)
    left.append(region)
asyncio.run(both())
assert left[-1].held_ns >= 10**6
left[-2].__exit__()
assert left[-2].held_ns is not None
one, two = tracekit.region("one").__enter__(), tracekit.region("two").__enter__()
one.__exit__(); two.__exit__()
assert one.wall_ns > 0 and one.held_ns is None and two.off_ns is None and one.causes == {}
with tracekit.region("again") as again: pass
with again: spin(0.001)
assert again.held_ns >= 10**6
with tracekit.region("forks") as forks:
    pid = os.fork()
    if pid == 0:
        assert forks.held_ns is None
        with tracekit.region("child") as child: spin(0.001)
        forks.__exit__()
        os._exit(0 if forks.wall_ns is None and 10**6 <= child.held_ns <= child.wall_ns else 1)
    assert os.waitpid(pid, 0)[1] == 0
assert forks.held_ns is not None
""",
    )


def test_where_nothing_can_be_recorded(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
import warnings, pathlib, tracekit, tracekit.recorder
tracekit.recorder.LIBRARY = pathlib.Path("not/there.so")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        with tracekit.region("one") as region: pass
assert len(caught) == 1
assert (region.wall_ns, region.held_ns, region.waited_ns, region.off_ns, region.causes) == (None, None, None, None, {})
""",
    )


def test_recorded(tmp_path: Path) -> None:
    """Rows of a thread have the region that it is in; a hold that has several, the one that lasted longest."""
    run(
        tmp_path,
        SPIN
        + """
def requests():
    for number in range(3):
        with tracekit.region("GET /things"):
            for _ in range(4): time.sleep(0.001)
    for _ in range(5): time.sleep(0.001)
stop = False
def disturb():
    while not stop: pass
async def job(seconds):
    with tracekit.region(f"job {seconds}"):
        for _ in range(3):
            spin(seconds)
            await asyncio.sleep(0.002)
async def jobs(): await asyncio.gather(job(0.001), job(0.003))
with tracekit.record("out.log"):
    rival = threading.Thread(target=disturb, name="rival"); rival.start()
    server = threading.Thread(target=requests, name="server"); server.start(); server.join()
    stop = True
    rival.join()
    still = tracekit.region("still open").__enter__()
    asyncio.run(jobs())
    time.sleep(0.001)
still.__exit__()
""",
    )
    trace = tracekit.read(tmp_path / "out.log")
    server = names(trace)["server"]
    known = {row["region"]: row["name"] for row in trace.regions.to_pylist()}
    assert sorted(known.values()) == ["GET /things"] * 3 + ["job 0.001", "job 0.003", "still open"]
    rows = [row for row in trace.events.to_pylist() if row["region"] is not None]
    assert {row["event"] for row in rows} == {"ENTRY", "RELEASE"}
    things = {number for number, name in known.items() if name == "GET /things"}
    assert {row["region"] for row in rows if row["thread"] == server} == things
    for number in things:
        own = [row["event"] for row in rows if row["region"] == number]
        assert own.count("ENTRY") == 4
        assert 4 <= own.count("RELEASE") <= 5
    assert {known[row["region"]] for row in rows} == set(known.values())
    assert trace.metadata["lost"] == "0"
    assert not [found for found in trace.summary if found.code in ("bad-definition", "bad-attribute")]
    by_name, slowest = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "services.md").read_text(), re.DOTALL)
    split = {row["name"]: row for row in tracekit.query(tmp_path / "out.log", by_name).to_dict("records")}
    assert split["GET /things"]["requests"] == 3
    assert split["GET /things"]["waiting"] > 0.3
    for row in split.values():
        assert abs(row["running"] + row["waiting"] + row["blocked"] - 1) < 1e-9
    guilty = [
        row for row in tracekit.query(tmp_path / "out.log", slowest).to_dict("records") if row["name"] == "GET /things"
    ]
    assert guilty[0]["held_by"] == "rival"
    assert guilty[0]["function"] == "disturb"


def test_a_recording_tells_how_long_requests_were_blocked(tmp_path: Path) -> None:
    """As the regions themselves: they mostly begin in the hold that ends where they are blocked first."""
    run(
        tmp_path,
        SPIN
        + """
with tracekit.record("out.log"):
    rival = threading.Thread(target=spin, args=(0.2,)); rival.start()
    off = waited = 0
    for number in range(20):
        with tracekit.region("GET /things") as region: time.sleep(0.002)
        off += region.off_ns; waited += region.waited_ns
    rival.join()
open("told", "w").write(f"{off} {waited}")
""",
    )
    off, waited = map(int, (tmp_path / "told").read_text().split())
    (split,) = tracekit.analyze(tmp_path / "out.log").request_split.to_pylist()
    assert split["requests"] == 20
    assert abs(split["waited"] - waited) < 20 * 1000
    assert abs(split["blocked"] - off) < 20 * 1000


def test_a_task_that_was_running_before_is_not_known(tmp_path: Path) -> None:
    run(
        tmp_path,
        SPIN
        + """
async def later():
    with tracekit.region("later") as region: spin(0.001); await asyncio.sleep(0)
    return region
async def main():
    with tracekit.region("running") as running: await asyncio.sleep(0.001)
    assert running.wall_ns is None and running.held_ns is None
    assert (await asyncio.create_task(later())).held_ns >= 10**6
    with tracekit.region("now known") as known: spin(0.001)
    assert known.held_ns >= 10**6
asyncio.run(main())
with tracekit.region("outside") as outside: spin(0.001)
assert outside.held_ns >= 10**6
""",
    )
