"""`tracekit record`."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from tracekit.cli.commands import Command
from tracekit.cli.common import outcome, say, say_error, size_of
from tracekit.cli.programs import program_of
from tracekit.errors import OptionError, TracekitError
from tracekit.recorder.launch import FOLLOW, Program, run
from tracekit.words import count, duration, printable

if TYPE_CHECKING:
    from tracekit.recorder.recording import Processes, Written

EXAMPLES = """\
tracekit record app.py --port 8080
tracekit record -m http.server
tracekit record python -X dev app.py
tracekit record -o tests.log -- pytest -x
tracekit record --max-size 100M --report app.html app.py
tracekit record --pid 4711 --duration 30s
"""
_WITH_VALUE = ("-o", "--output", "--python", "--max-size", "--report", "--follow", "--pid", "--duration")


class COMMAND(Command):
    """Whatever stands behind SCRIPT or `-m MODULE` is the program's, as with Python itself."""

    allow_interspersed_args = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        place = 0
        while place < len(args) and args[place].startswith("-") and args[place] != "--":
            word = args[place]
            if word.startswith("-m"):
                module = args[place + 1 : place + 2] if word == "-m" else [word[2:]]
                behind = args[place + 2 :] if word == "-m" else args[place + 1 :]
                args = [*args[:place], "-m", *module, "--", *behind]
                break
            place += 2 if word in _WITH_VALUE else 1
        return super().parse_args(ctx, args)


def record(
    program: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCRIPT [ARGS]",
            help="A script, or a Python command such as pytest.",
            show_default=False,
        ),
    ] = None,
    module: Annotated[str | None, typer.Option("-m", metavar="MODULE", help="Run this module instead.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Write to this file, with gzip if it ends in .gz; by default NAME.gil.log.",
        ),
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="EXE", help="Run it on this Python, 2.7 or 3.6 to 3.15.")
    ] = None,
    pid: Annotated[int | None, typer.Option(metavar="PID", help="Record a program that is already running.")] = None,
    duration: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="With --pid: stop after this time, e.g. 30s; by default at Ctrl-C."),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Keep only the newest events, up to this size, e.g. 100M."),
    ] = None,
    no_stacks: Annotated[
        bool, typer.Option("--no-stacks", help="Do not record stacks: the trace names no lines of code.")
    ] = False,
    follow: Annotated[
        str,
        typer.Option(
            metavar="|".join(FOLLOW),
            help="Also record its forks and what it starts; its forks only; neither.",
        ),
    ] = FOLLOW[0],
    analyze_it: Annotated[bool, typer.Option("--analyze", help="Analyze the trace afterwards.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an HTML report to this file afterwards.")
    ] = None,
) -> None:
    """Record the GIL of a program. The program runs as usual; a trace shows what its threads did with the GIL."""
    with outcome():
        from tracekit.recorder.recording import alone, trace_writer, write_recordings
        from tracekit.version import VERSION

        if pid is not None:
            if program or module or python or follow != FOLLOW[0]:
                raise OptionError(
                    "--pid records a program that runs already.", "Leave the script, --python and --follow away."
                )
            trace = (output or Path(f"{pid}.gil.log")).absolute()
            processes = _attach(pid, trace, duration, size_of("--max-size", max_size) or 0, not no_stacks)
            _tell(processes, trace, analyze_it, report)
            return
        if duration is not None:
            raise OptionError("--duration goes with --pid.", "Leave it away: the recording ends with the program.")
        to_run = program_of(program or [], module, python)
        trace = (output or Path(f"{_stem(to_run)}.gil.log")).absolute()
        trace_writer(trace)
        if not to_run.is_module and trace.exists() and os.path.samefile(trace, to_run.target):
            raise OptionError(f"{trace}: -o names the program itself.", "Name another file with -o.")
        limit = size_of("--max-size", max_size) or 0
        if follow not in FOLLOW:
            raise OptionError(f"--follow: there is no {follow!r}.", f"There are {', '.join(FOLLOW)}.")
        with alone(trace) as place:
            code = run(to_run, str(trace), max_bytes=limit, stacks=not no_stacks, follow=follow, version=VERSION)
            try:
                trace = place()
                processes = write_recordings(trace)
            except TracekitError as error:  # the program ran, and it ends as that did
                say_error(error)
                _end_as(code)
        _tell(processes, trace, analyze_it, report)
        _end_as(code)


def _attach(pid: int, trace: Path, duration: str | None, limit: int, stacks: bool) -> Processes:
    """Records a process that runs, until the time is over, it ends, or somebody wants this to end."""
    from tracekit.cli.thresholds import nanoseconds
    from tracekit.recorder.attach import Attachment
    from tracekit.recorder.launch import kept
    from tracekit.recorder.recording import alone, trace_writer, write_recordings
    from tracekit.version import VERSION

    asked: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    seconds = None if duration is None else nanoseconds("--duration", duration) / 10**9
    trace_writer(trace)
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with alone(trace):
            attachment = Attachment(pid)
            attachment.start(str(trace), max_bytes=limit, stacks=stacks, version=VERSION)
            until = "" if seconds is None else f" for {seconds:g} s"
            say(printable(f"tracekit: recording {pid}{until}, by {attachment.how}. Ctrl-C ends this, not the program."))
            with kept(str(trace)):
                attachment.wait(seconds, lambda: bool(asked))
                attachment.stop()
            return write_recordings(trace)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(processes: Processes, trace: Path, analyze_it: bool, report: Path | None) -> None:
    _say_processes(processes)
    if analyze_it:
        from tracekit.cli.analyze import print_summary

        print_summary(str(trace))
    if report is not None:
        from tracekit.cli.report import write_report

        write_report([str(trace)], report)


def _stem(program: Program) -> str:
    if program.is_module:
        return program.target
    name = Path(program.target).resolve().name
    return name.removesuffix(".py").removesuffix(".pyc")


def _shown(path: Path) -> str:
    return min(os.path.relpath(path), str(path), key=len)


def _say_processes(processes: Processes) -> None:
    own, *others = processes.written
    _say_written(own)
    if len(others) == 1:
        _say_written(others[0])
    elif others:
        folder = _shown(own.path.parent)
        interpreters = [written for written in others if ".interp-" in written.path.name]
        for what, kind, kinds, some in (
            (".PID", "other process", "other processes", [one for one in others if one not in interpreters]),
            (".interp-N", "other interpreter", "other interpreters", interpreters),
        ):
            if some:
                say(
                    printable(
                        f"tracekit: {_shown(own.path)}{what}: {count(len(some), kind, kinds)} of the "
                        f"program, {count(sum(one.events for one in some), 'event')}. See which of them matter: "
                        f"tracekit analyze {folder}"
                    )
                )
    if processes.running:
        raws = processes.running
        shown = ", ".join(_shown(raw) for raw in raws[:3]) + (f" and {len(raws) - 3} more" if len(raws) > 3 else "")
        still = "its process still runs" if len(raws) == 1 else "their processes still run"
        say(printable(f"tracekit: {shown}: {still}. tracekit analyze reads such files, too."))
    if processes.missing:
        from tracekit.recorder.children import sentence

        say(printable(f"tracekit: {sentence(processes.missing)}."))


def _say_written(written: Written) -> None:
    path = _shown(written.path)
    lost = f" {written.lost:,} later ones are lost: {written.lost_because}." if written.lost else ""
    say(
        printable(
            f"tracekit: {path}: {count(written.events, 'event')} of {count(written.threads, 'thread')} in "
            f"{duration(written.duration, 'ns')}.{lost} See what they tell: tracekit analyze {path}"
        )
    )


def _end_as(code: int) -> NoReturn:
    """Ends as the program did: with its exit code, or by the same signal."""
    if code >= 0:
        raise typer.Exit(code)
    import resource  # not on every system

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # its core is of interest, not this one's
    signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), -code)
    raise typer.Exit(128 - code)
