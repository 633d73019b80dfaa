"""Every number of every golden trace, as an independent program computed it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import tracekit
from tests.conftest import GOLDEN, trace_file
from tracekit.model.schemas import TABLES
from tracekit.reporters.json import as_dict
from tracekit.writers import parquet
from tracekit.writers.tablestream import TableStream

EXPECTED: dict[str, Any] = {
    **json.loads((GOLDEN / "expected.json").read_text()),
    **json.loads((GOLDEN / "edge" / "expected.json").read_text()),
}
CAUSES: dict[str, Any] = json.loads((GOLDEN / "causes.json").read_text())
THREAD_KEYS = (
    "entries", "acquires", "releases", "failed_retries", "lost_rounds", "check_releases", "blocking_releases", "held",
    "waited",
)  # fmt: skip


def in_memory(path: str) -> tracekit.Analysis:
    return tracekit.analyze(tracekit.read(path))


@pytest.mark.parametrize("analyze", [tracekit.analyze, in_memory])
@pytest.mark.parametrize("name", EXPECTED)
def test_golden(name: str, analyze: Any, core: str) -> None:
    expected = EXPECTED[name]
    found = as_dict(analyze(str(trace_file(name))))
    trace = found["trace"]
    for key in ("events", "counts", "unit", "duration", "checks", "badness", "bad_lines", "metadata", "switches"):
        assert trace[key] == expected[key], key
    bad = {d["code"]: d["count"] for d in found["diagnostics"] if d["code"] in expected["bad_codes"]}
    assert bad == expected["bad_codes"]
    first_bad = [d["first_line"] for d in found["diagnostics"] if d["code"] in bad]
    assert min(first_bad, default=None) == expected["first_bad_line"]
    faults: dict[str, dict[str, int]] = {}
    for d in found["diagnostics"]:
        if d["code"] not in bad:
            faults.setdefault(d["code"], {})[d["severity"]] = d["count"]
    assert faults == expected["diagnostics"]
    assert {t["thread"]: t["name"] for t in found["threads"] if t["name"]} == expected["names"]
    assert [t["thread"] for t in found["threads"]] == list(expected["threads"])
    for thread in found["threads"]:
        wanted = expected["threads"][thread["thread"]]
        assert {key: thread[key] for key in THREAD_KEYS} == {key: wanted[key] for key in THREAD_KEYS}
        assert thread["contended_waits"] == wanted["contended"]
    for kind in ("battles", "convoys", "frozen_signals", "long_holds"):
        rows = [{key: row[key] for key in expected[kind][0]} for row in found[kind]] if expected[kind] else found[kind]
        assert rows == sorted(expected[kind], key=lambda row: int(row["start_seq"])), kind
    assert sorted(map(str, found["blame"])) == sorted(map(str, expected["blame"]))


@pytest.mark.parametrize("analyze", [tracekit.analyze, in_memory])
@pytest.mark.parametrize("name", CAUSES)
def test_every_wait_has_its_causes(name: str, analyze: Any, core: str) -> None:
    found = as_dict(analyze(str(trace_file(name))))["causes"]
    assert sorted(map(str, found)) == sorted(map(str, CAUSES[name]["causes"]))


def test_a_preempted_hold_is_in_the_table_and_in_no_finding(core: str, tmp_path: Path) -> None:
    """Both holds are long; of the second the thread had the CPU for a third."""
    path = tmp_path / "t.log"
    rows = ["a - 0 ENTRY 0", "a - 0 ACQUIRE 0", "b - 0 ENTRY 1", "b - 0 BUSY 1", "b - 0 RETRY 5000000"]
    rows += ["b - 0 RETRY 10000000", "a - 1 RELEASE 15000000 cpu=14000000", "a - 1 ENTRY 15000000"]
    rows += ["a - 1 ACQUIRE 15000000", "b - 1 RETRY 20000000", "b - 1 RETRY 25000000", "b - 1 RETRY 30000000"]
    rows += ["a - 2 RELEASE 45000000 cpu=10000000", "b - 2 ACQUIRE 45000000", "b - 2 RELEASE 45000001"]
    path.write_text("\n".join(rows))
    found = tracekit.analyze(path)
    holds = [(row["duration"], row["cpu"], row["preempted"]) for row in found.long_holds.to_pylist()]
    assert holds == [(15_000_000, 14_000_000, False), (30_000_000, 10_000_000, True)]
    assert found.found("long_holds") == (1, pytest.approx(15_000_000 / 45_000_001))
    assert [f.title for f in found.findings if "one hold of 15.0 ms" in f.title]
    causes = {(row["thread"], row["cause"], row["holder"]): row["duration"] for row in found.causes.to_pylist()}
    assert causes == {("b", "long_hold", "a"): 14_999_999, ("b", "preemption", "a"): 30_000_000}


@pytest.mark.parametrize("analyze", [tracekit.analyze, in_memory])
@pytest.mark.parametrize("name", [name for name in CAUSES if "lines" in CAUSES[name]])
def test_lines(name: str, analyze: Any, core: str) -> None:
    found = as_dict(analyze(str(trace_file(name))))
    assert sorted(map(str, found["lines"])) == sorted(map(str, CAUSES[name]["lines"]))
    assert found["lines_known"] == CAUSES[name]["lines_known"]
    durations = [row["duration"] for row in found["lines"]]
    assert durations == sorted(durations, reverse=True)


def test_a_trace_without_stacks_has_no_lines(core: str) -> None:
    found = as_dict(tracekit.analyze(trace_file("py311-pool.log")))
    assert (found["lines"], found["lines_known"]) == ([], None)


@pytest.mark.parametrize("table", ["causes", "stack_blame", "lines"])
def test_sql_and_folders_have_them_too(table: str, tmp_path: Path, core: str) -> None:
    path, folder = trace_file("plain.log"), tmp_path / "t"
    expected = getattr(tracekit.analyze(path), table).to_pylist()
    assert expected
    assert tracekit.read(path).sql(f"select * from {table}", arrow=True).to_pylist() == expected
    with TableStream(path) as stream:
        folder.mkdir()
        parquet.write_tables(stream, folder, TABLES)
    assert pyarrow.parquet.read_table(folder / f"{table}.parquet").to_pylist() == expected
    assert tracekit.query(folder, f"select * from {table}", arrow=True).to_pylist() == expected
