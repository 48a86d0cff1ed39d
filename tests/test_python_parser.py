"""Is a text Python? The quick answer is the parser's own."""

from __future__ import annotations

import ast
import random
import warnings
from typing import TYPE_CHECKING

import pytest
from test_nodes import CONSTRUCTS, REAL_FILES

from flake8_task_refs.analysis.outline import normalise_newlines
from flake8_task_refs.analysis.python_parser import is_surely_python, syntax_error

if TYPE_CHECKING:
    from pathlib import Path

SIGNS = ['"', "'", '"""', "'''", "#", "\\", "(", ")", "\n", 'f"', "b'", "{", "}", " ", "x", "\0"]


def is_python(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError):
            return False
    return True


def assert_told(text: str) -> None:
    expected = is_python(text)
    assert is_surely_python(text) == expected
    assert (syntax_error(text) is None) == expected


@pytest.mark.parametrize("source", CONSTRUCTS)
def test_what_is_python_is_told(source: str) -> None:
    assert_told(source)


@pytest.mark.parametrize(
    "source",
    [
        "# a\0b\n",
        "x = 'aaaaaaaaaaaa\0'\n",
        "# \ud800\n",
        "x = 1 \\# y\n",
        "x = 'aaaaaaaa''bbbbbbbbb'\n",
        "x = '''aaa 'bbbbbbbbbb''cccccccccc'\n",
        "x = b'aaaaaaaaaé'\n",
        "x = 'aaaaaaaaa\\N{no such thing}'\n",
        "x = 'aaaaaaaaaa' b'bbbbbbbbbb'\n",
        "from __future__ import nothing\n",
        "return\nyield\nawait x\n",
        "def f(a, a): nonlocal b\n",
    ],
)
def test_what_only_some_part_of_python_looks_at_is_told(source: str) -> None:
    assert_told(source)


@pytest.mark.parametrize(
    "path", REAL_FILES[::4], ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_a_real_file_with_a_slip_of_the_pen_is_told(path: Path) -> None:
    text = normalise_newlines(path.read_text("utf-8-sig"))[:4_000]
    chance = random.Random(path.name)  # noqa: S311 (no secret)
    assert_told(text[: text.rfind("\n\n\n") + 1])
    for _ in range(8):
        at = chance.randrange(len(text))
        assert_told(text[:at] + chance.choice(SIGNS) + text[at + chance.randrange(3) :])
