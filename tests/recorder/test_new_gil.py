"""What the recorder makes of calls that come at moments which no program can be made to choose."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.recorder.recorded import good, need_recorder
from tests.recorder.test_record_native import HERE, NATIVE, shared_library

pytestmark = pytest.mark.slow  # it builds the recorder


class Threads:
    """Threads by name, each with storage of its own in the recorder: `threads("t1", "want")` calls that there."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def __call__(self, thread: str, function: str, *arguments: Any) -> None:
        pool = self._pools.setdefault(thread, ThreadPoolExecutor(1))
        pool.submit(getattr(self.library, function), *arguments).result()

    def end(self) -> None:
        self.library.end()
        for pool in self._pools.values():
            pool.shutdown()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_recorder()
    sources = [HERE / "hooks.c", *(path for path in sorted(NATIVE.glob("*.c")) if path.name != "new_gil.c")]
    return shared_library(
        tmp_path_factory.mktemp("built") / "hooks.so", sources, f"-I{NATIVE}", "-O0", "-fvisibility=hidden"
    )


@pytest.fixture
def threads(built: Path, tmp_path: Path) -> Iterator[Threads]:
    own = tmp_path / "hooks.so"  # a copy is a library of its own, with its own recording
    own.write_bytes(built.read_bytes())
    library = ctypes.CDLL(str(own))
    library.at.argtypes = [ctypes.c_uint64]
    library.begin.restype = ctypes.c_char_p
    assert library.begin(str(tmp_path / "out").encode()) is None
    several = Threads(library)
    yield several
    for pool in several._pools.values():
        pool.shutdown()


def test_a_core_whose_clock_is_behind(threads: Threads, tmp_path: Path) -> None:
    """A thread's RELEASE cannot be told earlier than what was told before; nor can the ENTRY that follows it, although
    that core's counter says so. Else the thread would want what it has."""
    for clock, thread, function in [
        (1000, "t1", "take"), (2000, "t1", "drop"),
        (1980, "t2", "take"), (1990, "t2", "drop"),
        (1995, "t2", "take"), (3000, "t2", "drop"),
    ]:  # fmt: skip
        threads.library.at(clock)
        threads(thread, function, *(0, None)[: 2 * (function == "take")])
    threads.end()
    events = good(tmp_path / "out.raw").events.to_pylist()
    assert [row["event"] for row in events if row["thread"] == events[-1]["thread"]] == [
        "ENTRY",
        "ACQUIRE",
        "RELEASE",
    ] * 2


def test_a_timeout_asks_only_the_thread_that_was_waited_for(threads: Threads, tmp_path: Path) -> None:
    """Who took the GIL while another slept has not had it for an interval: it gives it up of its own accord."""

    def intervals() -> Iterator[None]:
        threads("holds", "drop")
        threads("next", "take", 0, None)
        yield
        threads("next", "drop")
        threads("next", "take", 0, None)
        yield
        threads("next", "drop")
        yield

    passing = intervals()
    others = ctypes.CFUNCTYPE(None)(lambda: next(passing))
    threads.library.at(1000)
    threads("holds", "take", 0, None)
    threads("waits", "take", 3, others)
    threads.end()
    rows = good(tmp_path / "out.raw").threads.to_pylist()
    assert [(row["blocking_releases"], row["check_releases"]) for row in rows] == [(1, 0), (0, 0), (1, 1)]
