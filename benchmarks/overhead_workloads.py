"""The workloads of overhead.py: runs the one that is named and prints its figure as JSON. Python 2.7 and 3."""

import json
import os
import resource
import socket
import sys
import threading
import time

ECHO_SECONDS = 1.5
clock = getattr(time, "perf_counter", time.time)


def together(*threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def count(turns):
    while turns:
        turns -= 1


def busy_clock():
    """Seconds for which processors worked for this process: other processes' load is not in it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(work, by=busy_clock):
    before = by()
    work()
    return {"figure": by() - before}


def cpu2():
    spinners = [threading.Thread(target=count, args=(6000000,)) for _ in range(2)]
    return timed(lambda: together(*spinners))


def echo(beside=True):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    done = threading.Event()

    def serve():
        message = b"x"
        while message != b"end":
            message, client = server.recvfrom(100)
            server.sendto(message, client)

    def spin():
        while not done.is_set():
            count(1000)

    threads = [threading.Thread(target=work) for work in ([serve, spin] if beside else [serve])]
    for thread in threads:
        thread.start()
    time.sleep(0.1)  # until they are at full speed
    # The client is a process of its own: it does not wait for this one's GIL.
    child = os.fork()
    if not child:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        waits, begin, before = [], clock(), clock()
        while before - begin < ECHO_SECONDS:
            client.sendto(b"x", server.getsockname())
            client.recvfrom(100)
            after = clock()
            waits.append(after - before)
            before = after
        client.sendto(b"end", server.getsockname())
        figures = {"figure": 1e6 * sum(waits) / len(waits), "p50": 1e6 * sorted(waits)[len(waits) // 2]}
        figures["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sys.stdout.write(json.dumps(figures))
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
    done.set()
    for thread in threads:
        thread.join()


def echo_alone():
    return echo(beside=False)


def io4():
    def sleep():
        for _ in range(1500):
            time.sleep(0.0002)

    return timed(lambda: together(*(threading.Thread(target=sleep) for _ in range(4))), by=clock)


def pool():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as executor:
        return timed(lambda: list(executor.map(count, [2000] * 8000)))


def single():
    def work():
        bodies = [[float(i), float(i * i), 1.0 / (i + 1)] for i in range(5)]
        for _ in range(60000):
            for a in bodies:
                a[0] += 0.01 * a[1] * a[2]
                a[1] -= 0.01 * a[0]
        for _ in range(300):
            words = {str(i): [i, str(i), {"a": i}] for i in range(300)}
            json.loads(json.dumps(words))
        text = " ".join(str(i) for i in range(100000))
        sorted(text.split(), key=len)
        text.upper().replace("1", "one").encode()

    return timed(work)


def server():
    def serve():
        reader, writer = os.pipe()
        for _ in range(4000):
            count(3000)
            os.write(writer, b"x")
            os.read(reader, 1)

    def at_depth(calls):
        return at_depth(calls - 1) if calls else serve()

    return timed(lambda: together(*(threading.Thread(target=at_depth, args=(20,)) for _ in range(2))))


def pipe():
    reader, writer = os.pipe()

    def loop(turns):
        for _ in range(turns):
            os.write(writer, b"x")
            os.read(reader, 1)

    loop(1000)
    return {"figure": timed(lambda: loop(300000))["figure"] / 600000 * 1e9}


if __name__ == "__main__":
    found = globals()[sys.argv[1]]()
    if found:
        found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps(found))
