"""libcst's nodes of a text that CPython's parser has read: what it says, not how it is laid out.

libcst takes ten times as long over a text as CPython does, most of it for blanks, which no rule
looks at. So the trees that only rules see are made here. Blanks, brackets and comments are
libcst's defaults in them: whoever edits a text, or wants its very words, needs libcst's parser.
"""

from __future__ import annotations

import ast
import unicodedata
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Final, TypeVar

import libcst as cst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class UntranslatableError(ValueError):
    """A text holds what is too rare to be translated; libcst's parser knows it."""


_Node = TypeVar("_Node", bound=cst.CSTNode)
_MAKERS: Final[dict[type[cst.CSTNode], Callable[..., Any]]] = {}


def _new(cls: type[_Node]) -> Callable[..., _Node]:
    """Return what makes nodes of ``cls`` as its constructor does, in a third of the time.

    All share one layout, and nothing is validated: libcst makes the layout anew for each node, and
    asks whether the parts go together, which CPython's parser knows already.
    """
    maker = _MAKERS.get(cls)
    if maker is None:
        # A function of its own for each class, as `dataclasses` writes its constructors.
        names: dict[str, Any] = {"new": object.__new__, "cls": cls}
        parameters: list[str] = []
        lines: list[str] = []
        for item in fields(cls):
            default = item.default if item.default_factory is MISSING else item.default_factory()
            names[f"default_{item.name}"] = default
            names[f"put_{item.name}"] = getattr(cls, item.name).__set__
            is_required = default is MISSING
            parameters.append(item.name if is_required else f"{item.name}=default_{item.name}")
            lines.append(f"    put_{item.name}(node, {item.name})")
        head = f"def make({', '.join(parameters)}):\n    node = new(cls)"
        exec("\n".join([head, *lines, "    return node"]), names)  # noqa: S102
        maker = _MAKERS[cls] = names["make"]
    return maker


# What a text holds most of.
_name: Final = _new(cst.Name)
_attribute: Final = _new(cst.Attribute)
_call: Final = _new(cst.Call)
_arg: Final = _new(cst.Arg)

_NO_PARAM: Final = cst.MaybeSentinel.DEFAULT
# Layout, of which no tree takes notice: one is enough for all.
_ASYNCHRONOUS: Final = cst.Asynchronous()
_DOT: Final = cst.Dot()
_PARAM_STAR: Final = cst.ParamStar()

_BINARY: Final[dict[type[ast.operator], cst.BaseBinaryOp]] = {
    ast.Add: cst.Add(), ast.Sub: cst.Subtract(), ast.Mult: cst.Multiply(), ast.Div: cst.Divide(),
    ast.FloorDiv: cst.FloorDivide(), ast.Mod: cst.Modulo(), ast.Pow: cst.Power(),
    ast.MatMult: cst.MatrixMultiply(), ast.LShift: cst.LeftShift(), ast.RShift: cst.RightShift(),
    ast.BitAnd: cst.BitAnd(), ast.BitOr: cst.BitOr(), ast.BitXor: cst.BitXor(),
}  # fmt: skip
_AUGMENTED: Final[dict[type[ast.operator], cst.BaseAugOp]] = {
    ast.Add: cst.AddAssign(), ast.Sub: cst.SubtractAssign(), ast.Mult: cst.MultiplyAssign(),
    ast.Div: cst.DivideAssign(), ast.FloorDiv: cst.FloorDivideAssign(), ast.Mod: cst.ModuloAssign(),
    ast.Pow: cst.PowerAssign(), ast.MatMult: cst.MatrixMultiplyAssign(),
    ast.LShift: cst.LeftShiftAssign(), ast.RShift: cst.RightShiftAssign(),
    ast.BitAnd: cst.BitAndAssign(), ast.BitOr: cst.BitOrAssign(), ast.BitXor: cst.BitXorAssign(),
}  # fmt: skip
_UNARY: Final[dict[type[ast.unaryop], cst.BaseUnaryOp]] = {
    ast.Not: cst.Not(), ast.USub: cst.Minus(), ast.UAdd: cst.Plus(), ast.Invert: cst.BitInvert(),
}  # fmt: skip
_BOOLEAN: Final[dict[type[ast.boolop], cst.BaseBooleanOp]] = {
    ast.And: cst.And(),
    ast.Or: cst.Or(),
}
_COMPARED: Final[dict[type[ast.cmpop], cst.BaseCompOp]] = {
    ast.Eq: cst.Equal(), ast.NotEq: cst.NotEqual(), ast.Is: cst.Is(), ast.IsNot: cst.IsNot(),
    ast.Lt: cst.LessThan(), ast.LtE: cst.LessThanEqual(), ast.In: cst.In(),
    ast.Gt: cst.GreaterThan(), ast.GtE: cst.GreaterThanEqual(), ast.NotIn: cst.NotIn(),
}  # fmt: skip
_COMPOUND: Final = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.AsyncFor, ast.While,
    ast.With, ast.AsyncWith, ast.Try,
)  # fmt: skip


def light_module(tree: ast.Module, text: str) -> tuple[cst.Module, dict[cst.CSTNode, ast.Call]]:
    """Return the libcst nodes of ``tree``, CPython's tree of ``text``, and what each call was.

    Raises ``UntranslatableError`` for what is rarely seen (``match``, ``except*``, type parameters,
    template strings, numbers of thousands of digits, letters that Unicode replaces by others in
    names), and ``RecursionError``.
    """
    if not text.isascii() and not unicodedata.is_normalized("NFKC", text):
        # CPython tells names in their normal form only.
        raise UntranslatableError("a name, or a string, in unusual letters")
    translator = _Translator(text)
    try:
        module = cst.Module(translator.statements(tree.body))
    except cst.CSTValidationError as error:
        raise UntranslatableError(str(error)) from None
    return module, translator.calls


class _Translator:
    """Makes libcst's nodes out of CPython's. A method's name says which nodes it takes."""

    def __init__(self, text: str) -> None:
        self.calls: dict[cst.CSTNode, ast.Call] = {}
        self._lines = text.split("\n")

    # -- statements -------------------------------------------------------------------------

    def statements(self, nodes: Sequence[ast.stmt]) -> list[Any]:
        """Translate the statements of a block, those of one line together."""
        found: list[Any] = []
        line: list[Any] = []
        last = 0
        for node in nodes:
            translate = _STATEMENTS.get(type(node))
            if translate is None:
                raise UntranslatableError(type(node).__name__)
            made = translate(self, node)
            if isinstance(node, _COMPOUND):
                found.append(made)
            elif node.lineno == last:
                line.append(made)
                last = node.end_lineno or 0
            else:
                line = [made]
                found.append(_new(cst.SimpleStatementLine)(body=line))
                last = node.end_lineno or 0
        return found

    def _body(self, nodes: Sequence[ast.stmt]) -> cst.BaseSuite:
        first = nodes[0]
        before = self._lines[first.lineno - 1][: first.col_offset]
        if before and not before.isspace() and not isinstance(first, _COMPOUND):
            # They may go on behind a backslash.
            parts = [part for line in self.statements(nodes) for part in line.body]
            return _new(cst.SimpleStatementSuite)(body=parts)
        return _new(cst.IndentedBlock)(body=self.statements(nodes))

    def _else(self, nodes: Sequence[ast.stmt]) -> cst.Else | None:
        return _new(cst.Else)(body=self._body(nodes)) if nodes else None

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> cst.FunctionDef:
        """Translate a function, its decorators, and all that is in it."""
        _refuse_type_parameters(node)
        return _new(cst.FunctionDef)(
            decorators=self._decorators(node),
            asynchronous=_ASYNCHRONOUS if isinstance(node, ast.AsyncFunctionDef) else None,
            name=_name(node.name),
            params=self._parameters(node.args),
            returns=self._annotation(node.returns),
            body=self._body(node.body),
        )

    def _decorators(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ) -> list[cst.Decorator]:
        new = _new(cst.Decorator)
        return [new(decorator=self.expression(item)) for item in node.decorator_list]

    def _annotation(self, node: ast.expr | None) -> cst.Annotation | None:
        return None if node is None else _new(cst.Annotation)(annotation=self.expression(node))

    def _parameters(self, node: ast.arguments) -> cst.Parameters:
        star_arg: Any = _NO_PARAM
        if node.vararg is not None:
            star_arg = self._parameter(node.vararg, None, "*")
        elif node.kwonlyargs:
            star_arg = _PARAM_STAR
        ordered = [*node.posonlyargs, *node.args]
        defaults = [*[None] * (len(ordered) - len(node.defaults)), *node.defaults]
        params = [self._parameter(*pair, "") for pair in zip(ordered, defaults, strict=True)]
        keyword_only = zip(node.kwonlyargs, node.kw_defaults, strict=True)
        return _new(cst.Parameters)(
            posonly_params=params[: len(node.posonlyargs)],
            params=params[len(node.posonlyargs) :],
            star_arg=star_arg,
            kwonly_params=[self._parameter(*pair, "") for pair in keyword_only],
            star_kwarg=self._parameter(node.kwarg, None, "**") if node.kwarg else None,
        )

    def _parameter(self, node: ast.arg, default: ast.expr | None, star: str) -> cst.Param:
        return _new(cst.Param)(
            name=_name(node.arg),
            annotation=self._annotation(node.annotation),
            default=None if default is None else self.expression(default),
            star=star,
        )

    def class_(self, node: ast.ClassDef) -> cst.ClassDef:
        """Translate a class and all that is in it."""
        _refuse_type_parameters(node)
        return _new(cst.ClassDef)(
            decorators=self._decorators(node),
            name=_name(node.name),
            bases=[self._argument(base) for base in node.bases],
            keywords=[self._keyword(keyword) for keyword in node.keywords],
            body=self._body(node.body),
        )

    def if_(self, node: ast.If) -> cst.If:
        """Translate an ``if`` with its ``elif`` and ``else``."""
        orelse: cst.If | cst.Else | None
        rest = node.orelse
        if rest and isinstance(rest[0], ast.If) and self._is_elif(node, rest[0]):
            orelse = self.if_(rest[0])
        else:
            orelse = self._else(rest)
        test = self.expression(node.test)
        return _new(cst.If)(test=test, body=self._body(node.body), orelse=orelse)

    def _is_elif(self, outer: ast.If, inner: ast.If) -> bool:
        return inner.col_offset == outer.col_offset and self._lines[inner.lineno - 1].startswith(
            "elif", inner.col_offset
        )

    def for_(self, node: ast.For | ast.AsyncFor) -> cst.For:
        """Translate a loop, asynchronous or not."""
        return _new(cst.For)(
            target=self.expression(node.target),
            iter=self.expression(node.iter),
            body=self._body(node.body),
            orelse=self._else(node.orelse),
            asynchronous=_ASYNCHRONOUS if isinstance(node, ast.AsyncFor) else None,
        )

    def while_(self, node: ast.While) -> cst.While:
        """Translate a loop."""
        return _new(cst.While)(
            test=self.expression(node.test),
            body=self._body(node.body),
            orelse=self._else(node.orelse),
        )

    def with_(self, node: ast.With | ast.AsyncWith) -> cst.With:
        """Translate a ``with``, asynchronous or not."""
        items = []
        for item in node.items:
            given = item.optional_vars
            asname = None if given is None else _new(cst.AsName)(name=self.expression(given))
            items.append(_new(cst.WithItem)(item=self.expression(item.context_expr), asname=asname))
        return _new(cst.With)(
            items=items,
            body=self._body(node.body),
            asynchronous=_ASYNCHRONOUS if isinstance(node, ast.AsyncWith) else None,
        )

    def try_(self, node: ast.Try) -> cst.Try:
        """Translate a ``try`` with its handlers."""
        last = node.finalbody
        final = _new(cst.Finally)(body=self._body(last)) if last else None
        return _new(cst.Try)(
            body=self._body(node.body),
            handlers=[
                _new(cst.ExceptHandler)(
                    type=None if item.type is None else self.expression(item.type),
                    name=None if item.name is None else _new(cst.AsName)(name=_name(item.name)),
                    body=self._body(item.body),
                )
                for item in node.handlers
            ],
            orelse=self._else(node.orelse),
            finalbody=final,
        )

    def expression_statement(self, node: ast.Expr) -> cst.Expr:
        """Translate an expression that stands alone."""
        return _new(cst.Expr)(value=self.expression(node.value))

    def assign(self, node: ast.Assign) -> cst.Assign:
        """Translate ``a = b = 1``."""
        new = _new(cst.AssignTarget)
        targets = [new(target=self.expression(target)) for target in node.targets]
        return _new(cst.Assign)(targets=targets, value=self.expression(node.value))

    def augmented(self, node: ast.AugAssign) -> cst.AugAssign:
        """Translate ``a += 1``."""
        return _new(cst.AugAssign)(
            target=self.expression(node.target),
            operator=_AUGMENTED[type(node.op)],
            value=self.expression(node.value),
        )

    def annotated(self, node: ast.AnnAssign) -> cst.AnnAssign:
        """Translate ``a: int = 1``."""
        return _new(cst.AnnAssign)(
            target=self.expression(node.target),
            annotation=_new(cst.Annotation)(annotation=self.expression(node.annotation)),
            value=self._optional(node.value),
        )

    def _optional(self, node: ast.expr | None) -> Any:
        return None if node is None else self.expression(node)

    def return_(self, node: ast.Return) -> cst.Return:
        """Translate a return."""
        return _new(cst.Return)(value=self._optional(node.value))

    def raise_(self, node: ast.Raise) -> cst.Raise:
        """Translate a raise."""
        cause = None if node.cause is None else _new(cst.From)(item=self.expression(node.cause))
        return _new(cst.Raise)(exc=self._optional(node.exc), cause=cause)

    def assert_(self, node: ast.Assert) -> cst.Assert:
        """Translate an assertion."""
        return _new(cst.Assert)(test=self.expression(node.test), msg=self._optional(node.msg))

    def delete(self, node: ast.Delete) -> cst.Del:
        """Translate ``del a, b``."""
        if len(node.targets) == 1:
            return _new(cst.Del)(target=self.expression(node.targets[0]))
        return _new(cst.Del)(target=_new(cst.Tuple)(elements=self._elements(node.targets)))

    def global_(self, node: ast.Global) -> cst.Global:
        """Translate ``global a``."""
        return _new(cst.Global)(names=[_new(cst.NameItem)(name=_name(name)) for name in node.names])

    def nonlocal_(self, node: ast.Nonlocal) -> cst.Nonlocal:
        """Translate ``nonlocal a``."""
        return _new(cst.Nonlocal)(
            names=[_new(cst.NameItem)(name=_name(name)) for name in node.names]
        )

    def import_(self, node: ast.Import) -> cst.Import:
        """Translate ``import a.b as c``."""
        return _new(cst.Import)(names=_aliases(node.names))

    def import_from(self, node: ast.ImportFrom) -> cst.ImportFrom:
        """Translate ``from .a import b as c``."""
        is_star = node.names[0].name == "*"
        return _new(cst.ImportFrom)(
            module=_dotted(node.module) if node.module else None,
            names=cst.ImportStar() if is_star else _aliases(node.names),
            relative=[_DOT] * node.level,
        )

    def pass_(self, _: ast.Pass) -> cst.Pass:
        """Translate a pass."""
        return _new(cst.Pass)()

    def break_(self, _: ast.Break) -> cst.Break:
        """Translate a break."""
        return _new(cst.Break)()

    def continue_(self, _: ast.Continue) -> cst.Continue:
        """Translate a continue."""
        return _new(cst.Continue)()

    # -- expressions ------------------------------------------------------------------------

    def expression(self, node: ast.expr) -> Any:
        """Translate any expression."""
        translate = _EXPRESSIONS.get(type(node))
        if translate is None:
            raise UntranslatableError(type(node).__name__)
        return translate(self, node)

    def name(self, node: ast.Name) -> cst.Name:
        """Translate a variable."""
        return _name(node.id)

    def attribute(self, node: ast.Attribute) -> cst.Attribute:
        """Translate ``a.b``."""
        return _attribute(value=self.expression(node.value), attr=_name(node.attr))

    def call(self, node: ast.Call) -> cst.Call:
        """Translate a call; the arguments come in the order of the source."""
        func = self.expression(node.func)
        args = [self._argument(arg) for arg in node.args]
        if node.keywords:
            args += [self._keyword(keyword) for keyword in node.keywords]
            if node.args and _place(node.keywords[0].value) < _place(node.args[-1]):
                places = map(_place, (*node.args, *(item.value for item in node.keywords)))
                order = sorted(zip(places, range(len(args)), strict=True))
                args = [args[at] for _, at in order]
        made = _call(func=func, args=args)
        self.calls[made] = node
        return made

    def _argument(self, node: ast.expr) -> cst.Arg:
        if isinstance(node, ast.Starred):
            return _arg(value=self.expression(node.value), star="*")
        return _arg(value=self.expression(node))

    def _keyword(self, node: ast.keyword) -> cst.Arg:
        value = self.expression(node.value)
        if node.arg is None:
            return _arg(value=value, star="**")
        return _arg(value=value, keyword=_name(node.arg))

    def constant(self, node: ast.Constant) -> cst.BaseExpression:
        """Translate a literal, ``True``, ``False``, ``None`` and ``...``."""
        value = node.value
        if isinstance(value, (str, bytes)):
            return _new(cst.SimpleString)(value=repr(value))
        if value is None or isinstance(value, bool):
            return _name(str(value))
        if value is ...:
            return _new(cst.Ellipsis)()
        try:
            text = repr(value)
        except ValueError as error:
            raise UntranslatableError(str(error)) from None
        if isinstance(value, int):
            return _new(cst.Integer)(text)
        return cst.Float(text) if isinstance(value, float) else cst.Imaginary(text)

    def binary(self, node: ast.BinOp) -> cst.BinaryOperation:
        """Translate ``a + b``."""
        return _new(cst.BinaryOperation)(
            left=self.expression(node.left),
            operator=_BINARY[type(node.op)],
            right=self.expression(node.right),
        )

    def boolean(self, node: ast.BoolOp) -> Any:
        """Translate ``a and b and c``, which is two operations to libcst."""
        operator = _BOOLEAN[type(node.op)]
        found, *others = (self.expression(value) for value in node.values)
        for other in others:
            found = _new(cst.BooleanOperation)(left=found, operator=operator, right=other)
        return found

    def unary(self, node: ast.UnaryOp) -> cst.UnaryOperation:
        """Translate ``not a`` and ``-a``."""
        return _new(cst.UnaryOperation)(
            operator=_UNARY[type(node.op)], expression=self.expression(node.operand)
        )

    def compare(self, node: ast.Compare) -> cst.Comparison:
        """Translate ``a < b < c``."""
        return _new(cst.Comparison)(
            left=self.expression(node.left),
            comparisons=[
                _new(cst.ComparisonTarget)(
                    operator=_COMPARED[type(operator)], comparator=self.expression(right)
                )
                for operator, right in zip(node.ops, node.comparators, strict=True)
            ],
        )

    def conditional(self, node: ast.IfExp) -> cst.IfExp:
        """Translate ``a if b else c``."""
        return _new(cst.IfExp)(
            body=self.expression(node.body),
            test=self.expression(node.test),
            orelse=self.expression(node.orelse),
        )

    def lambda_(self, node: ast.Lambda) -> cst.Lambda:
        """Translate a lambda."""
        return _new(cst.Lambda)(params=self._parameters(node.args), body=self.expression(node.body))

    def await_(self, node: ast.Await) -> cst.Await:
        """Translate an await."""
        return _new(cst.Await)(expression=self.expression(node.value))

    def yield_(self, node: ast.Yield) -> cst.Yield:
        """Translate a yield."""
        return _new(cst.Yield)(value=self._optional(node.value))

    def yield_from(self, node: ast.YieldFrom) -> cst.Yield:
        """Translate ``yield from``."""
        return _new(cst.Yield)(value=_new(cst.From)(item=self.expression(node.value)))

    def named(self, node: ast.NamedExpr) -> cst.NamedExpr:
        """Translate ``a := b``."""
        target = self.expression(node.target)
        return _new(cst.NamedExpr)(target=target, value=self.expression(node.value))

    def _elements(self, nodes: Iterable[ast.expr]) -> list[cst.BaseElement]:
        return [
            _new(cst.StarredElement)(value=self.expression(node.value))
            if isinstance(node, ast.Starred)
            else _new(cst.Element)(value=self.expression(node))
            for node in nodes
        ]

    def list_(self, node: ast.List) -> cst.List:
        """Translate ``[a, *b]``."""
        return _new(cst.List)(elements=self._elements(node.elts))

    def tuple_(self, node: ast.Tuple) -> cst.Tuple:
        """Translate ``a, *b``."""
        return _new(cst.Tuple)(elements=self._elements(node.elts))

    def set_(self, node: ast.Set) -> cst.Set:
        """Translate ``{a, *b}``."""
        return _new(cst.Set)(elements=self._elements(node.elts))

    def dict_(self, node: ast.Dict) -> cst.Dict:
        """Translate ``{a: b, **c}``."""
        elements: list[cst.BaseDictElement] = []
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                elements.append(_new(cst.StarredDictElement)(value=self.expression(value)))
            else:
                elements.append(
                    _new(cst.DictElement)(key=self.expression(key), value=self.expression(value))
                )
        return _new(cst.Dict)(elements=elements)

    def subscript(self, node: ast.Subscript) -> cst.Subscript:
        """Translate ``a[b]``, ``a[b, c]`` and ``a[b:c]``."""
        value = self.expression(node.value)
        part = node.slice
        parts = part.elts if isinstance(part, ast.Tuple) and part.elts else [part]
        return _new(cst.Subscript)(
            value=value,
            slice=[_new(cst.SubscriptElement)(slice=self._slice(item)) for item in parts],
        )

    def _slice(self, node: ast.expr) -> cst.BaseSlice:
        if isinstance(node, ast.Slice):
            return _new(cst.Slice)(
                lower=self._optional(node.lower),
                upper=self._optional(node.upper),
                step=self._optional(node.step),
            )
        if isinstance(node, ast.Starred):
            return _new(cst.Index)(value=self.expression(node.value), star="*")
        return _new(cst.Index)(value=self.expression(node))

    def formatted(self, node: ast.JoinedStr) -> cst.FormattedString:
        """Translate an f-string, or several strings in a row one of which is."""
        return _new(cst.FormattedString)(parts=self._parts(node))

    def _parts(self, node: ast.JoinedStr) -> list[cst.BaseFormattedStringContent]:
        found: list[cst.BaseFormattedStringContent] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                given = part.format_spec
                found.append(
                    _new(cst.FormattedStringExpression)(
                        expression=self.expression(part.value),
                        format_spec=self._parts(given)
                        if isinstance(given, ast.JoinedStr)
                        else None,
                    )
                )
            elif isinstance(part, ast.Constant):
                found.append(_new(cst.FormattedStringText)(str(part.value)))
            else:
                raise UntranslatableError(type(part).__name__)
        return found

    def _comprehension(self, nodes: Sequence[ast.comprehension]) -> cst.CompFor:
        node, *rest = nodes
        return _new(cst.CompFor)(
            target=self.expression(node.target),
            iter=self.expression(node.iter),
            ifs=[_new(cst.CompIf)(test=self.expression(test)) for test in node.ifs],
            inner_for_in=self._comprehension(rest) if rest else None,
            asynchronous=_ASYNCHRONOUS if node.is_async else None,
        )

    def generator(self, node: ast.GeneratorExp) -> cst.GeneratorExp:
        """Translate ``(a for a in b)``."""
        return _new(cst.GeneratorExp)(
            elt=self.expression(node.elt), for_in=self._comprehension(node.generators)
        )

    def list_comprehension(self, node: ast.ListComp) -> cst.ListComp:
        """Translate ``[a for a in b]``."""
        return _new(cst.ListComp)(
            elt=self.expression(node.elt), for_in=self._comprehension(node.generators)
        )

    def set_comprehension(self, node: ast.SetComp) -> cst.SetComp:
        """Translate ``{a for a in b}``."""
        return _new(cst.SetComp)(
            elt=self.expression(node.elt), for_in=self._comprehension(node.generators)
        )

    def dict_comprehension(self, node: ast.DictComp) -> cst.DictComp:
        """Translate ``{a: b for a in c}``."""
        if node.value is None:
            raise UntranslatableError("a mapping that is unpacked in a comprehension")
        return _new(cst.DictComp)(
            key=self.expression(node.key),
            value=self.expression(node.value),
            for_in=self._comprehension(node.generators),
        )


def _refuse_type_parameters(node: ast.stmt) -> None:
    if getattr(node, "type_params", None):
        raise UntranslatableError("type parameters")


def _place(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _dotted(path: str) -> cst.Name | cst.Attribute:
    first, *others = path.split(".")
    found: cst.Name | cst.Attribute = _name(first)
    for other in others:
        found = _attribute(value=found, attr=_name(other))
    return found


def _aliases(nodes: Iterable[ast.alias]) -> list[cst.ImportAlias]:
    return [
        _new(cst.ImportAlias)(
            name=_dotted(node.name),
            asname=_new(cst.AsName)(name=_name(node.asname)) if node.asname else None,
        )
        for node in nodes
    ]


_STATEMENTS: Final[dict[type[ast.stmt], Callable[[_Translator, Any], cst.CSTNode]]] = {
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
}
_EXPRESSIONS: Final[dict[type[ast.expr], Callable[[_Translator, Any], cst.CSTNode]]] = {
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
