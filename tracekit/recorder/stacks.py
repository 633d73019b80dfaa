"""Teaches the recorder where this interpreter keeps its frames: Python 2.7 and 3, standard library only.

Runs in the program that is recorded, before it. It calls functions of its own that call the recorder, and tells it what
Python says of their frames; the recorder looks for that in memory, and what it found must hold for other calls too.
"""

import ctypes
import sys

MOST_FRAMES = 60
SOURCE = (
    """
def straight(look): return look()
class Around(object):
    def method(self, look):
        return straight(look)
    def one_by_one(self, look):
        yield self.method(look)
def through_c(look):
    return list(map(lambda turn: next(Around().one_by_one(look)), [0]))
def backwards(look):
    return (
        through_c(
            look
        )
    )
def far(look):
    before = 1"""
    + 300 * "\n"
    + """
    return before and backwards(look)
def deep(look, depth):
    return deep(look, depth - 1) if depth else backwards(look)
"""
)
# fmt: off
TEXTS = (u"a text of the recorder", u"caf\xe9 \xfc", u"\u0416\u0444 wide", u"\U0001f40d longer", u"bootstrap")
# fmt: on
BYTES = (b"some bytes of the recorder", b"fewer")


def learn(library):
    """Returns None, or why no stacks can be taken."""
    library.tk_stacks_learn.restype = library.tk_stacks_use.restype = ctypes.c_char_p
    library.tk_stacks_example.argtypes = [
        ctypes.c_int64, ctypes.c_int64, ctypes.c_int32, ctypes.c_int32, ctypes.c_char_p, ctypes.c_int64,
    ]  # fmt: skip
    library.tk_stacks_learn.argtypes = [
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_int32,
    ]  # fmt: skip
    library.tk_stacks_hide.argtypes = [ctypes.c_int64]
    library.tk_stacks_learn_anew()
    examples = give_examples(library)
    names = {}
    exec(compile(SOURCE, "<tracekit>", "exec"), names)
    state = ctypes.cast(ctypes.pythonapi.PyGILState_GetThisThreadState, ctypes.c_void_p)
    calls = []

    def look():
        told = [describe(look.__code__, -1, -1)]
        frame = sys._getframe(1)
        while frame is not None and len(told) < MOST_FRAMES:
            told.append(describe(frame.f_code, frame.f_lasti, frame.f_lineno))
            frame = frame.f_back
        numbers = [number for one in told for number in one]
        calls.append(
            library.tk_stacks_learn(
                state, (ctypes.c_int64 * len(numbers))(*numbers), len(told), id(None), int(not calls)
            )
        )

    for call in (
        lambda: names["far"](look),
        lambda: names["backwards"](look),
        lambda: names["deep"](look, 5),
        lambda: names["straight"](look),
        lambda: names["Around"]().method(look),
    ):
        call()
        if calls[-1]:
            break
    library.tk_stacks_hide(id(learn.__code__.co_filename))
    wrong = calls[-1] or library.tk_stacks_use(1)
    del examples
    return wrong and (wrong if str is bytes else wrong.decode())


def give_examples(library):
    """Returns what must live until all is learned."""
    kept = []
    for text in TEXTS if sys.version_info[0] == 3 else [text.encode("utf-8") for text in TEXTS]:
        utf8 = text if isinstance(text, bytes) else text.encode("utf-8")
        widest = max(ord(character) for character in text) if text is not utf8 else 0
        kind = 1 if widest < 256 else 2 if widest < 65536 else 4
        kept += [text, utf8]
        library.tk_stacks_example(id(text), len(text), kind, int(widest < 128), utf8, len(utf8))
    for text in BYTES:
        kept.append(text)
        library.tk_stacks_example(id(text), len(text), 0, 0, text, len(text))
    return kept


def describe(code, instruction, line):
    """What the recorder is told of a frame."""
    function = code.co_qualname if hasattr(code, "co_qualname") else code.co_name
    table = code.co_linetable if hasattr(code, "co_linetable") else code.co_lnotab
    return (
        id(code), instruction, -1 if line is None else line, code.co_firstlineno, id(code.co_filename), id(function),
        id(table), 0,
    )  # fmt: skip
