"""How bad a finding is called, and which of a finding's parts its words and its span belong to."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracekit

SECOND = 10**9


def one_long_hold(path: Path, share: float) -> Path:
    """A second, of which one thread holds the GIL for this share while another waits."""
    held = round(share * SECOND)
    rows = [
        "t1 - 0 ENTRY 0", "t1 - 0 ACQUIRE 0", "t2 - 0 ENTRY 0", "t2 - 0 BUSY 0", f"t1 - 0 RELEASE {held}",
        f"t2 - 0 ACQUIRE {held}", f"t2 - 0 RELEASE {held}", f"t1 - 0 ENTRY {SECOND}", f"t1 - 0 ACQUIRE {SECOND}",
    ]  # fmt: skip
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("share", "severity"),
    [
        (0.009999999, None), (0.01, "low"), (0.049999999, "low"), (0.05, "medium"), (0.199999999, "medium"),
        (0.2, "high"), (0.9, "high"),
    ],
)  # fmt: skip
def test_severity_is_what_the_docs_say(share: float, severity: str | None, tmp_path: Path) -> None:
    """Who filters by severity, or fails a build by it, relies on the limits of docs/analyses.md."""
    analysis = tracekit.analyze(one_long_hold(tmp_path / "t.log", share), long_hold=1)
    named = [finding for finding in analysis.findings if finding.kind == "long_holds"]
    assert [finding.severity for finding in named] == ([severity] if severity else [])
    assert [finding.cost for finding in named] == ([share] if severity else [])
    assert analysis.found("long_holds") == (1, share), "a finding too cheap to be named is still counted"


def battle(waiter: str, rival: str, start: int, rounds: int) -> list[str]:
    """The waiter wakes up so many times after the rival, which takes the GIL again at once."""
    rows = [f"{rival} - {start} ENTRY {start}", f"{rival} - {start} ACQUIRE {start}"]
    rows += [f"{waiter} - {start} ENTRY {start}", f"{waiter} - {start} BUSY {start}"]
    for at in range(start + 10, start + 10 * rounds + 10, 10):
        rows += [f"{rival} - {at} {event} {at}" for event in ("RELEASE", "ENTRY", "ACQUIRE")]
        rows.append(f"{waiter} - {at} RETRY {at + 1}")
    at = start + 10 * rounds + 10
    return [*rows, f"{rival} - {at} RELEASE {at}", f"{waiter} - {at} ACQUIRE {at}", f"{waiter} - {at} RELEASE {at}"]


@pytest.mark.parametrize(("others", "words"), [(0, None), (1, "1 other thread too"), (3, "3 other threads too")])
def test_a_battle_counts_the_threads_that_it_does_not_name(others: int, words: str | None, tmp_path: Path) -> None:
    """The two that it names are not among the others."""
    rows = battle("t1", "t2", 0, 50)
    for number in range(others):
        rows += battle(f"u{number}", "t2", 1000 * (number + 1), 5)
    (tmp_path / "t.log").write_text("".join(f"{row}\n" for row in rows))
    (finding,) = (f for f in tracekit.analyze(tmp_path / "t.log").findings if f.kind == "battles")
    assert finding.title.startswith("t1 and t2 fight")
    assert words in finding.title if words else "other thread" not in finding.title
    assert finding.threads == ("t1", "t2", *(f"u{number}" for number in range(others)))


def convoy(thread: str, start: int, waits: list[int]) -> list[str]:
    """Short holds of a thread, each after a wait behind t1; then holds that waited for nobody and end the convoy."""
    rows, at = [], start
    for wait in waits:
        rows += [f"t1 - 0 ENTRY {at}", f"t1 - 0 ACQUIRE {at}", f"{thread} - 0 ENTRY {at}", f"{thread} - 0 BUSY {at}"]
        at += wait
        rows += [f"t1 - 0 RELEASE {at}", f"{thread} - 0 ACQUIRE {at}", f"{thread} - 0 RELEASE {at + 1}"]
        at += 10
    for _ in range(3):
        rows += [f"{thread} - 0 {event} {at}" for event in ("ENTRY", "ACQUIRE", "RELEASE")]
        at += 1
    return rows


def test_a_convoys_span_is_of_the_thread_that_it_names(tmp_path: Path) -> None:
    """t2 waited more in all, in two convoys; t3's one convoy is the longest. The words and the span are t2's."""
    rows = [
        *convoy("t2", 0, [100, 100, 100]),
        *convoy("t3", 1000, [130, 130, 130]),
        *convoy("t2", 2000, [100, 101, 100]),
    ]
    (tmp_path / "t.log").write_text("".join(f"{row}\n" for row in rows))
    analysis = tracekit.analyze(tmp_path / "t.log")
    (finding,) = (f for f in analysis.findings if f.kind == "convoys")
    assert finding.title.startswith("t2 and t3 each waited")
    assert finding.title.endswith("9 waits of 110 ns each on average, for 1 ns of work.")
    spans = {row["start_seq"]: row for row in analysis.convoys.to_pylist()}
    assert spans[finding.start_seq]["thread"] == "t2"
    assert spans[finding.start_seq]["waited"] == 301
