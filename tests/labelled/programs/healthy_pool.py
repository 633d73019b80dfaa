"""Four threads that do a little work now and then, each at its own time."""

import threading
import time


def work(number):
    time.sleep(0.01 * number)
    for _ in range(40):
        time.sleep(0.04)
        for _ in range(500):
            pass


workers = [threading.Thread(target=work, name="worker-%d" % number, args=(number,)) for number in range(4)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
