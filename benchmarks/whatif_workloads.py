"""Programs for benchmarks/whatif.py: python whatif_workloads.py NAME [INTERVAL_US] [process] [parts]."""

import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

NAME, FLAGS = sys.argv[1], sys.argv[2:]
INTERVAL = next((flag for flag in FLAGS if flag.isdigit()), None)
if INTERVAL:
    sys.setswitchinterval(int(INTERVAL) / 1e6)
TURNS_PER_MS = 20_000


def compute(ms):
    for _ in range(int(ms * TURNS_PER_MS)):
        pass


def hog(ms):
    """A thread that computes, or a process that does."""
    if "process" in FLAGS:
        subprocess.Popen([sys.executable, __file__, "alone", str(ms)])
        return []
    return [threading.Thread(target=compute, args=(ms,), name="hog")]


def run(*threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def echo(requests, think, rate=None):
    """A server thread, whose client is another process: it sends when the answer is there, or at a rate."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    port = str(server.getsockname()[1])
    subprocess.Popen([sys.executable, __file__, "client", port, str(requests), f"think={think}", f"rate={rate or 0}"])
    _, client = server.recvfrom(100)

    def serve():
        for _ in range(requests):
            data, address = server.recvfrom(100)
            server.sendto(data, address)

    threads = [*hog(1000), threading.Thread(target=serve, name="server")]
    for thread in threads:
        thread.start()
    server.sendto(b"go", client)
    for thread in threads:
        thread.join()


def client():
    port, requests = int(sys.argv[2]), int(sys.argv[3])
    think, rate = (float(flag.split("=")[1]) for flag in sys.argv[4:6])
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.connect(("127.0.0.1", port))
    peer.settimeout(10)
    peer.send(b"hello")
    peer.recv(100)
    began = time.perf_counter()
    for number in range(requests):
        if rate:
            time.sleep(max(0, began + number / rate - time.perf_counter()))
        peer.send(b"x")
        if not rate:
            peer.recv(100)
            time.sleep(think)


def sleepers(count):
    def sleep():
        for _ in range(50):
            time.sleep(0.003)
            compute(0.05)

    run(*hog(800), *(threading.Thread(target=sleep, name=f"sleeper-{i}") for i in range(count)))


def beside_a_beat(load, pause):
    """Long calls of C code, beside a thread that comes back from a short sleep time and again."""

    def beat():
        for _ in range(100):
            time.sleep(pause)
            compute(0.02)

    run(threading.Thread(target=beat, name="beat"), threading.Thread(target=load, name="load"))


def c_calls():
    parts = 10 if "parts" in FLAGS else 1
    text = json.dumps([{"a": i, "b": [i, str(i)]} for i in range(30_000 // parts)])

    def load():
        for _ in range(20 * parts):
            json.loads(text)

    beside_a_beat(load, 0.005)


def computing(count):
    run(*(threading.Thread(target=compute, args=(1000 / count,), name=f"worker-{i}") for i in range(count)))


def locked():
    lock = threading.Lock()

    def work():
        for _ in range(120):
            with lock:
                compute(0.5)
            time.sleep(0.001)

    run(*(threading.Thread(target=work, name=f"worker-{i}") for i in range(4)))


def queued(items, first, second):
    """Two threads and a short queue between them."""
    passed = queue.Queue(4)

    def produce():
        for item in range(items):
            compute(first)
            passed.put(item)
        passed.put(None)

    def consume():
        while passed.get() is not None:
            compute(second)

    return [threading.Thread(target=produce, name="side-1"), threading.Thread(target=consume, name="side-2")]


def pool(tasks):
    def task(number):
        compute(3 if number % 3 else 1)
        time.sleep(0.004)

    with ThreadPoolExecutor(4, thread_name_prefix="side-") as executor:
        list(executor.map(task, range(tasks)))


def baton(rounds):
    """Three threads that hand on to each other, beside one that computes."""
    events = [threading.Event() for _ in range(3)]

    def run_with(place):
        for _ in range(rounds):
            events[place].wait()
            events[place].clear()
            compute(0.3)
            events[(place + 1) % 3].set()

    events[0].set()
    run(*hog(600), *(threading.Thread(target=run_with, args=(i,), name=f"side-{i}") for i in range(3)))


def echo_within(requests):
    """Server and client are threads of one process, beside one that computes."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def serve():
        for _ in range(requests):
            data, address = server.recvfrom(100)
            compute(0.1)
            server.sendto(data, address)

    def ask():
        for _ in range(requests):
            client.sendto(b"x", server.getsockname())
            client.recvfrom(100)
            time.sleep(0.002)

    return [threading.Thread(target=serve, name="side-1"), threading.Thread(target=ask, name="side-2")]


def files(rounds):
    def copy(number):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, str(number))
            for _ in range(rounds):
                with open(path, "wb") as file:
                    file.write(b"x" * 300_000)
                compute(0.2)
                with open(path, "rb") as file:
                    file.read()
                time.sleep(0.002)

    return [threading.Thread(target=copy, args=(number,), name=f"side-{number}") for number in range(3)]


def packed(rounds):
    """C code that lets go of the GIL."""
    data = os.urandom(200_000)

    def pack():
        for _ in range(rounds):
            zlib.compress(data, 1)
            compute(0.3)

    return [threading.Thread(target=pack, name=f"side-{number}") for number in range(2)]


def sorting():
    parts = 10 if "parts" in FLAGS else 1
    numbers = [(number * 7919) % 100_003 for number in range(200_000 // parts)]

    def load():
        for _ in range(15 * parts):
            sorted(numbers)

    beside_a_beat(load, 0.004)


def limited(rounds):
    """Six threads, of which two at a time may do a thing."""
    limit = threading.Semaphore(2)

    def work():
        for _ in range(rounds):
            with limit:
                compute(0.3)
                time.sleep(0.001)
            time.sleep(0.002)

    return [threading.Thread(target=work, name=f"side-{number}") for number in range(6)]


def notified(items):
    """Consumers that sleep on a condition."""
    condition, ready = threading.Condition(), []

    def consume():
        while True:
            with condition:
                while not ready:
                    condition.wait()
                item = ready.pop()
            if item is None:
                return
            compute(0.4)

    def produce():
        for item in [*range(items), None, None, None]:
            time.sleep(0.001)
            with condition:
                ready.insert(0, item)
                condition.notify()

    consumers = [threading.Thread(target=consume, name=f"side-{number}") for number in range(3)]
    return [*consumers, threading.Thread(target=produce, name="side-in")]


def timers():
    def tick(number):
        for _ in range(40):
            time.sleep(0.002 + 0.001 * number)
            compute(0.1)

    return [threading.Thread(target=tick, args=(number,), name=f"side-{number}") for number in range(5)]


def half(rounds):
    def work():
        for _ in range(rounds):
            compute(4)
            time.sleep(0.004)

    run(*(threading.Thread(target=work, name=f"side-{number}") for number in range(3)))


def asked(tasks):
    """One thread has a pool do things, and waits for each."""

    def ask():
        with ThreadPoolExecutor(2, thread_name_prefix="pool") as executor:
            for number in range(tasks):
                executor.submit(compute, 0.2 + 0.1 * (number % 3)).result()
                time.sleep(0.001)

    return [threading.Thread(target=ask, name="side-1")]


def logged(rounds):
    """Threads that work, and write lines of a log behind one lock."""
    lock = threading.Lock()

    def work():
        for _ in range(rounds):
            compute(0.6)
            with lock:
                os.write(log, b"a line\n" * 20)
            time.sleep(0.0015)

    log = os.open(os.devnull, os.O_WRONLY)
    return [threading.Thread(target=work, name=f"side-{number}") for number in range(4)]


if NAME == "alone":
    compute(int(FLAGS[0]))
elif NAME == "client":
    client()
elif NAME == "echo":
    echo(150, 0.0005)
elif NAME == "echo-rate":
    echo(40, 0, rate=40)
elif NAME == "sleepers":
    sleepers(4)
elif NAME == "many-sleepers":
    sleepers(16)
elif NAME == "c-calls":
    c_calls()
elif NAME == "two-computing":
    computing(2)
elif NAME == "four-computing":
    computing(4)
elif NAME == "locked":
    locked()
elif NAME == "queue":
    run(*queued(1500, 0.2, 0.3))
elif NAME == "queue-hog":
    run(*hog(800), *queued(150, 0.2, 0.3))
elif NAME == "pool":
    pool(200)
elif NAME == "baton":
    baton(40)
elif NAME == "echo-within":
    run(*hog(900), *echo_within(80))
elif NAME == "echo-half-rate":
    echo(60, 0, rate=60)
elif NAME == "files":
    run(*hog(700), *files(40))
elif NAME == "packed":
    run(*hog(500), *packed(25))
elif NAME == "sorting":
    sorting()
elif NAME == "limited":
    run(*limited(60))
elif NAME == "notified":
    run(*hog(800), *notified(150))
elif NAME == "timers":
    run(*hog(900), *timers())
elif NAME == "half":
    half(40)
elif NAME == "two-hogs":
    run(*hog(500), *hog(500), *timers())
elif NAME == "asked":
    run(*hog(700), *asked(60))
elif NAME == "logged":
    run(*logged(80))
else:
    sys.exit(f"{NAME}: no such workload in {os.path.basename(__file__)}")
