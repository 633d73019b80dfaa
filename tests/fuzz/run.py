"""Tries inputs of all formats by both cores: `python -m tests.fuzz.run --seconds 3600`.

Inputs are tried by the hundred in a fork of a process that has everything loaded, under limits of time and memory;
where such a lot is at fault, its halves are tried, until it is known which input is. A fault is a signal, an exception
that is not tracekit's, 200 MB beyond what the warmed process has, more than 10 s a MB unpacked, or two cores that
disagree. `--keep FOLDER` writes what is found there; tests/fuzz/corpus has what was found
before, and is tried by the tests. `--seed N --count 1` tries input N alone.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import pickle
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.fuzz import inputs
from tracekit import _native
from tracekit.analysis import analyze
from tracekit.analyzers import COLLECTED
from tracekit.errors import TracekitError
from tracekit.model.rows import Options
from tracekit.parsers import open_trace
from tracekit.reporters import json
from tracekit.timeline import new_machine
from tracekit.writers import text
from tracekit.writers.tablestream import TableStream

MOST_MEGABYTES = 200
"""Beyond what the process has before: a fresh one has about 100, and may have 300."""
SECONDS = 10  # for an input of up to a MB
LOT = 200
"""So many are tried in one fork."""
TOLD_EVERY = 10_000
WHOLE_EVERY = 32
"""Of so many inputs one goes all the way to JSON and back to text; the others through parser and state machine."""


def outcome(path: Path, whole: bool) -> Any:
    """What is to be the same by both cores."""
    try:
        if whole:
            with TableStream(path) as stream, open(os.devnull, "wb") as nowhere:
                text.write(stream, nowhere)
                tables = [table for _, table in stream.pieces("holds", "waits")]
            analysis = analyze(path)
            return "done", json.render([analysis], (), as_list=False), [table.to_pydict() for table in tables]
        with open_trace(path) as stream:
            machine = new_machine(stream.check_interval, (), Options())
            stream.feed(machine)
            machine.finish()
            totals = machine.totals()
            rows = [sorted(machine.rows(table).tolist()) for table in ("threads", "blame")]
            found = [sorted(map(str, machine.findings(kind).tolist())) for kind in COLLECTED]
            lines = [(bad.line, bad.code, bad.text) for bad in sorted(stream.bad_lines.lines, key=lambda bad: bad.line)]
            return (
                "done", str(totals), rows, found, lines, stream.threads, stream.names, stream.metadata,
                stream.bad_lines.counts, stream.ignored.counts, stream.truncated,
            )  # fmt: skip
    except TracekitError as error:
        return "refused", type(error).__name__, error.message


def peak() -> int:
    """The most memory since the last `forget_peak`, in MB."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) // 1024  # type: ignore[index]


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def both(path: Path, whole: bool) -> str | None:
    """What is at fault with it, if anything but memory is."""
    library, outcomes = _native.library, []
    limit = SECONDS * max(1, path.stat().st_size >> 20)
    for core in (library, None):
        _native.library = core
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            outcomes.append(outcome(path, whole))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _native.library = library
    if library and outcomes[0] != outcomes[1]:
        differing = next((str(pair) for pair in zip(*outcomes, strict=False) if pair[0] != pair[1]), "")
        return f"the cores disagree: {differing[:2000]}"
    return None


Found = tuple[list[tuple[int, str]], int]
"""The numbers of inputs at fault, and what is; and the memory that all took, in MB."""


def in_a_fork(work: Callable[[], Found]) -> Found | int:
    """What it returns, or how the process ended otherwise: -N by signal N."""
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        os.close(receive)
        faulthandler.disable()  # what kills it is what is looked for
        space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (space + (2 << 30), space + (2 << 30)))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 30, 2 << 30))
        with os.fdopen(send, "wb") as out:
            pickle.dump(work(), out)
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        told = pipe.read()
    status = os.waitpid(child, 0)[1]
    return pickle.loads(told) if status == 0 else os.waitstatus_to_exitcode(status)


def faults(numbered: Sequence[tuple[int, bytes]], folder: Path) -> Iterator[tuple[int, str]]:
    """The numbers of inputs at fault, and what is."""

    def work() -> Found:
        found = []
        path = folder / "input"
        forget_peak()
        before = peak()
        for number, content in numbered:
            path.write_bytes(content)
            if fault := both(path, number % WHOLE_EVERY == 0):
                found.append((number, fault))
        return found, peak() - before

    ended = in_a_fork(work)
    if not isinstance(ended, int) and ended[1] <= MOST_MEGABYTES:
        yield from ended[0]
    elif len(numbered) > 1:
        middle = len(numbered) // 2
        yield from faults(numbered[:middle], folder)
        yield from faults(numbered[middle:], folder)
    elif isinstance(ended, int):
        yield numbered[0][0], f"signal {-ended}" if ended < 0 else f"exit code {ended}"
    else:
        yield numbered[0][0], f"{ended[1]} MB more"


def fuzz(seed: int, count: int, seconds: float, keep: Path | None) -> tuple[Counter[str], list[str]]:
    """Tries inputs from `seed` on: how many of each format, and what was at fault."""
    tried: Counter[str] = Counter()
    found: list[str] = []
    end = time.monotonic() + seconds
    in_memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # files are written so often that disks are slow
    with tempfile.TemporaryDirectory(prefix="tracekit-fuzz-", dir=in_memory) as folder:
        while (done := tried.total()) < count and time.monotonic() < end:
            made = {seed + done + n: inputs.make(seed + done + n) for n in range(min(LOT, count - done))}
            for number, fault in faults([(number, content) for number, (_, content) in made.items()], Path(folder)):
                name, content = made[number]
                found.append(f"{number} ({name}): {fault}")
                print(found[-1], flush=True)
                if keep:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{name}-{number}").write_bytes(content)
            tried.update(name for name, _ in made.values())
            if tried.total() % TOLD_EVERY == 0:
                print(f"{tried.total():,} tried, {len(found)} at fault", flush=True)
    return tried, found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=time.time_ns())
    options.add_argument("--count", type=int, default=1 << 62)
    options.add_argument("--seconds", type=float, default=1e9)
    options.add_argument("--keep", type=Path, help="write what is at fault into this folder")
    chosen = options.parse_args()
    tried, found = fuzz(chosen.seed, chosen.count, chosen.seconds, chosen.keep)
    used = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{sum(one.ru_utime + one.ru_stime for one in used) / 60:.1f} minutes of CPU time")
    print(f"{tried.total():,} inputs from seed {chosen.seed} on, {len(found)} at fault: {dict(tried)}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
