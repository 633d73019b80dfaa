"""64 threads that each let go of the GIL 400 times, and compute in between."""

import os
import threading

ends = [os.pipe() for _ in range(64)]


def work(reader, writer):
    for _ in range(200):
        os.write(writer, b"x")
        os.read(reader, 1)
        sum(range(200))


threads = [threading.Thread(target=work, args=end, name="crowd-%d" % number) for number, end in enumerate(ends)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
