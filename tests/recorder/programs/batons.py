"""Threads that wait for locks, each ended by one other thread, which is known. Python 2.7 too."""

import os
import sys
import threading
import time

ROUNDS = 20
WAIT = 0.002


def run(*named):
    threads = [threading.Thread(target=target, args=args, name=name) for name, target, args in named]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def relay(mine, other):
    """Waits until the one before it hands on, works without the GIL, hands on."""
    for _ in range(ROUNDS):
        mine.acquire()
        time.sleep(WAIT)
        other.release()


def waits(events):
    for _ in range(ROUNDS):
        event = threading.Event()
        events.append(event)
        event.wait()
        del event


def sets(events):
    for _ in range(ROUNDS):
        while not events:
            time.sleep(WAIT / 10)
        time.sleep(WAIT)
        events.pop().set()


def only_tries(lock):
    """What it does next without the GIL is no wait for the lock."""
    for _ in range(ROUNDS):
        assert not lock.acquire(False)
        time.sleep(WAIT)


def in_vain(lock):
    lock.acquire(timeout=10 * WAIT)


def main():
    batons = [threading.Lock() for _ in range(3)]
    for baton in batons[1:]:
        baton.acquire()
    run(*(("relay-%d" % i, relay, (batons[i], batons[(i + 1) % 3])) for i in range(3)))
    events = []
    run(("waits", waits, (events,)), ("sets", sets, (events,)))
    taken = threading.Lock()
    taken.acquire()
    run(("tries", only_tries, (taken,)))
    if sys.version_info[0] == 3:
        run(("in vain", in_vain, (taken,)))
    child = os.fork()
    if not child:
        run(*(("child-%d" % i, relay, (batons[i], batons[(i + 1) % 3])) for i in range(3)))
        sys.stdout.flush()
        os._exit(0)
    sys.exit(os.waitpid(child, 0)[1])


main()
