"""What `__init__.pyi` hands out is typed throughout: a type checker sees each argument and each result."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

import tracekit
from tests.conftest import ROOT
from tracekit import _EXTRAS

PACKAGE = ROOT / "tracekit"
STUB = ast.parse((PACKAGE / "__init__.pyi").read_text("utf-8"))
PUBLIC = [
    (str(node.module), alias.name)
    for node in STUB.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
    if alias.name not in _EXTRAS
]


def definition(module: str, name: str) -> list[ast.stmt]:
    """The class or the function, with its overloads, where it is defined."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    body = ast.parse(source.read_text("utf-8")).body
    for node in body:
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            return definition(str(node.module), name)
    return [
        node
        for node in body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name
    ]


def _private(member: ast.stmt) -> bool:
    name: str = getattr(member, "name", "")
    return name.startswith("_") and name != "__init__"


def annotations(nodes: list[ast.stmt]) -> Iterator[tuple[str, ast.expr | None]]:
    """Of what can be used from outside, by name; None: there is none."""
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            own = [
                n
                for n in node.body
                if not getattr(n, "name", "").startswith("_") or getattr(n, "name", "") == "__init__"
            ]
            yield from ((f"{node.name}.{name}", told) for name, told in annotations(own))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if not node.target.id.startswith("_"):
                yield node.target.id, node.annotation
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            for argument in every:
                if argument and argument.arg not in ("self", "cls"):
                    yield f"{node.name}({argument.arg})", argument.annotation
            if node.name != "__init__":
                yield f"{node.name}()", node.returns


def test_the_stub_is_what_there_is() -> None:
    names = {alias.asname for node in STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert names == {*tracekit.__all__, *_EXTRAS}


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_nothing_public_is_any(module: str, name: str) -> None:
    found = definition(module, name)
    assert found, f"{module} does not define {name}"
    untyped = [
        where
        for where, told in annotations(found)
        if told is None or any(isinstance(part, ast.Name) and part.id == "Any" for part in ast.walk(told))
    ]
    assert not untyped
