"""The run on Dask: the same for a cluster that is made here, and for one that is running somewhere."""

from __future__ import annotations

import logging
import signal
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from tracekit.errors import TracekitError
from tracekit.fleet.places import Failure, reason
from tracekit.fleet.task import Job, Result, examine, version
from tracekit.version import VERSION
from tracekit.words import printable

if TYPE_CHECKING:
    from distributed import Client

IN_FLIGHT = 2000
"""Tasks that the scheduler knows of at a time: enough for a thousand workers, few enough for any number of traces."""
_LOGGERS = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio")
_START = "Start it by `dask scheduler` and `dask worker ADDRESS`, or leave out --scheduler."


def require_dask() -> None:
    """Raises TracekitError where it is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise TracekitError("A fleet needs Dask.", "Install it: pip install 'tracekit[fleet]'.") from error


@contextmanager
def connected(scheduler: str | None, traces: int) -> Iterator[Client]:
    """A client of the scheduler at this address, or of a cluster for this machine, which is closed again.

    traces: how many there are: no more workers are started. Raises TracekitError.
    """
    require_dask()
    from dask.system import CPU_COUNT
    from distributed import Client, LocalCluster

    for name in _LOGGERS:  # errors are reported by us
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler is None:
        with ExitStack() as opened:
            with _uninterrupted():
                cluster = LocalCluster(
                    n_workers=max(1, min(CPU_COUNT, traces)), threads_per_worker=1, dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )  # fmt: skip
                opened.enter_context(cluster)
            yield opened.enter_context(Client(cluster))
        return
    try:
        client = Client(scheduler)
    except (OSError, ValueError) as error:
        raise TracekitError(f"{scheduler}: there is no Dask scheduler: {reason(error)}.", _START) from error
    with client:
        _require_same_version(client)
        yield client


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C reaches all processes of the terminal; those that are started meanwhile are deaf to it. SIGTERM is told at
    the end: Dask cannot be stopped while it starts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told: list[int] = []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    before_end = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, before_end)
    if told:
        signal.raise_signal(signal.SIGTERM)


def _require_same_version(client: Client) -> None:
    for worker, there in client.run(version, on_error="return").items():
        if there != VERSION:
            has = "no tracekit" if isinstance(there, Exception) else f"tracekit {there}"
            raise TracekitError(
                f"The worker {worker} has {has}, and here is {VERSION}.",
                "Install the same on all of them.",
            )


def threads_each(client: Client, traces: int) -> int:
    """How many threads may read a trace: more than one only where there are fewer traces than threads."""
    threads: int = sum(client.ncores().values())
    return max(1, threads // max(1, traces))


def results(client: Client, jobs: Sequence[Job]) -> Iterator[Result]:
    """The results in the order in which they are ready. Those of tasks whose workers die are computed anew.

    Only a task that is killed again and again, alone in the end, is a failure. Raises TracekitError if the cluster
    is lost.
    """
    killed = []
    for result in _all(client, jobs, IN_FLIGHT):
        if isinstance(result, Job):
            killed.append(result)
        else:
            yield result
    for result in _all(client, killed, 1):
        yield Result(result.place, failure=_died(result)) if isinstance(result, Job) else result


def _all(client: Client, jobs: Iterable[Job], in_flight: int) -> Iterator[Result | Job]:
    """The results, and the jobs whose workers died with them."""
    from distributed import KilledWorker, as_completed

    waiting, run = iter(jobs), uuid.uuid4().hex
    flying: dict[str, Job] = {}
    ready = as_completed(with_results=True, raise_errors=False)
    number = 0
    while True:
        if 2 * len(flying) <= in_flight and (batch := list(islice(waiting, in_flight - len(flying)))):
            keys = [f"tracekit-{run}-{number + place}" for place in range(len(batch))]
            number += len(batch)
            flying |= zip(keys, batch, strict=True)
            ready.update(client.map(examine, batch, key=keys, pure=False))
        if not flying:
            return
        future, result = next(ready)
        job = flying.pop(future.key)
        future.release()
        if isinstance(result, Result):  # whatever has become of the worker since
            yield result
        elif isinstance(result, tuple):
            error = result[1]
            yield job if isinstance(error, KilledWorker) else Result(job.place, failure=_failed(job, error))
        else:
            raise TracekitError("The Dask scheduler is gone.", "Start it, and run this again with --resume.")


def _died(job: Job) -> Failure:
    return Failure(
        "worker-died",
        f"{printable(job.place.trace)}: every worker that analyzed it was killed.",
        "Give the workers more memory, or analyze it by itself.",
    )


def _failed(job: Job, error: Any) -> Failure:
    what = f"{type(error).__name__}: {reason(error)}"
    return Failure("failed", f"{printable(job.place.trace)}: {what}.", "Analyze it by itself to see more.")
