"""Profiles for the Firefox Profiler, read by the format's types: its loader is not everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tracekit
from tests.conftest import trace_file
from tests.writers.test_convert import converted
from tracekit.writers import firefox

INTERVAL = 1


def profile_of(trace: Path, folder: Path) -> dict[str, Any]:
    profile: dict[str, Any] = json.loads(converted(trace, folder / "out.firefox.json").read_bytes())
    return profile


def markers(profile: dict[str, Any], thread: dict[str, Any]) -> list[dict[str, Any]]:
    """Of one thread, with words for all that stands for words."""
    strings, categories = profile["shared"]["stringArray"], profile["meta"]["categories"]
    columns = dict(thread["markers"])
    length = columns.pop("length")
    assert {len(column) for column in columns.values()} == {length}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for row in rows:
        row["name"], row["category"] = strings[row["name"]], categories[row["category"]]["name"]
        row["data"] = {
            key: strings[value] if key in ("release", "behind") else value for key, value in row["data"].items()
        }
        assert row.pop("phase") == INTERVAL
    return rows


@pytest.mark.parametrize("name", ["py311-longhold.log", "py27-cpu2.log", "retry-without-busy.log", "one-line.log"])
@pytest.mark.parametrize("piece", [7, 4096])
def test_markers_are_the_tables_rows(name: str, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times count from the trace's start in ms, a tick is 1 µs; columns are written in pieces that nobody sees."""
    monkeypatch.setattr(firefox, "_PIECE", piece)
    trace = tracekit.read(trace_file(name))
    profile = profile_of(trace_file(name), tmp_path)
    start = min(row["clock"] for row in trace.events.to_pylist())
    unit = 1e6 if trace.unit == "ns" else 1e3
    kinds = {row["name"]: row for row in profile["meta"]["markerSchema"]}
    assert [thread["tid"] for thread in profile["threads"][:-1]] == trace.threads.column("thread").to_pylist()
    for thread in profile["threads"][:-1]:
        rows = markers(profile, thread)
        told: list[tuple[str, str, float, float, dict[str, Any]]] = []
        for hold in trace.holds.to_pylist():
            if hold["thread"] == thread["tid"]:
                known = {} if hold["release_kind"] == "unknown" else {"release": hold["release_kind"]}
                told.append(("holds the GIL", "GIL held", hold["start_clock"], hold["end_clock"], known))
        for wait in trace.waits.to_pylist():
            if wait["thread"] == thread["tid"] and wait["contended"]:
                first = wait["busy_clock"] if wait["entry_clock"] is None else wait["entry_clock"]
                facts = {"retries": wait["failed_retries"]}
                told.append(("waits for the GIL", "GIL waited for", first, wait["end_clock"], facts))
        shown = [
            (row["name"], row["category"], row["startTime"], row["endTime"],
             {key: value for key, value in row["data"].items() if key in ("release", "retries")})
            for row in rows
        ]  # fmt: skip
        ends: list[float] = [(end - start) / unit for _, _, _, end, _ in told]
        assert sorted(end for _, _, _, end, _ in shown) == pytest.approx(sorted(ends))
        assert sum(end - begin for _, _, begin, end, _ in shown) == pytest.approx(
            sum(end - begin for _, _, begin, end, _ in told) / unit
        )
        assert sorted(map(str, ((a, b, e) for a, b, _, _, e in shown))) == sorted(
            map(str, ((a, b, e) for a, b, _, _, e in told))
        )
        for row in rows:
            assert row["data"]["type"] == ("gil-hold" if row["name"] == "holds the GIL" else "gil-wait")
            assert set(row["data"]) - {"type"} <= {field["key"] for field in kinds[row["data"]["type"]]["fields"]}
            assert ("behind" in row["data"]) == ("flow" in row["data"] and row["name"] == "waits for the GIL")


def test_flows_are_pairs_of_a_hold_and_the_wait_that_it_ended(tmp_path: Path) -> None:
    profile = profile_of(trace_file("py27-cpu2.log"), tmp_path)
    strings, ends = profile["shared"]["stringArray"], {}
    for thread in profile["threads"][:-1]:
        for row in markers(profile, thread):
            if "flow" in row["data"]:
                ends.setdefault(strings[row["data"]["flow"]], []).append(
                    (row["name"], row["endTime"], thread["name"], row)
                )
    assert ends
    for pair in ends.values():
        (_, freed, holder, _), (_, had, waiter, wait) = sorted(pair, key=lambda each: str(each[0]))
        assert [each[0] for each in sorted(pair, key=lambda each: str(each[0]))] == [
            "holds the GIL",
            "waits for the GIL",
        ]
        assert freed <= had
        assert holder != waiter
        assert wait["data"]["behind"] == holder


def test_findings_are_a_thread_of_their_own_and_say_all(tmp_path: Path) -> None:
    path = trace_file("py27-cpu2.log")
    analysis = tracekit.analyze(path)
    profile = profile_of(path, tmp_path)
    rows = markers(profile, profile["threads"][-1])
    assert {row["category"] for row in rows} == {"Findings"}
    assert sum(row["name"] == "battles" for row in rows) == analysis.battles.num_rows
    worded = {row["data"]["advice"]: row["data"] for row in rows if "advice" in row["data"]}
    for finding in analysis.findings:
        told = worded[finding.advice]
        assert (told["type"], told["why"]) == ("gil-finding", finding.explanation)
    first = analysis.battles.to_pylist()[0]
    (row,) = (row for row in rows if f"passes {first['passes']}" in row["data"]["more"] and row["startTime"] == min(
        row["startTime"] for row in rows if row["name"] == "battles"))  # fmt: skip
    assert f"rounds {first['rounds']}" in row["data"]["more"]
    assert "advice" not in row["data"]["more"]


def test_the_counter_ends_where_the_waiters_are_counted(tmp_path: Path) -> None:
    path = trace_file("py311-cpu2.log")
    profile = profile_of(path, tmp_path)
    (counter,) = profile["counters"]
    samples = counter["samples"]
    assert len(samples["count"]) == len(samples["time"]) == samples["length"] > 0
    now, most = 0, 0
    for step in samples["count"]:
        assert step in (1, -1)
        now += step
        most = max(most, now)
        assert now >= 0
    assert most == max(row["waiters"] for row in tracekit.analyze(path).waiting.to_pylist() if row["duration"])


def test_the_profile_is_as_long_as_the_trace_and_its_first_thread_the_main_one(tmp_path: Path) -> None:
    path = trace_file("py311-longhold.log")
    analysis, profile = tracekit.analyze(path), profile_of(path, tmp_path)
    end = analysis.duration / 1e6
    assert (profile["meta"]["startTime"], profile["meta"]["profilingStartTime"]) == (0, 0)
    assert profile["meta"]["profilingEndTime"] == pytest.approx(end, rel=0.01)
    assert [thread["isMainThread"] for thread in profile["threads"]] == [True] + [False] * analysis.threads.num_rows
    for thread in profile["threads"]:
        assert thread["samples"]["time"] == [0, profile["meta"]["profilingEndTime"]]
        assert thread["samples"]["length"] == len(thread["samples"]["stack"]) == 2
        assert thread["pid"] == profile["counters"][0]["pid"]
    told = {entry["label"]: entry["value"] for entry in profile["meta"]["extra"][0]["entries"]}
    assert told == analysis.metadata
    assert profile["meta"]["interval"] > 0
    tables = [table for table in profile["shared"].values() if isinstance(table, dict)]
    assert all(table["length"] == 0 for table in tables), "there is no stack in this trace"
