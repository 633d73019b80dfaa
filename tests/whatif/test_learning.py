"""What is learned from a trace's rows."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracekit
from tests.conftest import ROOT, examples
from tracekit import _native
from tracekit.model.attributes import FIELDS, SPARSE
from tracekit.model.stream import ACQUIRE, BUSY, ENTRY, RELEASE, RETRY
from tracekit.whatif import arrivals, native, observing
from tracekit.whatif.observing import Events, Observed
from tracekit.whatif.preparing import events_of, learned
from tracekit.whatif.programs import GOES_ON, NONE, Programs

US = 1000
CPU, LOCK, UNLOCKS = (list(FIELDS).index(key) for key in ("cpu", "lock", "unlocks"))


def learned_from(folder: Path, rows: str) -> Programs:
    """Of rows of a thread, an event, a time in us, and attributes."""
    path = folder / "trace.log"
    lines = [line.split(maxsplit=3) for line in rows.strip().splitlines()]
    path.write_text("".join(f"{t} - 0 {event} {int(time) * US} {' '.join(rest)}\n" for t, event, time, *rest in lines))
    trace = tracekit.read(path)
    assert not trace.summary
    return learned(trace)


@st.composite
def traces(draw: st.DrawFn) -> Events:
    """Threads that take turns, wait, are made to stop and wait for locks: flawless, and anything else within that."""
    threads = draw(st.integers(1, 5))
    state, held, now, checks, rows, told = ["out"] * threads, False, 0, 0, [], []
    for _ in range(draw(st.integers(0, 120))):
        thread = draw(st.integers(0, threads - 1))
        now += draw(st.integers(0, 400_000))
        event = {"out": ENTRY, "wants": BUSY if held else ACQUIRE, "sleeps": RETRY if held else ACQUIRE}.get(
            state[thread], RELEASE
        )
        if held and event in (BUSY, RETRY) and draw(st.integers(0, 3)) == 0:
            continue
        if event == RELEASE:
            checks += draw(st.booleans())
            for key, most in ((CPU, 500_000), (LOCK, 4), *[(UNLOCKS, 4)] * draw(st.integers(0, 2))):
                if draw(st.booleans()):
                    told.append((len(rows), key, draw(st.integers(key != CPU, most))))
        held = event == ACQUIRE or (held and event != RELEASE)
        state[thread] = {ENTRY: "wants", ACQUIRE: "holds", RELEASE: "out"}.get(event, "sleeps")
        rows.append((thread, event, now, checks))
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return Events(
        threads,
        columns[0].astype(np.int32),
        columns[1].astype(np.uint8),
        columns[2],
        columns[3],
        np.array(told, SPARSE),
    )


@pytest.mark.skipif(not _native.library, reason="there is no native core here")
@given(traces())
@settings(max_examples=examples(200))
def test_native_observation_is_the_plain_one(events: Events) -> None:
    plain, fast = observing.observe(events), native.observe(events)
    for field in fields(Observed):
        assert getattr(plain, field.name).tolist() == getattr(fast, field.name).tolist(), field.name


@pytest.mark.skipif(not _native.library, reason="there is no native core here")
@pytest.mark.parametrize("name", ["queue", "echo_closed", "cpu2", "longhold"])
def test_native_observation_of_recordings(name: str) -> None:
    trace = tracekit.read(ROOT / f"tests/data/whatif/{name}.log.gz")
    events = events_of(trace)
    plain, fast = observing.observe(events), native.observe(events)
    for field in fields(Observed):
        assert np.array_equal(getattr(plain, field.name), getattr(fast, field.name)), field.name
    assert len(fast.pieces) > 500


UNLOCKED_WITHIN_A_HOLD = """
a ENTRY 0
a ACQUIRE 1
a RELEASE 10 lock=7
b ENTRY 20
b ACQUIRE 21
a ENTRY 500
a BUSY 501
b RELEASE 1021 unlocks=3,7
a ACQUIRE 1061
a RELEASE 1071
b ENTRY 1200
b ACQUIRE 1201
b RELEASE 1300 unlocks=7
"""


def test_a_waiter_needs_the_work_done_until_the_unlock(tmp_path: Path) -> None:
    """It is as long before the ENTRY as a sleeper takes to run, which is 40 us here."""
    script = learned_from(tmp_path, UNLOCKED_WITHIN_A_HOLD).script
    assert script.first.tolist() == [0, 2, 5]
    assert (script.work // US).tolist() == [9, 10, 439, 561, 99]
    assert script.needs.tolist() == [2, NONE, NONE, NONE, NONE]
    assert script.outside[[0, 2]].tolist() == [40 * US, GOES_ON]
    assert script.outside[3] == (1200 - 1021) * US


UNLOCKED_BEFORE = """
a ENTRY 0
a ACQUIRE 1
a RELEASE 10 lock=7
b ENTRY 20
b ACQUIRE 21
b RELEASE 30 unlocks=7
c ENTRY 100
c ACQUIRE 101
a ENTRY 300
a BUSY 301
c RELEASE 400
a ACQUIRE 440
a RELEASE 450 lock=8
a ENTRY 600
a ACQUIRE 601
a RELEASE 610 lock=7
"""


def test_the_last_that_unlocked_it_is_needed_and_an_unknown_one_is_counted(tmp_path: Path) -> None:
    programs = learned_from(tmp_path, UNLOCKED_BEFORE)
    assert programs.script.first.tolist() == [0, 3, 4, 5]
    assert programs.script.needs.tolist() == [3, NONE, NONE, NONE, NONE]
    assert programs.script.outside[0] == (300 - 30) * US
    assert programs.unknown_locks.tolist() == [1, 0, 0]
    assert programs.away[0].tolist() == [[450 * US, 600 * US, 1]]  # nobody known unlocked that one


@pytest.mark.parametrize(("second_begins", "race"), [(12, True), (9000, False)])
def test_nobody_races_with_the_only_thread(second_begins: int, race: bool, tmp_path: Path) -> None:
    """Blocking calls of 20 us, as modules are imported with."""
    main = [(10 + 100 * call + at, f"a {event}") for call in range(40) for at, event in enumerate(("ENTRY", "ACQUIRE"))]
    main += [(10 + 100 * call + 80, "a RELEASE") for call in range(40)]
    other = [(second_begins + 80 + 2 * at, f"b {event}") for at, event in enumerate(("ENTRY", "ACQUIRE", "RELEASE"))]
    rows = "\n".join(f"{what} {time}" for time, what in sorted(main + other))
    assert arrivals.races(learned_from(tmp_path, rows), 0) == race


def test_a_wait_for_a_lock_is_no_forced_release(tmp_path: Path) -> None:
    rows = UNLOCKED_BEFORE.replace("a RELEASE 10", "a RELEASE 10 cpu=9000")
    path = tmp_path / "trace.log"
    learned_from(tmp_path, rows)
    text = path.read_text().splitlines()
    path.write_text(
        "\n".join(line.replace(" - 0 ", " - 1 ") if place >= 2 else line for place, line in enumerate(text))
    )
    programs = learned(tracekit.read(path))
    assert programs.stops.tolist() == [0, 0, 0]
    assert programs.script.needs[0] == 3


def test_late_answers_of_a_thread_that_did_not_run_tell_of_no_c_code(tmp_path: Path) -> None:
    def rows(cpu: str) -> str:
        told, now = "a - 0 ENTRY 0\na - 0 ACQUIRE 1\n", 1
        for checks in range(6):  # b asks after 5 ms, and a lets go 2 ms later
            told += (
                f"b - {checks} ENTRY {now + 10}\nb - {checks} BUSY {now + 20}\nb - {checks} RETRY {now + 5_000_020}\n"
            )
            forced = checks + 1
            told += f"a - {forced} RELEASE {now + 7_000_000} {cpu}\nb - {forced} ACQUIRE {now + 7_010_000}\n"
            told += f"a - {forced} ENTRY {now + 7_020_000}\na - {forced} BUSY {now + 7_021_000}\n"
            told += f"b - {forced} RELEASE {now + 7_030_000}\na - {forced} ACQUIRE {now + 7_050_000}\n"
            now += 7_050_000
        return told

    path = tmp_path / "trace.log"
    for cpu, atomic in (("", True), ("cpu=6900000", True), ("cpu=5000000", False)):
        path.write_text(rows(cpu))
        programs = learned(tracekit.read(path))
        assert programs.stops.tolist() == [6, 0]
        assert programs.script.atomic.tolist() == [atomic, False]
        assert np.allclose(programs.behaviour.answers[0], 2_000_000, atol=1000)


@pytest.mark.parametrize(("jitter", "dependent"), [(0, False), (300, True)])
def test_threads_that_sleep_alike_do_not_wait_for_each_other(jitter: int, dependent: bool, tmp_path: Path) -> None:
    """They come back in each other's steps; where only the other's step explains when, it is what is waited for."""
    rows, now = [], 0
    for turn in range(100):
        for thread, held in (("t1", 100), ("t2", 50)):
            rows += [f"{thread} {event} {now + at}" for event, at in (("ENTRY", 0), ("ACQUIRE", 0), ("RELEASE", held))]
            now += held
        now += 1000 + jitter * (turn % 3 - 1)
    assert arrivals.depends(learned_from(tmp_path, "\n".join(rows)), 1) == dependent
