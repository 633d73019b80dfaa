"""Who waits for which lock, and who unlocks it: against programs in which that is known."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import tracekit
from tests.recorder.recorded import PROGRAMS, every_interpreter, good, record, script

ROUNDS = 20
OWN_LOCKS = 3
"""So often a thread may meet another at a lock of `threading` itself, when it starts or ends; on 2.7 more likely."""


class LockWait(NamedTuple):
    waiter: str
    releaser: str | None
    lock: int


def lock_waits(trace: tracekit.Trace) -> list[LockWait]:
    """Those that ended, by names. It was unlocked in the hold that is open when the waiter comes back, or before."""
    named = {row["thread"]: row["name"] for row in trace.threads.to_pylist()}
    rows = trace.events.select(["thread", "event", "lock", "unlocks"]).to_pylist()
    unlocks_of: dict[int, list[int]] = {}  # by the row with which the hold begins
    began = None
    for place, row in enumerate(rows):
        if row["event"] == "ACQUIRE":
            began = place
        elif row["event"] == "RELEASE" and began is not None:
            unlocks_of[began] = row["unlocks"] or []
    found: list[LockWait] = []
    waiting: dict[str, tuple[int, int]] = {}
    unlocked: dict[int, tuple[int, str]] = {}
    holder: int | None = None
    for place, row in enumerate(rows):
        thread = row["thread"]
        if row["event"] == "ACQUIRE":
            holder = place
        elif row["event"] == "RELEASE":
            holder = None
            unlocked |= dict.fromkeys(row["unlocks"] or [], (place, thread))
            if row["lock"] is not None:
                waiting[thread] = row["lock"], place
        elif row["event"] == "ENTRY" and thread in waiting:
            lock, since = waiting.pop(thread)
            releaser = None
            if holder is not None and lock in unlocks_of.get(holder, []):
                releaser = rows[holder]["thread"]
            elif unlocked.get(lock, (-1,))[0] > since:
                releaser = unlocked[lock][1]
            found.append(LockWait(named[thread], None if releaser is None else named[releaser], lock))
    return found


def python_of(trace: tracekit.Trace) -> tuple[int, ...]:
    return tuple(int(number) for number in trace.metadata["python"].split(".")[:2])


@every_interpreter
def test_who_waits_for_whom(python: str, tmp_path: Path) -> None:
    done = record(tmp_path, str(PROGRAMS / "batons.py"), options=["--python", python])
    assert done.returncode == 0, done.stderr
    trace = good(tmp_path / "out.log")
    of_child = good(next(path for path in tmp_path.glob("out.log.*") if path.name != "out.log"))
    for prefix, waits in (("relay", lock_waits(trace)), ("child", lock_waits(of_child))):
        for number in range(3):
            own = [wait for wait in waits if wait.waiter == f"{prefix}-{number}"]
            by_the_one_before = [wait for wait in own if wait.releaser == f"{prefix}-{(number + 2) % 3}"]
            assert len(by_the_one_before) >= ROUNDS // 2
            assert len(own) - len(by_the_one_before) <= OWN_LOCKS
            if python_of(trace) < (3, 14):  # then a number stands for one wait
                assert len({wait.lock for wait in by_the_one_before}) <= 1 + OWN_LOCKS
    waits = lock_waits(trace)
    of_waits = [wait for wait in waits if wait.waiter == "waits"]
    of_events = [wait for wait in of_waits if wait.releaser == "sets"]
    assert len(of_waits) - len(of_events) <= OWN_LOCKS
    ended = Counter((wait.waiter, wait.releaser) for wait in waits)
    assert sum(count for (waiter, _), count in ended.items() if waiter == "tries") <= OWN_LOCKS
    assert ended["MainThread", "tries"]  # its join
    if trace.metadata["gil"] == "new":
        assert ended["in vain", None] == 1
        # Each event makes a lock, at an address at which the one before it was.
        assert len(of_events) - OWN_LOCKS <= len({wait.lock for wait in of_events})
        assert len(of_events) >= ROUNDS // 2


def test_locks_of_one_thread_are_not_told(tmp_path: Path) -> None:
    """Nobody waits for them, and they would be in most rows."""
    program = "import threading, time\nlock = threading.Lock()\nfor _ in range(50):\n with lock: time.sleep(0)\n"
    assert record(tmp_path, script(tmp_path, program)).returncode == 0
    trace = good(tmp_path / "out.log")
    assert trace.events["lock"].null_count == trace.events.num_rows
    assert trace.events.num_rows - trace.events["unlocks"].null_count < 10  # of the interpreter's start


def test_no_more_than_eight_are_told_those_waited_for_first(tmp_path: Path) -> None:
    program = """if 1:
        import threading, time
        used = [threading.Lock() for _ in range(30)]
        started, locks = threading.Barrier(6), [threading.Lock() for _ in range(5)]
        def use():
            for lock in used:
                with lock: pass
        def wait(lock):
            started.wait()
            with lock: pass
        for lock in locks: lock.acquire()
        waiters = [threading.Thread(target=wait, args=(lock,), name="waiter") for lock in locks]
        for thread in waiters: thread.start()
        users = [threading.Thread(target=use) for _ in range(2)]
        for thread in users: thread.start()
        for thread in users: thread.join()
        started.wait()
        time.sleep(0.2)
        def unlock():
            use()
            for lock in locks: lock.release()
        last = threading.Thread(target=unlock, name="unlocks")
        last.start()
        for thread in (last, *waiters): thread.join()
        """
    assert record(tmp_path, script(tmp_path, program)).returncode == 0
    trace = good(tmp_path / "out.log")
    assert max(len(ids or []) for ids in trace.events["unlocks"].to_pylist()) <= 8
    ended = Counter(wait.releaser for wait in lock_waits(trace) if wait.waiter == "waiter")
    assert ended["unlocks"]  # there is room for those that did wait
