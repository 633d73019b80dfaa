"""gilknocker's number beside the counters of the same run: pip install gilknocker && python benchmarks/knocking.py"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable

SECONDS = 4.0
Work = Callable[[float], None]


def spinner(end: float) -> None:
    while time.monotonic() < end:
        pass


def napper(end: float) -> None:
    while time.monotonic() < end:
        time.sleep(0.001)


def in_bursts(end: float) -> None:
    """C code that keeps the GIL for some ms, then nothing."""
    while time.monotonic() < end:
        sum(range(150_000))
        time.sleep(0.005)


KINDS: dict[str, list[Work]] = {
    "one spinner": [spinner],
    "a spinner and a napper": [spinner, napper],
    "eight nappers": [napper] * 8,
    "bursts": [in_bursts],
}


def run(kind: str) -> None:
    from gilknocker import KnockKnock

    import tracekit

    tracekit.count()
    knocker = KnockKnock(1_000)
    knocker.start()
    start = time.monotonic()
    threads = [
        threading.Thread(target=work, args=(start + SECONDS,), name=f"{work.__name__}-{number}")
        for number, work in enumerate(KINDS[kind])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ns = (time.monotonic() - start) * 10**9
    counted = [one for one in tracekit.counters() if one["name"] in {thread.name for thread in threads}]
    held = sum(one["held_ns"] for one in counted) / ns
    waited = max(one["waited_ns"] for one in counted) / ns
    print(f"| {kind} | {knocker.contention_metric:.2f} | {held:.2f} | {waited:.2f} |")
    knocker.stop()


def main() -> None:
    print("| threads | gilknocker's contention | held | waited, by the thread that waited most |")
    print("| --- | ---: | ---: | ---: |")
    for kind in KINDS:
        print(
            subprocess.run([sys.executable, __file__, kind], check=True, capture_output=True, text=True).stdout, end=""
        )


if __name__ == "__main__":
    run(sys.argv[1]) if len(sys.argv) > 1 else main()
