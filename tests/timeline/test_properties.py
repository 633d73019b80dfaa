"""What holds for every trace: the cores agree, splitting changes nothing, blame is conserved, holds do not overlap."""

from __future__ import annotations

import ast
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracekit
from tests.conftest import require_native
from tests.strategies import attributed, histories, stories, texts
from tracekit.analyzers import COLLECTED, scheduling
from tracekit.model import schemas
from tracekit.model import source as source_module
from tracekit.model.attributes import Attributes, of_rows
from tracekit.model.rows import KEPT, LAYOUTS, Machine, Options, PictureLimits
from tracekit.model.source import Source
from tracekit.model.stream import BAD_LINE_TEXTS, EventStream
from tracekit.parsers.native_text import NativeText
from tracekit.parsers.text import PlainText
from tracekit.timeline.native import NativeMachine
from tracekit.timeline.picture import Picture, picture
from tracekit.timeline.plain import PlainMachine
from tracekit.timeline.tables import Tables

Open = Callable[[Source], EventStream]


@pytest.fixture(autouse=True)
def _native_core() -> None:
    require_native()


# Low enough that short random traces have findings of every kind, and more than are kept.
EAGER = Options(
    min_rounds=1, ratio=1.5, min_cycles=2, max_gap=1, min_frozen=2, min_timeouts=1, long_hold=20, worst=3
)  # fmt: skip
TOTALS = (
    "threads", "blame", "causes", "stack_blame", "distributions", "histograms", "handoffs", "waiting", "locks",
    "regions", "region_blame",
)  # fmt: skip


def outcome(text: bytes, open_stream: Open, machine_type: type[Any], keep_rows: bool) -> dict[str, Any]:
    """All that can be said of a trace, by one parser and one state machine."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.log"
        path.write_bytes(text)
        with Source(path) as source, open_stream(source) as stream:
            machine: Machine = machine_type(stream.check_interval, KEPT if keep_rows else (), EAGER)
            stream.feed(machine)
            machine.finish()
            tables = TOTALS if not keep_rows else tuple(table for table in LAYOUTS if table != "shared_waits")
            found: dict[str, Any] = {table: sorted(machine.rows(table).tolist()) for table in tables}
            totals = machine.totals()
            return found | {
                "totals": totals,
                "lines": {
                    name: sorted(map(str, table.to_pylist()))
                    for name, table in Tables(machine, stream.threads).lines(stream.definitions).items()
                },
                "findings": {kind: sorted(map(str, machine.findings(kind).tolist())) for kind in COLLECTED},
                "groups": {kind: sorted(map(str, machine.groups(kind).tolist())) for kind in COLLECTED},
                "metadata": stream.metadata,
                "names": stream.names,
                "threads": (stream.threads, found["threads"]),
                "bad": stream.bad_lines,
                "definitions": stream.definitions,
                "ignored": stream.ignored,
                "fault lines": {(f.code, f.severity): stream.first_line(f) for f in totals.faults},
                "clocks": [
                    [column.tolist() for column in columns if column is not None] for columns in machine.clocks()
                ],
            }


def flat(found: dict[str, Any]) -> dict[str, Any]:
    """Without where one batch ended and the next began."""
    clocks = found["clocks"]
    sides = range(len(clocks[0])) if clocks else range(0)
    merged = [[value for batch in clocks for value in batch[side]] for side in sides]
    return found | {"clocks": merged}


plain_text = st.one_of(texts(), histories(), stories())
any_text = st.one_of(plain_text, attributed(plain_text))


@given(any_text, st.integers(1, 3), st.integers(1, 300), st.booleans())
def test_native_agrees_with_the_twin(text: bytes, workers: int, block_bytes: int, keep_rows: bool) -> None:
    native = outcome(text, lambda s: NativeText(s, workers=workers, block_bytes=block_bytes), NativeMachine, keep_rows)
    plain = outcome(text, PlainText, PlainMachine, keep_rows)
    assert flat(native) == flat(plain)


@given(any_text, st.integers(1, 40), st.integers(4, 40), st.integers(1, 9))
def test_splitting_changes_nothing(text: bytes, piece: int, head: int, batch: int) -> None:
    whole = outcome(text, PlainText, PlainMachine, True)
    with patch.object(source_module, "_PIECE", piece), patch.object(source_module, "HEAD_BYTES", head):
        split = outcome(text, lambda s: PlainText(s, batch_events=batch), NativeMachine, True)
        native = outcome(text, lambda s: NativeText(s, block_bytes=piece), PlainMachine, True)
    assert flat(split) == flat(whole)
    assert flat(native) == flat(whole)


def attributes_of(text: bytes, open_stream: Open) -> dict[int, Attributes]:
    """Of each event that has any."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.log"
        path.write_bytes(text)
        found, seq = {}, 0
        with Source(path) as source, open_stream(source) as stream:
            for batch in stream:
                found |= {seq + row: attributes for row, attributes in of_rows(batch).items()}
                seq += batch.num_rows
        return found


@given(attributed(plain_text), st.integers(1, 300), st.integers(1, 9), st.booleans())
def test_attributes_agree(text: bytes, block_bytes: int, batch: int, whole: bool) -> None:
    plain = attributes_of(text, PlainText)
    assert attributes_of(text, lambda s: NativeText(s, whole=whole, block_bytes=block_bytes)) == plain
    assert attributes_of(text, lambda s: PlainText(s, batch_events=batch)) == plain


def drawn(text: bytes, machine_type: type[Any], limits: PictureLimits, batch: int) -> tuple[Picture, Machine]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.log"
        path.write_bytes(text)
        with Source(path) as source, PlainText(source, batch_events=batch) as stream:
            machine: Machine = machine_type(stream.check_interval, (), EAGER)
            machine.draw(limits)
            stream.feed(machine)
            machine.finish()
            return picture(machine.totals().duration, machine.picture()), machine


def told(found: Picture) -> dict[str, Any]:
    """Its parts as plain values, without the layouts' padding."""
    return {
        name: [{key: row[key] for key in value.dtype.names} for row in value] if hasattr(value, "dtype") else value
        for name, value in vars(found).items()
    }


limits = st.builds(
    PictureLimits,
    bins=st.sampled_from([1, 2, 7, 64, 300]),
    cells=st.sampled_from([1, 20, 100, 1 << 18]),
    rows=st.sampled_from([0, 1, 4, 1 << 17]),
    edge_rows=st.sampled_from([1, 3, 6, 4096]),
    window_rows=st.sampled_from([1, 2, 5, 256]),
    windows=st.sampled_from([0, 1, 3, 100]),
    window_waiters=st.sampled_from([0, 1, 4096]),
    rival_switches=st.sampled_from([0, 1, 64]),
)


@given(st.one_of(histories(), stories()), limits, st.integers(1, 9))
def test_pictures_agree(text: bytes, limits: PictureLimits, batch: int) -> None:
    assert told(drawn(text, NativeMachine, limits, batch)[0]) == told(drawn(text, PlainMachine, limits, 100)[0])


@given(st.one_of(histories(), stories()), limits)
def test_a_picture_keeps_the_truth(text: bytes, limits: PictureLimits) -> None:
    """Each state's cells sum to the totals, no bin holds more than its width, and in windows no row is missing."""
    found, machine = drawn(text, NativeMachine, limits, 100)
    everything, _ = drawn(text, NativeMachine, PictureLimits(), 100)
    assert everything.whole
    cells, threads = found.cells, machine.rows("threads")
    for thread, row in enumerate(threads):
        of_thread = cells[cells["thread"] == thread]
        assert of_thread["held"].sum() == row["held"]
        assert sum(of_thread[state].sum() for state in ("entering", "busy", "retried")) == row["waited"]
        assert of_thread["retries"].sum() <= row["retries"]
        assert of_thread["checks"].sum() == row["check_releases"]
        assert of_thread["blocking"].sum() == row["blocking_releases"]
    for bin_ in set(cells["bin"].tolist()):
        assert 0 <= bin_ < found.bins <= max(limits.bins, 1)
        assert cells[cells["bin"] == bin_]["held"].sum() <= found.width
    for name, longest in (("holds", "longest_hold"), ("waits", "longest_wait")):
        rows = vars(everything)[name]
        start = rows["start" if name == "holds" else "entry"]
        assert cells[longest].max(initial=0) >= (rows["end"] - start).max(initial=0)
    for start, end in found.windows:
        for name, first, key in (("holds", "start", "start_seq"), ("waits", "busy", "busy_seq")):
            rows, kept = vars(everything)[name], vars(found)[name]
            inside = rows[(rows["end"] > start) & (rows[first] < end)]
            assert set(inside[key].tolist()) <= set(kept[key].tolist())


@given(st.one_of(histories(), stories(), attributed(stories())))
def test_conservation(text: bytes) -> None:
    for machine in (NativeMachine, PlainMachine):
        found = outcome(text, PlainText, machine, True)
        threads = found["threads"][1]
        rows = [dict(zip(LAYOUTS["threads"].names or (), row, strict=True)) for row in threads]
        assert sum(row["held"] for row in rows) <= found["totals"].duration
        blamed = [0] * len(rows)
        for duration, waiter, _holder in found["blame"]:
            assert duration > 0
            blamed[waiter] += duration
        # Rows are sorted, threads are not: compare what does not depend on it.
        assert sorted(blamed) == sorted(row["waited"] for row in rows)
        causes: Counter[tuple[int, int]] = Counter()
        for duration, waits, waiter, holder, _cause, _ in found["causes"]:
            assert duration > 0
            assert 0 < waits <= duration
            causes[waiter, holder] += duration
        assert causes == {(waiter, holder): duration for duration, waiter, holder in found["blame"]}
        held = sum(duration for duration, _, holder in found["blame"] if holder >= 0)
        for table in found["lines"].values():
            told = [ast.literal_eval(row) for row in table]
            assert sum(row["duration"] for row in told) == (held if told else 0)
            assert all(0 < row["waits"] <= row["duration"] for row in told)
        contended = (LAYOUTS["waits"].names or ()).index("contended")
        end = 0
        for _start_seq, _end_seq, start_clock, end_clock, *_ in found["holds"]:
            assert end <= start_clock <= end_clock
            end = end_clock
        assert sum(duration for _, duration in found["waiting"]) == found["totals"].duration
        assert found["totals"].held + found["totals"].free_wanted <= found["totals"].duration
        for count, p50, p90, p99, most, *_ in found["distributions"]:
            assert count > 0
            assert p50 <= p90 <= p99 <= most
        assert sum(row["contended_waits"] for row in rows) == sum(wait[contended] for wait in found["waits"])


def analysis_of(text: bytes, **thresholds: Any) -> tracekit.Analysis:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.log"
        path.write_bytes(text)
        return tracekit.analyze(path, **thresholds)


def numbers(value: Any) -> Any:
    """What of a JSON value does not depend on names."""
    if isinstance(value, dict):
        return {key: numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((numbers(item) for item in value), key=str)
    return value if isinstance(value, (int, float)) else None


TABLES = (
    "threads", "blame", "causes", "battles", "convoys", "frozen_signals", "long_holds", "distributions", "utilisation",
    "waiting", "handoffs", "fairness",
)  # fmt: skip


@given(st.one_of(histories(), stories()), st.randoms())
def test_names_change_only_names(text: bytes, random: Any) -> None:
    new = [f"x{place}" for place in range(1, 6)]
    random.shuffle(new)
    renamed = b"\n".join(
        line.replace(line.split()[0], new[int(line.split()[0][1:]) - 1].encode(), 1) for line in text.splitlines()
    )
    one, other = analysis_of(text, min_rounds=1, min_cycles=2), analysis_of(renamed, min_rounds=1, min_cycles=2)
    for table in TABLES:
        assert numbers(one.tables[table].to_pylist()) == numbers(other.tables[table].to_pylist()), table
    assert [f.cost for f in one.findings] == [f.cost for f in other.findings]


@given(stories(), st.integers(2, 1000))
def test_times_scale_durations(text: bytes, factor: int) -> None:
    scaled = b"\n".join(
        b" ".join((*line.split()[:4], str(int(line.split()[4]) * factor).encode())) for line in text.splitlines()
    )
    one = analysis_of(text, min_cycles=1, long_hold=10)
    other = analysis_of(scaled, min_cycles=1, long_hold=10 * factor)
    for table in TABLES:
        for field in one.tables[table].schema:
            before, after = (a.tables[table].column(field.name).to_pylist() for a in (one, other))
            is_time = field.name in ("p50", "p90", "p99", "max") or any(
                c.name == field.name and c.unit == "clock" for c in schemas.load(table).columns
            )
            assert after == ([v if v is None else v * factor for v in before] if is_time else before), (table, field)
    # How many `scheduling` findings there are depends on real time: how long a wake-up takes at least.
    one_told, other_told = ([f.severity for f in told.findings if f.kind != scheduling.KIND] for told in (one, other))
    assert one_told == other_told


@given(stories(), st.integers(0, 200))
def test_a_cut_makes_no_longer_battle(text: bytes, cut: int) -> None:
    lines = text.splitlines(keepends=True)
    whole = analysis_of(text, min_rounds=1).battles.to_pylist()
    part = analysis_of(b"".join(lines[: max(1, cut % (len(lines) + 1))]), min_rounds=1).battles.to_pylist()
    known = {(battle["waiter"], battle["start_seq"]): battle for battle in whole}
    for battle in part:
        same = known[battle["waiter"], battle["start_seq"]]
        assert battle["duration"] <= same["duration"]
        assert battle["rounds"] <= same["rounds"]


@given(st.binary(min_size=1, max_size=300), st.integers(1, 64))
def test_random_bytes(junk: bytes, block_bytes: int) -> None:
    native = outcome(junk, lambda s: NativeText(s, block_bytes=block_bytes), NativeMachine, False)
    assert flat(native) == flat(outcome(junk, PlainText, PlainMachine, False))


@pytest.mark.parametrize("extra", [0, 1, 2])
@pytest.mark.parametrize("end", [b"", b"\r"])
@pytest.mark.parametrize("start", [b"t1 1 1 ENTRY ", b"# lost: ", b" ", b"t1 1 1 ENTRY\0"])
def test_line_limit(extra: int, end: bytes, start: bytes) -> None:
    line = start.ljust((1 << 20) + extra - 1, b" " if start == b" " else b"x") + end + b"\n"
    text = b"t2 1 1 ENTRY\n" + line + b"t3 1 1 ENTRY\n" + line.rstrip(b"\n")
    plain = outcome(text, PlainText, PlainMachine, False)
    for block_bytes in (100, 1 << 16, 1 << 21):
        native = outcome(text, lambda s, b=block_bytes: NativeText(s, block_bytes=b), NativeMachine, False)
        assert native == plain


@given(st.one_of(histories(), stories(), attributed(stories())), st.integers(1, 9), st.booleans())
def test_the_twins_journal_changes_nothing(text: bytes, most: int, keep_rows: bool) -> None:
    """However early the waits that are open take their parts out of it."""
    whole = outcome(text, PlainText, PlainMachine, keep_rows)
    with patch("tracekit.timeline.journal.MOST", most):
        assert outcome(text, PlainText, PlainMachine, keep_rows) == whole


def test_more_runs_than_the_ring_holds() -> None:
    """Waits that outlast the core's log of runs (4096 switches) are charged right."""
    lines = ["w - 0 ENTRY 0", "w - 0 BUSY 1", "v - 0 ENTRY 2"]
    for turn in range(9000):
        thread, time = f"t{turn % 7}", 10 + turn * 10
        lines += [f"{thread} - 0 ACQUIRE {time}", f"{thread} - 0 RELEASE {time + turn % 9}"]
        if turn == 5000:
            lines += [f"v - 0 BUSY {time + 8}", f"u - 0 ENTRY {time + 8}", f"u - 0 BUSY {time + 9}"]
    lines += ["w - 0 ACQUIRE 100000", "w - 0 RELEASE 100001", "v - 0 ACQUIRE 100002"]
    text = "\n".join(lines).encode()
    for keep_rows in (False, True):
        native = outcome(text, NativeText, NativeMachine, keep_rows)
        assert flat(native) == flat(outcome(text, PlainText, PlainMachine, keep_rows))


@pytest.mark.parametrize("turns", range(4096, 4100))
def test_causes_where_the_ring_is_full(turns: int) -> None:
    """Waits that begin in the very hold at whose end the log of runs is full."""
    lines = ["w - 0 ENTRY 0", "w - 0 BUSY 1", "x - 0 ACQUIRE 2", "x - 0 RELEASE 3"]
    for turn in range(turns):
        thread, time = f"t{turn // 2 % 3}", 10 + turn * 100
        held = 10 + turn % 2 * 50  # every second one is long, and a run of its own
        lines += [f"{thread} - 0 ACQUIRE {time}"]
        if turn > turns - 4:
            lines += [f"v{turn} - 0 ENTRY {time + 2}", f"v{turn} - 0 BUSY {time + 7}", f"v{turn} - 0 RETRY {time + 8}"]
        lines += [f"{thread} - 0 RELEASE {time + held}"]
    waiters = ["w", *(f"v{turn}" for turn in range(turns - 3, turns))]
    for place, waiter in enumerate(waiters):
        lines += [f"{waiter} - 0 ACQUIRE {10**6 + 99 * place}", f"{waiter} - 0 RELEASE {10**6 + 99 * place + 40}"]
    text = "\n".join(lines).encode()
    native = outcome(text, NativeText, NativeMachine, False)
    assert flat(native) == flat(outcome(text, PlainText, PlainMachine, False))


@pytest.mark.parametrize("held_before", [0, 50])
def test_a_wait_that_begins_within_a_run_and_outlasts_the_ring(held_before: int, tmp_path: Path) -> None:
    """Of the hold that it begins in, it is charged the rest, not the whole: who waits 10 ns has waited 10 ns."""
    lines = ["a - 0 ENTRY 0", "a - 0 ACQUIRE 0", f"w - 0 ENTRY {held_before}", f"w - 0 BUSY {held_before}"]
    for turn in range(5000):
        thread, time = f"t{turn % 2}", 100 + turn * 10
        lines += [f"{'a' if not turn else f't{1 - turn % 2}'} - 0 RELEASE {time}", f"{thread} - 0 ACQUIRE {time}"]
    lines += ["t1 - 0 RELEASE 60000", "w - 0 ACQUIRE 60000", "w - 0 RELEASE 60001"]
    text = "\n".join(lines).encode()
    native = outcome(text, NativeText, NativeMachine, False)
    assert flat(native) == flat(outcome(text, PlainText, PlainMachine, False))
    path = tmp_path / "t.log"
    path.write_bytes(text)
    blamed = {row["holder"]: row["duration"] for row in tracekit.analyze(path).blame.to_pylist()}
    assert blamed["a"] == 100 - held_before
    assert sum(blamed.values()) == 60000 - held_before


@pytest.mark.parametrize("first_stack", [0, 1, 4000, 4097, 8200])
def test_lines_of_waits_that_outlast_the_ring(first_stack: int) -> None:
    """Stacks are told late, change within holds, and some waits span the log of runs more than once."""
    lines = ["# code: 1 = 1 f a.py", "# code: 2 = 1 g b.py"]
    lines += [f"# stack: {number} = 0 {number % 2 + 1} {number // 4}" for number in range(1, 9)]
    lines += ["w - 0 ENTRY 0", "w - 0 BUSY 1"]
    for turn in range(9000):
        thread, time, told = f"t{turn % 3}", 10 + turn * 100, turn >= first_stack
        lines += [f"{thread} - 0 ACQUIRE {time}"]
        for sample in range(turn % 4 if told else 0):
            lines += [f"w - 0 RETRY {time + 10 * sample + turn % 7} sample={1 + (turn + sample) % 9}"]
        if turn % 1000 == 700:
            lines += [f"v{turn} - 0 ENTRY {time + 2}", f"v{turn} - 0 BUSY {time + 15} {'stack=3' if told else ''}"]
        lines += [f"{thread} - {turn // 5} RELEASE {time + 40} {f'stack={1 + turn % 10}' if told and turn % 3 else ''}"]
        if turn % 1000 == 900 and turn > 2000:
            waiter = f"v{turn - 1200}"
            lines += [f"{waiter} - {turn} ACQUIRE {time + 41}", f"{waiter} - {turn} RELEASE {time + 44}"]
    lines += ["w - 0 ACQUIRE 10000000", "w - 0 RELEASE 10000001"]
    text = "\n".join(lines).encode()
    native, plain = (outcome(text, *core, False) for core in ((NativeText, NativeMachine), (PlainText, PlainMachine)))
    assert flat(native) == flat(plain)
    assert len(native["lines"]["lines"]) > 5


def test_bad_lines_beyond_the_texts() -> None:
    text = b"t1 1 1 ENTRY\n" + b"oops\n" * (BAD_LINE_TEXTS + 5)
    for whole, kept in ((False, BAD_LINE_TEXTS), (True, BAD_LINE_TEXTS + 5)):
        native = outcome(text, lambda s, w=whole: NativeText(s, whole=w), NativeMachine, False)
        plain = outcome(text, lambda s, w=whole: PlainText(s, whole=w), PlainMachine, False)
        assert native == plain
        assert len(native["bad"].lines) == kept
        assert sum(line.text is not None for line in native["bad"].lines) == BAD_LINE_TEXTS
