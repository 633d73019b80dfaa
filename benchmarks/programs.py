"""What recording costs servers and programs that fork: python benchmarks/programs.py [--rounds 60] [--runs 5]

Two servers run side by side, one of them recorded, and are asked in turns; told are medians over the rounds. CPU time
is that of all processes of a server, as the kernel counts it. Programs that fork run one after the other, in turns.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GUNICORN = """
import json
def app(environ, start_response):
    body = json.dumps({"values": list(range(200))}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""
UVICORN = """
import json
async def app(scope, receive, send):
    if scope["type"] == "http":
        body = json.dumps({"values": list(range(200))}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})
"""
SERVERS = {
    "gunicorn, 2 sync workers": (GUNICORN, ["gunicorn", "--workers", "2", "--no-control-socket", "--bind"]),
    "gunicorn, 8 threads": (GUNICORN, ["gunicorn", "--threads", "8", "--no-control-socket", "--bind"]),
    "uvicorn": (UVICORN, ["uvicorn", "--no-access-log", "--log-level", "warning", "--host", "127.0.0.1", "--port"]),
}
BATCH = 100
FORKS = """
import os, resource, sys, time
def used(): return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
start, before = time.perf_counter(), used()
for _ in range(300):
    if not os.fork():
        if sys.argv[1] == "nap": time.sleep(0)
        os._exit(0)
    os.wait()
print((time.perf_counter() - start) / 300, (used() - before) / 300)
"""


def command(folder: Path, recorded: bool, words: list[str]) -> list[str]:
    if not recorded:
        return [sys.executable, *words]
    return [sys.executable, "-m", "tracekit", "record", "-o", str(folder / "traces" / "out.log"), *words]


def processes_below(pid: int) -> list[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def used_ns(pids: list[int]) -> int:
    return sum(
        int(path.read_text().split()[0]) for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def ask(port: int, times: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(times):
        connection.request("GET", "/")
        connection.getresponse().read()


@contextmanager
def serving(server: str, recorded: bool) -> Iterator[tuple[int, list[int]]]:
    """Its port, and its processes."""
    text, words = SERVERS[server]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "traces").mkdir()
        (folder / "app.py").write_text(text)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        address = f"127.0.0.1:{port}" if words[0] == "gunicorn" else str(port)
        line = command(folder, recorded, ["-m", *words, address, "app:app"])
        with subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
            while True:
                try:
                    ask(port, 100)
                    break
                except OSError:
                    time.sleep(0.1)
            yield port, [pid for pid in processes_below(program.pid) if pid != program.pid or not recorded]
            program.send_signal(signal.SIGTERM)
            if (code := program.wait(60)) not in (0, -signal.SIGTERM):
                sys.exit(f"{server} ended with {code}")


def cpu_per_request(server: str, rounds: int) -> tuple[float, float, float]:
    """µs without and with the recorder, and the median of what the rounds say how much more it is, as a share."""
    turns = []
    with serving(server, False) as plain, serving(server, True) as recorded:
        for _ in range(rounds):
            turn = []
            for port, pids in (plain, recorded):
                before = used_ns(pids)
                ask(port, BATCH)
                turn.append((used_ns(pids) - before) / BATCH / 1000)
            turns.append(turn)
    without, with_it = (statistics.median(values) for values in zip(*turns, strict=True))
    return without, with_it, statistics.median(after / before - 1 for before, after in turns)


def fork_cost(what: str, recorded: bool) -> tuple[float, float]:
    """Of one fork: ms, and ms of CPU time, the child's and its parent's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "traces").mkdir()
        (folder / "forks.py").write_text(FORKS)
        line = command(folder, recorded, [str(folder / "forks.py"), what])
        done = subprocess.run(line, check=True, capture_output=True, text=True, cwd=folder, env={**os.environ})
    passed, used = map(float, done.stdout.split())
    return passed * 1000, used * 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    for server in SERVERS:
        without, with_it, more = cpu_per_request(server, options.rounds)
        print(f"{server}: {without:.0f} µs of CPU time a request, recorded {with_it:.0f} µs; pairs {more:+.1%}")
    for what in ("nap", "nothing"):
        forks = [[fork_cost(what, way) for way in (False, True)] for _ in range(options.runs)]
        (plain, plain_cpu), (recorded, recorded_cpu) = (
            [statistics.median(values) for values in zip(*ways, strict=True)] for ways in zip(*forks, strict=True)
        )
        print(
            f"a fork whose child does {what}: {plain:.2f} ms, recorded {recorded:.2f} ms, {recorded - plain:.2f} more; "
            f"CPU time {plain_cpu:.2f}, recorded {recorded_cpu:.2f}"
        )


if __name__ == "__main__":
    main()
