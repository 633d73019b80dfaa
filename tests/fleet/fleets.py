"""What the tests of fleets share: traces of a service's processes, made from real ones, and a run as users start it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import SAMPLES
from tracekit.model import schemas

TABLES = [table.removeprefix("fleet_") for table in schemas.FLEET_TABLES]
SLOW = {"TRACEKIT_CORE": "python"}  # so that there is a middle to kill something in


def make_fleet(folder: Path) -> Path:
    """Seven processes on two hosts: convoys in three of them, battles, long holds, none, none."""
    folder.mkdir()
    for number, source in enumerate(
        ["py311-echo-convoy"] * 3 + ["py27-cpu2", "py311-longhold", "py311-io4", "py27-cpu2-onecore"]
    ):
        pid = 100 + number
        about = f"# host: web-{number % 2}\n# pid: {pid}\n# command: python serve.py --port {number}\n"
        names = f"# thread: t2 = metrics-{number}\n# thread: t3 = worker-{number}-1\n"
        trace = (SAMPLES / f"{source}.log").read_text()
        (folder / f"{pid}.log").write_text(about + names + trace)
    return folder


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tracekit", "fleet", *map(str, arguments)]


def fleet(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=300
    )


def tables_of(out: Path) -> dict[str, bytes]:
    """All files of a dataset."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.glob("*/part-*.parquet"))}
