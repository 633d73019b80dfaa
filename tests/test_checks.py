"""`check`: a trace as a test's assertion."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracekit
from tests.conftest import trace_file


def test_check() -> None:
    tracekit.check(trace_file("py311-io4.log"), max_wait_share=0.1, no=["convoys", "battles"])
    with pytest.raises(tracekit.CheckFailed, match=r"t2 waited 95\.8 % of the trace behind t3"):
        tracekit.check(trace_file("py311-echo-convoy.log"), no=["convoys"])
    with pytest.raises(AssertionError, match=r"t2 waited 98.1 % of the trace, more than 10.0 %"):
        tracekit.check(tracekit.analyze(trace_file("py311-echo-convoy.log")), max_wait_share=0.1)
    tracekit.check(trace_file("py311-echo-convoy.log"), no=["convoys"], min_cycles=1000)


def test_the_limit_itself_passes(tmp_path: Path) -> None:
    """`max_wait_share` is the most that a thread may wait, so a thread that waited just as much is fine."""
    path = tmp_path / "half.log"
    path.write_text(
        "t1 - 0 ENTRY 0\nt1 - 0 ACQUIRE 0\nt2 - 0 ENTRY 50\nt2 - 0 BUSY 50\nt1 - 0 RELEASE 100\nt2 - 0 ACQUIRE 100\n"
    )
    tracekit.check(path, max_wait_share=0.5)
    with pytest.raises(tracekit.CheckFailed, match=r"^[^\n]*half\.log: [^\n]*\nt2 waited 50\.0 % of the trace"):
        tracekit.check(path, max_wait_share=0.499)
    with pytest.raises(tracekit.CheckFailed, match=r"t2 waited 50\.0 %"):
        tracekit.check(path, max_wait_share=0)


def test_every_kind_is_asked_for_and_every_fault_told() -> None:
    with pytest.raises(tracekit.CheckFailed) as failure:
        tracekit.check(trace_file("py311-longhold.log"), max_wait_share=0.5, no=["battles", "convoys", "long_holds"])
    _, *lines = str(failure.value).split("\n")
    assert len([line for line in lines if "waited" in line and "more than 50.0 %" in line]) >= 1
    assert [line.split(",")[0].split()[1:] for line in lines[:2]] == [["convoys"], ["long", "holds"]]
    assert not any("battles" in line for line in lines)
