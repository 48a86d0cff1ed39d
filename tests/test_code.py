"""What nodes say as code: rules look for words in it, and nothing that they look at gets lost."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest
from test_nodes import CONSTRUCTS, REAL_FILES, shape

from flake8_task_refs.analysis.code import code_of
from flake8_task_refs.analysis.from_python import UntranslatableError, light_module
from flake8_task_refs.analysis.outline import normalise_newlines

if TYPE_CHECKING:
    from pathlib import Path

    from flake8_task_refs.analysis import syntax


def nodes_of(source: str) -> syntax.Module:
    module, _ = light_module(ast.parse(source), source)
    return module


# Brackets that group are in no node, so they are not in the code; an infinite number is no literal,
# and the text of an f-string stands there as it is.
NOT_SAID = ("(a := b)", "1e999", "{{")


@pytest.mark.parametrize(
    "source", [text for text in CONSTRUCTS if not any(part in text for part in NOT_SAID)]
)
def test_code_says_all_that_the_nodes_say(source: str) -> None:
    module = nodes_of(source)
    code = code_of(module)
    assert shape(nodes_of(code)) == shape(module)
    assert code_of(nodes_of(code)) == code


@pytest.mark.parametrize("path", REAL_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_all_of_a_real_file_can_be_written(path: Path) -> None:
    source = normalise_newlines(path.read_text("utf-8-sig"))
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    try:
        code = code_of(nodes_of(source))
    except UntranslatableError:
        pytest.skip("read with libcst")
    assert all(name in code for name in names)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("tasks [ (a , b) ]", "tasks[a, b]\n"),
        ("f(a,b = c , * d,** e)", "f(a, b = c, *d, **e)\n"),
        ("async def f(a:int=1,/,*,b)->c :\n  # why\n  return a", None),
        ("if (a) : b; c\nelif d:\n\te\nelse: f", "if a: b; c\nelif d:\n    e\nelse: f\n"),
    ],
)
def test_code_has_one_form(source: str, code: str | None) -> None:
    expected = "async def f(a: int = 1, /, *, b) -> c:\n    return a\n" if code is None else code
    assert code_of(nodes_of(source)) == expected
