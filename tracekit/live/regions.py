"""Regions: what a request held of the GIL and waited for it, exactly, while the program runs."""

from __future__ import annotations

import ctypes
import inspect
import struct
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypedDict, TypeVar, cast

from tracekit.live import counting

P = ParamSpec("P")
T = TypeVar("T")
_RESULT = struct.Struct("<9Qd")
"""`tk_region_result` of recorder/native/regions.c: wall, held, waited, by cause, whether they are known, ns a step."""
_NO_NAME = 0


class _State:
    library: ctypes.PyDLL | None = None
    names: dict[str, int] = {}  # noqa: RUF012


def _started() -> ctypes.PyDLL | None:
    if _State.library is None:
        library = counting.started()
        _State.library = library
    return _State.library


def _is_followed(library: ctypes.PyDLL) -> bool:
    """Whether this thread is in no task, or in one that is followed from its first step on."""
    asyncio = sys.modules.get("asyncio")
    in_loop = asyncio is not None and asyncio._get_running_loop() is not None
    if asyncio is not None and in_loop and (asyncio.current_task() is not None or not library.tk_tasks_followed()):
        return False
    library.tk_tasks_asked("_asyncio" in sys.modules)
    return True


def _number(library: ctypes.PyDLL, name: str) -> int:
    number = _State.names.get(name)
    if number is None:
        told = name.encode("utf-8", "replace")
        number = library.tk_region_name(told, len(told))
        if number != _NO_NAME:
            _State.names[name] = number
    return number


class Region:
    """How long a block of code, or each call of a function, held the GIL and waited for it.

    Of a region that is open they tell what was so far. None where it is not known: in an interpreter that cannot be
    recorded or whose asyncio is another one, in a forked child whose parent opened the region, or where regions were
    not closed from the inside out.

    Attributes:
        name: what it is called; it may be set while the region is open. Few different ones, like a route's template.
    """

    __slots__ = ("_handle", "_library", "_name", "_parts", "_result")

    def __init__(self, name: str) -> None:
        self._name = name
        self._parts: list[list[int] | None] = []  # of other threads
        self._handle = 0
        self._result: bytes | None = None
        self._library = _started()

    def __enter__(self) -> Region:
        library = self._library
        if library is not None:
            self._result = None
            name = _State.names.get(self._name)
            number = _number(library, self._name) if name is None else name
            self._handle = library.tk_region_open(number)
            if self._handle < 0:
                self._handle = library.tk_region_open(number) if _is_followed(library) else 0
        return self

    def __exit__(self, *error: object) -> None:
        if self._handle > 0:
            result = bytes(_RESULT.size)  # nobody else has it yet: the C writes into it
            if cast(ctypes.PyDLL, self._library).tk_region_close(self._handle, result):
                self._result = result
            self._handle = 0

    def __del__(self) -> None:
        if self._handle:
            self.__exit__()

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Each call of the function is such a region; of a coroutine function, until its end."""
        name = self._name
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def wait(*args: P.args, **kwargs: P.kwargs) -> Any:
                with Region(name):
                    return await function(*args, **kwargs)

            return cast(Callable[P, T], wait)

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            with Region(name):
                return function(*args, **kwargs)

        return run

    def _told(self) -> tuple[int, list[int] | None] | None:
        """Wall time, then what was held, waited, and waited by cause, if that is known; in ns."""
        result = self._result
        if self._handle:
            result = bytes(_RESULT.size)
            if not cast(ctypes.PyDLL, self._library).tk_region_read(self._handle, result):
                return None
        if result is None:
            return None
        *ticks, known, rate = _RESULT.unpack(result)
        wall, *shares = (round(one * rate) for one in ticks)
        if not known or any(part is None for part in self._parts):
            return wall, None
        return wall, [sum(all_of) for all_of in zip(shares, *cast(list[list[int]], self._parts), strict=True)]

    def _share(self, place: int) -> int | None:
        told = self._told()
        return told[1][place] if told is not None and told[1] is not None else None

    def within(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result; what it holds and waits for in this thread, another one, is the region's, too."""
        with Region(f"{self._name} in a thread") as part:
            result = function(*args, **kwargs)
        told = part._told()
        self._parts.append(told and told[1])
        return result

    @property
    def name(self) -> str:
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name
        if self._handle:
            library = cast(ctypes.PyDLL, self._library)
            library.tk_region_rename(self._handle, _number(library, name))

    @property
    def wall_ns(self) -> int | None:
        """ns from its beginning to its end."""
        told = self._told()
        return None if told is None else told[0]

    @property
    def held_ns(self) -> int | None:
        """ns in which it held the GIL: its thread, or its task while that ran."""
        return self._share(0)

    @property
    def waited_ns(self) -> int | None:
        """ns in which it waited for the GIL."""
        return self._share(1)

    @property
    def off_ns(self) -> int | None:
        """The rest of the ns: it was blocked without the GIL, or its task was not running."""
        told = self._told()
        return None if told is None or told[1] is None else max(told[0] - told[1][0] - told[1][1], 0)

    @property
    def causes(self) -> dict[str, int]:
        """What it waited for, in ns, as in `counters`; they sum to `waited_ns`. Empty where that is not known."""
        told = self._told()
        return {} if told is None or told[1] is None else dict(zip(counting.causes(), told[1][2:], strict=True))

    def __repr__(self) -> str:
        return f"<region {self.name!r}: wall {self.wall_ns} ns, held {self.held_ns} ns, waited {self.waited_ns} ns>"


def region(name: str) -> Region:
    """Measures a block of code or a function under this name: how long it holds the GIL and waits for it, exactly.

        with tracekit.region("GET /users") as region:
            ...
        region.held_ns, region.waited_ns, region.off_ns

    Or as a decorator. Regions may be nested. In a task of asyncio (uvloop's loop, too) a region follows its task: what
    other tasks do meanwhile is not its own. In a recording its name stands beside what its thread waited for and held.
    name: few different ones, for they are kept.
    The first one starts to count, as `tracekit.count`.
    """
    return Region(name)


class RegionSum(TypedDict):
    """All regions of one name that have ended.

    unknown: so many were not closed from the inside out: what they held and waited is not in the sums.
    """

    name: str
    regions: int
    unknown: int
    wall_ns: int
    held_ns: int
    waited_ns: int
    longest_ns: int


class Sum(ctypes.Structure):
    """`tk_region_sum` of recorder/native/regions.c."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("regions", "unknown", "wall", "held", "waited", "longest", "length")),
        ("name", ctypes.c_char * 256),
    )


def sums() -> list[RegionSum]:
    """What the regions of this process that have ended were in sum, by name."""
    library = _State.library
    if library is None:
        return []
    read = (Sum * library.tk_region_sums(None, 0))()
    library.tk_region_sums(read, len(read))
    rate = counting.rate()
    return [
        {
            "name": one.name[: one.length].decode("utf-8", "replace"),
            "regions": one.regions,
            "unknown": one.unknown,
            "wall_ns": round(one.wall * rate),
            "held_ns": round(one.held * rate),
            "waited_ns": round(one.waited * rate),
            "longest_ns": round(one.longest * rate),
        }
        for one in read
        if one.regions
    ]
