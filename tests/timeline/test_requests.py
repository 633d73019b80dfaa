"""What requests held and waited, for whom and where: by both cores, and as it is told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

import tracekit
from tests.conftest import require_native
from tracekit.reporters import console
from tracekit.timeline import regions as plain

# A request of t1 waits behind t2 in two of its functions, and while nobody holds; one of t2 is never named.
TRACE = """\
# gil: new
# thread: t1 = server-1
# thread: t2 = server-2
# code: 1 = 1 report /app/views.py
# code: 2 = 9 json /app/views.py
# stack: 1 = 0 1 5
# stack: 2 = 1 2 11
# region: 7 = GET /orders
# region: 9 = GET /orders
# region: 10 = PUT /order
t1 - 0 ENTRY 1000
t1 - 0 ACQUIRE 1000
t1 - 0 RELEASE 1100 region=7
t2 - 0 ENTRY 1100
t2 - 0 ACQUIRE 1110
t1 - 0 ENTRY 1200 region=7
t1 - 0 BUSY 1200 sample=1
t1 - 0 RETRY 1500 sample=2
t2 - 0 RELEASE 1700 region=8
t1 - 0 ACQUIRE 1750
t1 - 0 RELEASE 1800 region=7
t1 - 0 ENTRY 2000
t1 - 0 ACQUIRE 2000
t1 - 0 RELEASE 2040 region=9
t1 - 0 ENTRY 2040 region=9
t1 - 0 ACQUIRE 2040
t1 - 0 RELEASE 2060
t1 - 0 ENTRY 2160 region=10
t1 - 0 ACQUIRE 2170
t1 - 0 RELEASE 2190
"""


@pytest.mark.usefixtures("core")
def test_what_each_held_and_waited(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_text(TRACE)
    analysis = tracekit.analyze(path)
    keys = ("region", "name", "thread", "start_clock", "end_clock", "duration", "held", "waited", "blocked", "waits")
    assert [tuple(row[key] for key in keys) for row in analysis.requests.to_pylist()] == [
        (7, "GET /orders", "t1", 1000, 1800, 800, 150, 550, 100, 1),
        (8, None, "t2", 1110, 1700, 590, 590, 0, 0, 0),
        (10, "PUT /order", "t1", 2060, 2170, 110, 0, 10, 100, 1),  # it began in the hold before, and blocked at once
        (9, "GET /orders", "t1", 2000, 2040, 40, 40, 0, 0, 1),
    ]
    assert [tuple(row.values()) for row in analysis.request_blame.to_pylist()] == [
        (7, "t2", 1, 300), (7, "t2", 2, 200), (7, None, None, 50), (10, None, None, 10),
    ]  # fmt: skip
    first, second, _ = analysis.request_split.to_pylist()
    assert first == {
        "name": "GET /orders", "requests": 2, "duration": 840, "held": 190, "waited": 550, "blocked": 100,
        "p50": 40, "p90": 800, "p99": 800, "max": 800, "waited_p50": 0, "waited_p90": 550, "waited_p99": 550,
    }  # fmt: skip
    assert (second["name"], second["requests"], second["max"]) == (None, 1, 590)
    assert analysis.sql("select sum(held) as held from requests")["held"][0] == 780
    told = json.loads(analysis.to_json())
    kept = [(one["holder"], one["at"], one["duration"]) for one in told["regions"][0]["kept_waiting"]]
    assert kept == [("server-*", "report (views.py:5)", 300), ("server-*", "json (views.py:11)", 200), (None, None, 50)]
    assert told["requests"][0]["kept_waiting"] == told["regions"][0]["kept_waiting"]
    assert told["requests_left_out"] == 0
    screen = Console(width=400, record=True)
    screen.print(console.render(analysis))
    text = screen.export_text()
    assert "GET /orders took 800 ns in server-1 (t1): it ran for 150 ns, waited 550 ns for the GIL" in text
    assert (
        "It waited 300 ns behind server-* at report (views.py:5), 200 ns behind server-* at json (views.py:11)" in text
    )
    assert "(no name)" in text


@pytest.mark.usefixtures("core")
def test_a_trace_without_regions_tells_of_none(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_text("t1 - 0 ENTRY 1\nt1 - 0 ACQUIRE 2\n")
    analysis = tracekit.analyze(path)
    assert not analysis.requests.num_rows
    assert not analysis.request_split.num_rows
    screen = Console(width=400, record=True)
    screen.print(console.render(analysis))
    assert "Requests" not in screen.export_text()


@pytest.mark.slow
def test_of_too_many_the_newest_are_kept_and_what_they_waited_is_told_once(tmp_path: Path) -> None:
    """The first ones are forgotten, with the rows of whom they waited for; one that goes on stays."""
    require_native()
    many = plain.REGION_LIMIT + 500
    rows = ["# region: 1 = goes on"]
    for number in range(1, many + 1):
        at, region = 1000 * number, f"region={number + 1}"
        rows += [
            f"t2 - 0 ENTRY {at}", f"t2 - 0 ACQUIRE {at}", f"t1 - 0 ENTRY {at + 10} {region}", f"t1 - 0 BUSY {at + 10}",
            f"t2 - 0 RELEASE {at + 100}", f"t1 - 0 ACQUIRE {at + 101}", f"t1 - 0 RELEASE {at + 200} {region}",
        ]  # fmt: skip
        if number % 1000 == 1:
            rows += [f"t3 - 0 ENTRY {at + 300}", f"t3 - 0 ACQUIRE {at + 300}", f"t3 - 0 RELEASE {at + 301} region=1"]
    path = tmp_path / "t.log"
    path.write_text("\n".join(rows) + "\n")
    analysis = tracekit.analyze(path)
    assert analysis.totals.regions_dropped == 501
    assert analysis.requests.num_rows == plain.REGION_LIMIT
    regions = analysis.requests["region"].to_pylist()
    assert regions[0] == 1
    assert set(regions) == {1, *range(503, many + 2)}
    lost: Counter[int] = Counter()
    for row in analysis.request_blame.to_pylist():
        lost[row["region"]] += row["duration"]
    assert lost == {region: 91 for region in regions if region != 1}
