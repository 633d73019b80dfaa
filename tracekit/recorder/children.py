"""What a recorded program has forked and started: the raw recordings that belong together, and what is missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tracekit.errors import SourceError
from tracekit.recorder.pythons import head_of, is_python, own_python
from tracekit.recorder.shells import closed_pythons
from tracekit.words import count

_NO_PROGRAM = re.compile(r"--version|--help.*|-[a-zA-Z]*[Vh?]")
_INTERPRETER = re.compile(r"\.interp-\d+\.raw")
_MOST_SHOWN = 3
_REPLACED = 2  # TK_REPLACED


@dataclass(frozen=True)
class Part:
    """A raw recording of one process, or of what it was until it became another program.

    starts: (pid, path and arguments) of what it and its forked children have started. forked: not started by exec.
    of_interpreter: it has the GIL of another interpreter than the main one.
    """

    raw: Path
    session: int
    pid: int
    ended: bool
    forked: bool
    starts: Sequence[tuple[int, Sequence[str]]]
    of_interpreter: bool = False


def read_part(raw: Path) -> Part | None:
    """None: this is no raw recording."""
    from tracekit.parsers import open_trace
    from tracekit.parsers.raw import RawRecording

    try:
        with open_trace(raw) as stream:
            if not isinstance(stream, RawRecording):
                return None
            header, starts = stream.header, stream.starts
    except SourceError:
        return None
    pid = int(header["pid"])
    ended = int(header["stopped"]) == _REPLACED or not _runs(pid)
    of_interpreter = bool(_INTERPRETER.search(raw.name))
    return Part(raw, int(header["session"]), pid, ended, bool(header["parent"]), starts, of_interpreter)


def beside(trace: Path, session: int) -> list[Part]:
    """The recordings of other processes and interpreters, beside this trace's own: TRACE.PID.raw, TRACE.PID-2.raw,
    TRACE.interp-1.raw, TRACE.PID.interp-1.raw."""
    name = re.compile(re.escape(trace.name) + r"(\.\d+(-\d+)?)?(\.interp-\d+)?\.raw")
    own = f"{trace.name}.raw"
    names = [path for path in sorted(trace.parent.iterdir()) if name.fullmatch(path.name) and path.name != own]
    found = [read_part(path) for path in names]
    return [part for part in found if part and part.session == session]


def not_recorded(parts: Sequence[Part], reasons: dict[int, str]) -> list[str]:
    """The Pythons that these processes have started and that are not among them: `2 x python -I`, each with the reason.

    reasons: what processes themselves told, by pid.
    """
    recorded = Counter(part.pid for part in parts if not part.forked and not part.of_interpreter)
    recorded[parts[0].pid] -= 1  # nobody of these has started the first
    missing: Counter[tuple[str, str]] = Counter()
    for part in parts:
        for pid, words in part.starts:
            if recorded[pid] > 0:
                recorded[pid] -= 1
            elif not words[0]:
                missing[words[2], words[1]] += 1
            elif shown := _python_command(words):
                missing[shown, reasons.get(pid, "no recording yet" if _runs(pid) else "")] += 1
            else:
                closed = filter(None, map(_python_command, closed_pythons(words)))
                missing.update((command, "started by a shell") for command in closed)
    return [
        f"{number} x {shown}" + (f" ({reason})" if reason else "") for (shown, reason), number in missing.most_common()
    ]


def sentence(missing: Sequence[str]) -> str:
    """`3 processes were not recorded: 2 x python -I ...`."""
    total = sum(int(one.partition(" ")[0]) for one in missing)
    more = len(missing) - _MOST_SHOWN
    shown = ", ".join([*missing[:_MOST_SHOWN], *([f"and {more} other commands"] if more > 0 else [])])
    return f"{count(total, 'process', 'processes')} {'was' if total == 1 else 'were'} not recorded: {shown}"


def _python_command(words: Sequence[str]) -> str | None:
    """How this command is told: the Python, its options, and what it runs; None of anything but a Python that runs."""
    path, arguments = words[0], list(words[2:])  # words[1] is the name that it is told
    python = path
    if not is_python(path):
        try:
            named = own_python(head_of(path))
        except OSError:
            return None
        if named is None:
            return None
        python, arguments = named, [path, *arguments]
    shown = [Path(python).name]
    for number, word in enumerate(arguments):
        if _NO_PROGRAM.fullmatch(word):
            return None
        if word == "-m":
            shown += arguments[number : number + 2]
            break
        shown.append(word if word.startswith("-") else Path(word).name)
        if word == "-c" or not word.startswith("-"):
            break
    return " ".join(shown)


def _runs(pid: int) -> bool:
    """Whether this process has not ended yet; one that nobody has waited for has."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
