"""What recording costs servers and programs that fork: python benchmarks/programs.py [--runs 5] [--requests 2000]

Each figure is the median over servers, or programs, of their own, recorded and not in turns. CPU time is that of all
the server's processes, as the kernel counts it, from the first of these requests to the last.
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


def cpu_per_request(server: str, recorded: bool, requests: int) -> float:
    """µs."""
    text, words = SERVERS[server]
    with tempfile.TemporaryDirectory() as name, socket.socket() as taken:
        folder = Path(name)
        (folder / "traces").mkdir()
        (folder / "app.py").write_text(text)
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.close()
        address = f"127.0.0.1:{port}" if words[0] == "gunicorn" else str(port)
        line = command(folder, recorded, ["-m", *words, address, "app:app"])
        with subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
            while True:
                try:
                    ask(port, 100)
                    break
                except OSError:
                    time.sleep(0.1)
            pids = [pid for pid in processes_below(program.pid) if pid != program.pid or not recorded]
            before = used_ns(pids)
            ask(port, requests)
            used = used_ns(pids) - before
            program.send_signal(signal.SIGTERM)
            if (code := program.wait(60)) not in (0, -signal.SIGTERM):
                sys.exit(f"{server} ended with {code}")
    return used / requests / 1000


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
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    for server in SERVERS:
        turns = [[cpu_per_request(server, way, options.requests) for way in (False, True)] for _ in range(options.runs)]
        without, with_it = (statistics.median(values) for values in zip(*turns, strict=True))
        more = statistics.median(after / before - 1 for before, after in turns)
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
