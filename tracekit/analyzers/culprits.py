"""Functions that are known to keep the GIL, or to let go of it only above a size, each with advice and a source.

`tests/recorder/test_culprits.py` records what is told here of those that can be run. docs/culprits.md is made
from this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

_CPYTHON = "https://github.com/python/cpython/blob/main/"
_SPLIT = "Do less at a time, or move it to a process."


@dataclass(frozen=True)
class Culprit:
    """What is known of some functions.

    Attributes:
        name: what they are called in a sentence.
        frames: functions of Python in which it happens: `module.function`, with `*` for any.
        calls: what a line of source calls then.
        versions: of Python, or of the package.
        keeps: what it does with the GIL: the rest of a sentence that begins with its name.
        advice: what to do.
        source: where that is said, or can be read in its code.
        sleeps: it may keep the GIL without using the CPU.
    """

    name: str
    keeps: str
    advice: str
    source: str
    frames: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    versions: str = "all"
    sleeps: bool = False


CULPRITS = (
    Culprit(
        "json",
        "keeps the GIL until the whole text is read or written, in one call of C",
        "Use several smaller documents (one a line), parse in a process, or read events one by one (ijson).",
        f"{_CPYTHON}Modules/_json.c",
        frames=("json.decoder.*raw_decode", "json.encoder.*encode", "json.dumps", "json.encoder.*iterencode"),
        calls=("json.loads", "json.load", "json.dumps", "json.dump"),
    ),
    Culprit(
        "re",
        "keeps the GIL for the whole match, however long it backtracks",
        "Make the expression linear (no nested repetitions), limit the text's length, or use the package regex, which "
        "lets go of the GIL.",
        f"{_CPYTHON}Modules/_sre/sre.c",
        frames=("re.match", "re.fullmatch", "re.search", "re.sub", "re.subn", "re.split", "re.findall"),
        calls=(
            "re.match", "re.fullmatch", "re.search", "re.sub", "re.subn", "re.split", "re.findall", "re.compile().*",
        ),
    ),
    Culprit(
        "Sorting a list",
        "keeps the GIL until all is sorted, unless a key or a comparison runs Python code",
        "Sort less at a time and merge (heapq.merge), keep it sorted as it comes (bisect), or sort in a process.",
        f"{_CPYTHON}Objects/listobject.c",
        calls=("sorted", "list.sort", ".sort"),
    ),
    Culprit(
        "Searching a list",
        "compares one by one and keeps the GIL until it is found",
        "Use a set or a dict for membership, or bisect in a sorted list.",
        f"{_CPYTHON}Objects/listobject.c",
        calls=(
            "list.__contains__", "list.index", "list.count", "list.remove", "tuple.__contains__", "tuple.index",
            ".index", "in",
        ),
    ),
    Culprit(
        "Arithmetic on huge integers",
        "keeps the GIL until the result is there, and multiplying takes more than twice as long for twice the digits",
        "Use gmpy2 or decimal, smaller numbers, or a process.",
        f"{_CPYTHON}Objects/longobject.c",
        calls=(
            "**", "*", "//", "%", "pow", "divmod", "math.factorial", "math.comb", "math.perm", "math.isqrt",
            "math.prod",
        ),
    ),
    Culprit(
        "int and str of huge integers",
        "take time with the square of the digits and keep the GIL; from 4,300 digits on they are refused by default",
        "Use hexadecimal (linear), or decimal. sys.set_int_max_str_digits is there to protect you.",
        "https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation",
        frames=("_pylong.*",),
        calls=("int", "str", "repr"),
        versions="all; the limit from 3.7.14, 3.8.14, 3.9.14, 3.10.7 and 3.11 on",
    ),
    Culprit(
        "Going through all with sum, min, max, any, all and the like",
        "keeps the GIL where what they go through is written in C itself (a range, a list)",
        "Do less at a time, or use numpy.",
        f"{_CPYTHON}Python/bltinmodule.c",
        calls=("sum", "min", "max", "any", "all", "list", "tuple", "set", "frozenset", "dict", "len"),
    ),
    Culprit(
        "bytes.join and str.join",
        "keep the GIL while they copy; bytes.join lets go of it from 1 MiB on",
        "Join less at a time, or write the pieces one by one (writelines, os.writev).",
        f"{_CPYTHON}Objects/stringlib/join.h",
        calls=("bytes.join", "bytearray.join", "str.join", ".join"),
        versions="all; lets go from 3.10 on",
    ),
    Culprit(
        "hashlib",
        "lets go of the GIL only from 2,048 bytes on",
        "Give it larger pieces: below that size each update keeps the GIL.",
        "https://docs.python.org/3/library/hashlib.html#hashlib.hash.update",
        calls=("hashlib.*",),
    ),
    Culprit(
        "zlib.crc32, zlib.adler32 and binascii.crc32",
        "let go of the GIL only above 5 KiB",
        "Give them larger pieces.",
        f"{_CPYTHON}Modules/zlibmodule.c",
        calls=("zlib.crc32", "zlib.adler32", "binascii.crc32"),
    ),
    Culprit(
        "zlib, bz2 and lzma",
        "let go of the GIL while they pack and unpack, and take it back for each piece of output",
        "Use larger pieces, and give zlib.decompress a bufsize of what will come out.",
        "https://docs.python.org/3/library/zlib.html#zlib.decompress",
        calls=("zlib.compress", "zlib.decompress", "bz2.*", "lzma.*"),
    ),
    Culprit(
        "base64, binascii and codecs",
        "keep the GIL until all is encoded or decoded",
        f"{_SPLIT} A multiple of 3 bytes can be encoded at a time.",
        f"{_CPYTHON}Modules/binascii.c",
        frames=("base64.*",),
        calls=(
            "base64.*", "binascii.*", "codecs.encode", "codecs.decode", ".encode", ".decode", "str.encode",
            "bytes.decode",
        ),
    ),
    Culprit(
        "pickle",
        "keeps the GIL until all is written or read, but for the Python code that it calls",
        "Use several smaller pickles, buffers out of band (protocol 5), or arrays instead of many objects.",
        f"{_CPYTHON}Modules/_pickle.c",
        frames=("pickle.*",),
        calls=("pickle.*", "_pickle.*", "cPickle.*", "marshal.loads", "marshal.dumps"),
    ),
    Culprit(
        "copy.deepcopy",
        "is Python code: it gives the GIL up when it is asked, but it is slow",
        "Copy what changes only, give the class a __deepcopy__, or use immutable data. Of plain data a pickle there "
        "and back is faster, but keeps the GIL.",
        f"{_CPYTHON}Lib/copy.py",
        frames=("copy.*",),
    ),
    Culprit(
        "gc.collect",
        "keeps the GIL while it goes through all objects",
        "gc.freeze() what lives on after the start, collect when nobody waits, or raise gc.set_threshold.",
        "https://docs.python.org/3/library/gc.html#gc.freeze",
        calls=("gc.collect",),
    ),
    Culprit(
        "Compiling Python code",
        "keeps the GIL until it is compiled",
        "Compile at the start, and keep what was compiled.",
        f"{_CPYTHON}Python/pythonrun.c",
        frames=("ast.parse",),
        calls=("compile", "exec", "eval", "ast.parse", "ast.literal_eval"),
    ),
    Culprit(
        "Importing",
        "unmarshals and runs each module with the GIL",
        "Import at the start, before threads wait, not within a request.",
        "https://docs.python.org/3/reference/import.html",
        frames=("importlib._bootstrap*",),
        calls=("importlib.import_module", "__import__"),
    ),
    Culprit(
        "ctypes.PyDLL and ctypes.pythonapi",
        "keep the GIL during each call; that is what sets them apart from ctypes.CDLL",
        "Use ctypes.CDLL, unless the function calls Python's C API.",
        "https://docs.python.org/3/library/ctypes.html#ctypes.PyDLL",
        calls=("ctypes.PyDLL().*", "ctypes.pythonapi.*"),
        sleeps=True,
    ),
    Culprit(
        "sqlite3",
        "lets go of the GIL in each step of a statement and takes it back for each row",
        "Fetch fewer rows and let SQL sum them up; beside threads that compute each row may cost a switch interval.",
        f"{_CPYTHON}Modules/_sqlite/cursor.c",
        calls=("sqlite3.*",),
    ),
    Culprit(
        "socket.getaddrinfo",
        "lets go of the GIL while it asks the resolver",
        "Its waits are for the network, not for the GIL. Keep connections open, or cache the answers.",
        f"{_CPYTHON}Modules/socketmodule.c",
        frames=("socket.getaddrinfo",),
        calls=("socket.getaddrinfo", "socket.gethostbyname"),
    ),
    Culprit(
        "csv",
        "keeps the GIL from one read of the file to the next",
        "Read fewer rows at a time, or use a reader that lets go of the GIL (pyarrow.csv).",
        f"{_CPYTHON}Modules/_csv.c",
        calls=("csv.*",),
    ),
    Culprit(
        "numpy, with arrays of objects,",
        "keeps the GIL in every operation, since each element is a Python object; arrays of numbers let go of it",
        "Use a dtype of numbers, or of fixed length text.",
        "https://numpy.org/doc/stable/reference/thread_safety.html",
        frames=("numpy.*",),
        calls=("numpy.*", ".tolist", ".astype"),
    ),
    Culprit(
        "lxml",
        "lets go of the GIL while it parses and serialises, but not while Python goes through the tree",
        "Choose with XPath or iterparse what you need, instead of walking through all elements.",
        "https://lxml.de/FAQ.html#threading",
        calls=("lxml.*",),
    ),
    Culprit(
        "orjson",
        "keeps the GIL for the whole call",
        "It is fast; what is still too long must be split, or done in a process.",
        "https://github.com/ijl/orjson#readme",
        calls=("orjson.*",),
    ),
    Culprit(
        "msgpack",
        "keeps the GIL for the whole call",
        "Use Unpacker with smaller messages.",
        "https://github.com/msgpack/msgpack-python/blob/main/msgpack/_unpacker.pyx",
        calls=("msgpack.*",),
    ),
    Culprit(
        "yaml",
        "is Python code for the most part, with its C loader too: it gives the GIL up when it is asked, but it is slow",
        "Use CSafeLoader, smaller documents, or JSON.",
        "https://pyyaml.org/wiki/PyYAMLDocumentation",
        frames=("yaml.*",),
        calls=("yaml.*",),
    ),
    Culprit(
        "regex",
        "lets go of the GIL while it matches str or bytes",
        "Other buffers (bytearray, mmap) need concurrent=True, and must not change meanwhile.",
        "https://github.com/mrabarnett/mrab-regex#multithreading",
        frames=("regex.*",),
        calls=("regex.*",),
    ),
)  # fmt: skip


def matching(frame: str | None, calls: Iterable[str], in_c: bool, ran: bool = True) -> Iterator[Culprit]:
    """Those that a line may be in.

    frame: `module.function` of the innermost frame, if that is a library's. calls: what its line calls, which counts
    only where it is known to be in C code for long: a loop of short calls is Python code. ran: it used the CPU
    meanwhile.
    """
    names = tuple(calls) if in_c else ()
    for culprit in CULPRITS:
        if not ran and not culprit.sleeps:
            continue
        if (frame and any(_fits(frame, pattern) for pattern in culprit.frames)) or any(
            _fits(name, pattern) for name in names for pattern in culprit.calls
        ):
            yield culprit


def _fits(name: str, pattern: str) -> bool:
    """`*` and `**` alone are operators."""
    return name == pattern or ("." in pattern and fnmatchcase(name, pattern))
