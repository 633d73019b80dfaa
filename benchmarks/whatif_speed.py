"""How fast a what-if learns from a trace and replays it, in events of the trace and seconds of the processor.

python benchmarks/whatif_speed.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tracekit
from tracekit.whatif.learning import learn
from tracekit.whatif.preparing import events_of
from tracekit.whatif.replaying import observe, replay

TURNS = 250_000
RUNS = 3


def written(path: Path, locks: bool) -> Path:
    """Two threads that wait for the GIL by turns; with locks the other one unlocks what each then waits for."""
    rows, now = ["# gil: new", "# cores: 2"], 0
    lock, unlocks = (" lock=1", " unlocks=1") if locks else ("", "")
    for turn in range(TURNS):
        one, other = ("t1", "t2") if turn % 2 else ("t2", "t1")
        steps = [
            (one, "ENTRY", 0, ""), (one, "ACQUIRE", 1, ""), (other, "ENTRY", 300, ""), (other, "BUSY", 310, ""),
            (one, "RELEASE", 1000 + turn % 97, lock), (other, "ACQUIRE", 9000 + turn % 301, ""),
            (other, "RELEASE", 12_000, unlocks),
        ]  # fmt: skip
        rows += [f"{thread} - 0 {event} {now + at}{told}" for thread, event, at, told in steps]
        now += 40_000
    path.write_text("\n".join(rows) + "\n")
    return path


def fastest(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    best = float("inf")
    for _ in range(RUNS):
        began = time.process_time()
        result = work()
        best = min(best, time.process_time() - began)
    return best, result


def main() -> None:
    with tempfile.TemporaryDirectory() as room:
        for locks in (False, True):
            trace = tracekit.read(written(Path(room) / "trace.log", locks))
            events = events_of(trace)
            observing, seen = fastest(lambda events=events: observe(events))
            learning, programs = fastest(lambda seen=seen: learn(seen, None))
            replaying, _ = fastest(lambda programs=programs: replay(programs.script, programs.behaviour, 1))
            millions = len(trace.events) / 1e6
            learned = millions / (observing + learning)
            waits = int((programs.script.needs >= 0).sum())
            print(
                f"{millions:.2f} million events, {waits:,} waits for locks: learned {learned:.1f}, replayed"
                f" {millions / replaying:.1f} million events/s"
            )


if __name__ == "__main__":
    main()
