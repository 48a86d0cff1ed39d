"""Places of nodes: found statement by statement, they are those that libcst computes for a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.from_libcst import positions
from flake8_task_refs.analysis.outline import Region, skim
from flake8_task_refs.analysis.spans import Spans
from flake8_task_refs.analysis.tree import Tree

PACKAGE = Path(__file__).parents[1] / "flake8_task_refs"
ODD = {
    "letters of several bytes": 'x = "äöü"; f(é, "😀")  # ß\nif x: g("ß", y)\n',
    "nested blocks": (
        "if a:\n  b\nelif c:\n    d(1)\nelse:\n\te\n\tfor x in y: z\n\telse:\n\t    f(\n1,\n\t 2)\n"
    ),
    "try and match": (
        "try:\n    a\nexcept E as e:\n    b(e)\nelse:\n    c\nfinally:\n    d\n"
        "match x:\n    case [1, *y] if y:\n        f(y)\n    case _: pass\n"
    ),
    "continued lines": "def f():\n        x = g(1,\n    2); y = \\\n  3\n        (yield (x))\n",
    "decorators and comments": (
        "# head\n\n@a\n# why\n@b(\n    1)\nasync def f(x=g(1)):\n"
        "    # c\n    await x  # d\n\n# foot\n"
    ),
    "nothing": "",
    "no last line end": "if x:\n    f(1)",
}
SOURCES = {
    **ODD,
    **{path.name: path.read_text("utf-8") for path in sorted(PACKAGE.glob("analysis/[c-n]*.py"))},
}


@pytest.mark.parametrize("text", SOURCES.values(), ids=SOURCES)
def test_spans_are_libcsts_positions(text: str) -> None:
    tree = Tree(skim(text), Region(0, len(text)))
    spans = Spans(tree)
    lines = text.split("\n")
    where_of = positions(tree.layout.module)

    def offset(line: int, column: int) -> int:
        return sum(len(above) + 1 for above in lines[: line - 1]) + column

    for node in tree.order:
        where = where_of[tree.layout.original(node)]
        expected = (
            offset(where.start.line, where.start.column),
            offset(where.end.line, where.end.column),
        )
        assert spans.of(node) == expected, type(node)


@pytest.mark.parametrize(
    "text",
    [
        "\fa = g(1)\n\f\fb(2)\n",
        "def f():\n    a = g(1)\n\f    b = g(c(2))\n    d(3)\n",
        "def f():\n\f    a = g(1)\n    b(c(2))\n",
        "if a:\n    b\n\felif c(1):\n    d\n\felse:\n    e(2)\n",
        "def f():\n  \f  \f    a(b(1),\n\f  c(2))\n",
    ],
)
def test_form_feeds_move_no_span(text: str) -> None:
    tree = Tree(skim(text), Region(0, len(text)))
    spans = Spans(tree)
    names = [node for node in tree.order if isinstance(node, syntax.Name)]
    assert len(names) > 2
    for name in names:
        start, end = spans.of(name)
        assert text[start:end] == name.value
    for call in tree.order:
        if isinstance(call, syntax.Call):
            start, end = spans.of(call)
            assert re.fullmatch(r"\w+\(.*\)", text[start:end], re.DOTALL)


def test_text_that_only_libcst_can_parse_has_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "if x:\n    f(1)\n"

    def refuse(source: str) -> None:
        raise SyntaxError(source)

    monkeypatch.setattr("flake8_task_refs.analysis.spans.python_tree", refuse)
    tree = Tree(skim(text), Region(0, len(text)))
    assert Spans(tree).of(tree.calls[0]) == (10, 14)


def test_a_form_feed_counts() -> None:
    text = "\x0cimport x\n\x0c\nclass A:\n    \x0c\n    b = f(1)\n"
    tree = Tree(skim(text), Region(0, len(text)))
    spans = Spans(tree)
    assert text[slice(*spans.of(tree.module.body[0]))] == "import x"
    assert text[slice(*spans.of(tree.calls[0]))] == "f(1)"
