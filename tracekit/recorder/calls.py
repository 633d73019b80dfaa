"""What a line of source calls: a C function has no frame, so the line that called it is where its name stands.

Read from the source when a recording becomes a trace, on the machine where the program ran. A name is told only where
the file itself says what it is: by an import, a literal, or what it was made by (`sqlite3.connect().execute`). Of a
method of something unknown only `.name` is told.
"""

from __future__ import annotations

import ast
import builtins
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

MOST_BYTES = 1 << 21  # of a file
MOST_NAMES = 8  # of a line
_BUILTINS = frozenset(name for name in dir(builtins) if not name.startswith("_"))
_LITERALS: dict[type[ast.AST], str] = {
    ast.List: "list", ast.ListComp: "list", ast.Dict: "dict", ast.DictComp: "dict", ast.Set: "set", ast.SetComp: "set",
    ast.Tuple: "tuple", ast.JoinedStr: "str",
}  # fmt: skip
_MADE_BY = {
    name: name for name in ("list", "dict", "set", "frozenset", "tuple", "str", "bytes", "bytearray", "int")
} | {"sorted": "list"}
_OPERATORS: dict[type[ast.AST], str] = {ast.Mult: "*", ast.Pow: "**", ast.FloorDiv: "//", ast.Mod: "%"}


class Source:
    """A file of source, or an empty one where there is none that can be read."""

    def __init__(self, file: str, before: float) -> None:
        """before: when the program started; a file that was changed later is not what ran. In s since 1970."""
        self._imported: dict[str, str] = {}
        self._made: dict[str, list[ast.AST]] = {}
        self._unknown: set[str] = set()
        self._resolving: set[str] = set()
        self._assigned: set[int] = set()  # nodes whose value is known
        self._nodes = list(ast.walk(_tree(file, before)))
        for node in self._nodes:
            self._learn(node)

    def calls(self, line: int) -> list[str]:
        """What it calls, in the order in which it stands there."""
        told: dict[str, None] = {}
        for node in self._nodes:
            if isinstance(node, ast.Call) and line in (node.lineno, node.func.end_lineno):
                name = self._resolve(node.func)
                if name is None and isinstance(node.func, ast.Attribute):
                    name = f".{node.func.attr}"
                if name:
                    told[name] = None
            elif isinstance(node, ast.Compare) and node.lineno == line:
                told |= dict.fromkeys(self._searched(node))
            elif isinstance(node, ast.BinOp) and node.lineno == line and self._is_arithmetic(node):
                told[_OPERATORS[type(node.op)]] = None
        return list(told)[:MOST_NAMES]

    def _is_arithmetic(self, node: ast.BinOp) -> bool:
        texts = {"str", "bytes", "list", "tuple"}
        return type(node.op) in _OPERATORS and not {self._resolve(node.left), self._resolve(node.right)} & texts

    def _searched(self, node: ast.Compare) -> Iterator[str]:
        for operator, among in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, (ast.In, ast.NotIn)):
                kind = self._resolve(among)
                if kind is None or kind in ("list", "tuple", "str", "bytes"):
                    yield f"{kind}.__contains__" if kind else "in"

    def _learn(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                self._imported[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if node.level or not node.module:
                    self._unknown.add(alias.asname or alias.name)
                else:
                    self._imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self._unknown.add(node.name)
        elif isinstance(node, ast.arg):
            self._unknown.add(node.arg)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            self._assign(node)
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            place = _place(node)
            if place and id(node) not in self._assigned:
                self._unknown.add(place)

    def _assign(self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            name = _place(target)
            if name and node.value:
                self._made.setdefault(name, []).append(node.value)
                self._assigned.add(id(target))

    def _resolve(self, node: ast.AST) -> str | None:
        if type(node) in _LITERALS:
            return _LITERALS[type(node)]
        if isinstance(node, ast.Constant):
            return type(node.value).__name__
        if isinstance(node, ast.Call):
            made_by = self._resolve(node.func)
            return _MADE_BY.get(made_by, f"{made_by}()") if made_by else None
        if isinstance(node, ast.Attribute):
            of = self._resolve(node.value)
            return f"{of}.{node.attr}" if of else self._named(_place(node))
        return self._named(_place(node))

    def _named(self, name: str | None) -> str | None:
        """What a name of this file stands for, if it is one thing."""
        if name is None or name in self._unknown or name in self._resolving:
            return None
        if name in self._made:
            if name in self._imported:
                return None
            self._resolving.add(name)
            found = {self._resolve(value) for value in self._made[name]}
            self._resolving.discard(name)
            return found.pop() if len(found) == 1 else None
        return self._imported.get(name) or (name if name in _BUILTINS else None)


def _place(node: ast.AST) -> str | None:
    """`name`, or `self.name`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return f"self.{node.attr}"
    return None


def _tree(file: str, before: float) -> ast.AST:
    try:
        about = Path(file).stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > MOST_BYTES or about.st_mtime >= before:
            return ast.Module([], [])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])
