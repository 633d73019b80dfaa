"""The page's script: lint, its unit tests, and that it bins, decodes and words as Python does."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tracekit.figures import bins as figures
from tracekit.reporters.html.payload import pack
from tracekit.timeline.picture import Picture
from tracekit.words import duration


def _spans(rng: random.Random) -> dict[str, Any]:
    """A lane's holds and waits, as many as a window shows or far more, and their columns."""
    lanes, parts = [], []
    for states in ([0], [1, 2, 3]):
        edges = sorted(rng.randrange(10_000) for _ in range(2 * rng.randrange(1, 200)))
        begin, end = np.array(edges[::2], float), np.array(edges[1::2], float)
        state = np.array([rng.choice(states) for _ in begin])
        parts.append((begin, end, state))
        lanes.append({"begin": begin.tolist(), "end": end.tolist(), "state": state.tolist()})
    start = rng.choice([0, rng.uniform(-50, 9000)])
    stop = start + rng.choice([1, 7.5, 300, 10_000])
    columns = rng.choice([1, 3, 100, 900])
    shares = np.zeros((columns, len(figures.STATES)))
    seen = np.zeros(columns, np.uint8)
    for part in parts:
        found = figures.bin_spans(*part, start, stop, columns)
        shares += found[0]
        seen |= found[1]
    return {
        "lanes": lanes, "start": start, "stop": stop, "columns": columns, "shares": shares.tolist(),
        "seen": seen.tolist(),
    }  # fmt: skip


def _cells(rng: random.Random) -> dict[str, Any]:
    width = 2 ** rng.randrange(8)
    bins = sorted(rng.sample(range(300), rng.randrange(1, 250)))
    times = {state: [rng.choice([0, rng.randrange(width + 1)]) for _ in bins] for state in figures.STATES}
    rows = np.zeros(len(bins), [("bin", "i4"), ("thread", "i4"), *((state, "i8") for state in figures.STATES)])
    rows["bin"] = bins
    for state in figures.STATES:
        rows[state] = times[state]
    none = np.empty(0)
    picture = Picture(300 * width, width, rows, none, none, none, False, (), none)
    start = rng.uniform(0, 250 * width)
    stop = start + rng.uniform(0.5, 300 * width)
    columns = rng.choice([1, 10, 500])
    begin, end, state, weight = figures.lane(picture, 0)
    shares, seen = figures.bin_spans(begin, end, state, start, stop, columns, weight)
    return {
        "cells": {"rows": len(bins), "bin": bins, **times}, "width": width, "start": start, "stop": stop,
        "columns": columns, "shares": shares.tolist(), "seen": seen.tolist(),
    }  # fmt: skip


def _packed(rng: random.Random) -> dict[str, Any]:
    values = {
        "small": np.array([rng.randrange(-1, 100) for _ in range(999)]),
        "clock": np.cumsum([rng.randrange(2**33) for _ in range(999)]),
        "back": np.array([rng.randrange(2**40) for _ in range(999)]),
        "wide": np.array([rng.randrange(2**52) for _ in range(999)]),
    }
    coding = {"clock": "delta", "back": "delta"}
    return {
        "values": {name: column.tolist() for name, column in values.items()},
        "table": pack([(name, column, coding.get(name, "plain")) for name, column in values.items()]),
        "empty": pack([("thread", np.empty(0, np.int64), "delta"), ("start", np.empty(0, np.int64), "plain")]),
    }


def _durations(rng: random.Random) -> list[tuple[int, str, str]]:
    values = [0, 1, 999, 1000, 9995, 99_949, 999_499, 999_500, 10**6, 123_456_789, 10**10, 10**13]
    values += [rng.randrange(10 ** rng.randrange(1, 12)) for _ in range(40)]
    # A tie is rounded one way by Python and the other by JavaScript.
    values = [value for value in values if value < 1000 or str(value).rstrip("0")[-1:] != "5"]
    return [(value, unit, duration(value, unit)) for value in values for unit in ("ns", "ticks")]


def _node(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    rng = random.Random(5)
    path = tmp_path / "fixture.json"
    fixture = {
        "spans": [_spans(rng) for _ in range(40)],
        "cells": [_cells(rng) for _ in range(40)],
        "packed": _packed(rng),
        "durations": _durations(rng),
    }
    path.write_text(json.dumps(fixture))
    tests = sorted(str(path) for path in (ROOT / "tests" / "reporters" / "html" / "script").glob("*.test.js"))
    node = shutil.which("node")
    assert node
    return subprocess.run(
        [node, "--test", *tests], capture_output=True, text=True, env=os.environ | {"TRACEKIT_FIXTURE": str(path)}
    )


def test_script(tmp_path: Path) -> None:
    if not shutil.which("node"):
        if "CI" in os.environ:
            pytest.fail("node is not there")
        pytest.skip("node is not there")
    done = _node(tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "# skipped 0" in done.stdout or "skipped 0" in done.stdout
