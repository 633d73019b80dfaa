"""What makes a typer command start at once: help in panels, and values read, without the libraries typer would load.

typer draws its help with a renderer of Markdown and a highlighter of Python (90 ms to import), and reads each value
with pydantic (60 ms). Where its internals are others than here, it does both itself, as slowly as ever.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from typer.core import TyperCommand

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDEST = 100
Rows = list[tuple[str, str]]


class Quick:
    """For a command, or a group of them."""

    def get_params(self: Any, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            own = getattr(param, "get_runtime_param", None)
            if own and "get_runtime_param" not in vars(param):
                param.get_runtime_param = _Plain(param, own).itself
        return params

    def format_help(self: Any, ctx: Any, formatter: Any) -> None:
        from rich.console import Console
        from rich.text import Text

        parts: list[RenderableType] = [Text(self.get_usage(ctx), style="bold"), Text()]
        if self.help:
            parts += [Text(self.help.replace("\n", " ")), Text()]
        parts += [_panel(title, rows) for title, rows in self._panels(ctx).items()]
        if self.epilog:
            parts.append(_examples(self.epilog))
        terminal = sys.stdout.isatty() if sys.stdout else False
        text = io.StringIO()
        screen = Console(
            file=text, force_terminal=terminal, no_color=None if terminal else True, highlight=False, emoji=False,
            markup=False, width=min(WIDEST, Console().width),
        )  # fmt: skip
        for part in parts:
            screen.print(part)
        formatter.write(text.getvalue())

    def _panels(self: Any, ctx: Any) -> dict[str, Rows]:
        """By their titles: arguments, commands, options, and panels of options with a name."""
        panels: dict[str, Rows] = {"Arguments": []}
        for name in self.list_commands(ctx) if hasattr(self, "list_commands") else ():
            command = self.get_command(ctx, name)
            panels.setdefault(command.rich_help_panel, []).append((name, command.get_short_help_str(200)))
        panels["Options"] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                argument = param.param_type_name == "argument"
                title = getattr(param, "rich_help_panel", None) or ("Arguments" if argument else "Options")
                panels.setdefault(title, []).append((param.metavar or record[0], record[1]) if argument else record)
        return {title: rows for title, rows in panels.items() if rows}


def _panel(title: str, rows: Rows) -> RenderableType:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold cyan")
    table.add_column()
    for name, told in rows:
        table.add_row(Text(name), Text(told))
    return Panel(table, title=title, title_align="left", border_style="dim")


def _examples(text: str) -> RenderableType:
    from rich.panel import Panel
    from rich.text import Text

    return Panel(Text(text.strip("\n")), title="Examples", title_align="left", border_style="dim")


class Command(Quick, TyperCommand):
    """One of tracekit's."""


class _Plain:
    """Takes values that are what they should be; all others are typer's, and so is what it says of them."""

    def __init__(self, param: Any, own: Any) -> None:
        self._own = own
        self._limited = param.min is not None or param.max is not None
        annotation = param.type_descriptor.annotation
        self._type: Any = get_args(annotation)[0] if get_origin(annotation) is list else annotation

    def itself(self) -> _Plain:
        return self

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        values = list(value) if several else [value]
        read = [self._read(one) for one in values]
        if self._limited or any(one is None for one in read):
            return self._own().coerce(value, param=param, ctx=ctx)
        return read if several else read[0]

    def _read(self, value: Any) -> Any:
        """None where it is nothing simple."""
        if self._type in (str, int, float, bool) and isinstance(value, self._type):
            return value
        if get_origin(self._type) is Literal and value in get_args(self._type):
            return value
        if self._type is Path and isinstance(value, (str, Path)):
            return Path(value)
        if self._type in (int, float) and isinstance(value, str):
            try:
                return self._type(value)
            except ValueError:
                return None
        return None
