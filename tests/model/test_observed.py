"""What a trace does not tell is null wherever it would show, never 0."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracekit
from tracekit.errors import NotObservedError

ROWS = [
    "t1 - 0 ENTRY 0", "t1 - 0 ACQUIRE 0", "t2 - 0 ENTRY 0", "t2 - 0 BUSY 0", "t2 - 0 RETRY 30000000",
    "t1 - 1 RELEASE 50000000", "t2 - 1 ACQUIRE 50000000", "t2 - 1 RELEASE 50000001",
]  # fmt: skip


def story(folder: Path, *unknown: str) -> tracekit.Analysis:
    path = folder / "t.log"
    path.write_text("".join(f"{line}\n" for line in [*(f"# {what}: unknown" for what in unknown), *ROWS]))
    return tracekit.analyze(path)


def columns(analysis: tracekit.Analysis, table: str, names: list[str]) -> list[list[object]]:
    return [analysis.tables[table].column(name).to_pylist() for name in names]


def test_told_retries_are_numbers(tmp_path: Path) -> None:
    analysis = story(tmp_path)
    assert columns(analysis, "threads", ["failed_retries", "timeouts"]) == [[0, 1], [0, 1]]
    assert columns(analysis, "long_holds", ["timeouts"]) == [[1]]


def test_untold_retries_are_null_in_every_table(tmp_path: Path) -> None:
    """A long hold is seen by its length too, but how often it was asked for in vain is not known then."""
    analysis = story(tmp_path, "retries")
    names = ["failed_retries", "lost_rounds", "timeouts", "hand_overs", "retried_waited"]
    assert columns(analysis, "threads", names) == [[None, None]] * 5
    assert columns(analysis, "long_holds", ["timeouts"]) == [[None]]
    assert analysis.unobserved == {"retries"}
    trace = tracekit.read(analysis.path)
    assert [trace.waits.column(name).null_count for name in names[:4]] == [len(trace.waits)] * 4
    assert analysis.counts["RETRY"] is None
    assert analysis.badness is None
    with pytest.raises(NotObservedError, match="does not tell retries"):
        analysis.found("battles")
    assert analysis.found("long_holds")[0] == 1


def test_untold_checks(tmp_path: Path) -> None:
    analysis = story(tmp_path, "checks")
    assert columns(analysis, "threads", ["check_releases", "blocking_releases"]) == [[None, None]] * 2
    assert columns(analysis, "threads", ["failed_retries"]) == [[0, 1]]
    with pytest.raises(NotObservedError, match="does not tell checks"):
        analysis.found("convoys")


@pytest.mark.parametrize("value", ["known", "", "Unknown", "unknown."])
def test_other_words_say_nothing(value: str, tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_text(f"# retries: {value}\n" + "".join(f"{row}\n" for row in ROWS))
    assert tracekit.analyze(path).unobserved == frozenset()
