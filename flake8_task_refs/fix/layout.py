"""Break a statement into lines as black does: on one line if it fits, else bracket by bracket.

It knows calls, subscripts, displays, awaits, lambdas, conditionals, comprehensions, assignments and
keyword arguments. Anything else is an atom that stays on its line. What holds comments or is broken
in another way is not its business: ``Unknown`` is raised, and the caller keeps the text that stands
there.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import libcst as cst

if TYPE_CHECKING:
    from collections.abc import Sequence

# Comments that formatters do not count as part of a line's length.
_PRAGMA: Final = re.compile(r"#\s?(noqa|type:|pyright:|pylint:|flake8:|ruff:|isort:|nosec)")
# A type checker wants this one on the line of the error: what it stands behind is not broken.
_TYPE_IGNORE: Final = re.compile(r"#\s?type:\s*ignore\b")
_UNUSED_AWAITABLE: Final = re.compile(r"\s*#\s?type:\s*ignore\[unused-awaitable\]\s*")
_TAB_WIDTH: Final = 4


class Unknown(Exception):  # noqa: N818 (an answer, not an error)
    """Raised for text that this module cannot lay out."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the file is formatted: the longest line in characters, one step of indentation, quote."""

    line_length: int
    step: str = "    "
    quote: str = '"'

    def string(self, text: str) -> str:
        """Return the literal of ``text``, which has no quotes in it."""
        return f"{self.quote}{text}{self.quote}"

    def statement(self, code: str, indent: str, comment: str = "") -> list[str]:
        """Return the lines of the simple statement ``code``, formatted, without line ends.

        ``indent`` stands before each; ``comment`` is what follows it on its last line. Raises
        ``Unknown``.
        """
        statement = _parse(code)
        reserved = 0 if is_pragma(comment) else len(comment.rstrip())
        prefix, value, suffix = _parts(statement)
        if silences_types(comment) and not _is_exploded(value):
            return [f"{indent}{prefix}{_flat(value)}{suffix}"]
        if isinstance(value, cst.Tuple) and not value.lpar and len(value.elements) > 1:
            _refuse_comments(value)
            line = f"{indent}{prefix}{', '.join(map(_flat_item, value.elements))}{suffix}"
            if self.fits(line, reserved):
                return [line]
            value = value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        if suffix and not self.fits(f"{indent}{prefix}{_flat(value)}{suffix}", reserved):
            # Before it opens the annotation, a formatter puts the value in parentheses.
            first = f"{indent}{prefix}{_flat(value)} = ("
            if comment.strip():
                raise Unknown
            if self.fits(first):
                return [first, f"{indent}{self.step}{suffix.removeprefix(' = ')}", f"{indent})"]
        try:
            lines = self._lines(value, indent, prefix, suffix, reserved)
        except RecursionError:
            raise Unknown from None
        if len(lines) > 1 and not self._is_first_choice(statement, lines[0]):
            raise Unknown
        return lines

    def _is_first_choice(self, statement: cst.BaseSmallStatement, first: str) -> bool:
        """Tell whether a formatter would not rather put the whole value in parentheses."""
        value = getattr(statement, "value", None)
        if isinstance(statement, cst.Expr) and not isinstance(value, cst.Await):
            return True
        return self.fits(first) and not isinstance(value, (cst.Subscript, cst.Lambda))

    def is_formatted(self, code: str, indent: str, comment: str = "") -> bool:
        """Tell whether ``code``, a statement that stands at ``indent``, is laid out like this."""
        try:
            return f"{indent}{code}".split("\n") == self.statement(code, indent, comment)
        except Unknown:
            return False

    def best(self, code: str, indent: str, comment: str = "") -> list[str]:
        """Return the lines of ``code``: laid out if that is known, else as they are."""
        try:
            return self.statement(code, indent, comment)
        except Unknown:
            return [indent + code]

    def condition(self, keyword: str, test: str, indent: str) -> list[str]:
        """Return the lines of ``keyword test:``, which is too long for one, without line ends.

        A call is broken at its bracket; all else gets parentheses.
        """
        # A walrus alone is no expression.
        with contextlib.suppress(Unknown, cst.ParserSyntaxError):
            node = cst.parse_expression(test)
            if isinstance(node, cst.Call):
                return self._lines(node, indent, f"{keyword} ", ":")
        return [f"{indent}{keyword} (", f"{indent}{self.step}{test}", f"{indent}):"]

    def fits(self, line: str, reserved: int = 0) -> bool:
        """Tell whether ``line`` is short enough, with ``reserved`` characters more."""
        return len(line.expandtabs(_TAB_WIDTH)) + reserved <= self.line_length

    def _lines(
        self, node: cst.BaseExpression, indent: str, prefix: str, suffix: str, reserved: int = 0
    ) -> list[str]:
        if not _is_exploded(node):
            line = f"{indent}{prefix}{_flat(node)}{suffix}"
            if self.fits(line, reserved):
                return [line]
        if isinstance(node, cst.Await):
            return self._lines(node.expression, indent, f"{prefix}await ", suffix, reserved)
        if isinstance(node, cst.Lambda) and isinstance(node.body, cst.Call) and not node.lpar:
            head = f"{prefix}{_lambda_head(node)}"
            return self._lines(node.body, indent, head, suffix, reserved)
        if isinstance(node, cst.Lambda) and isinstance(node.body, cst.IfExp) and not node.lpar:
            if node.body.lpar:
                raise Unknown
            inside = self._conditional(node.body, indent + self.step)
            return [f"{indent}{prefix}{_lambda_head(node)}(", *inside, f"{indent}){suffix}"]
        if isinstance(node, cst.IfExp) and len(node.lpar) == 1:
            inside = self._conditional(node.with_changes(lpar=[], rpar=[]), indent + self.step)
            return [f"{indent}{prefix}(", *inside, f"{indent}){suffix}"]
        if isinstance(node, cst.IfExp) and not node.lpar and not prefix and not suffix:
            return self._conditional(node, indent)
        if isinstance(node, _COMPREHENSIONS) and not node.lpar:
            return self._comprehension(node, indent, prefix, suffix)
        opened = _open(node)
        if opened is None:
            if not isinstance(node, _ATOMS):
                raise Unknown  # a formatter may put it in parentheses
            return [f"{indent}{prefix}{_flat(node)}{suffix}"]
        head, items, tail = opened
        if not items:
            raise Unknown
        inner = indent + self.step
        first = f"{indent}{prefix}{head}"
        last = f"{indent}{tail}{suffix}"
        magic = isinstance(items[-1].comma, cst.Comma)
        if not magic and not any(_is_exploded(_item_parts(item)[1]) for item in items):
            body = inner + ", ".join(_flat_item(item) for item in items)
            if self.fits(body):
                return [first, body, last]
        lines = [first]
        # A single item gets no comma: there is nothing to separate.
        comma = "," if magic or len(items) > 1 else ""
        for item in items:
            before, value = _item_parts(item)
            lines += self._lines(value, inner, before, comma)
        return [*lines, last]

    def _conditional(self, node: cst.IfExp, indent: str) -> list[str]:
        """Return the lines of what stands alone in its brackets, on one line or on three."""
        if not _is_exploded(node):
            line = f"{indent}{_flat(node)}"
            if self.fits(line):
                return [line]
        return [
            *self._lines(node.body, indent, "", ""),
            *self._lines(node.test, indent, "if ", ""),
            *self._lines(node.orelse, indent, "else ", ""),
        ]

    def _comprehension(
        self, node: _Comprehension, indent: str, prefix: str, suffix: str
    ) -> list[str]:
        bracket, end = _brackets(node)[0], _brackets(node)[1]
        inner, clauses = indent + self.step, _clauses(node.for_in)
        before, element = _element(node)
        whole = ""
        if not _is_exploded(element):
            whole = f"{inner}{before}{_flat(element)} {' '.join(clauses)}"
        if whole and self.fits(whole):
            lines = [whole]
        else:
            parts = [inner + part for part in clauses]
            if not all(map(self.fits, parts)):
                raise Unknown
            lines = [*self._lines(element, inner, before, ""), *parts]
        return [f"{indent}{prefix}{bracket}", *lines, f"{indent}{end}{suffix}"]


def silences_types(comment: str) -> bool:
    """Tell whether ``comment`` is a ``# type: ignore``."""
    return _TYPE_IGNORE.match(comment.strip()) is not None


def is_pragma(comment: str) -> bool:
    """Tell whether ``comment`` says something to a tool, about its line as a rule."""
    return _PRAGMA.match(comment.strip()) is not None


def silences_a_dropped_awaitable(comment: str) -> bool:
    """Tell whether ``comment`` has mypy pass over a task that nobody keeps, and nothing else."""
    return _UNUSED_AWAITABLE.fullmatch(comment) is not None


_DISPLAYS: Final = (cst.List, cst.Set, cst.Dict)
_ATOMS: Final = (
    cst.Name,
    cst.Attribute,
    cst.SimpleString,
    cst.FormattedString,
    cst.Integer,
    cst.Float,
)
_COMPREHENSIONS: Final = (cst.ListComp, cst.SetComp, cst.DictComp)
_Comprehension: TypeAlias = cst.ListComp | cst.SetComp | cst.DictComp
_Item: TypeAlias = cst.Arg | cst.BaseElement | cst.BaseDictElement | cst.SubscriptElement


@lru_cache(maxsize=64)
def _parse(code: str) -> cst.BaseSmallStatement:
    try:
        statement = cst.parse_statement(code)
    except cst.ParserSyntaxError:
        raise Unknown from None
    if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
        raise Unknown
    return statement.body[0]


def _parts(statement: cst.BaseSmallStatement) -> tuple[str, cst.BaseExpression, str]:
    """Split a statement into what stands before its expression, the expression, what follows."""
    if isinstance(statement, cst.Expr):
        return "", statement.value, ""
    if isinstance(statement, cst.Return) and statement.value is not None:
        return "return ", statement.value, ""
    if isinstance(statement, cst.Assign):
        targets = "".join(f"{_flat(target.target)} = " for target in statement.targets)
        value = statement.value
        if isinstance(value, cst.BinaryOperation) and _ends_in_set(value):
            # One operator between a name and a bracket: only the bracket is opened.
            return f"{targets}{_flat(value.left)} - ", value.right, ""
        return targets, value, ""
    if isinstance(statement, cst.AnnAssign) and statement.value is not None:
        target, annotation = _flat(statement.target), statement.annotation.annotation
        if _is_empty_call(statement.value) and isinstance(annotation, cst.Subscript):
            # There is nothing to break in the value.
            return f"{target}: ", annotation, f" = {_flat(statement.value)}"
        return f"{target}: {_flat(annotation)} = ", statement.value, ""
    raise Unknown


def _ends_in_set(value: cst.BinaryOperation) -> bool:
    return (
        not value.lpar
        and isinstance(value.operator, cst.Subtract)
        and isinstance(value.left, (cst.Name, cst.Attribute))
        and isinstance(value.right, cst.Set)
    )


def _is_empty_call(value: cst.BaseExpression) -> bool:
    return isinstance(value, cst.Call) and not value.args and not value.lpar


def _open(node: cst.BaseExpression) -> tuple[str, Sequence[_Item], str] | None:
    """Split a bracketed expression into its head with the bracket, its items and the end."""
    if isinstance(node, cst.Tuple) and _is_plain_tuple(node):
        return "(", node.elements, ")"
    if node.lpar:
        raise Unknown
    if isinstance(node, cst.Call):
        return f"{_flat(node.func)}(", node.args, ")"
    if isinstance(node, _DISPLAYS):
        return _brackets(node)[0], node.elements, _brackets(node)[1]
    if isinstance(node, cst.Subscript) and _has_one_index(node):
        return f"{_flat(node.value)}[", node.slice, "]"
    return None


def _is_plain_tuple(node: cst.Tuple) -> bool:
    """Tell whether a tuple is laid out like a list; the comma of a single element is no choice."""
    return len(node.lpar) == 1 and len(node.elements) > 1


def _clauses(loop: cst.CompFor | None) -> list[str]:
    """Return the ``for`` and ``if`` parts of a comprehension, each on one line."""
    found: list[str] = []
    while loop is not None:
        start = "async for" if loop.asynchronous is not None else "for"
        found.append(f"{start} {_flat(loop.target)} in {_flat(loop.iter)}")
        found += [f"if {_flat(test.test)}" for test in loop.ifs]
        loop = loop.inner_for_in
    return found


def _element(node: _Comprehension) -> tuple[str, cst.BaseExpression]:
    """Return what a comprehension makes of each, and what stands before it: the key."""
    if isinstance(node, cst.DictComp):
        return f"{_flat(node.key)}: ", node.value
    return "", node.elt


def _has_one_index(node: cst.Subscript) -> bool:
    [first, *others] = node.slice
    return not others and isinstance(first.slice, cst.Index) and not first.slice.star


def _lambda_head(node: cst.Lambda) -> str:
    head = _EMPTY.code_for_node(node).removesuffix(_EMPTY.code_for_node(node.body))
    if "\n" in head:
        raise Unknown
    return head


def _brackets(node: cst.BaseExpression) -> str:
    return "[]" if isinstance(node, (cst.List, cst.ListComp)) else "{}"


def _item_parts(item: _Item) -> tuple[str, cst.BaseExpression]:
    if isinstance(item, cst.Arg):
        return (f"{item.keyword.value}=" if item.keyword else item.star), item.value
    if isinstance(item, cst.DictElement):
        return f"{_flat(item.key)}: ", item.value
    if isinstance(item, cst.StarredDictElement):
        return "**", item.value
    if isinstance(item, cst.SubscriptElement):
        if not isinstance(item.slice, cst.Index):
            raise Unknown
        return "", item.slice.value
    return ("*" if isinstance(item, cst.StarredElement) else ""), item.value


def _flat_item(item: _Item) -> str:
    before, value = _item_parts(item)
    return before + _flat(value)


def _is_exploded(node: cst.CSTNode) -> bool:
    """Tell whether a magic trailing comma keeps ``node`` on several lines."""
    if isinstance(node, cst.Await):
        return _is_exploded(node.expression)
    if isinstance(node, cst.Attribute):
        return _is_exploded(node.value)
    if isinstance(node, cst.Lambda):
        return _is_exploded(node.body)
    if isinstance(node, _COMPREHENSIONS):
        return _is_exploded(_element(node)[1])
    if isinstance(node, cst.IfExp):
        return any(map(_is_exploded, (node.body, node.test, node.orelse)))
    if isinstance(node, cst.Call):
        magic = bool(node.args) and isinstance(node.args[-1].comma, cst.Comma)
        return magic or _is_exploded(node.func) or any(_is_exploded(a.value) for a in node.args)
    if isinstance(node, (*_DISPLAYS, cst.Tuple)):
        items = node.elements
        magic = bool(items) and isinstance(items[-1].comma, cst.Comma)
        return magic or any(_is_exploded(item.value) for item in items)
    return False


_EMPTY: Final = cst.Module([])


def _flat(node: cst.CSTNode) -> str:
    """Return ``node`` on one line. Raises ``Unknown`` if it can't be."""
    if isinstance(node, cst.Tuple) and _is_plain_tuple(node):
        _refuse_comments(node)
        return f"({', '.join(_flat_item(item) for item in node.elements)})"
    if isinstance(node, cst.IfExp) and len(node.lpar) == 1:
        _refuse_comments(node)
        return f"({_flat(node.with_changes(lpar=[], rpar=[]))})"
    if not getattr(node, "lpar", ()):
        if isinstance(node, cst.Await):
            return f"await {_flat(node.expression)}"
        if isinstance(node, cst.Attribute):
            return f"{_flat(node.value)}.{node.attr.value}"
        if isinstance(node, cst.Call):
            _refuse_comments(node)
            return f"{_flat(node.func)}({', '.join(_flat_item(arg) for arg in node.args)})"
        if isinstance(node, _DISPLAYS):
            _refuse_comments(node)
            inside = ", ".join(_flat_item(item) for item in node.elements)
            return inside.join(_brackets(node))
        if isinstance(node, _COMPREHENSIONS):
            _refuse_comments(node)
            before, element = _element(node)
            inside = " ".join([before + _flat(element), *_clauses(node.for_in)])
            return inside.join(_brackets(node))
        if isinstance(node, cst.IfExp):
            _refuse_comments(node)
            return f"{_flat(node.body)} if {_flat(node.test)} else {_flat(node.orelse)}"
        if isinstance(node, cst.Lambda):
            return f"{_lambda_head(node)}{_flat(node.body)}"
    code = _EMPTY.code_for_node(node)
    if "\n" in code:
        raise Unknown
    return code


def _refuse_comments(node: cst.CSTNode) -> None:
    code = _EMPTY.code_for_node(node)
    if "#" in code and "\n" in code:
        raise Unknown
