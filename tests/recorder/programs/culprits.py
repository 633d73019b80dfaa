"""Runs functions that are known to keep the GIL, or to let go of it, while another thread wants it again and again.

python culprits.py NAME [SECONDS]
"""

import base64
import binascii
import bz2
import copy
import csv
import ctypes
import gc
import hashlib
import io
import json
import pickle
import re
import socket
import sqlite3
import sys
import threading
import time
import zlib
from contextlib import suppress

with suppress(ImportError):
    import lxml.etree
with suppress(ImportError):
    import msgpack
with suppress(ImportError):
    import numpy
with suppress(ImportError):
    import orjson
with suppress(ImportError):
    import regex
with suppress(ImportError):
    import yaml

OVER = []
LIBRARY = ctypes.PyDLL(None)
FREE = ctypes.CDLL(None)
NUMBERS = [number * 7919 % 1000003 for number in range(400000)]
TEXTS = [str(number) for number in NUMBERS]
OBJECTS = [{"key": number, "list": [number, number]} for number in range(60000)]
TEXT = json.dumps(OBJECTS)
BIG = 7**60000
RAW = bytes(range(256)) * 100000
SMALL = b"x" * 2000


def json_loads():
    json.loads(TEXT)


def json_dumps():
    json.dumps(OBJECTS)


def re_match():
    re.match(r"(a*)*b", "a" * 20)


def re_compiled():
    pattern = re.compile(r"(a*)*b")
    pattern.match("a" * 20)


def sort():
    sorted(NUMBERS)


def search():
    return "nobody" in TEXTS


def multiply():
    return BIG * BIG


def to_text():
    getattr(sys, "set_int_max_str_digits", int)(0)
    str(BIG)


def summed():
    sum(range(3000000))


def join_texts():
    "".join(TEXTS * 20)


def join_bytes():
    b"".join([RAW] * 4)


def hash_small():
    hashlib.sha256(SMALL)


def hash_large():
    hashlib.sha256(RAW)


def checksum_small():
    zlib.crc32(b"x" * 5000)


def checksum_large():
    zlib.crc32(RAW)


def pack():
    zlib.compress(RAW, 1)


def pack_bz2():
    bz2.compress(RAW[:1000000])


def encode():
    binascii.b2a_base64(RAW)


def encode_base64():
    base64.b64encode(RAW)


PICKLED = pickle.dumps(OBJECTS)


def unpickle():
    pickle.loads(PICKLED)


def pickled():
    pickle.dumps(OBJECTS)


def deepcopy():
    copy.deepcopy(OBJECTS[:3000])


def collect():
    gc.collect()


def compiled(source="x=[1,2,3]\n" * 20000):
    compile(source, "x", "exec")


def c_call():
    LIBRARY.usleep(20000)


def free_c_call():
    FREE.usleep(20000)


DATABASE = sqlite3.connect(":memory:", check_same_thread=False)


def select():
    DATABASE.execute(
        "with recursive n as (select 1 i union all select i + 1 from n where i < 20000) select i from n"
    ).fetchall()


def resolve():
    socket.getaddrinfo("localhost", 80)


def rows(text="a,b,c\n" * 200000):
    list(csv.reader(io.StringIO(text)))


def objects():
    numpy.sort(numpy.array(NUMBERS, dtype=object))


def numbers():
    numpy.sort(numpy.arange(6000000)[::-1])


def parse():
    lxml.etree.fromstring(b"<a>" + b"<b c='d'>e</b>" * 300000 + b"</a>")


def orjson_loads():
    orjson.loads(TEXT)


def unpack():
    msgpack.unpackb(msgpack.packb(OBJECTS))


def load_yaml():
    yaml.load("- {a: 1}\n" * 3000, Loader=yaml.CSafeLoader)


def regex_match():
    regex.match(r"(?:a?){22}a{22}", "a" * 22)


def victim():
    while not OVER:
        time.sleep(0.0007)


if __name__ == "__main__":
    if sys.argv[1] != "collect":
        gc.freeze() if hasattr(gc, "freeze") else gc.disable()
    end = time.time() + float((sys.argv + ["1"])[2])
    waiting = threading.Thread(target=victim, name="victim")
    waiting.start()
    try:
        while time.time() < end:
            globals()[sys.argv[1]]()
    finally:
        OVER.append(True)
    waiting.join()
