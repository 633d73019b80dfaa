"""The prompt of `tracekit query TRACE`: SQL line by line, with history and completion."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tracekit.cli.common import Terminated, say, say_error
from tracekit.errors import TracekitError
from tracekit.model import schemas

PROMPT, MORE = "tracekit> ", "      ..> "
HELP = """\
One SELECT, ended by ; or an empty line. Also .tables, .schema TABLE, .help, .quit (or Ctrl-D). Tab completes names."""
_QUIT, _HELP = ("quit", "exit"), ("help", "?")
_SHOW = re.compile(r"(?:show\s+(?:all\s+)?tables|(?:describe|desc|show)\s+(?P<table>\w+))", re.IGNORECASE)
_HISTORY_LINES = 1000
_KEYWORDS = ("select", "from", "where", "group by", "order by", "limit", "count(*)", "sum(", "max(", "quantile_cont(")


def ask(
    trace: str, tables: Mapping[str, str], answer: Callable[[str], None], about: Callable[[str | None], None]
) -> None:
    """Reads and runs statements until end of input. tables: names and schemas. answer: runs SQL. about: the tables."""
    say(f"{trace}: {len(tables)} tables. {HELP}")
    with _line_editing(tables):
        going_on = True
        while going_on:
            try:
                going_on = _turn(answer, about)
            except TracekitError as error:
                say_error(error)
            except Terminated:
                raise
            except KeyboardInterrupt:
                say("Interrupted.")


def _turn(answer: Callable[[str], None], about: Callable[[str | None], None]) -> bool:
    """Reads a statement and runs it. False: it was the last."""
    statement = _statement()
    if statement is None or statement.lower() in (".quit", ".exit", *_QUIT):
        return False
    command, _, argument = statement.partition(" ")
    if statement.lower() in (".help", *_HELP):
        say(HELP)
    elif command in (".tables", ".schema"):
        about(argument.strip() or None)
    elif shown := _SHOW.fullmatch(statement.strip()):
        about(shown["table"])
    elif command.startswith("."):
        say(f"There is no {command}. {HELP}")
    else:
        answer(statement)
    return True


def _statement() -> str | None:
    """None: there are no more."""
    lines: list[str] = []
    while True:
        try:
            line = input(MORE if lines else PROMPT).rstrip()
        except EOFError:
            print()
            return None
        except Terminated:
            raise
        except KeyboardInterrupt:
            print()
            lines.clear()
            continue
        if line.strip():
            lines.append(line)
        whole = "\n".join(lines).strip()
        at_once = whole.startswith(".") or whole.endswith(";") or whole.lower() in (*_QUIT, *_HELP)
        if whole and (at_once or not line.strip()):
            return whole.rstrip(";")


@contextmanager
def _line_editing(tables: Mapping[str, str]) -> Iterator[None]:
    """History in a file and completion, where this Python has readline; without it the prompt works all the same."""
    try:
        import readline
    except ImportError:
        yield
        return
    history = _history_file()
    with suppress(OSError):  # there is none yet
        readline.read_history_file(history)
    words = _words(tables)

    def complete(start: str, number: int) -> str | None:
        fitting = [word for word in words if word.startswith(start.lower())]
        return fitting[number] if number < len(fitting) else None

    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")
    readline.set_history_length(_HISTORY_LINES)
    try:
        yield
    finally:
        try:
            history.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(history)
        except OSError as error:
            say(f"{history}: the history cannot be kept: {error.strerror}.")


def _words(tables: Mapping[str, str]) -> list[str]:
    columns = {column.name for schema in tables.values() for column in schemas.load(schema).columns}
    return sorted({*tables, *columns, *_KEYWORDS})


def _history_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "tracekit" / "query_history"
