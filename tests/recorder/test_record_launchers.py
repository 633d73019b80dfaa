"""Launchers as they come from the package index: each process they start has its trace, and they notice nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import tracekit
from tests.recorder.recorded import good, need_recorder, record, script

pytestmark = pytest.mark.slow

GUNICORN = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
UVICORN = """
import os
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def ask(port: int) -> str:
    """The pid of the worker that answers, once there is one."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def serve(folder: Path, port: int, requests: int, *words: str) -> set[str]:
    """Records a server until it has answered so often. Returns the pids that answered, all of which have traces."""
    need_recorder()
    traces = folder / "traces"
    traces.mkdir(mode=0o700)
    with (folder / "said").open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "tracekit", "record", "-o", "traces/out.log", "-m", *words],
            cwd=folder, stdout=said, stderr=said,
        )  # fmt: skip
        try:
            pids = {ask(port) for _ in range(requests)}
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0, (folder / "said").read_text()
        finally:
            server.kill()
    told = (folder / "said").read_text()
    assert "Traceback" not in told
    assert "not recorded" not in told
    ended = [path for path in traces.iterdir() if path.suffix != ".raw"]  # multiprocessing's resource tracker ends late
    for path in ended:
        good(path)
    assert pids <= {path.suffix[1:] for path in ended}
    return pids


def test_gunicorn_and_its_workers_as_another_user(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "app.py").write_text(GUNICORN)
    port = free_port()
    user = ["--user", "65534", "--group", "65534"] if os.geteuid() == 0 else []
    words = ["gunicorn", "--workers", "2", *user, "--preload", "--no-control-socket", "--bind", f"127.0.0.1:{port}"]
    pids = serve(tmp_path, port, 1000, *words, "app:app")
    assert any(len(good(tmp_path / "traces" / f"out.log.{pid}").events) > 16384 for pid in pids)  # a second chunk


def test_uvicorn_and_its_spawned_workers(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    (tmp_path / "app.py").write_text(UVICORN)
    port = free_port()
    serve(tmp_path, port, 20, "uvicorn", "--workers", "2", "--port", str(port), "app:app")
    assert len(list((tmp_path / "traces").iterdir())) == 4  # one is multiprocessing's resource tracker


def test_loky(tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    text = """
from joblib import Parallel, delayed
if __name__ == "__main__": print(sum(Parallel(n_jobs=2)(delayed(abs)(number) for number in range(40))))
"""
    done = record(tmp_path, script(tmp_path, text))
    assert (done.returncode, done.stdout) == (0, "780\n"), done.stderr
    commands = [tracekit.read(path).metadata["command"] for path in tmp_path.glob("out.log.*")]
    assert sum("popen_loky" in command for command in commands) == 2, commands


def test_xdist(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    (tmp_path / "test_it.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    done = record(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "test_it.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len([good(path) for path in tmp_path.glob("out.log.*")]) == 2
