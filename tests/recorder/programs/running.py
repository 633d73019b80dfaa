"""Runs until its input ends: two threads compute, one sleeps, the main one waits. Then it tells what it is like.

    running.py [deaf]

deaf: the main thread waits in C, and does not come back to Python.
"""

import json
import select
import sys
import threading
import time

over = []


def spin():
    while not over:
        sum(range(100))


def doze():
    while not over:
        time.sleep(0.002)


before = (threading.Thread._set_ident, threading.Thread.name)
threads = [threading.Thread(target=spin, name="spin-%d" % number) for number in (1, 2)]
threads.append(threading.Thread(target=doze, name="doze"))
for thread in threads:
    thread.start()
print("runs", flush=True)
while "deaf" not in sys.argv and not select.select([sys.stdin], [], [], 0.05)[0]:
    pass
sys.stdin.read()
over.append(True)
for thread in threads:
    thread.join()
json.dump(
    {
        "as it was": before == (threading.Thread._set_ident, threading.Thread.name),
        "threads": [thread.name for thread in threading.enumerate()],
        "states": len(sys._current_frames()),
    },
    sys.stdout,
)
sys.exit(7)
