"""A signal comes while the main thread joins one that computes."""

import os
import signal
import sys
import threading
import time


def compute():
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGUSR1)
    n = 9000000 if sys.version_info[0] > 2 else 3000000  # a check after every tick takes its time
    while n:
        n -= 1


signal.signal(signal.SIGUSR1, lambda number, frame: None)
thread = threading.Thread(target=compute, name="computer")
thread.start()
thread.join()
