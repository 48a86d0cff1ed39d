r"""The file to repair: its text and lines, beside the tree that the analysis made of it.

All text here has ``\n`` for every line end; ``edits.in_line_ends_of`` gives the file its own back.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.effects import LOG_METHODS
from flake8_task_refs.analysis.hooks import Hook, hooks
from flake8_task_refs.analysis.spans import Span, Spans
from flake8_task_refs.analysis.syntax import dotted_text, last_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from flake8_task_refs.analysis.tree import Tree

Statement: TypeAlias = syntax.SimpleStatementLine | syntax.BaseCompoundStatement
Function: TypeAlias = syntax.FunctionDef | syntax.Lambda

_Node = TypeVar("_Node", bound=syntax.Node)


class SourceFile:
    """A parsed file. Offsets count characters of ``text``; lines count from 1."""

    def __init__(self, tree: Tree) -> None:
        """Look at ``tree``, that of a whole file, and at its text."""
        self.tree = tree
        self.module = tree.module
        self.text = tree.text
        self.indent_unit = tree.layout.default_indent
        self._spans = Spans(tree)

    # Where things are in the text.

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        at = self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        return starts

    def offset(self, line: int, column: int) -> int:
        """Return the offset of 1-based ``line`` and 0-based ``column``."""
        return self._starts[line - 1] + column

    def line_of(self, offset: int) -> int:
        """Return the 1-based line of ``offset``."""
        return bisect_right(self._starts, offset)

    def line_start(self, line: int) -> int:
        """Return the offset of the first character of ``line``; after the last line, the end."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.text)

    def line_text(self, line: int) -> str:
        """Return ``line`` without its line end."""
        end = self._starts[line] - 1 if line < len(self._starts) else len(self.text)
        return self.text[self.line_start(line) : end]

    def span(self, node: syntax.Node) -> Span:
        """Return the offsets of ``node``, without its decorators and comments."""
        return self._spans.of(node)

    def brackets(self, node: syntax.Node) -> int:
        """Return how many pairs of brackets stand around ``node``."""
        return self.tree.layout.brackets(node)

    def has_comma(self, node: syntax.Node) -> bool:
        """Tell whether a comma stands behind ``node``, an argument or an element."""
        return self.tree.layout.has_comma(node)

    def code(self, node: syntax.Node) -> str:
        """Return the text of ``node``."""
        start, end = self.span(node)
        return self.text[start:end]

    def first_line(self, statement: syntax.Node) -> int:
        """Return the line where ``statement`` begins: that of its first decorator, if any."""
        decorators: Sequence[syntax.Decorator] = getattr(statement, "decorators", ())
        return self.line_of(self.span(decorators[0] if decorators else statement).start)

    def last_line(self, statement: syntax.Node) -> int:
        """Return the line where ``statement`` ends."""
        return self.line_of(self.span(statement).end)

    def first_line_with_comments(self, statement: syntax.Node) -> int:
        """Return the line of the first comment right above ``statement``, else its own line."""
        line = self.first_line(statement)
        while line > 1 and self.line_text(line - 1).lstrip().startswith("#"):
            line -= 1
        return line

    def indent(self, statement: syntax.Node) -> str:
        """Return the white space before ``statement`` on its line, behind the last form feed."""
        line = self.line_text(self.first_line(statement))
        return line[: len(line) - len(line.lstrip())].rpartition("\f")[2]

    def margin(self, line: int) -> int:
        """Return the offset where the indentation of ``line`` begins: behind any form feeds."""
        text = self.line_text(line)
        return self.line_start(line) + text.rfind("\f", 0, len(text) - len(text.lstrip())) + 1

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
        low, high = self.line_start(first), self.line_start(last + 1)
        found: set[int] = set()
        for start, end, kind in self.tree.outline.blanks:
            if kind != "comment" and start < high and end > low:
                found.update(range(self.line_of(start) + 1, self.line_of(end) + 1))
        return frozenset(found)

    # The tree.

    @cached_property
    def hooks(self) -> list[Hook]:
        """The functions that applications of this file run when they start and stop."""
        return hooks(self.tree)

    def parent(self, node: syntax.Node) -> syntax.Node:
        """Return the node around ``node``; the module is its own."""
        return self.tree.parent.get(node, node)

    def ancestors(self, node: syntax.Node) -> Iterator[syntax.Node]:
        """Yield the nodes around ``node``, from the inside out."""
        return self.tree.ancestors(node)

    def statement(self, node: syntax.Node) -> Statement | None:
        """Return the statement that ``node`` belongs to (or is), if it stands on its own line."""
        for outer in (node, *self.ancestors(node)):
            if isinstance(outer, (syntax.SimpleStatementLine, syntax.BaseCompoundStatement)):
                return outer
            if isinstance(outer, syntax.SimpleStatementSuite):
                return None
        return None

    def top_statement(self, node: syntax.Node) -> Statement | None:
        """Return the statement of the module that ``node`` is part of."""
        for outer in (node, *self.ancestors(node)):
            if self.parent(outer) is self.module and isinstance(
                outer, (syntax.SimpleStatementLine, syntax.BaseCompoundStatement)
            ):
                return outer
        return None

    def function(self, node: syntax.Node) -> Function | None:
        """Return the innermost function or lambda around ``node``, classes passed over."""
        for outer in self.ancestors(node):
            if isinstance(outer, (syntax.FunctionDef, syntax.Lambda)):
                return outer
        return None

    def method_class(self, function: syntax.Node) -> syntax.ClassDef | None:
        """Return the class whose body ``function`` stands in directly (or under an ``if``)."""
        return self.tree.method_class(function)

    def within(self, node: syntax.Node, outer: syntax.Node) -> bool:
        """Tell whether ``node`` is ``outer`` or stands inside it."""
        return self.tree.holds(outer, node)

    def inside(self, node: syntax.Node, *, into_scopes: bool = True) -> Iterable[syntax.Node]:
        """Return ``node`` and everything in it in source order; functions and classes if wanted."""
        if into_scopes:
            return self._in_order[self.tree.order[node] : self._last[node] + 1]
        return self.tree.walk(node)

    def later(self, node: syntax.Node, outer: syntax.Node) -> list[syntax.Node]:
        """Return what stands behind ``node`` in ``outer``, in source order."""
        return self._in_order[self._last[node] + 1 : self._last[outer] + 1]

    @cached_property
    def _in_order(self) -> list[syntax.Node]:
        return list(self.tree.order)

    @cached_property
    def _last(self) -> dict[syntax.Node, int]:
        """The place in source order of the last of what stands in each node, or of itself."""
        last = dict(self.tree.order)
        # What is in a node stands right behind it.
        for node in reversed(self._in_order):
            holder = self.tree.parent.get(node)
            if holder is not None:
                last[holder] = max(last[holder], last[node])
        return last

    def each(self, kind: type[_Node], outer: syntax.Node) -> list[_Node]:
        """Return every node in ``outer``, or ``outer`` itself, that is a ``kind``, as ``all``."""
        nodes, order = self.all(kind), self.tree.order
        first = bisect_left(nodes, order[outer], key=order.__getitem__)
        after = bisect_right(nodes, self._last[outer], key=order.__getitem__)
        return nodes[first:after]

    @cached_property
    def _by_type(self) -> dict[type[syntax.Node], list[syntax.Node]]:
        found: dict[type[syntax.Node], list[syntax.Node]] = defaultdict(list)
        for node in self.tree.order:
            found[type(node)].append(node)
        return found

    def all(self, kind: type[_Node]) -> list[_Node]:
        """Return every node of the file that is a ``kind``, in source order."""
        return cast("list[_Node]", self._by_type.get(kind, []))

    @cached_property
    def _bases(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for node in self.all(syntax.ClassDef):
            found[node.name.value] |= {last_part(dotted(base.value)) for base in node.bases}
        return found

    def lineage(self, name: str) -> set[str]:
        """Return the class called ``name`` and the bases, by name, that this file gives it."""
        found, rest = {name}, [name]
        while rest:
            new = self._bases.get(rest.pop(), set()) - found
            found |= new
            rest += new
        return found

    def subclasses(self, name: str) -> list[syntax.ClassDef]:
        """Return the classes of the file that have ``name`` as a base, directly or not."""
        return [
            node
            for node in self.all(syntax.ClassDef)
            if node.name.value != name and name in self.lineage(node.name.value)
        ]

    def assignments(self) -> list[syntax.Assign | syntax.AnnAssign]:
        """Return every assignment of the file, with and without an annotation."""
        return [*self.all(syntax.Assign), *self.all(syntax.AnnAssign)]

    def functions(self) -> list[syntax.FunctionDef]:
        """Return every function of the file, nested ones and methods too."""
        return self.all(syntax.FunctionDef)


def body_of(node: syntax.Node) -> Sequence[Statement]:
    """Return the statements of a block, a module, or of what has a block; none of a one-liner."""
    block = (
        node
        if isinstance(node, (syntax.IndentedBlock, syntax.Module))
        else getattr(node, "body", None)
    )
    if not isinstance(block, (syntax.IndentedBlock, syntax.Module)):
        return ()
    return [
        statement
        for statement in block.body
        if isinstance(statement, (syntax.SimpleStatementLine, syntax.BaseCompoundStatement))
    ]


def has_docstring(function: syntax.FunctionDef) -> bool:
    """Tell whether ``function`` begins with a string, alone."""
    first: syntax.Node = function.body.body[0]
    if isinstance(first, syntax.SimpleStatementLine):
        first = first.body[0]
    return isinstance(first, syntax.Expr) and _is_plain_text(first.value)


def first_statement(function: syntax.FunctionDef) -> Statement:
    """Return the first statement after the docstring and what says whose the names are."""
    body = body_of(function)
    rest = body[1:] if has_docstring(function) and len(body) > 1 else body
    declares = (syntax.Global, syntax.Nonlocal)
    return next(
        (
            statement
            for statement in rest
            if not isinstance(statement, syntax.SimpleStatementLine)
            or not all(isinstance(part, declares) for part in statement.body)
        ),
        rest[0],
    )


def _is_plain_text(value: syntax.BaseExpression) -> bool:
    if isinstance(value, syntax.ConcatenatedString):
        return _is_plain_text(value.left) and _is_plain_text(value.right)
    return isinstance(value, syntax.SimpleString) and isinstance(value.evaluated_value, str)


def dotted(node: syntax.Node | None) -> str:
    """Return ``a.b.c`` for a chain of names, else the empty string."""
    return dotted_text(node) or ""


def last_part(path: str) -> str:
    """Return the last name of a dotted path."""
    return path.rpartition(".")[2]


def statement_expression(statement: syntax.Node) -> syntax.BaseSmallStatement | None:
    """Return the only small statement of ``statement``, if it has just one and is no block."""
    if isinstance(statement, syntax.SimpleStatementLine) and len(statement.body) == 1:
        return statement.body[0]
    return None


def only_reports(file: SourceFile, statement: syntax.Node) -> bool:
    """Tell whether ``statement`` does no more than to log or to print something."""
    small = statement.body if isinstance(statement, syntax.SimpleStatementLine) else [statement]
    return all(
        isinstance(node, syntax.Pass)
        or (
            isinstance(node, syntax.Expr)
            and isinstance(node.value, syntax.Call)
            and last_name(node.value.func) in LOG_METHODS | {"print"}
            and not any(isinstance(inner, syntax.Await) for inner in file.inside(node))
        )
        for node in small
    )
