"""What the pictures of a long trace must not lose."""

from __future__ import annotations

from pathlib import Path

import tracekit


def test_nothing_that_occurs_vanishes_from_a_lane(tmp_path: Path) -> None:
    """One wait of 40 ns in a second is a thousandth of a pixel high in proportion; it must be seen all the same."""
    path = tmp_path / "t.log"
    path.write_text(
        "t1 - 0 ENTRY 0\nt1 - 0 ACQUIRE 0\nt2 - 0 ENTRY 500000000\nt2 - 0 BUSY 500000000\n"
        "t1 - 0 RELEASE 500000040\nt2 - 0 ACQUIRE 500000040\nt2 - 0 RELEASE 500000041\n"
        "t1 - 0 ENTRY 500000041\nt1 - 0 ACQUIRE 500000041\nt1 - 0 RELEASE 1000000000\n"
    )
    figure = tracekit.analyze(path).figure("timeline")
    bars = [height for trace in figure.data for height in (trace.y or ()) if height]
    assert bars
    lane = max(bars)
    assert min(bars) >= lane / 50, "a pixel of a lane that is 50 pixels high"
    assert max(bars) <= 1
