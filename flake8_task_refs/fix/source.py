"""The file to repair: its text, its tree, and where in the text each node of the tree stands."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.analysis.tree import children, dotted_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Statement: TypeAlias = cst.SimpleStatementLine | cst.BaseCompoundStatement
Function: TypeAlias = cst.FunctionDef | cst.Lambda

_Node = TypeVar("_Node", bound=cst.CSTNode)

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_STRINGS: Final[tuple[type[cst.CSTNode], ...]] = (cst.SimpleString, cst.FormattedString)
_SCOPES: Final = (cst.FunctionDef, cst.Lambda, cst.ClassDef)


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets into the text: the first character, and the one after the last."""

    start: int
    end: int


class SourceFile:
    r"""A parsed file. Offsets count characters of ``text``; lines count from 1.

    The tree is that of the text with ``\n`` for every line end: libcst's positions are then those
    of the original, whichever line ends it has.
    """

    def __init__(self, text: str) -> None:
        """Parse ``text``. Raises ``SourceError`` if it is not valid Python."""
        self.text = text
        self._ends = list(_LINE_END.finditer(text))
        self._starts = [0, *(end.end() for end in self._ends)]
        try:
            module = cst.parse_module(_LINE_END.sub("\n", text))
        except cst.ParserSyntaxError as error:
            raise SourceError(error.message, error.raw_line, error.raw_column + 1) from None
        wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
        self.module = wrapper.module
        self._ranges = wrapper.resolve(PositionProvider)
        self._parents: dict[cst.CSTNode, cst.CSTNode] = {}
        self._by_type: dict[type[cst.CSTNode], list[cst.CSTNode]] = defaultdict(list)
        self._calls: dict[int, list[cst.Call]] = defaultdict(list)
        self._walk()
        self.newline = self._ends[0].group() if self._ends else "\n"
        self.indent_unit = self.module.default_indent

    def _walk(self) -> None:
        stack: list[cst.CSTNode] = [self.module]
        while stack:
            node = stack.pop()
            self._by_type[type(node)].append(node)
            inside = [child for _, child in children(node)]
            for child in inside:
                self._parents[child] = node
            stack.extend(reversed(inside))

    # Where things are in the text.

    def offset(self, line: int, column: int) -> int:
        """Return the offset of 1-based ``line`` and 0-based ``column``."""
        return self._starts[line - 1] + column

    def line_of(self, offset: int) -> int:
        """Return the 1-based line of ``offset``."""
        low, high = 0, len(self._starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._starts[middle] <= offset else (low, middle)
        return low + 1

    def position(self, offset: int) -> tuple[int, int]:
        """Return 1-based line and 1-based column of ``offset``."""
        line = self.line_of(offset)
        return line, offset - self._starts[line - 1] + 1

    def line_start(self, line: int) -> int:
        """Return the offset of the first character of ``line``; after the last line, the end."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.text)

    def line_text(self, line: int) -> str:
        """Return ``line`` without its line end."""
        end = self._ends[line - 1].start() if line <= len(self._ends) else len(self.text)
        return self.text[self.line_start(line) : end]

    def newline_near(self, line: int) -> str:
        """Return the line end of ``line``, or of the file's first line if it has none."""
        return self._ends[line - 1].group() if 0 < line <= len(self._ends) else self.newline

    def span(self, node: cst.CSTNode) -> Span:
        """Return the offsets of ``node``, without its decorators and comments."""
        where = self._ranges[node]
        return Span(
            self.offset(where.start.line, where.start.column),
            self.offset(where.end.line, where.end.column),
        )

    def code(self, node: cst.CSTNode) -> str:
        """Return the text of ``node``."""
        span = self.span(node)
        return self.text[span.start : span.end]

    def first_line(self, statement: cst.CSTNode) -> int:
        """Return the line where ``statement`` begins: that of its first decorator, if any."""
        decorators: Sequence[cst.Decorator] = getattr(statement, "decorators", ())
        return self._ranges[decorators[0] if decorators else statement].start.line

    def last_line(self, statement: cst.CSTNode) -> int:
        """Return the line where ``statement`` ends."""
        return self._ranges[statement].end.line

    def span_line(self, node: cst.CSTNode) -> int:
        """Return the line where ``node`` begins."""
        return self._ranges[node].start.line

    def first_line_with_comments(self, statement: cst.CSTNode) -> int:
        """Return the line of the first comment right above ``statement``, else its own line."""
        line = self.first_line(statement)
        while line > 1 and self.line_text(line - 1).lstrip().startswith("#"):
            line -= 1
        return line

    def indent(self, statement: cst.CSTNode) -> str:
        """Return the white space before ``statement`` on its line."""
        line = self.line_text(self.first_line(statement))
        return line[: len(line) - len(line.lstrip())]

    def blank_lines_above(self, line: int) -> int:
        """Return how many blank lines stand right above ``line``."""
        count = 0
        while line - count > 1 and not self.line_text(line - count - 1).strip():
            count += 1
        return count

    def last_line_number(self) -> int:
        """Return the number of the last line that has any text or line end."""
        return len(self._starts) - (self._starts[-1] == len(self.text))

    def string_continuations(self, first: int, last: int) -> frozenset[int]:
        """Return the lines from ``first`` to ``last`` that begin inside a string."""
        found: set[int] = set()
        for kind in _STRINGS:
            for node in self.all(kind):
                where = self._ranges[node]
                if where.start.line != where.end.line and first <= where.end.line <= last:
                    found.update(range(where.start.line + 1, where.end.line + 1))
        return frozenset(found)

    # The tree.

    def parent(self, node: cst.CSTNode) -> cst.CSTNode:
        """Return the node around ``node``; the module is its own."""
        return self._parents.get(node, node)

    def ancestors(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """Yield the nodes around ``node``, from the inside out."""
        while node in self._parents:
            node = self._parents[node]
            yield node

    def statement(self, node: cst.CSTNode) -> Statement | None:
        """Return the statement that ``node`` belongs to (or is), if it stands on its own line."""
        for outer in (node, *self.ancestors(node)):
            if isinstance(outer, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
                return outer
            if isinstance(outer, cst.SimpleStatementSuite):
                return None
        return None

    def top_statement(self, node: cst.CSTNode) -> Statement | None:
        """Return the statement of the module that ``node`` is part of."""
        for outer in (node, *self.ancestors(node)):
            if self.parent(outer) is self.module and isinstance(
                outer, (cst.SimpleStatementLine, cst.BaseCompoundStatement)
            ):
                return outer
        return None

    def function(self, node: cst.CSTNode) -> Function | None:
        """Return the innermost function or lambda around ``node``."""
        for outer in self.ancestors(node):
            if isinstance(outer, (cst.FunctionDef, cst.Lambda)):
                return outer
        return None

    def method_class(self, function: cst.CSTNode) -> cst.ClassDef | None:
        """Return the class whose body ``function`` stands in directly (or under an ``if``)."""
        for outer in self.ancestors(function):
            if isinstance(outer, (cst.FunctionDef, cst.Lambda)):
                return None
            if isinstance(outer, cst.ClassDef):
                return outer
        return None

    def within(self, node: cst.CSTNode, outer: cst.CSTNode) -> bool:
        """Tell whether ``node`` is ``outer`` or stands inside it."""
        return node is outer or any(around is outer for around in self.ancestors(node))

    def inside(self, node: cst.CSTNode, *, into_scopes: bool = True) -> Iterator[cst.CSTNode]:
        """Yield ``node`` and everything in it in source order; functions and classes if wanted."""
        stack = [node]
        while stack:
            current = stack.pop()
            yield current
            if into_scopes or current is node or not isinstance(current, _SCOPES):
                stack.extend(child for _, child in reversed(children(current)))

    def all(self, kind: type[_Node]) -> list[_Node]:
        """Return every node of the file that is a ``kind``, in source order."""
        return cast("list[_Node]", self._by_type.get(kind, []))

    def calls_at(self, offset: int) -> list[cst.Call]:
        """Return the calls that begin at ``offset``, the outermost first."""
        if not self._calls:
            for call in self.all(cst.Call):
                self._calls[self.span(call).start].append(call)
        return self._calls.get(offset, [])

    def assignments(self) -> list[cst.Assign | cst.AnnAssign]:
        """Return every assignment of the file, with and without an annotation."""
        return [*self.all(cst.Assign), *self.all(cst.AnnAssign)]

    def functions(self) -> list[cst.FunctionDef]:
        """Return every function of the file, nested ones and methods too."""
        return self.all(cst.FunctionDef)


def body_of(node: cst.CSTNode) -> Sequence[Statement]:
    """Return the statements of a block, a module, or of what has a block; none of a one-liner."""
    block = (
        node if isinstance(node, (cst.IndentedBlock, cst.Module)) else getattr(node, "body", None)
    )
    if not isinstance(block, (cst.IndentedBlock, cst.Module)):
        return ()
    return [
        statement
        for statement in block.body
        if isinstance(statement, (cst.SimpleStatementLine, cst.BaseCompoundStatement))
    ]


def dotted(node: cst.CSTNode | None) -> str:
    """Return ``a.b.c`` for a chain of names, else the empty string."""
    return dotted_text(node) or ""


def last_part(path: str) -> str:
    """Return the last name of a dotted path."""
    return path.rpartition(".")[2]


def statement_expression(statement: cst.CSTNode) -> cst.BaseSmallStatement | None:
    """Return the only small statement of ``statement``, if it has just one and is no block."""
    if isinstance(statement, cst.SimpleStatementLine) and len(statement.body) == 1:
        return statement.body[0]
    return None
