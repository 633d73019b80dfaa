"""32 threads alike: each sleeps for a millisecond, and works for about as long."""

import threading
import time

END = time.time() + 2


def work():
    while time.time() < END:
        time.sleep(0.001)
        for _ in range(20000):
            pass


workers = [threading.Thread(target=work, name="worker-%d" % number) for number in range(32)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
