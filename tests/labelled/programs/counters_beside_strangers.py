"""Two threads that only count, beside three busy processes of others."""

import subprocess
import sys
import threading
import time

strangers = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
END = time.time() + 3


def count():
    n = 0
    while time.time() < END:
        n += 1


counters = [threading.Thread(target=count, name="counter-%d" % number) for number in range(2)]
for counter in counters:
    counter.start()
for counter in counters:
    counter.join()
for stranger in strangers:
    stranger.kill()
    stranger.wait()
