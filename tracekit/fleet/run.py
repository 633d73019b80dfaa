"""Runs a fleet: from traces to a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from tracekit.analysis import options_of
from tracekit.errors import TracekitError
from tracekit.fleet import cluster, dataset, places
from tracekit.fleet.places import Place
from tracekit.fleet.spool import Spool
from tracekit.fleet.task import Job

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Outcome:
    """Number of traces named, analyzed (in the dataset), and failed (in `errors`)."""

    named: int
    analyzed: int
    failed: int

    @property
    def exit_code(self) -> int:
        """0 all done; 1 some failed; 2 all did."""
        return 0 if not self.failed else 1 if self.analyzed else 2


@dataclass
class Watcher:
    """A run's callbacks: the connected client, and progress as (done, named) traces."""

    connected: Callable[[Client], None] = lambda client: None
    progress: Callable[[int, int], None] = lambda done, named: None


def run(
    named: Iterable[str],
    folder: Path,
    *,
    scheduler: str | None = None,
    client: Client | None = None,
    resume: bool = False,
    checksum: bool = False,
    thresholds: Mapping[str, float] = MappingProxyType({}),
    watcher: Watcher | None = None,
) -> Outcome:
    """Analyzes all traces that are named (see `places.find`) and writes the dataset into the folder.

    scheduler, client: the address of a Dask cluster, or a client of one; by default one is made for this machine.
    resume: keep the results that are there of traces whose path, size and modification time are the same, or whose
    checksum is, with `checksum`, and that were made with the same thresholds, those of `analyze`. What is done is in
    the dataset too when this is interrupted.
    Raises TracekitError: there is nothing to do, the folder holds something else, there is no cluster.
    """
    watcher = watcher or Watcher()
    default = vars(options_of({}))
    own = tuple((name, value) for name, value in vars(options_of(thresholds)).items() if value != default[name])
    cluster.require_dask()
    places_found, missing = places.find(named, folder)
    if not places_found and not missing:
        raise TracekitError("No trace is named.", "Name files, folders or addresses.")
    begun = not dataset.prepare(folder, resume)
    spool = Spool(folder, own)
    try:
        spool.want(place.trace for place in places_found)
        spool.want(missing)
        for trace, failure in missing.items():
            spool.fail(trace, failure)
        jobs = _jobs(spool, places_found, checksum, own)
        with ExitStack() as stack:
            if jobs and not client:
                client = stack.enter_context(cluster.connected(scheduler, len(jobs)))
            begun = True
            try:
                if client:
                    _work(client, jobs, spool, len(places_found) - len(jobs), len(places_found), watcher)
            finally:
                dataset.write(spool, folder)
        return Outcome(len(places_found) + len(missing), *spool.counts())
    finally:
        spool.close(remove=not begun)


def _jobs(
    spool: Spool, places_found: Iterable[Place], checksum: bool, thresholds: tuple[tuple[str, float], ...]
) -> list[Job]:
    """The remaining work, largest traces first, so that no worker is left with a large one at the end."""
    done, jobs = spool.done(), []
    for place in places_found:
        size, modified, known = done.get(place.trace, (None, None, None))
        same = place.trace in done and (place.size, place.modified) == (size, modified) and modified is not None
        if checksum or not same:
            jobs.append(Job(place, checksum, known, thresholds=thresholds))
    return sorted(jobs, key=lambda job: -(job.place.size or 0))


def _work(client: Client, jobs: list[Job], spool: Spool, done: int, named: int, watcher: Watcher) -> None:
    watcher.connected(client)
    watcher.progress(done, named)
    threads = cluster.threads_each(client, len(jobs))
    for result in cluster.results(client, [job._replace(threads=threads) for job in jobs]):
        if result.unchanged:
            spool.keep(result.place)
        else:
            spool.add(result)
        done += 1
        watcher.progress(done, named)
