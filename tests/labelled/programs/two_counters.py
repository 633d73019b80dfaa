"""Two threads that only count."""

import threading
import time

END = time.time() + 2


def count():
    while time.time() < END:
        for _ in range(10000):
            pass


counters = [threading.Thread(target=count, name="counter-%d" % number) for number in range(2)]
for counter in counters:
    counter.start()
for counter in counters:
    counter.join()
