"""`tracekit top`, on programs that are run by it, and on one that has a flight recorder."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.recorder.recorded import need_recorder

BUSY = """
import sys, threading, time, tracekit
def spin():
    while True: sum(range(1000))
def nap():
    while True: time.sleep(0.001)
for name, work in (("spinner-1", spin), ("spinner-2", spin), ("napper", nap)):
    threading.Thread(target=work, name=name, daemon=True).start()
"""


def top(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    need_recorder()
    return subprocess.run(
        [sys.executable, "-m", "tracekit", "top", *words], cwd=folder, capture_output=True, text=True, timeout=100
    )


@pytest.mark.slow
def test_around_a_program(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(BUSY + "time.sleep(2.5)\nsys.exit(7)")
    done = top(tmp_path, "--once", "--json", "busy.py")
    assert done.returncode == 7, done.stderr
    told = json.loads(done.stdout)
    assert told["schema"] == "tracekit.analysis/1"
    assert {"spinner-1", "spinner-2", "napper"} <= {thread["name"] for thread in told["threads"]}
    done = top(tmp_path, "--once", "busy.py")
    assert "spinner-*" in done.stdout
    assert "nap" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["busy.py"]


def test_a_process_with_a_flight_recorder(tmp_path: Path) -> None:
    need_recorder()
    (tmp_path / "busy.py").write_text(
        "import tracekit\ntracekit.flight('f-{n}.log', max_size='1M')\n" + BUSY + "print(1, flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "busy.py"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        program.stdout.readline()
        time.sleep(0.5)
        done = top(tmp_path, "--once", "--json", str(program.pid))
        program.stdin.close()
    assert done.returncode == 0, done.stderr
    assert "spinner-1" in {thread["name"] for thread in json.loads(done.stdout)["threads"]}


REQUESTS = """
def serve():
    while True:
        with tracekit.region("GET /orders"): time.sleep(0.002)
threading.Thread(target=serve, name="server", daemon=True).start()
"""


def test_requests_are_shown(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(BUSY + REQUESTS + "time.sleep(2)")
    done = top(tmp_path, "--once", "busy.py")
    assert "GET /orders" in done.stdout, done.stdout
    assert "requests" in done.stdout
    assert "what all waited for" in done.stdout


def ask(url: str, host: str | None = None) -> tuple[int, str, str]:
    asked = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, answer.read().decode(), str(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), str(error.headers)


def test_a_page_for_who_has_the_token(tmp_path: Path) -> None:
    need_recorder()
    (tmp_path / "busy.py").write_text(
        "import tracekit\ntracekit.flight('f-{n}.log', max_size='1M')\n"
        + BUSY
        + REQUESTS
        + "time.sleep(0.5)\nprint(1, flush=True)\ninput()"
    )
    words = [sys.executable, "-m", "tracekit", "top", "--page"]
    program = subprocess.Popen([sys.executable, "busy.py"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stdin is not None
    program.stdout.readline()
    shown = subprocess.Popen([*words, str(program.pid)], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        assert shown.stderr is not None
        url = shown.stderr.readline().split("open ")[1].split(" in a browser")[0]
        status, page, headers = ask(url)
        assert status == 200
        assert "<script>" in page
        assert "default-src 'none'" in headers
        assert "Access-Control" not in headers
        status, data, _ = ask(f"{url.replace('/?', '/data?')}&sort=name&only=spin&threads=1")
        text = json.loads(data)["text"]
        assert status == 200
        assert "spinner-1 (" in text, text
        assert not re.search(r"napper \([0-9]+\) +[0-9]", text), text
        assert "only 'spin'" in text
        assert "GET /orders" in json.loads(ask(url.replace("/?", "/data?"))[1])["text"]
        port = int(url.split(":")[2].split("/")[0])
        for wrong, host in (
            (f"{url}x", None), (url[:-1], None), (url.split("?")[0], None), (url, "evil.example"),
            (url, f"127.0.0.1:{port + 1}"),
        ):  # fmt: skip
            status, text, _ = ask(wrong, host)
            assert status == 403, (wrong, host)
            assert "spinner" not in text
        assert ask(url.replace("/?", "/else?"))[0] == 404
        program.stdin.close()
        program.wait(60)
        assert shown.wait(60) == 0
    finally:
        for process in (program, shown):
            process.kill()
            process.wait()
        for stream in (program.stdin, program.stdout, shown.stderr):
            if stream is not None:
                stream.close()


def test_on_a_terminal(tmp_path: Path) -> None:
    need_recorder()
    (tmp_path / "busy.py").write_text(BUSY + "time.sleep(60)")
    here, there = pty.openpty()
    seen = bytearray()

    def read() -> None:
        try:
            while part := os.read(here, 4096):
                seen.extend(part)
        except OSError:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    program = subprocess.Popen([sys.executable, "busy.py"], cwd=tmp_path)
    recorded = subprocess.Popen(
        [sys.executable, "-m", "tracekit", "top", str(program.pid)],
        cwd=tmp_path,
        stdin=there,
        stdout=there,
        stderr=there,
    )
    os.close(there)

    def wait_for(what: bytes) -> None:
        end = time.monotonic() + 60
        while what not in seen and recorded.poll() is None:
            assert time.monotonic() < end, bytes(seen)
            time.sleep(0.02)
        assert what in seen, bytes(seen)

    try:
        wait_for(b"spinner-*")
        os.write(here, b"ss")
        wait_for(b"by name")
        os.write(here, b"/naP\x7fp\r")
        wait_for(b"only 'nap'")
        os.write(here, b"f")
        wait_for(b"frozen")
        os.write(here, b"w")
        wait_for(b"top-1.log")
        os.write(here, b"q")
        assert recorded.wait(60) == 0
    finally:
        program.kill()
        program.wait()
        recorded.kill()
        recorded.wait()
        reader.join()
        os.close(here)
    assert (tmp_path / "top-1.log").exists()


def test_bad_input(tmp_path: Path) -> None:
    for words, what in (
        (("--json", "1"), "--json goes with --once"),
        (("1",), "top needs a terminal"),
        (("--page", "--once", "1"), "--page shows what --once would end"),
        (("--once", "99999999"), "No such file or directory"),
        (("--once", "nothing.py"), "there is no such script"),
    ):
        done = top(tmp_path, *words)
        assert done.returncode == 2, words
        assert what in done.stderr, words
        assert "Traceback" not in done.stderr
