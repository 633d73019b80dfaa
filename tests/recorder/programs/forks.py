"""Forks, with a thread at work, and with one in the child."""

import os
import sys
import threading
import time


def nap():
    for _ in range(20):
        time.sleep(0.0005)


thread = threading.Thread(target=nap)
thread.start()
for _ in range(3):
    child = os.fork()
    if not child:
        inner = threading.Thread(target=nap)
        inner.start()
        inner.join()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit("a child failed")
thread.join()
