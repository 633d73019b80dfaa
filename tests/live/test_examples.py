"""The examples under a little load, and their dashboards' metrics."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.live.test_middleware import GUNICORN, UVICORN, held_ms, serving
from tests.recorder.recorded import need_recorder

EXAMPLES = ROOT / "examples"


def check_dashboard(service: str, told: str) -> None:
    """Every metric that it asks for is told."""
    samples = {line.partition("{")[0] for line in told.splitlines() if not line.startswith("#")}
    dashboard = json.loads((EXAMPLES / "dashboards" / f"{service}.json").read_text())
    asked = re.findall(r"python_gil_\w+", json.dumps([panel["targets"] for panel in dashboard["panels"]]))
    assert len(asked) >= 10
    assert set(asked) <= samples


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("framework", "command", "route"),
    [("flask", GUNICORN, "/orders/<int:number>"), ("fastapi", UVICORN, "/orders/{number}")],
)
def test_a_web_service(tmp_path: Path, framework: str, command: tuple[str, ...], route: str) -> None:
    for needed in (framework, command[0]):
        pytest.importorskip(needed)
    example = (EXAMPLES / f"{framework}_service.py").read_text()
    with serving(tmp_path, example, *command) as url:

        def ask(path: str) -> str:
            with urllib.request.urlopen(f"{url}{path}", timeout=60) as answer:
                assert held_ms(answer.headers["Server-Timing"]) >= 0
                return str(answer.read().decode())

        paths = [f"/{kind}/{number}" for number in range(20) for kind in ("orders", "reports")]
        with ThreadPoolExecutor(4) as users:
            assert all(users.map(ask, paths))
        told = ask("/metrics")
    check_dashboard(framework, told)
    assert re.search(r'python_gil_waited_seconds_total\{cause="saturation",threads="[^"]+"\} [0-9]', told)
    assert f'python_gil_regions_total{{region="GET {route}"}} 20.0' in told


@pytest.mark.slow
def test_a_celery_worker(tmp_path: Path) -> None:
    pytest.importorskip("celery")
    need_recorder()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "celery_service.py").write_text((EXAMPLES / "celery_service.py").read_text())
    about = os.environ | {"BROKER_FOLDER": str(tmp_path / "broker"), "METRICS_PORT": str(port)}
    words = ("--app", "celery_service", "worker", "--pool", "threads", "--concurrency", "4", "--loglevel", "warning")
    with (tmp_path / "log").open("w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", *words], cwd=tmp_path, env=about, stdout=log, stderr=log
        )
        try:
            subprocess.run([sys.executable, "celery_service.py", "20"], cwd=tmp_path, env=about, check=True, timeout=60)
            wanted = [f'python_gil_regions_total{{region="{name}"}} 20.0' for name in ("orders.send", "reports.make")]
            end, told = time.monotonic() + 100, ""
            while not all(line in told for line in wanted):
                assert time.monotonic() < end, told + (tmp_path / "log").read_text()
                assert worker.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.1)
                try:
                    told = get(f"http://127.0.0.1:{port}/metrics")
                except urllib.error.URLError:
                    continue
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
    check_dashboard("celery", told)
    held = re.search(r'python_gil_region_seconds_total\{region="reports.make",state="held"\} ([0-9.e-]+)', told)
    assert held
    assert float(held[1]) > 0.01
    assert not list(tmp_path.glob(".slow-task*")), "the ring is removed when the worker ends"


def test_the_dashboards_are_those_that_are_made() -> None:
    written = runpy.run_path(str(EXAMPLES / "make_dashboards.py"))["written"]()
    assert {path.name: path.read_text() for path in (EXAMPLES / "dashboards").iterdir()} == {
        path.name: text for path, text in written.items()
    }
