"""Asks another process for a snapshot of its flight recorder."""

from __future__ import annotations

import socket
from pathlib import Path

from tracekit.errors import RecordError

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
            "It must be one of the same user, and have called tracekit.flight(...).",
        ) from None
    return answer


def snapshot_of(pid: int) -> Path:
    """Has that process write a snapshot of its flight recorder. Returns its path. Raises RecordError."""
    path = _ask(pid, "snapshot")
    if not path:
        raise RecordError(f"Process {pid} wrote no snapshot.", "Does it have a flight recorder, and room for its file?")
    return Path(path.decode("utf-8", "surrogateescape"))
