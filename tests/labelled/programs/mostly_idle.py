"""200 threads that sleep nearly always."""

import threading
import time


def idle():
    for _ in range(3):
        time.sleep(0.7)


threads = [threading.Thread(target=idle, name="idle-%d" % number) for number in range(200)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
