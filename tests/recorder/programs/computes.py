"""Says what CPU time the main thread used in sorting, by its own clock; then two threads count. Python 2.7 and 3."""

import ctypes
import json
import random
import threading
import time

THREAD_CPU = 3


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


def cpu():
    now = Timespec()
    ctypes.PyDLL(None).clock_gettime(THREAD_CPU, ctypes.byref(now))  # it keeps the GIL
    return now.seconds * 10**9 + now.nanoseconds


def count(turns):
    while turns:
        turns -= 1


numbers = [random.random() for _ in range(300000)]
time.sleep(0.001)
before = cpu()
numbers.sort()
used = cpu() - before
time.sleep(0.001)
threads = [threading.Thread(target=count, args=(3000000,)) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(used))
