"""The nodes of a text that CPython's parser has read: what it says, not how it is laid out.

libcst takes ten times as long over a text as CPython does, most of it for blanks, which no rule
looks at. So the trees that only rules see are made here: whoever edits a text, or wants its very
words, needs ``from_libcst``.
"""

from __future__ import annotations

import ast
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from flake8_task_refs.analysis import syntax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class UntranslatableError(ValueError):
    """A text holds what is too rare to be translated; libcst's parser knows it."""


_BINARY: Final[dict[type[ast.operator], str]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**", ast.MatMult: "@", ast.LShift: "<<", ast.RShift: ">>", ast.BitAnd: "&",
    ast.BitOr: "|", ast.BitXor: "^",
}  # fmt: skip
_UNARY: Final[dict[type[ast.unaryop], str]] = {
    ast.Not: "not", ast.USub: "-", ast.UAdd: "+", ast.Invert: "~",
}  # fmt: skip
_BOOLEAN: Final[dict[type[ast.boolop], str]] = {ast.And: "and", ast.Or: "or"}
_COMPARED: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is", ast.IsNot: "is not", ast.Lt: "<", ast.LtE: "<=",
    ast.Gt: ">", ast.GtE: ">=", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
# What CPython knows from 3.11 on, and from 3.12 on.
_TRY_STAR: Final[type[ast.stmt] | None] = getattr(ast, "TryStar", None)
_TYPE_ALIAS: Final[type[ast.stmt] | None] = getattr(ast, "TypeAlias", None)
_NEWER_COMPOUND: Final = () if _TRY_STAR is None else (_TRY_STAR,)
_COMPOUND: Final = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.AsyncFor, ast.While,
    ast.With, ast.AsyncWith, ast.Try, ast.Match, *_NEWER_COMPOUND,
)  # fmt: skip


def light_module(tree: ast.Module, text: str) -> tuple[syntax.Module, dict[syntax.Node, ast.Call]]:
    """Return the nodes of ``tree``, CPython's tree of ``text``, and what each call was.

    Raises ``UntranslatableError`` for what is rarely seen (template strings, numbers of thousands
    of digits, letters that Unicode replaces by others in names), and ``RecursionError``.
    """
    if not text.isascii() and not _has_normal_names(text):
        # CPython tells names in their normal form only.
        raise UntranslatableError("a name, or a string, in unusual letters")
    translator = _Translator(text)
    return syntax.Module(translator.statements(tree.body)), translator.calls


def _has_normal_names(text: str) -> bool:
    """Tell whether Unicode's normal form of all that may be in a name is the text's own."""
    if unicodedata.is_normalized("NFKC", text):
        return True
    # An ellipsis in a comment is none of a name's letters.
    strange = {char for char in text if not char.isascii() and not f"a{char}".isidentifier()}
    return unicodedata.is_normalized("NFKC", text.translate(dict.fromkeys(map(ord, strange), " ")))


def expression_of(code: str) -> syntax.BaseExpression:
    """Return the nodes of the expression ``code``.

    Raises ``SyntaxError`` if it is none, and what ``light_module`` raises.
    """
    translated: syntax.BaseExpression = _Translator(code).expression(
        ast.parse(code.strip(), mode="eval").body
    )
    return translated


class _Translator:
    """Makes nodes out of CPython's. A method's name says which nodes it takes."""

    def __init__(self, text: str) -> None:
        self.calls: dict[syntax.Node, ast.Call] = {}
        self._lines = text.split("\n")

    # -- statements -------------------------------------------------------------------------

    def statements(self, nodes: Sequence[ast.stmt]) -> list[Any]:
        """Translate the statements of a block, those of one line together."""
        found: list[Any] = []
        line: list[Any] = []
        last = 0
        for node in nodes:
            made = _STATEMENTS[type(node)](self, node)
            if isinstance(node, _COMPOUND):
                found.append(made)
            elif node.lineno == last:
                line.append(made)
                last = node.end_lineno or 0
            else:
                line = [made]
                found.append(syntax.SimpleStatementLine(body=line))
                last = node.end_lineno or 0
        return found

    def _body(self, nodes: Sequence[ast.stmt]) -> syntax.BaseSuite:
        first = nodes[0]
        before = self._lines[first.lineno - 1][: first.col_offset]
        if before and not before.isspace() and not isinstance(first, _COMPOUND):
            # They may go on behind a backslash.
            parts = [part for line in self.statements(nodes) for part in line.body]
            return syntax.SimpleStatementSuite(body=parts)
        return syntax.IndentedBlock(body=self.statements(nodes))

    def _else(self, nodes: Sequence[ast.stmt]) -> syntax.Else | None:
        return syntax.Else(body=self._body(nodes)) if nodes else None

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> syntax.FunctionDef:
        """Translate a function, its decorators, and all that is in it."""
        return syntax.FunctionDef(
            decorators=self._decorators(node),
            asynchronous=isinstance(node, ast.AsyncFunctionDef),
            name=syntax.Name(node.name),
            type_parameters=self._type_parameters(node),
            params=self._parameters(node.args),
            returns=self._annotation(node.returns),
            body=self._body(node.body),
        )

    def _decorators(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ) -> list[syntax.Decorator]:
        return [syntax.Decorator(self.expression(item)) for item in node.decorator_list]

    def _annotation(self, node: ast.expr | None) -> syntax.Annotation | None:
        return None if node is None else syntax.Annotation(annotation=self.expression(node))

    def _type_parameters(self, node: Any) -> syntax.TypeParameters | None:
        """Translate ``[T: int = str, *U]``, which CPython knows from 3.12 on."""
        given: Sequence[Any] = getattr(node, "type_params", ())
        if not given:
            return None
        found: list[syntax.TypeParam] = []
        for item in given:
            name = syntax.Name(item.name)
            param: syntax.TypeVar | syntax.TypeVarTuple | syntax.ParamSpec
            match type(item).__name__:
                case "TypeVar":
                    param = syntax.TypeVar(name, self._optional(item.bound))
                case "TypeVarTuple":
                    param = syntax.TypeVarTuple(name)
                case _:
                    param = syntax.ParamSpec(name)
            default = self._optional(getattr(item, "default_value", None))
            found.append(syntax.TypeParam(param, default))
        return syntax.TypeParameters(found)

    def _parameters(self, node: ast.arguments) -> syntax.Parameters:
        ordered = [*node.posonlyargs, *node.args]
        defaults = [*[None] * (len(ordered) - len(node.defaults)), *node.defaults]
        params = [self._parameter(*pair, "") for pair in zip(ordered, defaults, strict=True)]
        keyword_only = zip(node.kwonlyargs, node.kw_defaults, strict=True)
        return syntax.Parameters(
            posonly_params=params[: len(node.posonlyargs)],
            params=params[len(node.posonlyargs) :],
            star_arg=self._parameter(node.vararg, None, "*") if node.vararg else None,
            kwonly_params=[self._parameter(*pair, "") for pair in keyword_only],
            star_kwarg=self._parameter(node.kwarg, None, "**") if node.kwarg else None,
        )

    def _parameter(self, node: ast.arg, default: ast.expr | None, star: str) -> syntax.Param:
        return syntax.Param(
            name=syntax.Name(node.arg),
            annotation=self._annotation(node.annotation),
            default=None if default is None else self.expression(default),
            star=star,
        )

    def class_(self, node: ast.ClassDef) -> syntax.ClassDef:
        """Translate a class and all that is in it."""
        return syntax.ClassDef(
            decorators=self._decorators(node),
            name=syntax.Name(node.name),
            type_parameters=self._type_parameters(node),
            bases=[self._argument(base) for base in node.bases],
            keywords=[self._keyword(keyword) for keyword in node.keywords],
            body=self._body(node.body),
        )

    def if_(self, node: ast.If) -> syntax.If:
        """Translate an ``if`` with its ``elif`` and ``else``."""
        orelse: syntax.If | syntax.Else | None
        rest = node.orelse
        if rest and isinstance(rest[0], ast.If) and self._is_elif(node, rest[0]):
            orelse = self.if_(rest[0])
        else:
            orelse = self._else(rest)
        test = self.expression(node.test)
        return syntax.If(test=test, body=self._body(node.body), orelse=orelse)

    def _is_elif(self, outer: ast.If, inner: ast.If) -> bool:
        return inner.col_offset == outer.col_offset and self._lines[inner.lineno - 1].startswith(
            "elif", inner.col_offset
        )

    def for_(self, node: ast.For | ast.AsyncFor) -> syntax.For:
        """Translate a loop, asynchronous or not."""
        return syntax.For(
            target=self.expression(node.target),
            iter=self.expression(node.iter),
            body=self._body(node.body),
            orelse=self._else(node.orelse),
            asynchronous=isinstance(node, ast.AsyncFor),
        )

    def while_(self, node: ast.While) -> syntax.While:
        """Translate a loop."""
        return syntax.While(
            test=self.expression(node.test),
            body=self._body(node.body),
            orelse=self._else(node.orelse),
        )

    def with_(self, node: ast.With | ast.AsyncWith) -> syntax.With:
        """Translate a ``with``, asynchronous or not."""
        items = []
        for item in node.items:
            given = item.optional_vars
            asname = None if given is None else syntax.AsName(name=self.expression(given))
            items.append(syntax.WithItem(item=self.expression(item.context_expr), asname=asname))
        return syntax.With(
            items=items,
            body=self._body(node.body),
            asynchronous=isinstance(node, ast.AsyncWith),
        )

    def try_(self, node: ast.Try) -> syntax.Try:
        """Translate a ``try`` with its handlers."""
        last = node.finalbody
        final = syntax.Finally(body=self._body(last)) if last else None
        return syntax.Try(
            body=self._body(node.body),
            handlers=[
                syntax.ExceptHandler(
                    type=None if item.type is None else self.expression(item.type),
                    name=None if item.name is None else syntax.AsName(name=syntax.Name(item.name)),
                    body=self._body(item.body),
                )
                for item in node.handlers
            ],
            orelse=self._else(node.orelse),
            finalbody=final,
        )

    def try_star(self, node: Any) -> syntax.TryStar:
        """Translate a ``try`` with ``except*``, which CPython knows from 3.11 on."""
        plain = self.try_(node)
        handlers = [
            syntax.ExceptStarHandler(handler.type, handler.name, handler.body)
            for handler in plain.handlers
            if handler.type is not None
        ]
        return syntax.TryStar(plain.body, handlers, plain.orelse, plain.finalbody)

    def match(self, node: ast.Match) -> syntax.Match:
        """Translate a ``match`` with its cases."""
        cases = [
            syntax.MatchCase(
                self._pattern(case.pattern), self._optional(case.guard), self._body(case.body)
            )
            for case in node.cases
        ]
        return syntax.Match(self.expression(node.subject), cases)

    def _pattern(self, node: ast.pattern) -> syntax.MatchPattern:
        match node:
            case ast.MatchValue():
                return syntax.MatchValue(self.expression(node.value))
            case ast.MatchSingleton():
                return syntax.MatchSingleton(syntax.Name(str(node.value)))
            case ast.MatchSequence():
                return syntax.MatchSequence([self._pattern_part(part) for part in node.patterns])
            case ast.MatchMapping():
                pairs = zip(node.keys, node.patterns, strict=True)
                return syntax.MatchMapping(
                    [
                        syntax.MatchMappingElement(self.expression(key), self._pattern(value))
                        for key, value in pairs
                    ],
                    _optional_name(node.rest),
                )
            case ast.MatchClass():
                named = zip(node.kwd_attrs, node.kwd_patterns, strict=True)
                return syntax.MatchClass(
                    self.expression(node.cls),
                    [syntax.MatchSequenceElement(self._pattern(part)) for part in node.patterns],
                    [
                        syntax.MatchKeywordElement(syntax.Name(name), self._pattern(part))
                        for name, part in named
                    ],
                )
            case ast.MatchAs():
                inner = None if node.pattern is None else self._pattern(node.pattern)
                return syntax.MatchAs(inner, _optional_name(node.name))
            case ast.MatchOr():
                parts = [syntax.MatchOrElement(self._pattern(part)) for part in node.patterns]
                return syntax.MatchOr(parts)
            case _:
                raise UntranslatableError(type(node).__name__)

    def _pattern_part(self, node: ast.pattern) -> syntax.MatchSequenceElement | syntax.MatchStar:
        if isinstance(node, ast.MatchStar):
            return syntax.MatchStar(_optional_name(node.name))
        return syntax.MatchSequenceElement(self._pattern(node))

    def type_alias(self, node: Any) -> syntax.TypeAlias:
        """Translate ``type a = b``, which CPython knows from 3.12 on."""
        parameters = self._type_parameters(node)
        return syntax.TypeAlias(syntax.Name(node.name.id), parameters, self.expression(node.value))

    def expression_statement(self, node: ast.Expr) -> syntax.Expr:
        """Translate an expression that stands alone."""
        return syntax.Expr(value=self.expression(node.value))

    def assign(self, node: ast.Assign) -> syntax.Assign:
        """Translate ``a = b = 1``."""
        targets = [syntax.AssignTarget(self.expression(target)) for target in node.targets]
        return syntax.Assign(targets=targets, value=self.expression(node.value))

    def augmented(self, node: ast.AugAssign) -> syntax.AugAssign:
        """Translate ``a += 1``."""
        return syntax.AugAssign(
            target=self.expression(node.target),
            operator=f"{_BINARY[type(node.op)]}=",
            value=self.expression(node.value),
        )

    def annotated(self, node: ast.AnnAssign) -> syntax.AnnAssign:
        """Translate ``a: int = 1``."""
        return syntax.AnnAssign(
            target=self.expression(node.target),
            annotation=syntax.Annotation(annotation=self.expression(node.annotation)),
            value=self._optional(node.value),
        )

    def _optional(self, node: ast.expr | None) -> Any:
        return None if node is None else self.expression(node)

    def return_(self, node: ast.Return) -> syntax.Return:
        """Translate a return."""
        return syntax.Return(value=self._optional(node.value))

    def raise_(self, node: ast.Raise) -> syntax.Raise:
        """Translate a raise."""
        cause = None if node.cause is None else syntax.From(item=self.expression(node.cause))
        return syntax.Raise(exc=self._optional(node.exc), cause=cause)

    def assert_(self, node: ast.Assert) -> syntax.Assert:
        """Translate an assertion."""
        return syntax.Assert(test=self.expression(node.test), msg=self._optional(node.msg))

    def delete(self, node: ast.Delete) -> syntax.Del:
        """Translate ``del a, b``."""
        if len(node.targets) == 1:
            return syntax.Del(target=self.expression(node.targets[0]))
        return syntax.Del(target=syntax.Tuple(elements=self._elements(node.targets)))

    def global_(self, node: ast.Global) -> syntax.Global:
        """Translate ``global a``."""
        return syntax.Global(names=[syntax.NameItem(name=syntax.Name(name)) for name in node.names])

    def nonlocal_(self, node: ast.Nonlocal) -> syntax.Nonlocal:
        """Translate ``nonlocal a``."""
        return syntax.Nonlocal(
            names=[syntax.NameItem(name=syntax.Name(name)) for name in node.names]
        )

    def import_(self, node: ast.Import) -> syntax.Import:
        """Translate ``import a.b as c``."""
        return syntax.Import(names=_aliases(node.names))

    def import_from(self, node: ast.ImportFrom) -> syntax.ImportFrom:
        """Translate ``from .a import b as c``."""
        is_star = node.names[0].name == "*"
        return syntax.ImportFrom(
            module=_dotted(node.module) if node.module else None,
            names=syntax.ImportStar() if is_star else _aliases(node.names),
            level=node.level,
        )

    def pass_(self, _: ast.Pass) -> syntax.Pass:
        """Translate a pass."""
        return syntax.Pass()

    def break_(self, _: ast.Break) -> syntax.Break:
        """Translate a break."""
        return syntax.Break()

    def continue_(self, _: ast.Continue) -> syntax.Continue:
        """Translate a continue."""
        return syntax.Continue()

    # -- expressions ------------------------------------------------------------------------

    def expression(self, node: ast.expr) -> Any:
        """Translate any expression."""
        return _EXPRESSIONS[type(node)](self, node)

    def name(self, node: ast.Name) -> syntax.Name:
        """Translate a variable."""
        return syntax.Name(node.id)

    def attribute(self, node: ast.Attribute) -> syntax.Attribute:
        """Translate ``a.b``."""
        return syntax.Attribute(value=self.expression(node.value), attr=syntax.Name(node.attr))

    def call(self, node: ast.Call) -> syntax.Call:
        """Translate a call; the arguments come in the order of the source."""
        func = self.expression(node.func)
        args = [self._argument(arg) for arg in node.args]
        if node.keywords:
            args += [self._keyword(keyword) for keyword in node.keywords]
            if node.args and _place(node.keywords[0].value) < _place(node.args[-1]):
                places = map(_place, (*node.args, *(item.value for item in node.keywords)))
                order = sorted(zip(places, range(len(args)), strict=True))
                args = [args[at] for _, at in order]
        made = syntax.Call(func=func, args=args)
        self.calls[made] = node
        return made

    def _argument(self, node: ast.expr) -> syntax.Arg:
        if isinstance(node, ast.Starred):
            return syntax.Arg(None, self.expression(node.value), "*")
        return syntax.Arg(None, self.expression(node))

    def _keyword(self, node: ast.keyword) -> syntax.Arg:
        value = self.expression(node.value)
        if node.arg is None:
            return syntax.Arg(None, value, "**")
        return syntax.Arg(syntax.Name(node.arg), value)

    def constant(self, node: ast.Constant) -> syntax.BaseExpression:
        """Translate a literal, ``True``, ``False``, ``None`` and ``...``."""
        value = node.value
        if isinstance(value, (str, bytes)):
            return syntax.SimpleString(value=repr(value))
        if value is None or isinstance(value, bool):
            return syntax.Name(str(value))
        if value is ...:
            return syntax.Ellipsis()
        try:
            text = repr(value)
        except ValueError as error:
            raise UntranslatableError(str(error)) from None
        if isinstance(value, int):
            return syntax.Integer(text)
        return syntax.Float(text) if isinstance(value, float) else syntax.Imaginary(text)

    def binary(self, node: ast.BinOp) -> syntax.BinaryOperation:
        """Translate ``a + b``."""
        return syntax.BinaryOperation(
            left=self.expression(node.left),
            operator=_BINARY[type(node.op)],
            right=self.expression(node.right),
        )

    def boolean(self, node: ast.BoolOp) -> Any:
        """Translate ``a and b and c``, which is two operations here."""
        operator = _BOOLEAN[type(node.op)]
        found, *others = (self.expression(value) for value in node.values)
        for other in others:
            found = syntax.BooleanOperation(left=found, operator=operator, right=other)
        return found

    def unary(self, node: ast.UnaryOp) -> syntax.UnaryOperation:
        """Translate ``not a`` and ``-a``."""
        return syntax.UnaryOperation(
            operator=_UNARY[type(node.op)], expression=self.expression(node.operand)
        )

    def compare(self, node: ast.Compare) -> syntax.Comparison:
        """Translate ``a < b < c``."""
        return syntax.Comparison(
            left=self.expression(node.left),
            comparisons=[
                syntax.ComparisonTarget(
                    operator=_COMPARED[type(operator)], comparator=self.expression(right)
                )
                for operator, right in zip(node.ops, node.comparators, strict=True)
            ],
        )

    def conditional(self, node: ast.IfExp) -> syntax.IfExp:
        """Translate ``a if b else c``."""
        return syntax.IfExp(
            body=self.expression(node.body),
            test=self.expression(node.test),
            orelse=self.expression(node.orelse),
        )

    def lambda_(self, node: ast.Lambda) -> syntax.Lambda:
        """Translate a lambda."""
        return syntax.Lambda(params=self._parameters(node.args), body=self.expression(node.body))

    def await_(self, node: ast.Await) -> syntax.Await:
        """Translate an await."""
        return syntax.Await(expression=self.expression(node.value))

    def yield_(self, node: ast.Yield) -> syntax.Yield:
        """Translate a yield."""
        return syntax.Yield(value=self._optional(node.value))

    def yield_from(self, node: ast.YieldFrom) -> syntax.Yield:
        """Translate ``yield from``."""
        return syntax.Yield(value=syntax.From(item=self.expression(node.value)))

    def named(self, node: ast.NamedExpr) -> syntax.NamedExpr:
        """Translate ``a := b``."""
        target = self.expression(node.target)
        return syntax.NamedExpr(target=target, value=self.expression(node.value))

    def _elements(self, nodes: Iterable[ast.expr]) -> list[syntax.BaseElement]:
        return [
            syntax.StarredElement(value=self.expression(node.value))
            if isinstance(node, ast.Starred)
            else syntax.Element(value=self.expression(node))
            for node in nodes
        ]

    def list_(self, node: ast.List) -> syntax.List:
        """Translate ``[a, *b]``."""
        return syntax.List(elements=self._elements(node.elts))

    def tuple_(self, node: ast.Tuple) -> syntax.Tuple:
        """Translate ``a, *b``."""
        return syntax.Tuple(elements=self._elements(node.elts))

    def set_(self, node: ast.Set) -> syntax.Set:
        """Translate ``{a, *b}``."""
        return syntax.Set(elements=self._elements(node.elts))

    def dict_(self, node: ast.Dict) -> syntax.Dict:
        """Translate ``{a: b, **c}``."""
        elements: list[syntax.DictElement | syntax.StarredDictElement] = []
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                elements.append(syntax.StarredDictElement(value=self.expression(value)))
            else:
                elements.append(
                    syntax.DictElement(key=self.expression(key), value=self.expression(value))
                )
        return syntax.Dict(elements=elements)

    def subscript(self, node: ast.Subscript) -> syntax.Subscript:
        """Translate ``a[b]``, ``a[b, c]`` and ``a[b:c]``."""
        value = self.expression(node.value)
        part = node.slice
        parts = part.elts if isinstance(part, ast.Tuple) and part.elts else [part]
        return syntax.Subscript(
            value=value,
            slice=[syntax.SubscriptElement(slice=self._slice(item)) for item in parts],
        )

    def _slice(self, node: ast.expr) -> syntax.Index | syntax.Slice:
        if isinstance(node, ast.Slice):
            return syntax.Slice(
                lower=self._optional(node.lower),
                upper=self._optional(node.upper),
                step=self._optional(node.step),
            )
        if isinstance(node, ast.Starred):
            return syntax.Index(value=self.expression(node.value), star="*")
        return syntax.Index(value=self.expression(node))

    def formatted(self, node: ast.JoinedStr) -> syntax.FormattedString:
        """Translate an f-string, or several strings in a row one of which is."""
        return syntax.FormattedString(parts=self._parts(node))

    def _parts(
        self, node: ast.JoinedStr
    ) -> list[syntax.FormattedStringText | syntax.FormattedStringExpression]:
        found: list[syntax.FormattedStringText | syntax.FormattedStringExpression] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                given = part.format_spec
                found.append(
                    syntax.FormattedStringExpression(
                        expression=self.expression(part.value),
                        format_spec=self._parts(given)
                        if isinstance(given, ast.JoinedStr)
                        else None,
                    )
                )
            elif isinstance(part, ast.Constant):
                found.append(syntax.FormattedStringText(str(part.value)))
            else:
                raise UntranslatableError(type(part).__name__)
        return found

    def _comprehension(self, nodes: Sequence[ast.comprehension]) -> syntax.CompFor:
        node, *rest = nodes
        return syntax.CompFor(
            target=self.expression(node.target),
            iter=self.expression(node.iter),
            ifs=[syntax.CompIf(test=self.expression(test)) for test in node.ifs],
            inner_for_in=self._comprehension(rest) if rest else None,
            asynchronous=bool(node.is_async),
        )

    def generator(self, node: ast.GeneratorExp) -> syntax.GeneratorExp:
        """Translate ``(a for a in b)``."""
        return syntax.GeneratorExp(
            elt=self.expression(node.elt), for_in=self._comprehension(node.generators)
        )

    def list_comprehension(self, node: ast.ListComp) -> syntax.ListComp:
        """Translate ``[a for a in b]``."""
        return syntax.ListComp(
            elt=self.expression(node.elt), for_in=self._comprehension(node.generators)
        )

    def set_comprehension(self, node: ast.SetComp) -> syntax.SetComp:
        """Translate ``{a for a in b}``."""
        return syntax.SetComp(
            elt=self.expression(node.elt), for_in=self._comprehension(node.generators)
        )

    def dict_comprehension(self, node: ast.DictComp) -> syntax.DictComp:
        """Translate ``{a: b for a in c}``."""
        if node.value is None:
            raise UntranslatableError("a mapping that is unpacked in a comprehension")
        return syntax.DictComp(
            key=self.expression(node.key),
            value=self.expression(node.value),
            for_in=self._comprehension(node.generators),
        )


def _optional_name(name: str | None) -> syntax.Name | None:
    return None if name is None else syntax.Name(name)


def _place(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _dotted(path: str) -> syntax.Name | syntax.Attribute:
    first, *others = path.split(".")
    found: syntax.Name | syntax.Attribute = syntax.Name(first)
    for other in others:
        found = syntax.Attribute(value=found, attr=syntax.Name(other))
    return found


def _aliases(nodes: Iterable[ast.alias]) -> list[syntax.ImportAlias]:
    return [
        syntax.ImportAlias(
            name=_dotted(node.name),
            asname=syntax.AsName(name=syntax.Name(node.asname)) if node.asname else None,
        )
        for node in nodes
    ]


class _Table(dict[type[ast.AST], "Callable[[_Translator, Any], syntax.Node]"]):
    """Which method takes which of CPython's nodes."""

    def __missing__(self, kind: type[ast.AST]) -> Callable[[_Translator, Any], syntax.Node]:
        raise UntranslatableError(kind.__name__)


_STATEMENTS: Final = _Table(
    {
        ast.FunctionDef: _Translator.function,
        ast.AsyncFunctionDef: _Translator.function,
        ast.ClassDef: _Translator.class_,
        ast.If: _Translator.if_,
        ast.For: _Translator.for_,
        ast.AsyncFor: _Translator.for_,
        ast.While: _Translator.while_,
        ast.With: _Translator.with_,
        ast.AsyncWith: _Translator.with_,
        ast.Try: _Translator.try_,
        ast.Expr: _Translator.expression_statement,
        ast.Assign: _Translator.assign,
        ast.AugAssign: _Translator.augmented,
        ast.AnnAssign: _Translator.annotated,
        ast.Return: _Translator.return_,
        ast.Raise: _Translator.raise_,
        ast.Assert: _Translator.assert_,
        ast.Delete: _Translator.delete,
        ast.Global: _Translator.global_,
        ast.Nonlocal: _Translator.nonlocal_,
        ast.Import: _Translator.import_,
        ast.ImportFrom: _Translator.import_from,
        ast.Pass: _Translator.pass_,
        ast.Break: _Translator.break_,
        ast.Continue: _Translator.continue_,
        ast.Match: _Translator.match,
    }
)
if _TRY_STAR is not None:
    _STATEMENTS[_TRY_STAR] = _Translator.try_star
if _TYPE_ALIAS is not None:
    _STATEMENTS[_TYPE_ALIAS] = _Translator.type_alias
_EXPRESSIONS: Final = _Table(
    {
        ast.Name: _Translator.name,
        ast.Attribute: _Translator.attribute,
        ast.Call: _Translator.call,
        ast.Constant: _Translator.constant,
        ast.BinOp: _Translator.binary,
        ast.BoolOp: _Translator.boolean,
        ast.UnaryOp: _Translator.unary,
        ast.Compare: _Translator.compare,
        ast.IfExp: _Translator.conditional,
        ast.Lambda: _Translator.lambda_,
        ast.Await: _Translator.await_,
        ast.Yield: _Translator.yield_,
        ast.YieldFrom: _Translator.yield_from,
        ast.NamedExpr: _Translator.named,
        ast.List: _Translator.list_,
        ast.Tuple: _Translator.tuple_,
        ast.Set: _Translator.set_,
        ast.Dict: _Translator.dict_,
        ast.Subscript: _Translator.subscript,
        ast.JoinedStr: _Translator.formatted,
        ast.GeneratorExp: _Translator.generator,
        ast.ListComp: _Translator.list_comprehension,
        ast.SetComp: _Translator.set_comprehension,
        ast.DictComp: _Translator.dict_comprehension,
    }
)
