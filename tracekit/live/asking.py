"""Asks another process for a snapshot of its flight recorder."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from tracekit.errors import RecordError

_PATIENCE = 10  # s
_MOST = 1 << 16  # bytes of an answer


def _ask(pid: int, question: str) -> bytes:
    """Raises RecordError: that process does not answer."""
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.settimeout(_PATIENCE)
            asked.connect(f"\0tracekit-{pid}")
            if not _is_of(pid, asked):
                raise PermissionError
            asked.sendall(f"{question}\n".encode())
            while len(answer) < _MOST and (part := asked.recv(_MOST)):
                answer += part
    except OSError:
        raise RecordError(
            f"Process {pid} does not answer.",
            "It must be one of the same user, and have called tracekit.flight(...).",
        ) from None
    return answer


def _is_of(pid: int, connection: socket.socket) -> bool:
    """Whether the user whose process that is answers: any user can take its name."""
    _, uid, _ = struct.unpack("=iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return bool(uid == os.stat(f"/proc/{pid}").st_uid)


def snapshot_of(pid: int) -> Path:
    """Has that process write a snapshot of its flight recorder. Returns its path. Raises RecordError."""
    path = _ask(pid, "snapshot")
    if not path or len(path) >= _MOST:
        raise RecordError(f"Process {pid} wrote no snapshot.", "Does it have a flight recorder, and room for its file?")
    return Path(path.decode("utf-8", "surrogateescape"))
