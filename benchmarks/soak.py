"""A service with everything on for a long time: python benchmarks/soak.py [--minutes 30]

Counters as text and for Prometheus, requests in threads and in asyncio tasks as regions, threads that come and go, a
flight recorder whose limits are passed now and then, a recording beside it, a forked child: all in one process. Told
each minute are its memory and its files; at the end it is compared what was counted and what was done.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import prometheus_client

import tracekit

DONE: Counter[str] = Counter()
LOCK = threading.Lock()
usleep = ctypes.PyDLL(None).usleep  # keeps the GIL


def done(what: str) -> None:
    with LOCK:
        DONE[what] += 1


def serve(number: int) -> None:
    with tracekit.region("GET /orders/{number}"):
        time.sleep(0.005)
        json.dumps({"order": number, "lines": list(range(200))})
        done("GET /orders/{number}")


async def answer(number: int) -> None:
    with tracekit.region("GET /tasks/{number}"):
        await asyncio.sleep(0.01)
        json.dumps(list(range(number % 200)))
        done("GET /tasks/{number}")


def task_loop(end: float) -> None:
    async def main() -> None:
        number = 0
        while time.monotonic() < end:
            await asyncio.gather(*(answer(number + n) for n in range(5)))
            await asyncio.sleep(0.03)
            number += 5

    asyncio.run(main())


def come_and_go(end: float) -> None:
    while time.monotonic() < end:
        one = threading.Thread(target=serve, args=(0,), name=f"job-{DONE['threads']}")
        one.start()
        one.join()
        done("threads")
        time.sleep(0.05)


def fork() -> None:
    """The child counts for itself, and can take a snapshot of its own."""
    pid = os.fork()
    if not pid:
        with tracekit.region("in a child"):
            time.sleep(0.01)
        os._exit(0 if tracekit.counters() else 1)
    assert os.waitpid(pid, 0)[1] == 0


def memory() -> dict[str, int]:
    """In KiB."""
    status = Path("/proc/self/status").read_text()
    sizes = dict(re.findall(r"(Rss\w+):\s+(\d+)", status))
    return {name: int(size) for name, size in sizes.items()}


def tell(minute: int, ring: str) -> None:
    told = memory()
    files = os.path.getsize(ring), len(os.listdir("/proc/self/fd"))
    done = DONE.total() - DONE["threads"], DONE["threads"]
    figures = (minute, told["RssAnon"], sum(told.values()), *files, *done, round(time.process_time()))
    print("|", " | ".join(f"{figure:,}" for figure in figures), "|", flush=True)


def once_a_second(second: int, registry: prometheus_client.CollectorRegistry) -> None:
    if second % 5 == 0:
        prometheus_client.generate_latest(registry)
        tracekit.counters()
    if second % 40 == 20:
        usleep(150_000)
    if second % 300 == 150:
        fork()
    if second % 900 == 30:
        with tracekit.record("beside.log"):
            time.sleep(3)
        read = "import tracekit; assert tracekit.read('beside.log').metadata['lost'] == '0'"
        subprocess.run([sys.executable, "-c", read], check=True)
        os.remove("beside.log")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args().minutes
    tracekit.count("gil.prom")
    registry = prometheus_client.CollectorRegistry()
    registry.register(tracekit.prometheus.Collector())
    flight = tracekit.flight(
        "slow-{n}.log", max_size="16M", hold_over="100ms", wait_over="500ms", region_over="1s", keep=3
    )
    (ring,) = glob.glob(".*ring*")
    end = time.monotonic() + 60 * minutes
    threads = [threading.Thread(target=work, args=(end,)) for work in (task_loop, come_and_go)]
    for thread in threads:
        thread.start()
    columns = ("minute", "own memory, KiB", "with the ring, KiB", "the ring's file, bytes", "descriptors", "requests")
    columns = (*columns, "threads", "its CPU time, s")
    print(f"| {' | '.join(columns)} |\n|{' ---: |' * len(columns)}", flush=True)
    with ThreadPoolExecutor(8, "server") as pool:
        begin, second = time.monotonic(), 0
        while time.monotonic() < end:
            for turn in range(10):
                list(pool.map(serve, range(8)))
                time.sleep(max(0.0, begin + second + turn / 10 - time.monotonic()))
            once_a_second(second, registry)
            second += 1
            if second % 60 == 0:
                tell(second // 60, ring)
    for thread in threads:
        thread.join()
    taken = flight.snapshot()
    counted = {one["name"]: one for one in tracekit.live.regions.sums()}
    for name in ("GET /orders/{number}", "GET /tasks/{number}"):
        assert (counted[name]["regions"], counted[name]["unknown"]) == (DONE[name], 0), (counted[name], DONE[name])
    every = tracekit.counters()
    assert all(one["waits"] == sum(one["wait_histogram"]) for one in every if not one["alive"])
    assert len(every) < 1100
    trace = tracekit.read(taken)
    assert trace.metadata["lost"] == "0"
    named = {row["region"] for row in trace.regions.to_pylist()}
    told = {region for region in trace.events.column("region").to_pylist() if region is not None}
    snapshots = sorted(glob.glob("slow-*.log"))
    print(f"{DONE.total() - DONE['threads']:,} requests, all counted; {DONE['threads']:,} threads; lost events: 0;")
    print(
        f"the ring has {trace.events.num_rows:,} events and {len(told):,} regions, {len(told - named)} without a name;"
    )
    print(f"{int(snapshots[-1].split('-')[1].split('.')[0])} snapshots, of which {len(snapshots)} are kept")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="tracekit-soak-") as folder:
        os.chdir(folder)
        main()
