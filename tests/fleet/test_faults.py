"""Fleets where something dies, and object stores: real schedulers, workers and stores, on loopback."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from distributed import Client
from pyarrow.fs import FileSystem, copy_files

from tests.conftest import SAMPLES
from tests.fleet.fleets import SLOW, command, fleet, make_fleet, tables_of
from tracekit.fleet.run import Outcome, run

pytestmark = pytest.mark.slow

PATIENCE = 60  # seconds until what must happen has happened
DASK = [sys.executable, "-m", "dask"]


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    return pytest.fail(f"{what}: not within {PATIENCE} s")


class Cluster:
    """`dask scheduler` and `dask worker`, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"
        )
        self.address = wait_for(self._address, "a scheduler")

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        if arguments[0] == "scheduler":
            arguments += ("--scheduler-file", str(self.folder / "scheduler.json"))
        log = (self.folder / f"{arguments[0]}-{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [*DASK, *arguments], stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **(env or {})}
        )
        log.close()
        self.processes.append(process)
        return process

    def worker(self, name: str, *options: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        arguments = ("--name", name, "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard", *options)
        return self.start("worker", self.address, *arguments, env=env)

    def _address(self) -> str | None:
        try:
            return str(json.loads((self.folder / "scheduler.json").read_text())["address"])
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder)
    yield cluster
    cluster.close()


@pytest.fixture
def slow_traces(tmp_path: Path) -> Path:
    """Eighteen that take the Python core long enough to be met in the middle."""
    traces = make_fleet(tmp_path / "traces")
    for number in range(11):
        shutil.copy(SAMPLES / "py27-frozen.log", traces / f"frozen-{number}.log")
    return traces


def spooled(out: Path) -> bool:
    """Whether results are in the spool: nobody else can look into it while a run has it."""
    spool = out / ".results.sqlite"
    return spool.exists() and spool.stat().st_size > 20_000


def started(*arguments: object) -> subprocess.Popen[str]:
    """A run in a process group of its own, as a terminal gives it."""
    return subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, **SLOW},
    )  # fmt: skip


def busy(client: Client) -> set[str]:
    """Names of the workers that have tasks."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return {workers[address]["name"] for address, tasks in client.processing().items() if tasks and address in workers}


def test_a_killed_worker_changes_no_number(cluster: Cluster, slow_traces: Path, tmp_path: Path) -> None:
    workers = {name: cluster.worker(name, "--no-nanny", env=SLOW) for name in ("one", "two")}
    out = tmp_path / "out"
    with Client(cluster.address) as watching:
        watching.wait_for_workers(2)
        asking = started(slow_traces, "-o", out, "--scheduler", cluster.address)
        wait_for(lambda: spooled(out), "the first results")
        wait_for(lambda: "two" in busy(watching), "a task on the second worker")
        assert asking.poll() is None
        workers["two"].kill()
        told, errors = asking.communicate(timeout=PATIENCE)
        assert len(watching.scheduler_info(n_workers=-1)["workers"]) == 1
    assert workers["two"].wait() == -signal.SIGKILL
    assert (asking.returncode, "Traceback" in errors) == (0, False), errors
    assert "of 18 processes suffer" in told
    assert fleet(slow_traces, "-o", tmp_path / "here").returncode == 0
    assert tables_of(out) == tables_of(tmp_path / "here")


def test_a_trace_that_kills_its_workers_is_a_row(cluster: Cluster, tmp_path: Path) -> None:
    """As one does that needs more memory than there is. Neighbours on the same worker must not be blamed."""
    traces = make_fleet(tmp_path / "traces")
    shutil.copy(SAMPLES / "py311-io4.log", traces / "poison.log")
    deadly = tmp_path / "deadly.py"
    deadly.write_text(
        "import os, signal\nfrom tracekit import analysis\nfrom tracekit.fleet import task\n\n"
        "def analyze(path):\n"
        "    if 'poison' in path:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return analysis.analyze(path)\n\n"
        "task.analyze = analyze\n"
    )
    cluster.worker("one", "--preload", str(deadly))
    done = fleet(traces, "-o", tmp_path / "out", "--scheduler", cluster.address)
    assert done.returncode == 1, done.stderr
    errors = pd.read_parquet(tmp_path / "out" / "errors")
    assert [(Path(row.trace).name, row.code) for row in errors.itertuples()] == [("poison.log", "worker-died")]
    assert len(pd.read_parquet(tmp_path / "out" / "traces")) == 7


def test_the_scheduler_is_lost(cluster: Cluster, slow_traces: Path, tmp_path: Path) -> None:
    cluster.worker("one", "--no-nanny", env=SLOW)
    out = tmp_path / "out"
    asking = started(slow_traces, "-o", out, "--scheduler", cluster.address)
    wait_for(lambda: spooled(out), "the first results")
    cluster.scheduler.kill()
    _, errors = asking.communicate(timeout=PATIENCE)
    assert asking.returncode == 2
    assert "The Dask scheduler is gone. Start it, and run this again with --resume." in errors
    assert "Traceback" not in errors
    assert 0 < len(pd.read_parquet(out / "traces")) < 18
    assert fleet(slow_traces, "-o", out, "--resume").returncode == 0
    assert len(pd.read_parquet(out / "traces")) == 18


def test_workers_without_the_same_tracekit(cluster: Cluster, tmp_path: Path) -> None:
    older = tmp_path / "older.py"
    older.write_text("import tracekit.version\ntracekit.version.VERSION = '0.0.1'\n")
    cluster.worker("one", "--no-nanny", "--preload", str(older))
    with Client(cluster.address) as watching:
        watching.wait_for_workers(1)
        done = fleet(SAMPLES, "-o", tmp_path / "out", "--scheduler", cluster.address)
    assert done.returncode == 2
    assert "has tracekit 0.0.1, and here is" in done.stderr


def test_interrupted_and_resumed(slow_traces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asking = started(slow_traces, "-o", out)
    wait_for(lambda: spooled(out), "the first results")
    os.killpg(asking.pid, signal.SIGINT)
    told, errors = asking.communicate(timeout=PATIENCE)
    assert asking.returncode == 2, errors
    assert (told, "Traceback" in errors) == ("", False), errors
    assert f"Interrupted. Finished traces are saved in {out}; continue with --resume." in errors
    done = len(pd.read_parquet(out / "traces"))
    assert 0 < done < 18
    assert fleet(slow_traces, "-o", out, "--resume").returncode == 0
    assert fleet(slow_traces, "-o", tmp_path / "whole").returncode == 0
    assert tables_of(out) == tables_of(tmp_path / "whole")


def test_ended_while_its_workers_start(tmp_path: Path) -> None:
    """Dask cannot be stopped then: SIGTERM is told once they have started, without a stack trace."""
    asking = started(make_fleet(tmp_path / "traces"), "-o", tmp_path / "out")
    wait_for(lambda: len(alive_in(asking.pid)) > 1, "the first worker")
    asking.terminate()
    told, errors = asking.communicate(timeout=PATIENCE)
    assert (asking.returncode, told) == (2, ""), errors
    assert "Interrupted." in errors
    assert "Traceback" not in errors


def test_killed_and_resumed(slow_traces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asking = started(slow_traces, "-o", out)
    wait_for(lambda: spooled(out), "the first results")
    os.killpg(asking.pid, signal.SIGKILL)
    asking.communicate(timeout=PATIENCE)
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as client:
        assert run([str(slow_traces)], out, client=client, resume=True) == Outcome(18, 18, 0)
        run([str(slow_traces)], tmp_path / "whole", client=client)
    assert tables_of(out) == tables_of(tmp_path / "whole")


@pytest.mark.soak
def test_interrupted_at_any_moment(tmp_path: Path) -> None:
    """A hundred times, each going on where the last was stopped: tables are whole, and a last run has all of them."""
    traces = make_fleet(tmp_path / "traces")
    out = tmp_path / "results" / "out"
    out.parent.mkdir()
    chance = random.Random(19)
    begin = time.monotonic()
    assert fleet(traces, "-o", tmp_path / "whole").returncode in (0, 1)
    length = time.monotonic() - begin
    for number in range(100):
        if number % 5 == 0:
            shutil.rmtree(out, ignore_errors=True)
        asking = started(traces, "-o", out, *(["--resume"] if out.exists() else []))
        time.sleep(chance.uniform(0.2, 1.1) * length)
        sent, whole_group = chance.choice([signal.SIGTERM, signal.SIGINT, signal.SIGKILL]), chance.random() < 0.5
        if asking.poll() is None:
            (os.killpg if whole_group else os.kill)(asking.pid, sent)
        _, errors = asking.communicate(timeout=PATIENCE)
        assert asking.returncode in (0, 1, 2, -sent), errors
        assert "Traceback" not in errors or sent == signal.SIGKILL, errors
        wait_for(lambda: not alive_in(asking.pid), "the end of its workers")  # noqa: B023
        for part in out.glob("*/*.parquet"):
            pd.read_parquet(part)
    assert fleet(traces, "-o", out, *(["--resume"] if out.exists() else [])).returncode in (0, 1)
    assert tables_of(out) == tables_of(tmp_path / "whole")
    assert os.listdir(out.parent) == ["out"]
    assert sorted(os.listdir(out)) == sorted(os.listdir(tmp_path / "whole"))


def alive_in(session: int) -> list[int]:
    """Processes of a session that `started` began."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            told = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(told[3]) == session and told[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An S3-compatible server in a process of its own, and its file system."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    log = (tmp_path / "moto.log").open("wb")
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
    log.close()

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/moto-api/"):
                return True
        except OSError:
            return False

    try:
        wait_for(answers, "the store")
        yield FileSystem.from_uri("s3://service/?allow_bucket_creation=true")[0]
    finally:
        server.terminate()
        server.wait(timeout=20)


def test_an_object_store(store: Any, tmp_path: Path) -> None:
    traces, out = make_fleet(tmp_path / "traces"), tmp_path / "out"
    store.create_dir("service")
    copy_files(str(traces), "service/day", destination_filesystem=store)
    done = fleet("s3://service/day", "s3://service/none/*", "-o", out)
    assert done.returncode == 1, done.stderr
    assert fleet(traces, "-o", tmp_path / "here").returncode == 0
    for name in ("threads", "blame", "histograms", "causes", "findings"):
        there, here = (pd.read_parquet(folder / name).drop(columns="trace") for folder in (out, tmp_path / "here"))
        pd.testing.assert_frame_equal(there, here)
    found = pd.read_parquet(out / "traces")
    assert found["trace"].tolist() == [f"s3://service/day/{100 + number}.log" for number in range(7)]
    assert found["size"].tolist() == [path.stat().st_size for path in sorted(traces.iterdir())]
    again = fleet("s3://service/day/*.log", "-o", out, "--resume")
    assert (again.returncode, "dashboard" in again.stderr) == (0, False)
    copy_files(str(traces / "105.log"), "service/day/100.log", destination_filesystem=store)
    assert fleet("s3://service/day", "-o", out, "--resume").returncode == 0
    assert pd.read_parquet(out / "traces")["pid"].tolist()[0] == 105
    assert fleet("s3://nobucket/x", "-o", tmp_path / "none").returncode == 2
