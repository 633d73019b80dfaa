"""The examples under a little load, and their dashboard's metrics."""

from __future__ import annotations

import json
import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.live.test_middleware import GUNICORN, UVICORN, held_ms, serving

EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize(("framework", "command"), [("flask", GUNICORN), ("fastapi", UVICORN)])
def test_an_example_and_the_dashboard(tmp_path: Path, framework: str, command: tuple[str, ...]) -> None:
    for needed in (framework, command[0]):
        pytest.importorskip(needed)
    example = (EXAMPLES / f"{framework}_service.py").read_text()
    with serving(tmp_path, example, *command) as url:

        def get(path: str) -> str:
            with urllib.request.urlopen(f"{url}{path}", timeout=60) as answer:
                assert held_ms(answer.headers["Server-Timing"]) >= 0
                return str(answer.read().decode())

        paths = [f"/{kind}/{number}" for number in range(20) for kind in ("orders", "reports")]
        with ThreadPoolExecutor(4) as users:
            assert all(users.map(get, paths))
        told = get("/metrics")
    samples = {line.partition("{")[0] for line in told.splitlines() if not line.startswith("#")}
    dashboard = json.loads((EXAMPLES / "dashboard.json").read_text())
    asked = re.findall(r"python_gil_\w+", json.dumps([panel["targets"] for panel in dashboard["panels"]]))
    assert len(asked) >= 6
    assert set(asked) <= samples
    assert re.search(r'python_gil_waited_seconds_total\{cause="saturation",threads="[^"]+"\} [0-9]', told)
