"""Where each node of a tree begins and ends in the source, found only for what is asked about.

libcst's nodes hold no positions, and to compute those of a whole file takes three times as long
as its parse. Python's own parser tells in a tenth of that where statements stand; the nodes in
one statement get their places when somebody asks for the first of them, by writing out that
statement alone.
"""

from __future__ import annotations

from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, NamedTuple

import libcst as cst

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.from_libcst import positions
from flake8_task_refs.analysis.python_parser import python_tree

if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator, Mapping, Sequence

    from libcst.metadata import CodeRange

    from flake8_task_refs.analysis.tree import Tree

# What CPython 3.10 to 3.14 raise for text that they cannot parse.
_NOT_PARSED: Final = (SyntaxError, ValueError, RecursionError, MemoryError)


class Span(NamedTuple):
    """Offsets into the source: the first character, and the one after the last."""

    start: int
    end: int


class _DifferentError(Exception):
    """The two parsers see different statements."""


class Spans:
    """The places of the nodes of ``tree``, which is that of a whole file."""

    def __init__(self, tree: Tree) -> None:
        """Find nothing yet."""
        self._tree = tree
        self._inside: dict[syntax.Node, Mapping[cst.CSTNode, Span]] = {}

    def of(self, node: syntax.Node) -> Span:
        """Return the span of ``node``, without its decorators, comments and parentheses."""
        own = self._statements.get(node)
        if own is not None:
            return own
        holder = next((at for at in self._tree.ancestors(node) if at in self._statements), None)
        if holder is None:
            return self._everywhere[self._tree.layout.original(node)]
        if holder not in self._inside:
            self._inside[holder] = self._written_out(holder) or self._everywhere
        return self._inside[holder][self._tree.layout.original(node)]

    @cached_property
    def _line_starts(self) -> list[int]:
        lines = self._tree.text.split("\n")
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line) + 1)
        return starts

    @cached_property
    def _statements(self) -> dict[syntax.Node, Span]:
        """Every statement that stands in a block; none if the two parsers do not agree."""
        try:
            module = python_tree(self._tree.text)
            return dict(self._paired(self._tree.module.body, module.body))
        except (*_NOT_PARSED, _DifferentError):
            return {}

    def _paired(
        self, ours: Sequence[syntax.Node], theirs: Sequence[ast.stmt]
    ) -> Iterator[tuple[syntax.Node, Span]]:
        """Yield the statements of a block, and of the blocks in them, with their spans."""
        found = iter(theirs)
        for statement in ours:
            count = len(statement.body) if isinstance(statement, syntax.SimpleStatementLine) else 1
            taken = [item for _, item in zip(range(count), found, strict=False)]
            if len(taken) != count:
                raise _DifferentError
            yield statement, Span(self._start(taken[0]), self._end(taken[-1]))
            if not isinstance(statement, syntax.SimpleStatementLine):
                yield from self._blocks(statement, taken[0])
        if next(found, None) is not None:
            raise _DifferentError

    def _blocks(self, ours: syntax.Node, theirs: ast.AST) -> Iterator[tuple[syntax.Node, Span]]:
        """Yield the statements in the blocks of a compound statement, of a handler or a case."""
        yield from self._block(getattr(ours, "body", None), getattr(theirs, "body", []))
        orelse = getattr(ours, "orelse", None)
        if isinstance(orelse, syntax.If):
            yield from self._blocks(orelse, _only(getattr(theirs, "orelse", [])))
        elif orelse is not None:
            yield from self._block(orelse.body, getattr(theirs, "orelse", []))
        finalbody = getattr(ours, "finalbody", None)
        if finalbody is not None:
            yield from self._block(finalbody.body, getattr(theirs, "finalbody", []))
        for name in ("handlers", "cases"):
            pairs = zip_longest(getattr(ours, name, ()), getattr(theirs, name, ()))
            for our_part, their_part in pairs:
                if our_part is None or their_part is None:
                    raise _DifferentError
                yield from self._blocks(our_part, their_part)

    def _block(
        self, ours: syntax.Node | None, theirs: Sequence[ast.stmt]
    ) -> Iterator[tuple[syntax.Node, Span]]:
        if isinstance(ours, syntax.IndentedBlock):
            yield from self._paired(ours.body, theirs)

    def _offset(self, line: int, column: int) -> int:
        """Return the offset of a 1-based line and a 0-based column, which counts characters."""
        return self._line_starts[line - 1] + column

    def _start(self, node: ast.stmt) -> int:
        return self._in_characters(node.lineno, node.col_offset)

    def _end(self, node: ast.stmt) -> int:
        line, column = node.end_lineno, node.end_col_offset
        if line is None or column is None:
            raise _DifferentError
        return self._in_characters(line, column)

    def _in_characters(self, line: int, column: int) -> int:
        """Return the offset of a 1-based line and a 0-based column, which counts UTF-8 bytes."""
        start = self._line_starts[line - 1]
        before = self._tree.text[start : start + column]
        if not before.isascii():
            text = self._tree.text[start : self._line_starts[line] - 1]
            column = len(text.encode()[:column].decode())
        return start + column

    def _written_out(self, node: syntax.Node) -> Mapping[cst.CSTNode, Span] | None:
        """Return the spans of all that is in ``statement``, None if it stands too oddly."""
        own = self._statements[node]
        statement = self._tree.layout.original(node)
        text = self._tree.text
        line_start = text.rfind("\n", 0, own.start) + 1
        indent = text[line_start : own.start]
        if indent.strip(" \t") or "\f" in text[own.start : own.end]:
            return None  # libcst would not write it as it stands here
        alone: cst.BaseStatement | cst.SimpleStatementLine
        if not isinstance(statement, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
            return None
        alone = statement
        if indent:
            alone = cst.If(cst.Name("x"), cst.IndentedBlock([statement], indent=indent))
        ranges = positions(cst.Module([alone], default_indent=self._tree.layout.default_indent))
        # The lines that the statement has here are those that it has in the source.
        first = ranges[statement].start.line
        shift = text.count("\n", 0, own.start) + 1 - first
        spans = {at: self._span(where, shift) for at, where in ranges.items()}
        return spans if spans[statement] == own else None

    def _span(self, where: CodeRange, shift: int) -> Span:
        # What stands above the statement in the text written out may lie above the whole file.
        start, end = (max(1, at.line + shift) for at in (where.start, where.end))
        return Span(
            self._offset(min(start, len(self._line_starts)), where.start.column),
            self._offset(min(end, len(self._line_starts)), where.end.column),
        )

    @cached_property
    def _everywhere(self) -> Mapping[cst.CSTNode, Span]:
        """The span of every node: for text that Python's own parser reads otherwise."""
        ranges = self._tree.layout.positions
        return {at: self._span(where, 0) for at, where in ranges.items()}


def _only(statements: Sequence[ast.stmt]) -> ast.stmt:
    if len(statements) != 1:
        raise _DifferentError
    return statements[0]
