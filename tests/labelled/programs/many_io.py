"""60 threads that wait for I/O, with more Python work between the calls than one core can do."""

import threading
import time

END = time.time() + 2


def work():
    while time.time() < END:
        time.sleep(0.005)
        for _ in range(10000):
            pass


threads = [threading.Thread(target=work, name="io-%d" % number) for number in range(60)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
