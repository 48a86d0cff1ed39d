"""The nodes that the rules see: what a text says, without its layout.

They have the names and shapes of libcst's nodes, whose reference explains them; but blanks,
brackets and comments are none of their business, an operator is its text, and an absent part is
None. ``from_python`` makes them of CPython's tree, which takes a tenth of the time that libcst
does; ``from_libcst`` of libcst's, where somebody has to know the layout, or what CPython of this
version cannot read. Either way they are the same, but for strings: how one is written, and that
several in a row are several, only libcst tells, and no rule may ask.
"""

from __future__ import annotations

import ast
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


class Node:
    """Any node. Two nodes are equal only if they are the same one."""

    __slots__ = ()


class BaseExpression(Node):
    """What has a value."""

    __slots__ = ()


class BaseStatement(Node):
    """What stands in a block: a line of small statements, or a compound statement."""

    __slots__ = ()


class BaseCompoundStatement(BaseStatement):
    """A statement with a block of its own."""

    __slots__ = ()


class BaseSmallStatement(Node):
    """A statement of which several can stand in one line."""

    __slots__ = ()


class BaseSuite(Node):
    """A block."""

    __slots__ = ()

    body: Sequence[Node]


# -- expressions ----------------------------------------------------------------------------------


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Name(BaseExpression):
    """A variable, or the name of something; ``True``, ``False`` and ``None``, too."""

    value: str


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Attribute(BaseExpression):
    """``a.b``."""

    value: BaseExpression
    attr: Name


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Ellipsis(BaseExpression):  # noqa: A001 (libcst's name)
    """``...``."""


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Integer(BaseExpression):
    """A whole number."""

    value: str

    @property
    def evaluated_value(self) -> int:
        """The number."""
        number: int = ast.literal_eval(self.value)
        return number


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Float(BaseExpression):
    """A number with a fraction."""

    value: str


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Imaginary(BaseExpression):
    """A number with a ``j``."""

    value: str


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class SimpleString(BaseExpression):
    """A string or bytes, with its quotes."""

    value: str

    @property
    def evaluated_value(self) -> str | bytes:
        """What the string says."""
        said: str | bytes = ast.literal_eval(self.value)
        return said


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class FormattedStringText(Node):
    """The text between the replacement fields of an f-string."""

    value: str


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class FormattedStringExpression(Node):
    """A replacement field."""

    expression: BaseExpression
    format_spec: Sequence[Node] | None = None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class FormattedString(BaseExpression):
    """An f-string; of CPython, strings in a row one of which is an f-string."""

    parts: Sequence[FormattedStringText | FormattedStringExpression]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class TemplatedStringText(Node):
    """The text between the replacement fields of a t-string."""

    value: str


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class TemplatedStringExpression(Node):
    """A replacement field of a t-string."""

    expression: BaseExpression
    format_spec: Sequence[Node] | None = None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class TemplatedString(BaseExpression):
    """A t-string."""

    parts: Sequence[TemplatedStringText | TemplatedStringExpression]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class ConcatenatedString(BaseExpression):
    """Two strings in a row; of CPython, they are one."""

    left: BaseExpression
    right: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class UnaryOperation(BaseExpression):
    """``not a`` or ``-a``."""

    operator: str
    expression: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class BinaryOperation(BaseExpression):
    """``a + b``."""

    left: BaseExpression
    operator: str
    right: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class BooleanOperation(BaseExpression):
    """``a and b``."""

    left: BaseExpression
    operator: str
    right: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class ComparisonTarget(Node):
    """``< b``."""

    operator: str
    comparator: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Comparison(BaseExpression):
    """``a < b < c``."""

    left: BaseExpression
    comparisons: Sequence[ComparisonTarget]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Index(Node):
    """What is in the brackets of a subscript."""

    value: BaseExpression
    star: str = ""


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Slice(Node):
    """``a:b:c``."""

    lower: BaseExpression | None
    upper: BaseExpression | None
    step: BaseExpression | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class SubscriptElement(Node):
    """One of the parts of a subscript between commas."""

    slice: Index | Slice


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Subscript(BaseExpression):
    """``a[b, c]``."""

    value: BaseExpression
    slice: Sequence[SubscriptElement]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Annotation(Node):
    """The annotation of a parameter, of a variable, or of what a function returns."""

    annotation: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Param(Node):
    """A parameter; ``star`` is one for ``*a``, two for ``**a``."""

    name: Name
    annotation: Annotation | None = None
    default: BaseExpression | None = None
    star: str = ""


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Parameters(Node):
    """The parameters of a function, in five groups."""

    posonly_params: Sequence[Param]
    params: Sequence[Param]
    star_arg: Param | None
    kwonly_params: Sequence[Param]
    star_kwarg: Param | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Lambda(BaseExpression):
    """``lambda a: b``."""

    params: Parameters
    body: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Arg(Node):
    """An argument, with the stars before it."""

    keyword: Name | None
    value: BaseExpression
    star: str = ""


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Call(BaseExpression):
    """``a(b)``."""

    func: BaseExpression
    args: Sequence[Arg]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Await(BaseExpression):
    """``await a``."""

    expression: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class From(Node):
    """``from a``, behind ``yield`` or ``raise``."""

    item: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Yield(BaseExpression):
    """``yield a``."""

    value: BaseExpression | From | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class IfExp(BaseExpression):
    """``body if test else orelse``."""

    body: BaseExpression
    test: BaseExpression
    orelse: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class NamedExpr(BaseExpression):
    """``a := b``."""

    target: BaseExpression
    value: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class BaseElement(Node):
    """What stands in a tuple, list or set."""

    value: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Element(BaseElement):
    """A value in a tuple, list or set."""


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class StarredElement(BaseElement):
    """``*a`` in a tuple, list or set."""


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Tuple(BaseExpression):
    """``a, b``."""

    elements: Sequence[BaseElement]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class List(BaseExpression):
    """``[a, b]``."""

    elements: Sequence[BaseElement]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Set(BaseExpression):
    """``{a, b}``."""

    elements: Sequence[BaseElement]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class BaseDictElement(Node):
    """What stands in a dictionary."""


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class DictElement(BaseDictElement):
    """``a: b``."""

    key: BaseExpression
    value: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class StarredDictElement(BaseDictElement):
    """``**a``."""

    value: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Dict(BaseExpression):
    """``{a: b}``."""

    elements: Sequence[DictElement | StarredDictElement]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class CompIf(Node):
    """``if a`` in a comprehension."""

    test: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class CompFor(Node):
    """``for a in b if c``, and what follows."""

    target: BaseExpression
    iter: BaseExpression
    ifs: Sequence[CompIf]
    inner_for_in: CompFor | None
    asynchronous: bool = False


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class GeneratorExp(BaseExpression):
    """``(a for a in b)``."""

    elt: BaseExpression
    for_in: CompFor


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class ListComp(BaseExpression):
    """``[a for a in b]``."""

    elt: BaseExpression
    for_in: CompFor


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class SetComp(BaseExpression):
    """``{a for a in b}``."""

    elt: BaseExpression
    for_in: CompFor


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class DictComp(BaseExpression):
    """``{a: b for a in c}``."""

    key: BaseExpression
    value: BaseExpression
    for_in: CompFor


# -- small statements -----------------------------------------------------------------------------


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Expr(BaseSmallStatement):
    """An expression that stands alone."""

    value: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class AssignTarget(Node):
    """``a =``."""

    target: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Assign(BaseSmallStatement):
    """``a = b = 1``."""

    targets: Sequence[AssignTarget]
    value: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class AnnAssign(BaseSmallStatement):
    """``a: int = 1``."""

    target: BaseExpression
    annotation: Annotation
    value: BaseExpression | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class AugAssign(BaseSmallStatement):
    """``a += 1``."""

    target: BaseExpression
    operator: str
    value: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Del(BaseSmallStatement):
    """``del a``."""

    target: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Pass(BaseSmallStatement):
    """``pass``."""


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Break(BaseSmallStatement):
    """``break``."""


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Continue(BaseSmallStatement):
    """``continue``."""


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Return(BaseSmallStatement):
    """``return a``."""

    value: BaseExpression | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Raise(BaseSmallStatement):
    """``raise a from b``."""

    exc: BaseExpression | None
    cause: From | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Assert(BaseSmallStatement):
    """``assert a, b``."""

    test: BaseExpression
    msg: BaseExpression | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class NameItem(Node):
    """One of the names of a ``global`` or ``nonlocal``."""

    name: Name


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Global(BaseSmallStatement):
    """``global a``."""

    names: Sequence[NameItem]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Nonlocal(BaseSmallStatement):
    """``nonlocal a``."""

    names: Sequence[NameItem]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class AsName(Node):
    """``as a``."""

    name: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class ImportAlias(Node):
    """``a.b as c``."""

    name: Name | Attribute
    asname: AsName | None = None

    @property
    def evaluated_name(self) -> str:
        """What is imported: ``a.b``."""
        return dotted_text(self.name) or ""

    @property
    def evaluated_alias(self) -> str | None:
        """What it is called here, if it is called otherwise."""
        return dotted_text(self.asname.name) if self.asname is not None else None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class ImportStar(Node):
    """``*``."""


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Import(BaseSmallStatement):
    """``import a.b as c``."""

    names: Sequence[ImportAlias]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class ImportFrom(BaseSmallStatement):
    """``from .a import b``; ``level`` is the number of dots."""

    module: Name | Attribute | None
    names: Sequence[ImportAlias] | ImportStar
    level: int


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class TypeVar(Node):
    """A type parameter."""

    name: Name
    bound: BaseExpression | None = None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class TypeVarTuple(Node):
    """A type parameter, ``*a``."""

    name: Name


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class ParamSpec(Node):
    """A type parameter, ``**a``."""

    name: Name


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class TypeParam(Node):
    """A type parameter with its default."""

    param: TypeVar | TypeVarTuple | ParamSpec
    default: BaseExpression | None = None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class TypeParameters(Node):
    """``[a, b]`` behind the name of a function, class or type."""

    params: Sequence[TypeParam]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class TypeAlias(BaseSmallStatement):
    """``type a = b``."""

    name: Name
    type_parameters: TypeParameters | None
    value: BaseExpression


# -- blocks and compound statements ---------------------------------------------------------------


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class SimpleStatementLine(BaseStatement):
    """The small statements of one line."""

    body: Sequence[BaseSmallStatement]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class SimpleStatementSuite(BaseSuite):
    """A block of small statements in the line of its header."""

    body: Sequence[BaseSmallStatement]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class IndentedBlock(BaseSuite):
    """A block of its own lines."""

    body: Sequence[BaseStatement]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Module(Node):
    """A whole text."""

    body: Sequence[SimpleStatementLine | BaseCompoundStatement]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Decorator(Node):
    """``@a``."""

    decorator: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class FunctionDef(BaseCompoundStatement):
    """A function, asynchronous or not."""

    decorators: Sequence[Decorator]
    name: Name
    type_parameters: TypeParameters | None
    params: Parameters
    returns: Annotation | None
    body: BaseSuite
    asynchronous: bool = False


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class ClassDef(BaseCompoundStatement):
    """A class."""

    decorators: Sequence[Decorator]
    name: Name
    type_parameters: TypeParameters | None
    bases: Sequence[Arg]
    keywords: Sequence[Arg]
    body: BaseSuite


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Else(Node):
    """``else:`` of an ``if``, a loop or a ``try``."""

    body: BaseSuite


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class If(BaseCompoundStatement):
    """``if`` or ``elif``."""

    test: BaseExpression
    body: BaseSuite
    orelse: If | Else | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class For(BaseCompoundStatement):
    """A ``for`` loop, asynchronous or not."""

    target: BaseExpression
    iter: BaseExpression
    body: BaseSuite
    orelse: Else | None
    asynchronous: bool = False


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class While(BaseCompoundStatement):
    """A ``while`` loop."""

    test: BaseExpression
    body: BaseSuite
    orelse: Else | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class WithItem(Node):
    """``a as b`` of a ``with``."""

    item: BaseExpression
    asname: AsName | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class With(BaseCompoundStatement):
    """A ``with``, asynchronous or not."""

    items: Sequence[WithItem]
    body: BaseSuite
    asynchronous: bool = False


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Finally(Node):
    """``finally:``."""

    body: BaseSuite


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class ExceptHandler(Node):
    """``except a as b:``."""

    type: BaseExpression | None
    name: AsName | None
    body: BaseSuite


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class ExceptStarHandler(Node):
    """``except* a as b:``."""

    type: BaseExpression
    name: AsName | None
    body: BaseSuite


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Try(BaseCompoundStatement):
    """``try:``."""

    body: BaseSuite
    handlers: Sequence[ExceptHandler]
    orelse: Else | None
    finalbody: Finally | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class TryStar(BaseCompoundStatement):
    """``try:`` with ``except*``."""

    body: BaseSuite
    handlers: Sequence[ExceptStarHandler]
    orelse: Else | None
    finalbody: Finally | None


# -- patterns -------------------------------------------------------------------------------------


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchPattern(Node):
    """What stands behind ``case``."""


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchValue(MatchPattern):
    """A value."""

    value: BaseExpression


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchSingleton(MatchPattern):
    """``None``, ``True`` or ``False``."""

    value: Name


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchSequenceElement(Node):
    """A pattern in a sequence."""

    value: MatchPattern


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchStar(Node):
    """``*a``."""

    name: Name | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchSequence(MatchPattern):
    """``[a, b]`` or ``a, b``."""

    patterns: Sequence[MatchSequenceElement | MatchStar]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchMappingElement(Node):
    """``a: b``."""

    key: BaseExpression
    pattern: MatchPattern


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchMapping(MatchPattern):
    """``{a: b, **c}``."""

    elements: Sequence[MatchMappingElement]
    rest: Name | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchKeywordElement(Node):
    """``a=b``."""

    key: Name
    pattern: MatchPattern


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchClass(MatchPattern):
    """``a(b, c=d)``."""

    cls: BaseExpression
    patterns: Sequence[MatchSequenceElement]
    kwds: Sequence[MatchKeywordElement]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchAs(MatchPattern):
    """``a as b``, a name, or ``_``."""

    pattern: MatchPattern | None
    name: Name | None


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchOrElement(Node):
    """One of the patterns of ``a | b``."""

    pattern: MatchPattern


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchOr(MatchPattern):
    """``a | b``."""

    patterns: Sequence[MatchOrElement]


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class MatchCase(Node):
    """``case a if b:``."""

    pattern: MatchPattern
    guard: BaseExpression | None
    body: BaseSuite


@dataclass(eq=False, slots=True, repr=False, match_args=False)
class Match(BaseCompoundStatement):
    """``match a:``."""

    subject: BaseExpression
    cases: Sequence[MatchCase]


# -- their children -------------------------------------------------------------------------

_TEXTS: Final = frozenset({"str", "int", "bool"})
_FIELDS: Final[dict[type[Node], tuple[str, ...]]] = {}


def child_fields(cls: type[Node]) -> tuple[str, ...]:
    """Return the names of the fields of ``cls`` that hold nodes, in the order of the source."""
    known = _FIELDS.get(cls)
    if known is None:
        every: tuple[Field[object], ...] = fields(cls) if is_dataclass(cls) else ()
        known = _FIELDS[cls] = tuple(item.name for item in every if item.type not in _TEXTS)
    return known


def children(node: Node) -> list[tuple[str, Node]]:
    """Return the nodes right below ``node`` in source order, each with its field's name."""
    found: list[tuple[str, Node]] = []
    for name in child_fields(type(node)):
        value = getattr(node, name)
        if value is None:
            continue
        if type(value) is list:
            found += [(name, item) for item in value]
        else:
            found.append((name, value))
    return found


# -- names ----------------------------------------------------------------------------------


def dotted_text(node: Node | None) -> str | None:
    """Return ``a.b.c`` as text if ``node`` is such a chain of plain names, else None."""
    parts: list[str] = []
    while isinstance(node, Attribute):
        parts.append(node.attr.value)
        node = node.value
    if not isinstance(node, Name):
        return None
    parts.append(node.value)
    return ".".join(reversed(parts))


def is_name(node: Node, name: str) -> bool:
    """Tell whether ``node`` is the variable ``name``."""
    return isinstance(node, Name) and node.value == name


def last_name(node: Node) -> str:
    """Return the last name of a name or attribute chain: ``c`` of ``a.b().c``, else ``""``."""
    if isinstance(node, Attribute):
        return node.attr.value
    return node.value if isinstance(node, Name) else ""
