"""Small changes to a module's syntax tree, each a bug that a test should notice.

The operators are those that mutation testers share: comparisons, arithmetic, conditions, numbers, loops, returned
values, exceptions caught and statements left out. Strings are left alone: a test that repeats a sentence pins it.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.Pow: ast.Mult,
}
LITERALS = (ast.Constant, ast.JoinedStr, ast.List, ast.Dict, ast.Tuple)


@dataclass(frozen=True)
class Mutant:
    function: str
    lines: tuple[int, int]
    before: str
    after: str
    source: str
    occurrence: int = 1

    @property
    def name(self) -> str:
        again = f" ({self.occurrence})" if self.occurrence > 1 else ""
        return f"{self.function}: `{self.before}` to `{self.after}`{again}"


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the node's place."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            for other in COMPARISONS[type(operator)]:
                new = copy.deepcopy(node)
                new.ops[index] = other()
                yield new
    elif isinstance(node, ast.BinOp) and not (isinstance(node.op, ast.Add | ast.Mod) and _is_text(node)):
        new = copy.deepcopy(node)
        new.op = ARITHMETIC[type(node.op)]()
        yield new
    elif isinstance(node, ast.BoolOp):
        new = copy.deepcopy(node)
        new.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield new
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield copy.deepcopy(node.operand)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
        if isinstance(node.value, int):
            yield ast.Constant(node.value - 1) if node.value else ast.UnaryOp(ast.USub(), ast.Constant(1))
    elif isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(node.test, ast.Compare | ast.UnaryOp):
        new = copy.deepcopy(node)
        new.test = ast.UnaryOp(ast.Not(), new.test)
        yield new
    elif isinstance(node, ast.For):
        new = copy.deepcopy(node)
        new.iter = ast.List([], ast.Load())
        yield new
    elif isinstance(node, ast.comprehension) and node.ifs:
        new = copy.deepcopy(node)
        new.ifs = []
        yield new
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Break):
        yield ast.Continue()
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.ExceptHandler) and node.type is not None:
        new = copy.deepcopy(node)
        new.type = ast.Name("KeyboardInterrupt", ast.Load())
        yield new
    elif isinstance(node, ast.AugAssign):
        new = copy.deepcopy(node)
        new.op = ARITHMETIC[type(node.op)]()
        yield new
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_text(node: ast.BinOp) -> bool:
    """Text joined or filled in: there is no subtracting it."""
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str | bytes))
        for side in (node.left, node.right)
    )


def _summary(node: ast.AST) -> str:
    text = ast.unparse(node.type) if isinstance(node, ast.ExceptHandler) and node.type else ast.unparse(node)
    first = text.strip().splitlines()[0]
    return first if len(first) <= 90 else first[:89] + "…"


def _header(node: ast.stmt) -> tuple[int, int]:
    """A statement's lines, without those of the statements inside it."""
    body = getattr(node, "body", None)
    if isinstance(body, list) and body:
        return node.lineno, max(node.lineno, body[0].lineno - 1)
    return node.lineno, node.end_lineno or node.lineno


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its text."""
    tree = ast.parse(source)
    made: list[Mutant] = []

    def offer(
        parent: ast.AST, field: str, index: int | None, node: ast.AST, where: str, lines: tuple[int, int]
    ) -> None:
        for new in _changed(node):
            ast.fix_missing_locations(ast.copy_location(new, node))
            siblings = getattr(parent, field)
            if index is None:
                setattr(parent, field, new)
            else:
                siblings[index] = new
            try:
                made.append(Mutant(where, lines, _summary(node), _summary(new), ast.unparse(tree)))
            finally:
                if index is None:
                    setattr(parent, field, node)
                else:
                    siblings[index] = node

    def visit(node: ast.AST, where: str, lines: tuple[int, int]) -> None:
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "type_params", "format_spec", "names"):
                continue
            several = isinstance(value, list)
            for index, child in enumerate(value if several else [value]):
                if not isinstance(child, ast.AST) or _left_alone(child):
                    continue
                inside = where
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    inside = f"{where}.{child.name}" if where else child.name
                around = _header(child) if isinstance(child, ast.stmt) else lines
                offer(node, field, index if several else None, child, where or "module", around)
                visit(child, inside, around)

    visit(tree, "", (1, 1))
    seen: Counter[str] = Counter()
    for place, mutant in enumerate(made):
        seen[mutant.name] += 1
        if seen[mutant.name] > 1:
            made[place] = replace(mutant, occurrence=seen[mutant.name])
    return made


def _left_alone(node: ast.AST) -> bool:
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.endswith("__"):
        return True
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Assert)
