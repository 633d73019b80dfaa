"""Every number of every golden trace, as an independent program computed it."""

from __future__ import annotations

import json
from typing import Any

import pytest

import tracekit
from tests.conftest import GOLDEN, trace_file
from tracekit.reporters.json import as_dict

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
