"""A thread that sorts long lists, in C code that keeps the GIL, beside one that sleeps and works a little."""

import random
import threading
import time

NUMBERS = [random.random() for _ in range(300000)]
END = time.time() + 3


def sort():
    while time.time() < END:
        sorted(NUMBERS)


def tick():
    while time.time() < END:
        time.sleep(0.002)


threads = [threading.Thread(target=sort, name="sorter"), threading.Thread(target=tick, name="ticker")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
