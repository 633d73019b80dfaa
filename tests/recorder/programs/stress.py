"""Whatever a look at other threads' frames could trip over, at once, and an end at any moment. Python 2.7 and 3.

python stress.py SECONDS SEED
"""

import ctypes
import gc
import os
import random
import sys
import threading
import time

SECONDS, SEED = float(sys.argv[1]), int(sys.argv[2])
RANDOM = random.Random(SEED)
END = [time.time() + SECONDS]
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
MODULES = ("json", "json.decoder", "wave", "colorsys", "quopri", "textwrap", "string", "email.message")
COROUTINES = """
async def inner(depth):
    if depth:
        return await inner(depth - 1)
    await asyncio.sleep(0)
async def many():
    await asyncio.gather(*[inner(depth) for depth in range(20)])
"""


def again():
    return time.time() < END[0]


def code_churn():
    turn = 0
    while again():
        turn += 1
        text = "def made_%d(x):\n%s    return [x for _ in range(3)]\nfor i in range(20): made_%d(i)"
        exec(text % (turn, "\n" * (turn % 300), turn), {})
        if turn % 50 == 0:
            gc.collect()


def produced(depth):
    if not depth:
        for number in range(5):
            yield number
        return
    for number in produced(depth - 1):
        yield number


def generators():
    while again():
        list(produced(RANDOM.randrange(1, 30)))
        for one in [produced(5) for _ in range(10)]:
            next(one)


def recurse(depth):
    return recurse(depth - 1) + 1 if depth else 0


def recursion():
    while again():
        recurse(RANDOM.randrange(1, 600))
        try:
            recurse(10**6 if RANDOM.random() < 0.02 else 10)
        except RuntimeError:
            pass


def callbacks():
    sort = ctypes.CDLL(None).qsort
    while again():
        values = (ctypes.c_int * 40)(*[RANDOM.randrange(1000) for _ in range(40)])
        sort(values, 40, 4, COMPARE(lambda a, b: a[0] - b[0]))


def forks():
    while again():
        child = os.fork()
        if not child:
            try:
                thread = threading.Thread(target=lambda: [recurse(20) for _ in range(200)])
                thread.start()
                for _ in range(200):
                    recurse(20)
                thread.join()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        time.sleep(0.02)


def imports():
    while again():
        for name in MODULES:
            sys.modules.pop(name, None)
        for name in MODULES:
            try:
                __import__(name)
            except ImportError:  # a module that it imports was taken out meanwhile
                pass


def short_threads():
    while again():
        threads = [threading.Thread(target=recurse, args=(RANDOM.randrange(50),)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def sleeps():
    while again():
        time.sleep(0.0005 * RANDOM.random())


def locks():
    """Made and freed, waited for in vain, and unlocked by many at once."""
    shared = threading.Condition()
    while again():
        helpers = [threading.Thread(target=waits_for, args=(shared,)) for _ in range(6)]
        for helper in helpers:
            helper.start()
        for _ in range(30):
            with shared:
                shared.notify(RANDOM.randrange(20))
            threading.Event().wait(0.0002 * RANDOM.random())
        with shared:
            shared.notify_all()
        for helper in helpers:
            helper.join()


def waits_for(shared):
    for _ in range(10):
        with shared:
            shared.wait(0.001 * RANDOM.random())
        [threading.Lock() for _ in range(20)]


def counts():
    while again():
        number = 20000
        while number:
            number -= 1


def greenlets():
    try:
        import greenlet
    except ImportError:
        return

    def work(depth):
        if depth:
            work(depth - 1)
        else:
            greenlet.getcurrent().parent.switch(1)

    while again():
        some = [greenlet.greenlet(work) for _ in range(20)]
        for one in some:
            one.switch(RANDOM.randrange(1, 40))
        for one in some:
            one.switch()


def coroutines():
    if sys.version_info[0] == 2:
        return
    import asyncio

    space = {"asyncio": asyncio}
    exec(COROUTINES, space)
    while again():
        loop = asyncio.new_event_loop()
        loop.run_until_complete(space["many"]())
        loop.close()


def traced():
    while again():
        sys.settrace(lambda *what: None)
        recurse(10)
        sys.settrace(None)


WORK = [
    code_churn, generators, recursion, callbacks, forks, imports, short_threads, sleeps, counts, greenlets, coroutines,
    traced, sleeps, code_churn, locks, locks,
]  # fmt: skip
threads = [threading.Thread(target=work) for work in WORK]
for thread in threads:
    thread.daemon = RANDOM.random() < 0.5
for _ in range(60 if SEED % 3 else 200):
    threads.append(threading.Thread(target=sleeps))
    threads[-1].daemon = True
for thread in threads:
    thread.start()
if SEED % 3:  # daemon threads go on while the interpreter ends, or the process ends at once
    time.sleep(SECONDS * RANDOM.random())
if SEED % 3 == 2:
    os._exit(0)
if SEED % 3 == 0:
    for thread in threads:
        thread.join()
