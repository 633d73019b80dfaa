"""Asks another process what its threads do: one that has a flight recorder, or tells its counters at a path."""

from __future__ import annotations

import ctypes
import socket
import struct
from pathlib import Path

from tracekit.errors import RecordError
from tracekit.live.counting import Count, Counters, told
from tracekit.live.regions import RegionSum, Sum, sum_told

_HEAD = struct.Struct("<8s4Qd")
_PATIENCE = 10  # s


def _ask(pid: int, question: str) -> bytes:
    """Raises RecordError: that process does not answer."""
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.settimeout(_PATIENCE)
            asked.connect(f"\0tracekit-{pid}")
            asked.sendall(f"{question}\n".encode())
            while part := asked.recv(1 << 16):
                answer += part
    except OSError:
        raise RecordError(
            f"Process {pid} does not answer.",
            "It must be one of the same user, and have called tracekit.flight(...) or tracekit.count(PATH).",
        ) from None
    return answer


def snapshot_of(pid: int) -> Path:
    """Has that process write a snapshot of its flight recorder. Returns its path. Raises RecordError."""
    path = _ask(pid, "snapshot")
    if not path:
        raise RecordError(f"Process {pid} wrote no snapshot.", "Does it have a flight recorder, and room for its file?")
    return Path(path.decode("utf-8", "surrogateescape"))


def counters_of(pid: int) -> tuple[list[Counters], list[RegionSum]]:
    """What its threads did so far, and its regions that ended. Raises RecordError."""
    answer = _ask(pid, "counters")
    head = answer[: _HEAD.size]
    magic, counts, count_size, names, name_size, rate = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"",) * 6
    if (magic, count_size, name_size) != (b"TKCOUNTS", ctypes.sizeof(Count), ctypes.sizeof(Sum)):
        raise RecordError(f"Process {pid} has another version of tracekit.", "Ask it with that one.")
    content, place = answer[_HEAD.size :], counts * count_size
    if len(content) < place + names * name_size:
        raise RecordError(f"Process {pid} ended while it answered.", "There is nothing more to ask.")
    threads = (Count * counts).from_buffer_copy(content)
    sums = (Sum * names).from_buffer_copy(content, place)
    return [told(one, rate) for one in threads], [sum_told(one, rate) for one in sums if one.regions]
