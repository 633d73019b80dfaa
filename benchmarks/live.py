"""What counting and regions cost: python benchmarks/live.py [--runs 5]

Each figure is the median over processes of its own, with and without in turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

RELEASES = """
import os, time
read, write = os.pipe()
def work(n):
    for _ in range(n):
        os.write(write, b"x")
        os.read(read, 1)
work(1000)
start = time.process_time_ns()
work(100000)
print((time.process_time_ns() - start) / 200000)
"""
REGION = """
import time
def work(n):
    for _ in range(n):
        with tracekit.region("a"): pass
work(1000)
start = time.process_time_ns()
work(100000)
print((time.process_time_ns() - start) / 100000)
"""
SWITCHES = """
import asyncio, time
async def switch(n):
    {around}
        for _ in range(n): await asyncio.sleep(0)
async def main():
    await asyncio.gather(*(switch(100) for _ in range(10)))
    start = time.process_time_ns()
    await asyncio.gather(*(switch(10000) for _ in range(10)))
    print((time.process_time_ns() - start) / 100000)
asyncio.run(main())
"""
COUNT = "import tracekit\ntracekit.count()\n"


def once(program: str) -> float:
    return float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


def medians(runs: int, *programs: str) -> list[float]:
    turns = [[once(program) for program in programs] for _ in range(runs)]
    return [statistics.median(values) for values in zip(*turns, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    plain, counted = medians(runs, RELEASES, COUNT + RELEASES)
    print(
        f"a blocking release and its return: {plain:.0f} ns, counted {counted:.0f} ns: {counted - plain:.0f} ns more,"
    )
    print(f"  which is {(counted - plain) * 20000 / 10**7:.2f} % of a CPU at 20,000 a second")
    (region,) = medians(runs, COUNT + REGION)
    print(f"a region: {region:.0f} ns")
    without = SWITCHES.format(around="if True:")
    within = SWITCHES.format(around='with tracekit.region("a"):')
    plain, counted, followed = medians(runs, without, COUNT + without, COUNT + within)
    print(f"a switch of tasks: {plain:.0f} ns, counted {counted:.0f} ns, in regions {followed:.0f} ns")


if __name__ == "__main__":
    main()
