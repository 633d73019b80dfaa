"""Which size of a pool would serve a trace's requests best."""

from __future__ import annotations

import heapq
import json
from pathlib import Path

import pytest

import tracekit
from tests.conftest import require_native
from tracekit.reporters import whatif as reporter
from tracekit.whatif.prediction import Pool

WORK, OUTSIDE, HAND_OVER = 1_000_000, 4_000_000, 10_000
"""ns: each request works for so long or half more or less, is outside, and works again. Who waits gets the GIL so long
after a RELEASE."""


def write(path: Path, threads: int, requests: int, between: int = 1000, *, cut: bool = False) -> Path:
    """A trace of so many threads that take requests one after the other, `between` ns later. The GIL goes to who asked
    first. cut: without the times."""
    coming = [(1000 * thread, thread, 0, 0) for thread in range(threads)]  # when, who, its request, its step in it
    left, free_at = list(range(1, requests + 1)), 0
    rows: list[tuple[int, int, str]] = []
    while coming:
        at, thread, region, step = heapq.heappop(coming)
        if step == 0:
            if not left:
                continue
            region = left.pop(0)
        got = free_at + HAND_OVER if at < free_at else at
        free_at = got + WORK // 2 + WORK * (region * (step + 37) % 100) // 100  # no two are alike
        rows.append((at, 1, f"t{thread} - 0 ENTRY {at}{f' region={region}' if step else ''}"))
        if at < got:
            rows.append((at, 2, f"t{thread} - 0 BUSY {at}"))
        rows.append((got, 3, f"t{thread} - 0 ACQUIRE {got}"))
        rows.append((free_at, 0, f"t{thread} - 0 RELEASE {free_at} region={region}"))
        heapq.heappush(
            coming,
            (
                free_at + (between if step else OUTSIDE // 2 + OUTSIDE * (region * 53 % 100) // 100),
                thread,
                region,
                1 - step,
            ),
        )
    head = ["# gil: new", "# switch-interval-us: 5000", "# cores: 4"]
    head += [f"# thread: t{thread} = server_{thread}" for thread in range(threads)]
    head += [f"# region: {region} = GET /" for region in range(1, requests + 1)]
    lines = [row for *_, row in sorted(rows)]
    path.write_text("\n".join([*head, *(line.replace("region", "other") if cut else line for line in lines)]) + "\n")
    return path


def pool_of(path: Path) -> Pool | None:
    return tracekit.what_if(path).pool


@pytest.fixture(autouse=True)
def _native_core() -> None:
    require_native()


def test_a_pool_that_is_too_large_and_one_that_is_too_small(tmp_path: Path) -> None:
    """Each request holds for 2 ms of 6: four of them keep the GIL in use, and more only wait for it."""
    large = pool_of(write(tmp_path / "large.log", 12, 300))
    assert large is not None
    assert (large.name, large.size, large.requests) == ("server_*", 12, 300)
    assert large.best == 4
    assert large.sentence.startswith("Where requests always wait, the 300 requests of the pool of 12 server_* threads ")
    assert f"would be served best by {large.best}" in large.sentence
    small = pool_of(write(tmp_path / "small.log", 2, 600))
    assert small is not None
    assert small.best == 4
    fitting = pool_of(write(tmp_path / "fits.log", 4, 600))
    assert fitting is not None
    assert fitting.best == 4
    assert "are served best by as many threads as there are, of 1, 2, 3, 4, 6 and 8." in fitting.sentence


def test_a_pool_that_is_mostly_idle_could_be_as_large_as_it_was_at_work(tmp_path: Path) -> None:
    idle = pool_of(write(tmp_path / "idle.log", 6, 60, between=60_000_000))
    assert idle is not None
    assert idle.best is None
    assert "had a request at once, and they were at work for" in idle.sentence
    assert "What more threads would do cannot be told" in idle.sentence


def test_where_it_cannot_be_told(tmp_path: Path) -> None:
    path = write(tmp_path / "few.log", 3, 20)
    assert pool_of(path) is None
    assert pool_of(write(tmp_path / "none.log", 3, 60, cut=True)) is None
    assert tracekit.what_if(write(tmp_path / "asked.log", 3, 60), interval=0.001).pool is None
    text = write(tmp_path / "old.log", 12, 60).read_text().replace("# gil: new", "# gil: old")
    (tmp_path / "old.log").write_text(text)
    refused = pool_of(tmp_path / "old.log")
    assert refused is not None
    assert refused.best is None
    assert refused.sentence.startswith(
        "Which size of the pool of 12 server_* threads would be best cannot be told. The trace"
    )


def test_it_is_told_in_words_and_json(tmp_path: Path) -> None:
    found = tracekit.what_if(write(tmp_path / "t.log", 12, 120))
    told = json.loads(reporter.as_json(found))["pool"]
    assert found.pool is not None
    assert told == vars(found.pool)
