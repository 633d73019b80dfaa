"""Runs in gdb's own Python: has a thread of a running process load the recorder, at a safe point, and lets go.

    TRACEKIT_PLAN='{...}' gdb -nx -batch -x in_gdb.py

All symbols are read before the process is stopped. gdb calls nothing in the process: it sends a thread to code that
goes on by itself (native/injection.c). It sets no breakpoints either, not even those that it has of its own in the
loader, since it is not told that this is Linux. So if gdb dies the process runs on, at any moment.
The last line of its output is an object: `stopped`, the longest time in seconds, or `error`.
"""

import json
import os
import re
import sys
import time
from contextlib import suppress
from typing import Any

import gdb

SETTINGS = (
    "auto-solib-add off", "debuginfod enabled off", "auto-load off", "confirm off", "pagination off",
    "backtrace past-main on", "exec-file-mismatch off", "osabi none",
    "debug-file-directory /nonexistent", "libthread-db-search-path /nonexistent", "non-stop off",
)  # fmt: skip
TRIES = 40
PAUSE = 0.02
DEEPEST = 200
# What may take the locks that loading a library needs, wherever it is on a stack.
UNSAFE = re.compile(
    r"^(__libc_|__|_)?(int_)?(malloc|calloc|realloc|free|memalign|posix_memalign|aligned_alloc|valloc|pvalloc|sysmalloc|"
    r"malloc_.*|mallopt|mallinfo2?|reallocarray|cfree|sbrk|brk|morecore|arena_get.*)(\.|$)"
    r"|^_*dl(open|mopen|sym|vsym|close|error|addr1?|info|_.*)(_|\.|$|\W)|^_dl_|^_*tls_|^_*libc_dl|^do_dl|"
    r"^_*(pthread_create.*|allocate_stack|create_thread|v?fork|libc_fork|system|popen|posix_spawn.*|spawni.*|exit|_exit|"
    r"run_exit_handlers|cxa_.*|pthread_exit|nptl_.*|unwind_.*)$|^_Unwind_"
)
# Waits of any length, by their numbers: read, write, poll, select, connect, accept, sendto, recvfrom, sendmsg, recvmsg,
# pause, nanosleep, wait4, futex, epoll_wait, clock_nanosleep, waitid, pselect6, ppoll, epoll_pwait, accept4, readv,
# recvmmsg, rt_sigtimedwait, flock, epoll_pwait2, preadv, pread64, semop, msgrcv, rt_sigsuspend, io_getevents.
WAITS = {0, 1, 7, 23, 42, 43, 44, 45, 46, 47, 34, 35, 61, 202, 232, 230, 247, 270, 271, 281, 288, 19, 299, 128, 73, 441,
         295, 17, 65, 70, 130, 208}  # fmt: skip
# What the kernel answers when it means to restart the call, and which call it then is: the same, or restart_syscall.
RESTARTS = {-512: 0, -513: 0, -514: 0, -516: 219}


def signed(name: str) -> int:
    return int(gdb.parse_and_eval(f"(long)${name}"))


def is_safe(ranges: list[tuple[int, int, str]]) -> bool:
    """Whether the selected thread holds none of the locks, as far as its stack tells."""
    frame, depth, inner = gdb.newest_frame(), 0, True
    while frame is not None and depth < DEEPEST:
        pc, name = frame.pc(), frame.name()
        where = next((os.path.basename(path) for start, end, path in ranges if start <= pc < end), None)
        if where is None or where.startswith("ld-") or "malloc" in where:
            return False
        if name and UNSAFE.match(name):
            return False
        if inner and where.startswith("libc") and signed("orig_rax") not in WAITS:
            return False
        inner = False
        last, frame, depth = frame, frame.older(), depth + 1
    outermost = (gdb.FRAME_UNWIND_NO_REASON, gdb.FRAME_UNWIND_OUTERMOST)
    return depth >= DEEPEST or last.unwind_stop_reason() in outermost


def send(plan: dict[str, Any]) -> None:
    """The selected thread, to the code."""
    rip, rax, call = signed("rip"), signed("rax"), signed("orig_rax")
    if call >= 0 and rax in RESTARTS:
        rip, rax = rip - 2, RESTARTS[rax] or call
    words = [rip, rax, plan["errno_location"], plan["dlopen"], plan["dlsym"]]
    data = b"".join((word % 2**64).to_bytes(8, "little") for word in words)
    data += b"tk_attach".ljust(16, b"\0") + plan["library"].encode("utf-8", "surrogateescape") + b"\0"
    gdb.selected_inferior().write_memory(plan["place"], bytes.fromhex(plan["code"]) + data)
    gdb.execute("set backtrace limit 1", to_string=True)  # it looks for the frame again, where there is none
    gdb.execute(f"set $pc = {plan['place'] + 2}", to_string=True)


def once(plan: dict[str, Any]) -> tuple[bool, float]:
    """Returns whether it was done, and for how long the process stood still."""
    begin = time.monotonic()
    gdb.execute(f"attach {plan['pid']}", to_string=True)
    done = False
    try:
        # Those that wait in the kernel first: they are where they seem to be.
        threads = []
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            threads.append((signed("orig_rax") < 0, thread.num, thread))
        for _, _, thread in sorted(threads):
            thread.switch()
            if is_safe(plan["ranges"]):
                send(plan)
                done = True
                break
    finally:
        gdb.execute("detach", to_string=True)
    return done, time.monotonic() - begin


def main() -> dict[str, object]:
    plan = json.loads(os.environ["TRACEKIT_PLAN"])
    for setting in SETTINGS:
        with suppress(gdb.error):  # one that this gdb does not have
            gdb.execute(f"set {setting}", to_string=True)
    for path, base in plan["files"]:
        quoted = path.replace('"', '\\"')
        # A program that is not moved gdb knows by itself, and to be told twice of it some versions do not survive.
        gdb.execute(f'add-symbol-file "{quoted}" -o {base:#x}' if base else f'file "{quoted}"', to_string=True)
    longest = 0.0
    for turn in range(TRIES):
        done, stopped = once(plan)
        longest = max(longest, stopped)
        if done:
            return {"stopped": longest}
        time.sleep(PAUSE * (1 + turn % 3))
    return {"error": "unsafe", "stopped": longest}


try:
    answer = main()
except (gdb.error, gdb.MemoryError, RuntimeError) as error:
    answer = {"error": str(error)}
sys.stdout.write("\n" + json.dumps(answer) + "\n")
