"""`tracekit flame`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import tracekit
from tracekit.cli.common import Output, Strict, StripPrefix, as_text, outcome, progress_of, say, say_faults, write
from tracekit.errors import NotObservedError, OptionError
from tracekit.words import printable

ENDINGS = (".svg", ".html", ".speedscope.json", ".collapsed")
EXAMPLES = """\
tracekit flame app.gil.log                           a short tree
tracekit flame app.gil.log --by waiter -o app.svg    a picture
tracekit flame app.gil.log -o app.speedscope.json    for speedscope.app
tracekit flame app.gil.log -o app.collapsed          for flamegraph.pl
"""


def flame(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="A trace with stacks; `-` is standard input.")],
    by: Annotated[
        Literal["holder", "waiter"], typer.Option(help="Whose stacks: of who held the GIL, or of who waited.")
    ] = "holder",
    output: Output = None,
    strict: Strict = False,
    strip_prefix: StripPrefix = None,
) -> None:
    """Show which stacks held the GIL while others waited: a tree on the terminal, or with -o a flame graph: .svg,
    .html, .speedscope.json or .collapsed."""
    with outcome():
        ending = _ending(output)
        with progress_of(trace) as progress:
            analysis = tracekit.analyze(trace, strict=strict, progress=progress, strip_prefix=strip_prefix or ())
        tree = analysis.flame(by)
        from tracekit.reporters import flame as reporter

        if not analysis.stacks.num_rows:
            raise NotObservedError(
                f"{analysis.path}: tells no stacks.",
                "Record it without --no-stacks, on an interpreter of which `# stacks:` in the trace says on.",
            )
        if output is None:
            write(as_text([reporter.render(tree)], None), None, [trace])
        else:
            title = Path(analysis.path).name
            if ending == ".html":
                from tracekit.reporters.html import render_flames

                text = render_flames(analysis, by)
            else:
                to = {".svg": reporter.svg, ".speedscope.json": reporter.speedscope, ".collapsed": reporter.collapsed}
                text = to[ending](tree, title)
            write(text, output, [trace])
            say(printable(f"{output}: {reporter.heading(tree)}."))
        say_faults(analysis)


def _ending(output: Path | None) -> str:
    if output is None:
        return ""
    name = output.name.lower()
    ending_of = next((ending for ending in ENDINGS if name.endswith(ending)), None)
    if ending_of is None:
        raise OptionError(
            f"{output}: cannot infer the format from the file's ending.", f"There are {', '.join(ENDINGS)}."
        )
    return ending_of
