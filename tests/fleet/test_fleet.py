"""Fleets: what is found, what is kept of each trace, and that nothing else changes a number."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.dataset
import pytest
from distributed import Client

import tracekit
from tests.conftest import GOLDEN, SAMPLES, trace_file
from tests.fleet.fleets import TABLES, command, fleet, make_fleet, tables_of
from tracekit.errors import OptionError, TracekitError
from tracekit.fleet import places, spool
from tracekit.fleet.reporters import html
from tracekit.fleet.run import Outcome, Watcher, run
from tracekit.fleet.summary import summarise
from tracekit.fleet.task import fold
from tracekit.model import schemas

LOOPBACK = "127.0.0.1:0"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two workers in this process: `memory://` is the same to all of them."""
    with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=LOOPBACK) as client:
        yield client


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fleet(tmp_path_factory.mktemp("fleet") / "traces")


@pytest.fixture(scope="module")
def out(client: Client, traces: Path) -> Path:
    """The dataset of `traces`."""
    out = traces.parent / "out"
    assert run([str(traces)], out, client=client) == Outcome(7, 7, 0)
    return out


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(out / name)


def test_tables_are_those_of_each_trace(traces: Path, out: Path) -> None:
    for path in sorted(traces.iterdir()):
        analysis = tracekit.analyze(path)
        for name in ("threads", "blame", "distributions", "histograms"):
            found = pa.dataset.dataset(out / name).to_table(filter=pa.dataset.field("trace") == str(path))
            whole = getattr(analysis, name)
            assert found.select(whole.column_names).to_pylist() == whole.to_pylist()
            assert set(found["pid"].to_pylist()) == {int(path.stem)}
            assert set(found["host"].to_pylist()) == {f"web-{int(path.stem) % 2}"}
            assert set(found["command"].to_pylist()) == {f"python serve.py --port {int(path.stem) - 100}"}
        findings = table(out, "findings")
        titles = findings[findings["trace"] == str(path)]["title"].tolist()
        assert titles == [finding.title for finding in analysis.findings]
    assert table(out, "traces")["python"].tolist() == ["3.11.7"] * 3 + ["2.7.18", "3.11.7", "3.11.7", "2.7.18"]
    assert table(out, "threads")["group"].unique().tolist() == ["t*", "metrics-*", "worker-*-*"]
    assert len(table(out, "errors")) == 0


def test_tables_follow_their_schemas(out: Path) -> None:
    assert {path.name for path in out.iterdir()} == {*TABLES, ".results.sqlite"}
    for name in TABLES:
        (part,) = (out / name).iterdir()
        assert schemas.validate(pa.parquet.read_table(part), f"fleet_{name}").num_rows or name in ("errors", "lines")


def test_order_and_workers_change_nothing(client: Client, traces: Path, out: Path, tmp_path: Path) -> None:
    backwards = [str(path) for path in sorted(traces.iterdir(), reverse=True)]
    run(backwards, tmp_path / "backwards", client=client)
    assert tables_of(tmp_path / "backwards") == tables_of(out)
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=LOOPBACK) as one:
        run([str(traces)], tmp_path / "one", client=one)
    assert tables_of(tmp_path / "one") == tables_of(out)


def test_causes_are_grouped_over_processes(out: Path) -> None:
    summary = summarise(out)
    first = summary.causes[0]
    assert (first.text, first.processes) == ("metrics-* convoys behind worker-*-*", 3)
    assert first.cost == pytest.approx(tracekit.analyze(SAMPLES / "py311-echo-convoy.log").found("convoys")[1])
    kinds = {cause.kind for cause in summary.causes}
    assert kinds == {"convoys", "battles", "long_holds", "saturation", "queueing", "scheduling"}
    assert (summary.analyzed, summary.suffering, summary.root.endswith("/traces/")) == (7, 5, True)
    lost = [process.lost for process in summary.processes]
    assert lost == sorted(lost, key=lambda share: -(share or 0))
    assert [(side.name, side.processes) for side in summary.versions] == [("3.11.7", 5), ("2.7.18", 2)]
    assert [(side.name, side.processes) for side in summary.programs] == [("python serve.py --port *", 7)]
    assert [(side.name, side.processes, side.suffering) for side in summary.hosts] == [("web-0", 4, 3), ("web-1", 3, 2)]


def test_histograms_add_up(traces: Path, out: Path) -> None:
    waits = next(pooled for pooled in summarise(out).pooled if pooled.kind == "contended_wait")
    timed = [tracekit.analyze(path) for path in traces.iterdir()]
    kept = [row for a in timed if a.unit == "ns" for row in a.histograms.to_pylist() if row["kind"] == "contended_wait"]
    assert waits.count == sum(row["count"] for row in kept)
    assert sum(count for low, _, count in waits.buckets if low <= waits.p90) >= 0.9 * waits.count


def test_an_outlier_is_far_from_the_rest(client: Client, tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.log").write_bytes((SAMPLES / "py311-io4.log").read_bytes())
    (tmp_path / "odd.log").write_bytes((SAMPLES / "py311-echo-convoy.log").read_bytes())
    run([str(tmp_path)], tmp_path / "out", client=client)
    outliers = summarise(tmp_path / "out").outliers
    assert {Path(one.trace).name for one in outliers} == {"odd.log"}
    assert {one.share for one in outliers} == {"lost", "held"}


def test_damaged_traces_are_rows(client: Client, traces: Path, tmp_path: Path) -> None:
    whole = gzip.compress((SAMPLES / "py27-cpu2.log").read_bytes())
    (tmp_path / "cut.log.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.log").write_bytes(b"")
    (tmp_path / "noise.log").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "link.log").symlink_to(tmp_path / "gone")
    (tmp_path / "README.md").write_text("no trace\n")
    (tmp_path / ".hidden").write_text("no trace\n")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "good.log").write_bytes((SAMPLES / "py311-io4.log").read_bytes())
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.log", os.O_CREAT | os.O_WRONLY))
    done = run([str(tmp_path), "nowhere", str(tmp_path / "*.none")], tmp_path / "out", client=client)
    assert done == Outcome(8, 2, 7)
    assert done.exit_code == 1
    errors = table(tmp_path / "out", "errors").set_index("trace")
    assert {Path(trace).name: code for trace, code in errors["code"].items()} == {
        "cut.log.gz": "truncated-input",
        "empty.log": "unreadable",
        "noise.log": "no-events",
        "link.log": "unreadable",
        "nowhere": "not-found",
        "*.none": "not-found",
        "\\udcff.log": "unreadable",
    }
    assert errors["message"].str.endswith(".").all()
    cut = tracekit.analyze(tmp_path / "cut.log.gz")
    kept = table(tmp_path / "out", "traces").set_index("trace")
    assert kept.loc[str(tmp_path / "cut.log.gz"), "events"] == cut.events
    assert len(kept) == 2


def jobs_of(*arguments: Any, **options: Any) -> int:
    """How many traces a run has to look at."""
    seen: list[tuple[int, int]] = []
    run(*arguments, **options, watcher=Watcher(progress=lambda done, named: seen.append((done, named))))
    return seen[0][1] - seen[0][0] if seen else 0


def test_resume(client: Client, tmp_path: Path) -> None:
    traces, out = make_fleet(tmp_path / "traces"), tmp_path / "out"
    run([str(traces / "10[0-3].log")], out, client=client)
    assert len(table(out, "traces")) == 4
    assert jobs_of([str(traces)], out, client=client, resume=True) == 3
    assert jobs_of([str(traces)], out, client=client, resume=True) == 0
    os.utime(traces / "100.log", (1, 1))
    (traces / "101.log").write_bytes((SAMPLES / "py311-io4.log").read_bytes())
    assert jobs_of([str(traces)], out, client=client, resume=True) == 2
    run([str(traces)], tmp_path / "fresh", client=client)
    assert tables_of(out) == tables_of(tmp_path / "fresh")
    (traces / "102.log").unlink()
    run([str(traces)], out, client=client, resume=True)
    assert len(table(out, "traces")) == 6


def test_resume_by_checksum(client: Client, tmp_path: Path) -> None:
    traces, out = make_fleet(tmp_path / "traces"), tmp_path / "out"
    run([str(traces)], out, client=client, checksum=True)
    before = table(out, "traces").set_index("trace")
    changed = traces / "101.log"
    told = changed.stat()
    changed.write_bytes(changed.read_bytes().replace(b" ENTRY ", b" BUSY  ", 1))
    os.utime(changed, ns=(told.st_atime_ns, told.st_mtime_ns))
    os.utime(traces / "100.log", (1, 1))
    assert jobs_of([str(traces)], out, client=client, resume=True) == 1  # that which was only touched
    run([str(traces)], out, client=client, resume=True, checksum=True)
    after = table(out, "traces").set_index("trace")
    differs = before["checksum"] != after["checksum"]
    assert differs[differs].index.tolist() == [str(changed)]
    run([str(traces)], tmp_path / "fresh", client=client, checksum=True)
    assert tables_of(out) == tables_of(tmp_path / "fresh")


def test_results_of_another_version_are_made_anew(
    client: Client, traces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other:
        other.setattr(spool, "VERSION", "0.0.1")
        run([str(traces)], tmp_path, client=client)
    assert jobs_of([str(traces)], tmp_path, client=client, resume=True) == 7


def test_a_folder_is_never_destroyed(client: Client, traces: Path, out: Path, tmp_path: Path) -> None:
    with pytest.raises(TracekitError, match="holds the results of a run"):
        run([str(traces)], out, client=client)
    (tmp_path / "mine.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(TracekitError, match="holds no results of tracekit fleet"):
            run([str(traces)], tmp_path, client=client, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(TracekitError, match="cannot be written"):
        run([str(traces)], tmp_path / "mine.txt", client=client)
    with pytest.raises(TracekitError, match="cannot be written"):
        run([str(traces)], Path("/proc/out"), client=client)


def test_one_run_at_a_time(client: Client, traces: Path, tmp_path: Path) -> None:
    def again(done: int, named: int) -> None:
        with pytest.raises(TracekitError, match="another run writes there"):
            run([str(traces)], tmp_path, client=client, resume=True)

    run([str(traces / "100.log")], tmp_path, client=client, watcher=Watcher(progress=again))


def test_a_damaged_spool(client: Client, traces: Path, tmp_path: Path) -> None:
    (tmp_path / ".results.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(TracekitError, match="is damaged"):
        run([str(traces)], tmp_path, client=client, resume=True)


def test_out_is_not_among_the_traces(client: Client, tmp_path: Path) -> None:
    make_fleet(tmp_path / "traces")
    run([str(tmp_path)], tmp_path / "out", client=client)
    assert run([str(tmp_path)], tmp_path / "out", client=client, resume=True) == Outcome(7, 7, 0)
    assert run([f"{tmp_path}/**"], tmp_path / "out", client=client, resume=True) == Outcome(7, 7, 0)


def test_memory_and_file_addresses(client: Client, traces: Path, out: Path, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in traces.iterdir():
        memory.pipe(f"/fleet/{path.name}", path.read_bytes())
    memory.pipe("/fleet/bad/cut.gz", gzip.compress((SAMPLES / "py27-cpu2.log").read_bytes())[:-9000])
    done = run(["memory://fleet"], tmp_path / "memory", client=client)
    assert done == Outcome(8, 8, 1)
    run(["memory://fleet/*.log"], tmp_path / "glob", client=client)
    run([f"file://{traces}"], tmp_path / "file", client=client)
    assert tables_of(tmp_path / "file") == tables_of(out)
    found = table(tmp_path / "glob", "traces")
    assert found["trace"].tolist() == [f"memory://fleet/{100 + number}.log" for number in range(7)]
    for name in ("threads", "blame", "histograms", "causes", "findings"):
        there, here = table(tmp_path / "glob", name), table(out, name)
        pd.testing.assert_frame_equal(there.drop(columns="trace"), here.drop(columns="trace"))
    assert jobs_of(["memory://fleet/*.log"], tmp_path / "glob", client=client, resume=True) == 0
    assert run(["memory://nowhere"], tmp_path / "none", client=client).exit_code == 2


@pytest.mark.parametrize("address", ["nosuch://bucket/x", "hdfs://nohost/x"])
def test_addresses_that_cannot_be_read_here(address: str) -> None:
    with pytest.raises(OptionError, match=address.split("://")[0]):
        places.find([address], Path("out"))


class Broken:
    """A file whose store fails behind the first piece."""

    def __init__(self, data: bytes) -> None:
        self.pieces = [data]

    def read(self, size: int = -1) -> bytes:
        if not self.pieces:
            raise RuntimeError("the store is gone")
        return self.pieces.pop()


@pytest.mark.parametrize("packed", [False, True])
def test_a_store_that_fails_in_the_middle_gives_no_numbers(packed: bool, core: str) -> None:
    from tracekit.analysis import analyze_file

    data = (SAMPLES / "py311-cpu2.log").read_bytes()
    with pytest.raises(TracekitError, match="the store is gone"):
        analyze_file("s3://bucket/x", Broken(gzip.compress(data)[:-20] if packed else data))  # type: ignore[arg-type]


def test_an_open_file_gives_the_same(core: str) -> None:
    from tracekit.analysis import analyze_file

    path = trace_file("bad-lines.log")
    with path.open("rb") as file:
        found = analyze_file("stored", file)
    same = tracekit.analyze(path)
    assert all(found.tables[name].equals(same.tables[name]) for name in same.tables)
    assert found.diagnostics == same.diagnostics


def test_hostile_names_are_text(client: Client, tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>\x1b[2J\u202e"
    trace = (SAMPLES / "py311-echo-convoy.log").read_text()
    (tmp_path / "a'<b>.log").write_text(f"# host: {hostile}\n# thread: t2 = {hostile}\n# command: {hostile}\n{trace}")
    run([str(tmp_path)], tmp_path / "out", client=client)
    page = html.render(summarise(tmp_path / "out"))
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert re.search(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='", page)
    assert not re.search(r"(src|href)=\"(?!reports/)(?!#)", page)


def test_what_is_waited_adds_up(out: Path) -> None:
    """For each trace the rows of `waited` sum to what its threads waited, and the page tells them."""
    sums = "select trace, sum(duration) as waited from waited group by 1 having waited > 0 order by 1"
    threads = "select trace, sum(waited) as waited from threads group by 1 having waited > 0 order by 1"
    assert tracekit.query(out, sums).to_dict() == tracekit.query(out, threads).to_dict()
    summary = summarise(out)
    assert {one.cause for one in summary.waited} >= {"convoy", "battle", "long_hold"}
    assert all(one.cause.replace("_", " ") in html.render(summary) for one in summary.waited)


def test_lines_are_those_of_each_trace(client: Client, tmp_path: Path) -> None:
    folder = GOLDEN / "attributes"
    run([str(folder)], tmp_path / "out", client=client)
    lines = pa.dataset.dataset(tmp_path / "out" / "lines").to_table()
    for path in sorted(folder.glob("*.log")):
        analysis = tracekit.analyze(path)
        found = lines.filter(pa.compute.field("trace") == str(path))
        assert found.select(analysis.lines.column_names).to_pylist() == analysis.lines.to_pylist()
        shares = [row["duration"] / analysis.duration for row in analysis.lines.to_pylist()]
        assert found["share"].to_pylist() == pytest.approx(shares)
    assert lines.num_rows > 5
    assert summarise(tmp_path / "out").lines[0].where in html.render(summarise(tmp_path / "out"))


def test_a_dataset_of_an_older_tracekit_has_fewer_tables(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "older")
    shutil.rmtree(tmp_path / "older" / "lines")
    assert tracekit.query(tmp_path / "older", "select count(*) as n from traces").to_dict() == {"n": {0: 7}}
    with pytest.raises(TracekitError, match="lines"):
        tracekit.query(tmp_path / "older", "select * from lines")


def test_fold() -> None:
    names = ["worker-17", "ThreadPoolExecutor-0_12", "MainThread", "6752", "t2"]
    assert [fold(name) for name in names] == ["worker-*", "ThreadPoolExecutor-*_*", "MainThread", "*", "t*"]


def test_a_part_has_so_many_traces(
    client: Client, traces: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracekit.fleet.dataset.PART", 3)
    run([str(traces)], tmp_path, client=client)
    parts = sorted(path.name for path in (tmp_path / "traces").iterdir())
    assert parts == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    for name in TABLES:
        pd.testing.assert_frame_equal(
            table(tmp_path, name), table(out, name), check_categorical=False, check_dtype=False
        )
    assert summarise(tmp_path).causes == summarise(out).causes


def test_sql_over_a_fleet(out: Path) -> None:
    by_host = tracekit.query(out, "select host, count(*) as n, sum(events) as events from traces group by 1 order by 1")
    assert by_host["n"].tolist() == [4, 3]
    assert by_host["events"].sum() == table(out, "traces")["events"].sum()
    worst = tracekit.query(out, "select c.trace from causes c join traces t using (trace) order by cost desc limit 1")
    assert worst["trace"].tolist() == [summarise(out).causes[0].trace]
    with pytest.raises(TracekitError, match="waits"):
        tracekit.query(out, "select * from waits")
    with pytest.raises(TracekitError):
        tracekit.query(out, f"select * from read_parquet('{out}/../other/*.parquet')")
    shown = subprocess.run(
        [sys.executable, "-m", "tracekit", "query", str(out), "--tables"], capture_output=True, text=True
    )
    assert all(name in shown.stdout for name in TABLES)
    assert "utilisation" not in shown.stdout


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    traces, out = make_fleet(tmp_path / "traces"), tmp_path / "out"
    done = fleet(traces, tmp_path / "missing.log", "-o", out)
    assert done.returncode == 1
    assert re.search(r"^Dask dashboard: http://127\.0\.0\.1:\d+/status$", done.stderr, re.MULTILINE)
    assert "1 of 8 traces failed" in done.stderr
    assert done.stdout.startswith("5 of 7 processes suffer, from 9 causes")
    assert "metrics-* convoys behind worker-*-* in 3 of 7 processes, on average" in done.stdout
    assert "missing.log: there is no such file." in done.stdout
    assert json.loads((out / "summary.json").read_text())["schema"] == "tracekit.fleet/1"
    assert (out / "summary.html").read_text().startswith("<!doctype html>")
    again = fleet(traces, "-o", out, "--resume", "--json")
    assert (again.returncode, "dashboard" in again.stderr) == (0, False)  # nothing was to be done
    assert json.loads(again.stdout)["analyzed"] == 7
    before = tables_of(out)
    assert fleet(traces, "-o", out).returncode == 2
    assert tables_of(out) == before
    none = fleet(tmp_path / "missing.log", "-o", tmp_path / "none")
    assert none.returncode == 2
    assert none.stdout.startswith("No trace could be analyzed.")


@pytest.mark.slow
def test_reports_on_demand(tmp_path: Path) -> None:
    import shlex

    done = fleet(SAMPLES / "py311-cpu2.log", SAMPLES / "py311-io4.log", "-o", tmp_path / "out", "--reports", "1")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out" / "summary.html").read_text()
    first, second = re.findall(r'href="(reports/[^"]*)"', page)
    assert "py311-cpu2.log" in first
    assert (tmp_path / "out" / first).read_text().startswith("<!doctype html>")
    assert not (tmp_path / "out" / second).exists()
    (made_by,) = re.findall(r"<code>(.*)</code>", page)
    assert shlex.split(made_by)[:2] == ["tracekit", "report"]
    subprocess.run([sys.executable, "-m", *shlex.split(made_by)], check=True, capture_output=True)
    assert (tmp_path / "out" / second).exists()
    again = fleet(SAMPLES / "py311-cpu2.log", SAMPLES / "py311-io4.log", "-o", tmp_path / "out", "--resume")
    assert again.returncode == 0
    assert "<code>" not in (tmp_path / "out" / "summary.html").read_text()


@pytest.mark.slow
def test_no_scheduler_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = fleet(
        SAMPLES, "-o", out, "--scheduler", "127.0.0.1:1", env={"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}
    )
    assert done.returncode == 2
    assert "there is no Dask scheduler" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(out.iterdir())


def test_without_the_extra_one_sentence(tmp_path: Path) -> None:
    program = "import sys; sys.modules['distributed'] = None; import tracekit.cli; tracekit.cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *command(SAMPLES, "-o", tmp_path / "out")[3:]], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == "A fleet needs Dask. Install it: pip install 'tracekit[fleet]'.\n"


@pytest.mark.parametrize("arguments", [["-c", "import tracekit"], ["-m", "tracekit", "analyze", "TRACE"]])
def test_nobody_else_imports_dask(arguments: list[str]) -> None:
    arguments = [str(SAMPLES / "slide-battle.log") if word == "TRACE" else word for word in arguments]
    done = subprocess.run([sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True)
    assert done.returncode == 0
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "tracekit" in imported
    assert not imported & {"dask", "distributed", "fsspec", "jinja2", "bokeh", "pandas"}
