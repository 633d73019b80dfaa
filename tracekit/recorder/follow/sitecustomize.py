"""A Python that a recorded program has started finds this first in its PYTHONPATH. It runs on Python 2.7 and 3.

It takes what brought it here out of the environment and the path, starts the recorder, and is replaced by the program's
own sitecustomize. Whatever goes wrong with the recorder, the program runs.
"""

import io
import os
import sys


def begin(inside=None):
    """inside: the recorder's functions, if they are there already."""
    told = leave_no_trace()
    if not told:
        return
    started_by, session, max_bytes, stacks, version, base = told
    try:
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        inside = inside or load_bootstrap(here)
        try:
            recorder = inside["Recorder"](os.path.join(here, "_recorder.so"))
            recorder.follow(base, int(max_bytes), int(stacks), "all", version, session)
            metadata = inside["describe"](read_command(), version) + [("started-by", started_by)]
            recorder.start(base, int(max_bytes), int(stacks), metadata)
        except inside["Refused"]:
            tell_why(base, str(sys.exc_info()[1]))
    except Exception:
        tell_why(base, "%s: %s" % (sys.exc_info()[0].__name__, sys.exc_info()[1]))


def leave_no_trace():
    """Returns what the recorded program says: who started this one, and how it is to be recorded."""
    own = os.path.dirname(os.path.abspath(__file__))
    told = os.environ.pop("TRACEKIT_FOLLOW", "").split(":", 6)
    first, _, rest = os.environ.get("PYTHONPATH", "").partition(":")
    was_set = rest or told[1:2] == ["1"]
    if first == own:
        if was_set:
            os.environ["PYTHONPATH"] = rest
        else:
            del os.environ["PYTHONPATH"]
    # To Python 2 an empty one means the current folder.
    instead = [os.getcwd()] if was_set and not rest and sys.version_info[0] == 2 else []
    sys.path[:] = [path for folder in sys.path for path in ([folder] if folder != own else instead)]
    sys.path_importer_cache.pop(own, None)
    return [told[0]] + told[2:] if len(told) == 7 else None


def load_bootstrap(here):
    """The recorder's functions."""
    inside = {"__name__": "tracekit_bootstrap", "__file__": os.path.join(here, "bootstrap.py")}
    with io.open(inside["__file__"]) as source:
        exec(compile(source.read(), inside["__file__"], "exec"), inside)
    return inside


def read_command():
    with io.open("/proc/self/cmdline", "rb") as words:
        command = words.read().split(b"\0")[:-1]
    return command if str is bytes else [word.decode("utf-8", "replace") for word in command]


def tell_why(base, reason):
    """Tells `tracekit record`, if it still waits. What cannot be told is counted there anyway."""
    folder, name = os.path.split(base)
    try:
        notes = os.open(os.path.join(folder, "." + name + ".recording"), os.O_WRONLY | os.O_APPEND)
    except OSError:
        return
    line = "%d %s\n" % (os.getpid(), " ".join(reason.split())[:400])
    os.write(notes, line if str is bytes else line.encode("utf-8", "replace"))
    os.close(notes)


if __name__ == "sitecustomize":
    begin()
    del sys.modules["sitecustomize"]
    import sitecustomize  # noqa: F401  the program's own; without one Python takes this error for what it means
