"""Threads that do what the recorder's tests count. Runs on every Python; prints what it did."""

import ctypes
import json
import os
import socket
import sys
import threading
import time

REPLIES, LONG_CALLS, SHORT_THREADS = 200, 10, 50
clock = getattr(time, "perf_counter", time.time)
numbers = getattr(__builtins__, "xrange", range)
did = {"long": []}


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def busy_clock():
    """Seconds for which this thread ran."""
    now = Timespec()
    ctypes.PyDLL(None).clock_gettime(3, ctypes.byref(now))  # CLOCK_THREAD_CPUTIME_ID; Python 2 has it not
    return now.seconds + now.nanoseconds / 1e9


def serve(server):
    for _ in range(REPLIES):
        message, client = server.recvfrom(100)
        server.sendto(message, client)


def ask(address):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(30)
    for number in range(REPLIES):
        client.sendto(str(number).encode(), address)
        client.recvfrom(100)


def spin():
    end = clock() + 0.15
    while clock() < end:
        pass


def long_calls():
    for _ in range(LONG_CALLS):
        before = busy_clock()
        sum(numbers(1500000))  # one call into C, which keeps the GIL
        did["long"].append(busy_clock() - before)
        time.sleep(0.001)


def started(*threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    started(
        threading.Thread(target=serve, name="server", args=(server,)),
        threading.Thread(target=ask, name="client", args=(server.getsockname(),)),
        threading.Thread(target=spin, name="spin"),
    )
    started(
        threading.Thread(target=long_calls, name="long calls"),
        threading.Thread(target=spin, name="other"),
    )
    for number in range(SHORT_THREADS):
        started(threading.Thread(target=os.getpid, name="short-%d" % number))
    threading.current_thread().name = "the main one"
    did["pid"] = os.getpid()
    print(json.dumps(did))
    sys.exit(5)


main()
