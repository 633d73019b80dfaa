"""The analysis as one HTML page that needs nothing else: template, style and script beside this file.

The page is given data only, text and packed columns in JSON, from which its script makes every element. So no name in
a trace is ever read as HTML, and a content security policy allows its script by its hash, and no request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from html import escape
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracekit.errors import OptionError
from tracekit.figures.content import CAUSES
from tracekit.reporters.flame import heading
from tracekit.reporters.html.content import comparison_content, content, processes_content
from tracekit.reporters.html.lines import flames
from tracekit.reporters.matter import SHOWN
from tracekit.timeline.flame import By
from tracekit.words import printable

if TYPE_CHECKING:
    from tracekit.analysis import Analysis
    from tracekit.comparison import Comparison

THEMES = ("auto", "light", "dark")
SCRIPTS = (
    "words", "dom", "columns", "bins", "model", "view", "lanes", "raster", "hover", "marks", "story", "steps", "about",
    "utilisation", "figures", "verdict", "causes", "flame", "requests", "overview", "gestures", "toolbar", "header",
    "labels", "drawing", "selection", "panel", "notes", "timeline", "link", "tables", "glossary", "keys", "comparison",
    "processes", "whatif", "main",
)  # fmt: skip
"""The script's files, each after those which it imports."""
FLAME_SCRIPTS = ("words", "dom", "flame", "flamepage")
CAUSE_TERMS = {label: f"Why a thread waited. {about}" for label, about in CAUSES.values()}
"""What the causes mean, by what they are called."""
_FOLDER = Path(__file__).parent
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=\w)", re.MULTILINE)
_EXPORTED = re.compile(r"^export (?:async )?(?:const|class|function) (\w+)", re.MULTILINE)


def render(
    analyses: Sequence[Analysis],
    *,
    title: str | None = None,
    theme: str = "auto",
    comparison: Comparison | None = None,
    whatifs: Sequence[dict[str, Any] | None] = (),
    folder: str | None = None,
) -> str:
    """The page. title: its heading, else the traces' names. theme: one of `THEMES`. comparison: of its two analyses.
    folder: of the program whose processes these are, those that matter first: they are shown on one clock.
    whatifs: of each, what other switch intervals would change (`reporters.predictions.for_page`).

    Raises OptionError for an unknown theme, and what `Analysis.picture` raises.
    """
    if theme not in THEMES:
        raise OptionError(f"There is no theme {theme!r}.", f"There are {', '.join(THEMES)}.")
    shown = title or folder or " and ".join(Path(analysis.path).name for analysis in analyses)
    drawn = analyses if folder is None else analyses[:SHOWN]
    data = {
        "title": title or (folder and printable(folder)),
        "traces": [content(each) | {"whatif": whatif} for each, whatif in zip_longest(drawn, whatifs)],
        "comparison": comparison_content(comparison) if comparison else None,
        "processes": None if folder is None else processes_content(analyses),
        "terms": CAUSE_TERMS | json.loads((_FOLDER / "terms.json").read_text(encoding="utf-8")),
    }
    return _page(shown, theme, data, _script(SCRIPTS))


def render_flames(analysis: Analysis, by: By) -> str:
    """A page of its own for the flame graph, which begins with these stacks."""
    title = printable(Path(analysis.path).name)
    data = {
        "title": title,
        "about": heading(analysis.flame(by)),
        "unit": analysis.unit,
        "side": by,
        "lines": flames(analysis),
    }
    return _page(title, THEMES[0], data, _script(FLAME_SCRIPTS))


def _page(title: str, theme: str, data: Any, script: str) -> str:
    policy = (
        f"default-src 'none'; script-src '{_hash(script.encode())}'; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": escape(printable(title)),
        "theme": theme,
        "style": (_FOLDER / "style.css").read_text(encoding="utf-8"),
        "data": as_json(data),
        "script": script,
    }
    template = (_FOLDER / "template.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{ (\w+) \}\}", lambda match: parts[match[1]], template)


def as_json(value: Any) -> str:
    """JSON that stands in a script element: nothing in it can end the element or be a line end to JavaScript."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def _script(names: tuple[str, ...]) -> str:
    """All files as one module: each is a function that returns what it exports, so that no two names meet."""
    files = [(name, (_FOLDER / "script" / f"{name}.js").read_text(encoding="utf-8")) for name in names]
    return "\n".join(_wrapped(name, text, name == names[-1]) for name, text in files)


def _wrapped(name: str, text: str, is_last: bool) -> str:
    """A file without its comments and indentation, a third of it."""
    lines = [line.strip() for line in text.splitlines()]
    text = "\n".join(line for line in lines if line and not line.startswith(("//", "/*", "*"))) + "\n"
    body = _EXPORT.sub("", _IMPORT.sub(r"const \1 = from_\2;", text))
    if is_last:
        return body
    return f"const from_{name} = (() => {{\n{body}return {{ {', '.join(_EXPORTED.findall(text))} }};\n}})();"


def _hash(script: bytes) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode('ascii')}"
