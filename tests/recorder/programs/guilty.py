"""Keeps the GIL on lines that are marked, while another thread wants it again and again. Python 2.7 and 3.

python guilty.py NAME [SECONDS]
"""

import ctypes
import json
import re
import sys
import threading
import time
import zlib

OVER = []
TEXT = json.dumps([{"key": "value", "numbers": [number, 2, 3]} for number in range(8000)])
MIXED = [number * 7919 % 1000003 for number in range(150000)]
NAMES = ["name-%d" % number for number in range(60000)]
BIG = 7**20000
LIBRARY = ctypes.PyDLL(None)
BYTES = TEXT.encode()


def regex():
    re.match(r"(a*)*b", "a" * 19)  # guilty


def from_json():
    json.loads(TEXT)  # guilty


def sort():
    sorted(MIXED)  # guilty


def big_integer():
    product = BIG
    for _ in range(3):
        product = product * BIG  # guilty
    return product


def in_list():
    if "nobody" in NAMES:  # guilty
        return
    NAMES.index("name-59999")  # guilty


def c_call():
    LIBRARY.usleep(4000)  # guilty


def loop():
    number = 60000
    while number:  # guilty
        number -= 1  # guilty


def called(number):  # guilty
    return number + 1  # guilty


def calls():
    number = 0
    for _ in range(20000):  # guilty
        number = called(number)  # guilty


def importing():
    for name in [name for name in sys.modules if name.split(".")[0] in ("xml", "email", "wave", "decimal")]:
        del sys.modules[name]
    import xml.dom.minidom, email.message, wave  # noqa  # guilty


def before_blocking():
    sum(range(30000))  # guilty
    time.sleep(0.0003)


def spin():
    while not OVER and time.time() < END:  # guilty
        pass  # guilty


def packing():
    zlib.decompress(zlib.compress(BYTES, 1))  # guilty


def generator():
    for number in produced():  # guilty
        str(number)  # guilty


def produced():
    for number in range(20000):  # guilty
        yield number  # guilty


def victim():
    while not OVER:
        time.sleep(0.0007)


if __name__ == "__main__":
    END = time.time() + float((sys.argv + ["1"])[2])
    waiting = threading.Thread(target=victim, name="victim")
    waiting.start()
    work = globals()[sys.argv[1]]
    while time.time() < END:
        work()  # guilty
    OVER.append(True)
    waiting.join()
