"""The nodes of a text that libcst's parser has read, and libcst's own, which know its layout.

libcst reads what CPython of this version may not, and knows where brackets, blanks and comments
are. It takes ten times as long as CPython over a text, so it is asked only by whoever needs that:
the fixer, and the rules where CPython refuses a text.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import libcst as cst
from libcst.metadata import CodePosition, CodeRange, MetadataWrapper, PositionProvider

from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.finding import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_OPERATORS: Final[dict[type[object], str]] = {
    cst.Add: "+", cst.Subtract: "-", cst.Multiply: "*", cst.Divide: "/", cst.FloorDivide: "//",
    cst.Modulo: "%", cst.Power: "**", cst.MatrixMultiply: "@", cst.LeftShift: "<<",
    cst.RightShift: ">>", cst.BitAnd: "&", cst.BitOr: "|", cst.BitXor: "^",
    cst.AddAssign: "+=", cst.SubtractAssign: "-=", cst.MultiplyAssign: "*=", cst.DivideAssign: "/=",
    cst.FloorDivideAssign: "//=", cst.ModuloAssign: "%=", cst.PowerAssign: "**=",
    cst.MatrixMultiplyAssign: "@=", cst.LeftShiftAssign: "<<=", cst.RightShiftAssign: ">>=",
    cst.BitAndAssign: "&=", cst.BitOrAssign: "|=", cst.BitXorAssign: "^=",
    cst.Not: "not", cst.Minus: "-", cst.Plus: "+", cst.BitInvert: "~", cst.And: "and", cst.Or: "or",
    cst.Equal: "==", cst.NotEqual: "!=", cst.Is: "is", cst.IsNot: "is not", cst.LessThan: "<",
    cst.LessThanEqual: "<=", cst.In: "in", cst.GreaterThan: ">", cst.GreaterThanEqual: ">=",
    cst.NotIn: "not in",
}  # fmt: skip


class Layout:
    """libcst's tree of a text beside the nodes that the rules see.

    ``module`` is libcst's, ``nodes`` the other one; ``original`` leads from this to that.
    """

    def __init__(self, text: str) -> None:
        """Parse ``text``. Raises ``SourceError`` if libcst cannot."""
        try:
            self.module = cst.parse_module(text)
        except cst.ParserSyntaxError as error:
            raise SourceError(error.message, error.raw_line, error.raw_column + 1) from None
        except cst.CSTValidationError as error:
            # Such as a bare except: before another, or b"" beside "".
            raise SourceError(str(error)) from None
        self._text = text
        self._originals: dict[syntax.Node, cst.CSTNode] = {}
        self.nodes = self._made()

    def original(self, node: syntax.Node) -> cst.CSTNode:
        """Return libcst's node for ``node``."""
        return self._originals[node]

    def code(self, node: syntax.Node) -> str:
        """Return ``node`` as the source writes it, the comments around it included."""
        return self.module.code_for_node(self._originals[node])

    def brackets(self, node: syntax.Node) -> int:
        """Return how many pairs of brackets stand around ``node``."""
        return len(getattr(self._originals[node], "lpar", ()))

    def has_comma(self, node: syntax.Node) -> bool:
        """Tell whether a comma stands behind ``node``, an argument or an element."""
        return isinstance(getattr(self._originals[node], "comma", None), cst.Comma)

    @property
    def default_indent(self) -> str:
        """The indentation of most of the text."""
        return self.module.default_indent.rpartition("\f")[2]

    def start(self, node: syntax.Node) -> tuple[int, int]:
        """Return the 1-based line and the 0-based column where ``node`` begins."""
        where = self.positions[self._originals[node]].start
        return where.line, where.column

    @cached_property
    def positions(self) -> Mapping[cst.CSTNode, CodeRange]:
        """Where each of libcst's nodes stands in the text."""
        found = positions(self.module)
        if "\f" not in self._text:
            return found
        # libcst forgets what stands before a form feed in a line's indentation, and the last lines
        # before one at the very end, where no node is.
        pairs = zip(self._text.split("\n"), self.module.code.split("\n"), strict=False)
        moved = [_blanks(line) - _blanks(written) for line, written in pairs]
        return {at: _moved(where, moved) for at, where in found.items()}

    def _made(self) -> syntax.Module:
        """Make a node of each of libcst's, from the inside out: they may be nested deeply."""
        order: list[cst.CSTNode] = []
        stack: list[cst.CSTNode] = [self.module]
        while stack:
            at = stack.pop()
            order.append(at)
            for name in _recipe(type(at)).children:
                value = getattr(at, name)
                items = value if isinstance(value, (list, tuple)) else (value,)
                stack += [item for item in items if _KNOWN[type(item)]]
        made: dict[int, syntax.Node] = {}
        for at in reversed(order):
            recipe = _recipe(type(at))
            node = made[id(at)] = recipe.cls(
                *[make(getattr(at, name), made) for name, make in recipe.fields]
            )
            self._originals[node] = at
        root = made[id(self.module)]
        if not isinstance(root, syntax.Module):
            raise TypeError("not a module")
        return root


def positions(module: cst.Module) -> Mapping[cst.CSTNode, CodeRange]:
    """Return where each node of ``module`` stands, which takes longer than its parse."""
    return MetadataWrapper(module, unsafe_skip_copy=True).resolve(PositionProvider)


def _blanks(line: str) -> int:
    return len(line) - len(line.lstrip())


def _moved(where: CodeRange, by: Sequence[int]) -> CodeRange:
    """Return ``where`` with the columns of each line moved as ``by`` says for it."""
    start, end = (
        CodePosition(at.line, at.column + by[at.line - 1]) if at.line <= len(by) else at
        for at in (where.start, where.end)
    )
    return CodeRange(start, end)


class _Recipe(NamedTuple):
    """How a node is made of one of libcst's."""

    cls: type[syntax.Node]
    children: tuple[str, ...]
    fields: tuple[tuple[str, Callable[[Any, dict[int, syntax.Node]], object]], ...]


_RECIPES: Final[dict[type[cst.CSTNode], _Recipe]] = {}


def _recipe(cls: type[cst.CSTNode]) -> _Recipe:
    known = _RECIPES.get(cls)
    if known is None:
        known = _RECIPES[cls] = _new_recipe(cls)
    return known


def _new_recipe(cls: type[cst.CSTNode]) -> _Recipe:
    ours = _ours(cls)
    if ours is None or not dataclasses.is_dataclass(ours):
        raise TypeError(f"unknown node {cls.__name__}")
    children = syntax.child_fields(ours)
    makers: list[tuple[str, Callable[[Any, dict[int, syntax.Node]], object]]] = [
        (_THEIR_FIELDS.get(name, name), _nodes if name in children else _SPECIAL.get(name, _as_is))
        for name in (item.name for item in dataclasses.fields(ours))
    ]
    return _Recipe(ours, children, tuple(makers))


class _Known(dict[type[object], bool]):
    """Whether a class is one of libcst's that the rules see. Each class is asked about once."""

    def __missing__(self, cls: type[object]) -> bool:
        known = self[cls] = _ours(cls) is not None
        return known


_KNOWN: Final = _Known()


def _ours(cls: type[object]) -> type[syntax.Node] | None:
    """Return the class of ours that has the name of ``cls``."""
    name = _OUR_CLASSES.get(cls.__name__, cls.__name__)
    found = getattr(syntax, name, None) if issubclass(cls, cst.CSTNode) else None
    return found if isinstance(found, type) and issubclass(found, syntax.Node) else None


def _nodes(value: object, made: dict[int, syntax.Node]) -> object:
    if isinstance(value, (list, tuple)):
        return [made[id(item)] for item in value if id(item) in made]
    return made.get(id(value))


def _as_is(value: object, _: object) -> object:
    return value


def _operator(value: object, _: object) -> str:
    return _OPERATORS[type(value)]


def _is_there(value: object, _: object) -> bool:
    return value is not None


def _stars(value: object, _: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Sequence[object], _: object) -> int:
    return len(value)


_OUR_CLASSES: Final = {"MatchList": "MatchSequence", "MatchTuple": "MatchSequence"}
_THEIR_FIELDS: Final = {"level": "relative"}
_SPECIAL: Final[dict[str, Callable[[Any, dict[int, syntax.Node]], object]]] = {
    "operator": _operator,
    "asynchronous": _is_there,
    "star": _stars,
    "level": _count,
}
