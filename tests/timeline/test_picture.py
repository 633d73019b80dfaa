"""The picture of real traces: exact rows are those of the Arrow tables, and nothing long is ever lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tracekit
from tests.conftest import GOLDEN, SAMPLES, trace_file
from tracekit import analysis
from tracekit.errors import SourceError

TRACES = sorted([*GOLDEN.glob("*.log"), *SAMPLES.glob("*.log")])


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_whole_pictures_are_the_tables(path: Path) -> None:
    trace = tracekit.read(path)
    picture = tracekit.analyze(path).picture
    assert picture.whole
    holds, waits, retries = (trace.to_pandas(name) for name in ("holds", "waits", "failed_retries"))
    waits = waits[waits["contended"]].sort_values(["busy_seq"])
    drawn = np.sort(picture.waits, order="busy_seq")
    first = trace.events["clock"][0].as_py()
    assert picture.holds["start_seq"].tolist() == holds["start_seq"].tolist()
    assert (picture.holds["start"] + first).tolist() == holds["start_clock"].tolist()
    assert (picture.holds["end"] + first).tolist() == holds["end_clock"].tolist()
    assert drawn["busy_seq"].tolist() == waits["busy_seq"].tolist()
    assert (drawn["busy"] + first).tolist() == waits["busy_clock"].tolist()
    assert (drawn["end"] + first).tolist() == waits["end_clock"].tolist()
    assert drawn["failed_retries"].tolist() == waits["failed_retries"].tolist()
    assert picture.retries["seq"].tolist() == retries["seq"].tolist()
    first_retries = retries.groupby("thread", observed=True)["clock"].min()
    codes = trace.threads["thread"].to_pylist()
    for thread, clock in first_retries.items():
        reds = drawn["retry"][(drawn["thread"] == codes.index(thread)) & (drawn["retry"] >= 0)]
        assert reds.min() + first == clock


def test_one_long_wait_in_a_long_trace_stays(tmp_path: Path) -> None:
    """Among 200,000 short holds of two threads one wait of 50 ms."""
    lines, clock = ["# gil: new"], 0
    for turn in range(200_000):
        lines.append(f"t1 - 0 ENTRY {clock}\nt1 - 0 ACQUIRE {clock}")
        if turn == 123_456:
            lines.append(f"t2 - 0 ENTRY {clock}\nt2 - 0 BUSY {clock}")
            clock += 50_000_000
        clock += 10_000
        lines.append(f"t1 - 0 RELEASE {clock}")
        if turn == 123_456:
            lines.append(f"t2 - 0 ACQUIRE {clock}\nt2 - 0 RELEASE {clock + 5}")
            clock += 5
    path = tmp_path / "long.log"
    path.write_text("\n".join(lines) + "\n")
    found = tracekit.analyze(path)
    picture = found.picture
    assert not picture.whole
    assert picture.cells["longest_wait"].max() == 50_010_000
    first, window, last = picture.windows
    assert first[0] == 0
    assert last[1] == picture.duration
    assert len(picture.waits) == 1
    assert window[0] <= picture.waits["busy"][0] <= picture.waits["end"][0] <= window[1]
    table = found.long_holds.to_pylist()
    assert window[0] <= table[0]["start_clock"] <= table[0]["end_clock"] <= window[1]


def test_histograms_add_up(core: str) -> None:
    found = tracekit.analyze(SAMPLES / "py311-echo-convoy.log")
    buckets = found.to_pandas("histograms")
    sums = buckets.groupby(["thread", "kind"], observed=True)["count"].sum()
    for row in found.distributions.to_pylist():
        assert sums[row["thread"], row["kind"]] == row["count"]
        own = buckets[(buckets["thread"] == row["thread"]) & (buckets["kind"] == row["kind"])]
        assert own["low"].iloc[-1] <= row["max"] < own["high"].iloc[-1]
        assert ((own["high"] - own["low"]) * 4 <= own["low"].clip(lower=4)).all()


def test_a_picture_later_reads_the_trace_again(tmp_path: Path) -> None:
    path = tmp_path / "trace.log"
    path.write_bytes(trace_file("py311-cpu2.log").read_bytes())
    found = tracekit.analyze(path)
    at_once = analysis.analyze_and_draw(path).picture
    assert np.array_equal(found.picture.cells, at_once.cells)
    changed = tracekit.analyze(path)
    path.write_bytes(trace_file("slide-battle.log").read_bytes())
    with pytest.raises(SourceError, match="has changed since"):
        _ = changed.picture
    path.unlink()
    with pytest.raises(SourceError, match="no such file"):
        _ = changed.picture
