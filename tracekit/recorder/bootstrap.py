"""Runs inside the program that is recorded, before it: Python 2.7 and 3, standard library only.

    python bootstrap.py LIBRARY BASE STATUS MAX_BYTES STACKS FOLLOW VERSION script|module TARGET [ARGS...]
    python bootstrap.py -- script|module|command TARGET [ARGS...]

It starts the recorder, says on the descriptor STATUS that it did or why not, and then is out of the way: TARGET runs as
`__main__`, as if Python had been started with it. The second form is for a Python that a recorded program starts, and
that would not be told by its environment (`-I`, `-E`, `-S`).
"""

import atexit
import binascii
import io
import os
import sys

ABI = 3
FOLLOW = {"none": 0, "forks": 1, "all": 2}
registered = []


class Refused(Exception):
    """This interpreter cannot be recorded; the message is a sentence."""


class Recorder(object):
    """The library, loaded into this process. `start` once, `stop` once (not on Python 2)."""

    def __init__(self, library):
        """Raises Refused."""
        self.library = load(library)
        self._follows = False
        self._undo = []

    def follow(self, base, max_bytes, stacks, how, version, session=None):
        """What the program starts is recorded too, as far as `how`, a key of FOLLOW, says.

        session: that of the program which has started this one. Call it before `start`.
        """
        new = binascii.hexlify(os.urandom(7)).decode()
        told = ":".join([session or new, str(max_bytes), str(int(stacks)), version])
        told = os.fsencode(told + ":" + base) if sys.version_info[0] == 3 else told.encode() + b":" + base
        here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "follow")
        possible = ":" not in here
        self.library.tk_follow_prepare(
            FOLLOW[how] if possible else min(FOLLOW[how], 1), as_path(here), told, int(session or new, 16),
            session is not None,
        )  # fmt: skip
        self._follows = how == "all" and possible

    def start(self, base, max_bytes, stacks, metadata):
        """Records into BASE.raw. Raises Refused, OSError: the file cannot be written."""
        self._record(self.library.tk_record_start, base, max_bytes, stacks, metadata)

    def ring(self, base, max_bytes, metadata):
        """Records the newest events into BASE.raw whenever nothing else is recorded. Raises Refused, OSError."""
        self._record(self.library.tk_ring_start, base, max_bytes, True, metadata)

    def _record(self, start, base, max_bytes, stacks, metadata):
        import ctypes

        old = make_ready()
        text = self._head(stacks, metadata)
        no_file = ctypes.c_int32()
        wrong = start(as_path(base), text, len(text), max_bytes, old, ctypes.byref(no_file))
        refuse(wrong, base if no_file.value else None)
        self._undo = name_threads(self.library.tk_name_thread)
        if self._follows:
            self._redirect_extensions(old)

    def count(self):
        """Counts what each thread does, from now to the end of the process. Raises Refused."""
        refuse(self.library.tk_count_start(make_ready()))
        self._undo = name_threads(self.library.tk_name_thread)

    def join(self, base, max_bytes, stacks, metadata):
        """As `start`, from a thread that is none of the program's: it begins when that lets go of the GIL for good."""
        import ctypes

        text = self._head(stacks, metadata)
        names, self._undo = name_threads_of_others(self.library.tk_name_thread)
        lines = as_bytes("".join("%d %s\n" % (tid, " ".join(name.split())) for tid, name in names))
        no_file = ctypes.c_int32()
        wrong = self.library.tk_record_join(as_path(base), text, len(text), max_bytes, lines, ctypes.byref(no_file))
        if wrong:
            self._put_back()
        refuse(wrong, base if no_file.value else None)

    def leave(self):
        """After `join`, once the library has ended the recording."""
        self._put_back()
        atexit.unregister(self.library.tk_stacks_end)

    def _redirect_extensions(self, old):
        """Of these modules some interpreters have objects of their own."""
        import ctypes
        import resource

        functions = [resource.setrlimit]
        if not old:
            import _posixsubprocess

            functions.append(_posixsubprocess.fork_exec)
        where = ctypes.pythonapi.PyCFunction_GetFunction
        where.restype, where.argtypes = ctypes.c_void_p, [ctypes.py_object]
        for function in functions:
            self.library.tk_calls_of(ctypes.c_void_p(where(function)))

    def stop(self):
        self._put_back()
        self.library.tk_record_stop()

    def _head(self, stacks, metadata):
        metadata = metadata + [("stacks", take_stacks(self.library) if stacks else "off")]
        return as_bytes("".join("%s: %s\n" % item for item in metadata))

    def _put_back(self):
        for undo in self._undo:
            undo()
        self._undo = []


def refuse(wrong, no_file=None):
    """Raises Refused, if something is wrong. no_file: what cannot be written."""
    if wrong and no_file is not None:
        raise Refused("%s.raw: cannot be written: %s. Name another file with -o." % (no_file, as_text(wrong)))
    if wrong:
        raise Refused("%s: cannot be recorded: %s." % (name(), as_text(wrong)))


def load(path):
    if (sys.version_info[0] == 3 and sys.version_info < (3, 2)) or sys.version_info < (2, 7):
        raise Refused("%s: only 2.7, and 3.6 to 3.15, can be recorded." % name())
    # Not by `platform`, which imports `threading`: that is the main thread's to do.
    if "PyPy" in sys.version or (getattr(sys, "implementation", None) and sys.implementation.name != "cpython"):
        raise Refused("%s: it is not CPython. Record the program on CPython." % name())
    if "t" in getattr(sys, "abiflags", ""):
        raise Refused(
            "%s: this is a free-threaded build, which has no GIL; what its threads wait for instead cannot be "
            "recorded. Record on a build with a GIL." % name()
        )
    try:
        import ctypes
    except ImportError:
        raise Refused("%s: it has no ctypes module, which the recorder needs. Build it with libffi." % name())
    try:
        library = ctypes.PyDLL(path)
    except OSError:
        raise Refused(
            "%s: the recorder's library cannot be loaded there: %s. It needs Linux with glibc, and tracekit built "
            "for the same machine." % (name(), sys.exc_info()[1])
        )
    if library.tk_recorder_abi() != ABI:
        raise Refused("%s: belongs to another version of tracekit. Install tracekit again." % path)
    for start in (library.tk_record_start, library.tk_ring_start):
        start.restype = ctypes.c_char_p
        start.argtypes = [
            ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_int32, ctypes.c_void_p,
        ]  # fmt: skip
    library.tk_record_join.restype = ctypes.c_char_p
    library.tk_record_join.argtypes = [
        ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_void_p,
    ]  # fmt: skip
    library.tk_count_start.restype = ctypes.c_char_p
    library.tk_record_file.restype = ctypes.c_char_p
    library.tk_name_thread.argtypes = [ctypes.c_int32, ctypes.c_char_p, ctypes.c_int32]
    library.tk_follow_prepare.argtypes = [
        ctypes.c_int32, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_int32,
    ]  # fmt: skip
    return library


def take_stacks(library):
    """Has the recorder take Python stacks, if it can. Returns what the trace's head says of that."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stacks.py")
    stacks = {"__name__": "tracekit_stacks"}
    try:
        with io.open(here, encoding="utf-8") as source:
            exec(compile(source.read(), here, "exec"), stacks)
        wrong = stacks["learn"](library)
    except Exception:
        wrong = "an error, %s" % sys.exc_info()[1]
    if wrong:
        library.tk_stacks_use(0)
        return "off: %s" % wrong
    if not registered:
        # It runs behind all that the program registers: then the threads' states are freed.
        atexit.register(library.tk_stacks_end)
        registered.append(True)
    library.tk_stacks_hide(id(take_stacks.__code__.co_filename))
    return "on" if library.tk_stacks_of_others() else "own: the system forbids process_vm_writev"


def make_ready():
    """Whether this is the GIL of Python 2. Raises Refused."""
    if sys.version_info[0] != 2:
        return False
    import ctypes

    ctypes.PyDLL(None).PyEval_InitThreads()
    if len(os.listdir("/proc/self/task")) > 1:
        raise Refused("%s: other threads run before the program does, so its GIL cannot be replaced." % name())
    return True


def name():
    return "Python %s (%s)" % (sys.version.split()[0], sys.executable)


def as_path(path):
    return os.fsencode(path) if sys.version_info[0] == 3 else path


def as_text(told):
    return told if str is bytes else told.decode("utf-8", "replace")


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")


def name_threads(tell):
    """Has the recorder told each thread's name when it starts and when it is renamed. Returns what undoes that."""
    import threading

    known, undo = watch_names(tell)
    here = threading.current_thread()
    for thread in threading.enumerate():
        tid = 0 if thread is here else getattr(thread, "native_id", None)
        if tid is not None:
            known(thread, tid)
    return [undo]


def name_threads_of_others(tell):
    """The same from a thread that `threading` does not know. Returns the names, by tid, and what undoes it."""
    if "threading" not in sys.modules:  # importing it here would make this thread its main one
        return [(os.getpid(), "MainThread")], []
    import threading

    names = []
    known, undo = watch_names(tell)
    for thread in threading.enumerate():
        tid = getattr(thread, "native_id", None)
        if tid is not None:
            known(thread, tid)
            names.append((tid, thread.name))
    return names, [undo]


def watch_names(tell):
    """Returns what tells a thread's name, and what undoes it all."""
    import threading
    import weakref

    try:
        from _thread import get_ident
    except ImportError:
        from thread import get_ident
    tids, owners = {}, {}
    thread_class = threading.Thread
    set_ident, plain = thread_class._set_ident, thread_class.name

    def known(thread, tid):
        text = as_bytes(plain.fget(thread))
        tids[thread.ident] = tell(tid, text, len(text))
        if not tid:
            owners[get_ident()] = weakref.ref(thread)

    def begins(thread):
        """In the system's thread that calls this. gevent's threads are greenlets, and begin in one of another's."""
        owner = owners.get(get_ident(), lambda: None)()
        if owner is None or owner is thread or not owner.is_alive():
            known(thread, 0)

    def _set_ident(self):
        set_ident(self)
        begins(self)

    def set_name(self, value):
        plain.fset(self, value)
        if self.ident in tids and self.is_alive():
            known(self, 0 if self is threading.current_thread() else tids[self.ident])

    watched = property(plain.fget, set_name, plain.fdel, plain.__doc__)
    thread_class._set_ident, thread_class.name = _set_ident, watched

    def undo():
        if thread_class.__dict__["_set_ident"] is _set_ident:
            thread_class._set_ident = set_ident
        if thread_class.name is watched:
            thread_class.name = plain

    return known, undo


def describe(arguments, version):
    """What a trace's head says of this interpreter, and of the command line that it was given."""
    try:
        from shlex import quote
    except ImportError:
        from pipes import quote
    new = sys.version_info[0] == 3
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        import multiprocessing

        cores = multiprocessing.cpu_count()
    command = " ".join(quote(word) for word in arguments)
    return [
        ("python", sys.version.split()[0]),
        ("gil", "new" if new else "old"),
        ("cores", cores),
        ("switch-interval-us", int(round(sys.getswitchinterval() * 1e6)))
        if new
        else ("check-interval", sys.getcheckinterval()),
        ("recorder", "tracekit " + version),
        ("executable", sys.executable),
        ("host", os.uname()[1]),
        ("command", " ".join(command.split())[:8192]),
    ]


def run_script(path, arguments):
    """As `python PATH ARGUMENTS` does."""
    sys.argv[:] = [path] + arguments
    shown = os.path.abspath(path) if sys.version_info >= (3, 9) else path
    if os.path.isdir(path) or is_archive(path):
        replace_own_path(shown)
        import runpy

        runpy._run_module_as_main("__main__", False)
        return
    replace_own_path(os.path.dirname(os.path.realpath(path)))
    main = sys.modules["__main__"].__dict__
    kept = {key: main[key] for key in ("__builtins__",)}
    main.clear()
    main.update(kept, __name__="__main__", __doc__=None, __package__=None, __file__=shown)
    if sys.version_info[0] == 2:
        with io.open(path, "rb") as source:
            code = compile(source.read().replace(b"\r\n", b"\n") + b"\n", shown, "exec", 0, True)
    else:
        from importlib.machinery import SourceFileLoader, SourcelessFileLoader

        loader = (SourcelessFileLoader if path.endswith(".pyc") else SourceFileLoader)("__main__", shown)
        main.update(__spec__=None, __loader__=loader, __cached__=None)
        if sys.version_info < (3, 14):
            main["__annotations__"] = {}
        if path.endswith(".pyc"):
            code = loader.get_code("__main__")
        else:
            with io.open(path, "rb") as source:
                code = compile(source.read(), shown, "exec", 0, True)
    exec(code, main)


def run_module(module, arguments):
    """As `python -m MODULE ARGUMENTS` does."""
    sys.argv[:] = ["-m"] + arguments
    replace_own_path(os.getcwd() if sys.version_info[0] == 3 else "")
    import runpy

    main = sys.modules["__main__"].__dict__
    for key in [key for key in main if not key.startswith("__")] + ["__file__", "__cached__"]:
        main.pop(key, None)
    runpy._run_module_as_main(module)


def run_command(code, arguments):
    """As `python -c CODE ARGUMENTS` does."""
    sys.argv[:] = ["-c"] + arguments
    replace_own_path("")
    main = sys.modules["__main__"].__dict__
    kept = {key: main[key] for key in ("__builtins__",)}
    main.clear()
    main.update(kept, __name__="__main__", __doc__=None, __package__=None)
    if sys.version_info[0] == 3:
        from importlib.machinery import BuiltinImporter

        main.update(__spec__=None, __loader__=BuiltinImporter)
        if sys.version_info < (3, 14):
            main["__annotations__"] = {}
    exec(compile(code, "<string>", "exec", 0, True), main)


def is_archive(path):
    """As the interpreter finds out; it has loaded this module already, and zipfile takes 6 ms."""
    import zipimport

    try:
        zipimport.zipimporter(path)
    except zipimport.ZipImportError:
        return False
    return True


def replace_own_path(folder):
    if not (getattr(sys.flags, "safe_path", False) or getattr(sys.flags, "isolated", False)):
        sys.path[0] = folder


def hide_own_frames():
    """Tracebacks of what the program raises begin with the program."""
    shown = sys.excepthook

    def hook(kind, value, traceback):
        sys.excepthook = shown
        while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
            traceback = traceback.tb_next
        if hasattr(value, "__traceback__"):
            value.__traceback__ = traceback
        shown(kind, value, traceback)

    sys.excepthook = hook


def run(kind, target, arguments):
    try:
        {"module": run_module, "script": run_script, "command": run_command}[kind](target, arguments)
    except SystemExit:
        raise
    except BaseException:
        hide_own_frames()
        raise


def main_of_started():
    kind, target = sys.argv[2:4]
    arguments = sys.argv[4:]
    hook = os.path.join(os.path.dirname(os.path.abspath(__file__)), "follow", "sitecustomize.py")
    follow = {"__name__": "tracekit_follow", "__file__": hook}
    with io.open(hook) as source:
        exec(compile(source.read(), hook, "exec"), follow)
    follow["begin"](globals())
    if hasattr(sys, "orig_argv"):
        place = len(sys.orig_argv) - len(sys.argv)
        sys.orig_argv[place : place + 3] = {"module": ["-m"], "script": [], "command": ["-c"]}[kind]
    run(kind, target, arguments)


def main():
    if sys.argv[1] == "--":
        main_of_started()
        return
    library, base, status, max_bytes, stacks, follow, version, kind, target = sys.argv[1:10]
    arguments = sys.argv[10:]
    as_typed = [sys.executable] + (["-m"] if kind == "module" else []) + [target] + arguments
    status = int(status)
    if not os.environ.get("TRACEKIT_FOLLOW", True):
        del os.environ["TRACEKIT_FOLLOW"]  # empty: this is a program of its own, whoever records tracekit
    try:
        recorder = Recorder(library)
        recorder.follow(base, int(max_bytes), int(stacks), follow, version)
        recorder.start(base, int(max_bytes), int(stacks), describe(as_typed, version))
    except Refused:
        os.write(status, as_bytes(str(sys.exc_info()[1])))
        sys.exit(2)
    os.write(status, b"recording")
    os.close(status)
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = as_typed
    run(kind, target, arguments)


if __name__ == "__main__":
    # All of this lives outside of `__main__`, which will be the program's.
    own = {"__name__": "tracekit_bootstrap", "__file__": __file__}
    with io.open(__file__) as source:
        exec(compile(source.read(), __file__, "exec"), own)
    own["main"]()
