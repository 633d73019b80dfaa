"""Threads of a raw recording: their ids, and what they were called when."""

from __future__ import annotations

from collections import Counter

import numpy as np

THREAD = np.dtype([("kind", "<u4"), ("thread", "<u4"), ("tid", "<u4"), ("length", "<u4"), ("text", "V112")])
_NEW_THREAD, _SYSTEM_NAME, _RENAME = 1, 3, 4
_RENAME_BYTES = 104


class Threads:
    """What the records of threads say, one after the other.

    Attributes:
        ids: by number. They are the system's; where it used one again, the later threads' have a number behind it.
        renames: at what clock which thread got which name.
    """

    def __init__(self) -> None:
        self.ids: dict[int, str] = {}
        self.renames: list[tuple[int, str, str]] = []
        self._names: dict[str, str] = {}
        self._system: dict[str, str] = {}
        self._uses: Counter[int] = Counter()
        self._current: dict[int, str] = {}
        self._early: dict[int, str] = {}

    def take(self, row: np.void) -> str:
        """Returns what is wrong with it."""
        kind, number, tid = int(row["kind"]), int(row["thread"]), int(row["tid"])
        text = row["text"].tobytes()
        name = " ".join(text[: int(row["length"])].decode("utf-8", "replace").split())
        if kind == _NEW_THREAD:
            if number != len(self.ids):
                return "its threads are not in order"
            self._uses[tid] += 1
            uses = self._uses[tid]
            self._current[tid] = self.ids[number] = str(tid) if uses == 1 else f"{tid}-{uses}"
            name = name or self._early.pop(tid, "")
        if not name:
            return ""
        if kind == _SYSTEM_NAME:
            self._system[self._current.get(tid, "")] = name
        elif tid not in self._current:
            self._early[tid] = name
        elif kind == _RENAME and self._current[tid] in self._names:
            self.renames.append((int.from_bytes(text[_RENAME_BYTES:], "little"), self._current[tid], name))
        else:
            self._names[self._current[tid]] = name
        return ""

    def names(self) -> dict[str, str]:
        """Those before all renames; of threads without one the system's."""
        ids = self.ids.values()
        return {thread: self._system[thread] for thread in ids if thread in self._system} | self._names
