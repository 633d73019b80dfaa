"""Runs inside a program that runs already, in a thread of the recorder: Python 3, standard library only.

The recorder calls `begin` with a request and, when the recording is over, `end`. What was changed is put back then.
"""

import io
import os

recorder = None
bootstrap = {}


def begin(request):
    """Returns b"recording", or a sentence: why not. The recording begins when this thread lets go of the GIL."""
    global recorder
    own, library, base, max_bytes, stacks, version, more, _ = (os.fsdecode(word) for word in request.split(b"\0"))
    here = os.path.join(os.path.dirname(own), "bootstrap.py")
    bootstrap.update(__name__="tracekit_bootstrap", __file__=here)
    with io.open(here, "rb") as source:
        exec(compile(source.read(), here, "exec"), bootstrap)
    try:
        recorder = bootstrap["Recorder"](library)
        with io.open("/proc/self/cmdline", "rb") as words:
            command = [os.fsdecode(word) for word in words.read().split(b"\0")[:-1]]
        metadata = bootstrap["describe"](command, version) + [tuple(line.split(": ", 1)) for line in more.splitlines()]
        recorder.join(base, int(max_bytes), int(stacks), metadata)
    except bootstrap["Refused"] as refused:
        return str(refused).encode("utf-8", "replace")
    return b"recording"


def end():
    if recorder is not None:
        recorder.leave()
