"""Python 3.14 and newer run this in their main thread where `sys.remote_exec` asks them to: if tracekit still waits for
this process, it says where the recorder is, which then does all else in a thread of its own."""

import os


def load() -> None:
    import _socket

    with_tracekit = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        try:
            with_tracekit.connect(f"\0tracekit-attach-{os.getpid()}")
        except OSError:
            return  # it has given up
        peer = with_tracekit.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        if int.from_bytes(peer[4:8], "little") not in (0, os.geteuid()):
            return
        with_tracekit.send(b"?")
        path = os.fsdecode(with_tracekit.recv(4096))
    finally:
        with_tracekit.close()
    if path:
        import ctypes

        ctypes.PyDLL(path).tk_attach()


load()
