"""Runs until its input ends: two threads compute, one sleeps, the main one waits. Then it tells what it is like."""

import json
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
for _line in sys.stdin:
    pass
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
