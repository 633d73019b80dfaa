"""Who loses what to whom: the losses that comparisons and fleets are made of, and the threads that a sentence names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

import tracekit
from tests.analyzers.test_sentences import MS, long_hold, one, turns, written
from tests.analyzers.test_severity import battle, convoy
from tests.conftest import trace_file
from tracekit.analyzers import ANALYZERS

if TYPE_CHECKING:
    from tracekit.names import Kind

OF_ONE_CAUSE = ("saturation", "queueing", "scheduling", "preemption")
TRACES = (
    "py27-cpu2.log",
    "py311-cpu2.log",
    "py311-echo-convoy.log",
    "py27-pool.log",
    "py311-longhold.log",
    "edges.log",
)


@pytest.mark.parametrize("name", TRACES)
def test_losses_are_what_the_tables_say(name: str) -> None:
    """A fleet's page and a comparison add losses up: none may be lost, or be counted where it is not."""
    analysis = tracekit.analyze(trace_file(name))
    for kind in OF_ONE_CAUSE:
        waited: dict[str, Counter[str | None]] = {}
        for row in analysis.causes.to_pylist():
            if row["cause"] == ANALYZERS[kind].cause:
                waited.setdefault(row["thread"], Counter())[row["holder"]] += row["duration"]
        losses = list(analysis.losses(cast("Kind", kind)))
        assert {loss.thread: loss.lost for loss in losses} == {
            thread: spent.total() for thread, spent in waited.items()
        }
        for loss in losses:
            spent = waited[str(loss.thread)]
            assert loss.hog is None or 2 * spent[loss.hog] >= spent.total()
            assert loss.hog is not None or 2 * spent.most_common(1)[0][1] < spent.total() or spent[None]
    retried = {row["thread"]: row["failed_retries"] for row in analysis.threads.to_pylist() if row["failed_retries"]}
    assert {loss.thread: loss.count for loss in analysis.losses("failed_retries")} == retried
    convoys = analysis.convoys.to_pylist()
    assert sum(loss.lost for loss in analysis.losses("convoys")) == sum(row["waited"] for row in convoys)


def test_the_rounds_in_words_are_those_that_were_lost(tmp_path: Path) -> None:
    """A retry after which nobody had taken the GIL is no lost round."""
    rows = battle("t1", "t2", 0, 5)
    rows.insert(rows.index("t1 - 10 RETRY 11") + 1, "t1 - 10 RETRY 12")
    analysis = written(tmp_path, rows)
    assert [(row["rounds"], row["failed_retries"]) for row in analysis.battles.to_pylist()] == [(5, 6)]
    assert "in 1 battle the waiter woke up 5 times only to find" in one(analysis, "battles").title


def test_of_equal_battles_the_first_one_is_shown(tmp_path: Path) -> None:
    analysis = written(tmp_path, [*battle("t1", "t2", 0, 5), *battle("t3", "t4", 1000, 5)])
    assert one(analysis, "battles").start_seq == min(row["start_seq"] for row in analysis.battles.to_pylist())


def test_what_many_lose_at_once_is_at_most_the_whole_trace(tmp_path: Path) -> None:
    """Else a build fails for "320 % of the trace"."""
    rows = [
        "a - 0 ENTRY 0",
        "a - 0 ACQUIRE 0",
        *(f"w{n} - 0 {event} 0" for n in range(4) for event in ("ENTRY", "BUSY")),
    ]
    for at in range(10, 40, 10):
        rows += [f"a - 0 {event} {at}" for event in ("RELEASE", "ENTRY", "ACQUIRE")]
        rows += [f"w{n} - 0 RETRY {at}" for n in range(4)]
    assert written(tmp_path, rows).found("battles") == (4, 1.0)


def retried(thread: str, start: int, each: int) -> list[str]:
    """A wait behind a, with a retry, and then for nobody: so long each."""
    return [
        f"a - 0 ENTRY {start}", f"a - 0 ACQUIRE {start}", f"{thread} - 0 ENTRY {start}", f"{thread} - 0 BUSY {start}",
        f"a - 0 RELEASE {start + each}", f"{thread} - 0 RETRY {start + each}",
        f"{thread} - 0 ACQUIRE {start + 2 * each}", f"{thread} - 0 RELEASE {start + 2 * each}",
    ]  # fmt: skip


@pytest.mark.parametrize(("threads", "words"), [("b", None), ("bc", "1 other thread"), ("bcd", "2 other threads")])
def test_retries_are_told_where_nothing_else_is(threads: str, words: str | None, tmp_path: Path) -> None:
    """None of the causes of these waits is 1 % of the trace, but the waits are."""
    rows = [row for number, thread in enumerate(threads) for row in retried(thread, 50 * MS * number, 9 * MS - number)]
    (finding,) = written(tmp_path, [*rows, f"a - 0 ENTRY {1000 * MS}"], min_timeouts=9, long_hold=99 * MS).findings
    assert finding.kind == "failed_retries"
    assert finding.title.startswith("b slept on the GIL in vain: 1.8 % of the trace in waits with 1 failed retry.")
    assert finding.title.endswith(f"So did {words}." if words else "retry.")
    assert finding.threads == tuple(threads)


def test_nothing_is_found_where_nobody_waits(tmp_path: Path) -> None:
    """However short the trace."""
    analysis = written(tmp_path, ["t1 - 0 ENTRY 0", "t1 - 0 ACQUIRE 0", "t1 - 0 RELEASE 9"])
    assert [analysis.found(kind) for kind in ANALYZERS] == [(0, 0.0)] * len(ANALYZERS)


def test_what_two_do_is_told_of_each(tmp_path: Path) -> None:
    rows = long_hold(f" cpu={MS}", timeouts=0)
    rows[3:3] = ["c - 0 ENTRY 0", "c - 0 BUSY 0"]
    rows.append(f"c - 0 ACQUIRE {20 * MS}")
    alone = one(written(tmp_path, long_hold(f" cpu={MS}", timeouts=0)), "preemption")
    both = [finding.title.split(" for a GIL")[0] for finding in written(tmp_path, rows).findings]
    assert alone.title.startswith("b waited 100.0 % of the trace for a GIL whose holder was not running")
    assert sorted(both) == ["b waited 100.0 % of the trace", "c waited 100.0 % of the trace"]
    named = [row.replace("b ", "io-1 ").replace("c ", "io-2 ") for row in rows]
    assert one(written(tmp_path, named), "preemption").title.startswith(
        "io-1 and io-2 each waited 100.0 % of the trace"
    )


def computing(count: int, idle: int) -> list[str]:
    """So many threads take turns of 10 ns; then nothing for a while. Each waits once until all others had theirs."""
    rows, checks = [], 0
    for turn in range(2 * count):
        thread, now = f"cpu-{turn % count}", 10 * turn
        if turn < count:
            rows.append(f"{thread} - {checks} ENTRY {now}")
        rows += [f"{thread} - {checks} ACQUIRE {now}"]
        checks += 1
        rows.append(f"{thread} - {checks} RELEASE {now + 10}")
        if turn < count:
            rows += [f"{thread} - {checks} ENTRY {now + 10}", f"{thread} - {checks} BUSY {now + 10}"]
    return [*rows, f"cpu-0 - {checks} ENTRY {20 * count + idle}"]


@pytest.mark.parametrize(("count", "idle", "wanted"), [(2, 0, "1.5"), (2, 20, "1.0"), (2, 21, None), (3, 0, "2.0")])
def test_more_threads_do_not_help_where_one_at_least_wants_to_compute(
    count: int, idle: int, wanted: str | None, tmp_path: Path
) -> None:
    rows = computing(count, idle)
    for gil, advice in (("new", "ProcessPoolExecutor"), ("old", "setcheckinterval")):
        finding = one(written(tmp_path, rows, f"# gil: {gil}\n"), "saturation")
        assert advice in finding.advice
        told = f"On average {wanted} of the {count} threads held or wanted the GIL at the same time"
        assert told in finding.explanation if wanted else "On average" not in finding.explanation
        assert (" each waited " in finding.title) == (count > 1)


@pytest.mark.parametrize(("gap", "of"), [(999, "lock"), (1000, "waking"), (199_999, "waking"), (200_000, "slow")])
def test_the_limits_between_a_lock_a_wake_up_and_a_busy_machine(gap: int, of: str, tmp_path: Path) -> None:
    """Nobody is woken within a microsecond; where a core is idle nobody is still asleep after 200."""
    rows = [
        f"a-{number % 2} - {number} {event} {number * gap + late}"
        for number in range(20)
        for event, late in (("ENTRY", 0), ("ACQUIRE", gap * (number > 0)), ("RELEASE", gap))
    ]
    finding = one(written(tmp_path, rows), "scheduling")
    assert ("taking a GIL that was free" in finding.title) == (of == "lock")
    assert ("CPU quota" in finding.explanation) == (of == "slow")


def title_of(folder: Path, holders: Sequence[str], waiters: Sequence[str]) -> list[str]:
    analysis = written(folder, turns(list(holders), list(waiters), MS // 2), min_cycles=99)
    return sorted(finding.title for finding in analysis.findings if finding.kind == "queueing")


def test_two_may_wait_for_each_other(tmp_path: Path) -> None:
    (title,) = title_of(tmp_path, ["w-1", "w-2"] * 3, ["w-1", "w-2"])
    assert title.startswith("w-1 and w-2 each waited 50.0 % of the trace")
    assert title.endswith("behind each other.")


def test_who_alone_has_what_makes_a_group_is_named(tmp_path: Path) -> None:
    """w-1 has 80 % of what the three wait for each other."""
    (title,) = title_of(tmp_path, ["w-1"] * 4 + ["w-2"], ["w-1", "w-2", "w-3"])
    assert "behind w-1 (8" in title


def test_different_ones_in_one_sentence(tmp_path: Path) -> None:
    """Who waits behind the same hog is one finding: a few of a pool by their pool's name, a single one by its own."""
    rows = [row for n, thread in enumerate(("io-1", "io-2", "db")) for row in convoy(thread, 1000 * n, [100] * 3)]
    title = one(written(tmp_path, rows), "convoys").title
    assert title.startswith("2 io-* threads and db each waited")


def keeps(thread: str, start: int) -> list[str]:
    """The GIL for 10 ms while v waits."""
    return [
        f"{thread} - 0 ENTRY {start}", f"{thread} - 0 ACQUIRE {start}", f"v - 0 ENTRY {start}", f"v - 0 BUSY {start}",
        f"{thread} - 0 RELEASE {start + 10 * MS}",
        f"v - 0 ACQUIRE {start + 10 * MS}", f"v - 0 RELEASE {start + 10 * MS}",
    ]  # fmt: skip


def test_two_that_keep_the_gil_too_briefly_each_are_told_together(tmp_path: Path) -> None:
    """The one that waits for both has waited for 1 % of the trace: no trace in which one did is called healthy."""
    rows = [*keeps("a", 0), *keeps("b", 50 * MS), f"a - 0 ENTRY {2000 * MS}"]
    finding = one(written(tmp_path, rows), "long_holds")
    assert finding.title.startswith("a and b kept the GIL for 0.5 % of the trace each, in 2 long holds")
    assert finding.title.endswith("v waited 1.0 % of the trace for that.")
    assert written(tmp_path, [*rows[:-1], f"a - 0 ENTRY {2000 * MS + 1}"]).findings == ()


@pytest.mark.parametrize(("keepers", "subject"), [(["io-7"], "io-7"), (["io-7", "io-8"], "io-*")])
def test_one_thread_is_compared_with_itself_and_a_pool_with_the_pool(
    keepers: list[str], subject: str, tmp_path: Path
) -> None:
    rows = [row for number, thread in enumerate(keepers) for row in keeps(thread, 20 * MS * number)]
    assert one(written(tmp_path, rows), "long_holds").subject == subject
