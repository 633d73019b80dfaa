"""docs/cookbook.md: every question's pandas and SQL, run as they stand there, give the same rows."""

from __future__ import annotations

import ast
import math
import re
from typing import Any

import pandas as pd
import pytest

import tracekit
from tests.conftest import ROOT, SAMPLES

_SECTION = re.compile(r"^## (?P<title>.+?)$.*?```python\n(?P<pandas>.*?)```.*?```sql\n(?P<sql>.*?)```", re.M | re.S)
RECIPES = {found["title"]: found for found in _SECTION.finditer((ROOT / "docs" / "cookbook.md").read_text("utf-8"))}


def run(code: str, trace: tracekit.Trace) -> pd.DataFrame:
    """What the last line of the code gives."""
    *before, last = ast.parse(code).body
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {"tracekit": tracekit, "trace": trace, "pd": pd}
    exec(compile(ast.Module(before, []), "cookbook", "exec"), names)
    found = eval(compile(ast.Expression(last.value), "cookbook", "eval"), names)
    assert isinstance(found, pd.DataFrame)
    return found


def rows(frame: pd.DataFrame) -> list[list[Any]]:
    """In one order: pandas sorts threads as they were first seen, SQL by their names."""

    def plain(value: Any) -> Any:
        if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
            return None
        return value if isinstance(value, str) else round(float(value), 6)

    return sorted(([plain(value) for value in row] for row in frame.astype(object).to_numpy().tolist()), key=str)


def test_there_are_twelve() -> None:
    assert len(RECIPES) == 12
    assert len(RECIPES) == (ROOT / "docs" / "cookbook.md").read_text("utf-8").count("\n## ")


@pytest.mark.parametrize("name", ["py311-echo-convoy.log", "py311-longhold.log", "py27-cpu2.log"])
@pytest.mark.parametrize("title", RECIPES)
def test_pandas_and_sql_agree(title: str, name: str) -> None:
    trace = tracekit.read(SAMPLES / name)
    by_pandas, by_sql = run(RECIPES[title]["pandas"], trace), trace.sql(RECIPES[title]["sql"])
    assert by_pandas.shape == by_sql.shape
    assert rows(by_pandas) == rows(by_sql)


def test_they_are_about_something() -> None:
    """Every question has an answer in one of the samples."""
    traces = [
        tracekit.read(SAMPLES / name) for name in ("py311-echo-convoy.log", "py311-longhold.log", "py27-cpu2.log")
    ]
    for title, recipe in RECIPES.items():
        assert any(len(trace.sql(recipe["sql"])) for trace in traces), title
