"""Nodes as Python code, for rules that look for words in it: one form, whatever the source's.

Brackets that only group, comments and blank lines are not in the nodes, so they are not here:
``(a or b).c`` reads ``a or b.c``. It is to be searched, not to be run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flake8_task_refs.analysis import syntax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_INDENT: Final = "    "


def code_of(node: syntax.Node) -> str:
    """Return ``node`` as code; what has lines of its own ends with a newline.

    Raises ``RecursionError`` for what is nested too deeply.

    What ``from_python`` does not make, such as a template string, raises ``KeyError``.
    """
    write = _WRITERS.get(type(node))
    return write(node) if write is not None else "".join(f"{line}\n" for line in _lines(node))


def _joined(nodes: Iterable[syntax.Node], separator: str = ", ") -> str:
    return separator.join([code_of(node) for node in nodes])


def _optional(before: str, node: syntax.Node | None) -> str:
    return "" if node is None else before + code_of(node)


# -- expressions ----------------------------------------------------------------------------


def _value(node: Any) -> str:
    text: str = node.value
    return text


def _subscript(node: syntax.Subscript) -> str:
    return f"{code_of(node.value)}[{_joined(element.slice for element in node.slice)}]"


def _slice(node: syntax.Slice) -> str:
    lower, upper = _optional("", node.lower), _optional("", node.upper)
    return f"{lower}:{upper}{_optional(':', node.step)}"


def _parameter(node: syntax.Param) -> str:
    note = _optional(": ", None if node.annotation is None else node.annotation.annotation)
    return f"{node.star}{node.name.value}{note}{_optional(' = ', node.default)}"


def _parameters(node: syntax.Parameters) -> str:
    found = [_parameter(item) for item in node.posonly_params]
    found += ["/"] if found else []
    found += [_parameter(item) for item in node.params]
    if node.star_arg is not None:
        found.append(_parameter(node.star_arg))
    elif node.kwonly_params:
        found.append("*")
    found += [_parameter(item) for item in node.kwonly_params]
    if node.star_kwarg is not None:
        found.append(_parameter(node.star_kwarg))
    return ", ".join(found)


def _lambda(node: syntax.Lambda) -> str:
    parameters = _parameters(node.params)
    return f"lambda{' ' if parameters else ''}{parameters}: {code_of(node.body)}"


def _argument(node: syntax.Arg) -> str:
    keyword = f"{node.keyword.value} = " if node.keyword is not None else ""
    return f"{node.star}{keyword}{code_of(node.value)}"


def _tuple(node: syntax.Tuple) -> str:
    return f"({_joined(node.elements)}{',' if len(node.elements) == 1 else ''})"


def _loops(node: syntax.CompFor) -> str:
    head = f" {'async ' if node.asynchronous else ''}for "
    conditions = "".join([f" if {code_of(item.test)}" for item in node.ifs])
    rest = _loops(node.inner_for_in) if node.inner_for_in is not None else ""
    return f"{head}{code_of(node.target)} in {code_of(node.iter)}{conditions}{rest}"


def _formatted(node: syntax.FormattedString) -> str:
    return f'f"{_joined(node.parts, "")}"'


def _field(node: syntax.FormattedStringExpression) -> str:
    spec = "" if node.format_spec is None else f":{_joined(node.format_spec, '')}"
    return f"{{{code_of(node.expression)}{spec}}}"


def _comprehension(node: syntax.GeneratorExp | syntax.ListComp | syntax.SetComp) -> str:
    return code_of(node.elt) + _loops(node.for_in)


# -- small statements -----------------------------------------------------------------------


def _assign(node: syntax.Assign) -> str:
    return "".join([f"{code_of(item.target)} = " for item in node.targets]) + code_of(node.value)


def _annotated(node: syntax.AnnAssign) -> str:
    note = code_of(node.annotation.annotation)
    return f"{code_of(node.target)}: {note}{_optional(' = ', node.value)}"


def _import_from(node: syntax.ImportFrom) -> str:
    names = "*" if isinstance(node.names, syntax.ImportStar) else _joined(node.names)
    return f"from {'.' * node.level}{_optional('', node.module)} import {names}"


def _alias(node: syntax.ImportAlias) -> str:
    return code_of(node.name) + _as(node.asname)


def _as(node: syntax.AsName | None) -> str:
    return "" if node is None else f" as {code_of(node.name)}"


def _type_alias(node: syntax.TypeAlias) -> str:
    return f"type {node.name.value}{_type_parameters(node.type_parameters)} = {code_of(node.value)}"


def _type_parameters(node: syntax.TypeParameters | None) -> str:
    return "" if node is None else f"[{', '.join([_type_parameter(item) for item in node.params])}]"


def _type_parameter(node: syntax.TypeParam) -> str:
    param = node.param
    stars = {syntax.TypeVarTuple: "*", syntax.ParamSpec: "**"}.get(type(param), "")
    bound = _optional(": ", param.bound if isinstance(param, syntax.TypeVar) else None)
    return f"{stars}{param.name.value}{bound}{_optional(' = ', node.default)}"


# -- patterns -------------------------------------------------------------------------------


def _mapping(node: syntax.MatchMapping) -> str:
    pairs = [f"{code_of(item.key)}: {code_of(item.pattern)}" for item in node.elements]
    return f"{{{', '.join([*pairs, *([] if node.rest is None else [f'**{node.rest.value}'])])}}}"


def _class_pattern(node: syntax.MatchClass) -> str:
    named = [f"{item.key.value} = {code_of(item.pattern)}" for item in node.kwds]
    return f"{code_of(node.cls)}({', '.join([code_of(item) for item in node.patterns] + named)})"


def _as_pattern(node: syntax.MatchAs) -> str:
    name = node.name.value if node.name is not None else "_"
    return name if node.pattern is None else f"{code_of(node.pattern)} as {name}"


_WRITERS: Final[dict[type[syntax.Node], Callable[[Any], str]]] = {
    syntax.Name: _value,
    syntax.Attribute: lambda node: f"{code_of(node.value)}.{node.attr.value}",
    syntax.Ellipsis: lambda _: "...",
    syntax.Integer: _value,
    syntax.Float: _value,
    syntax.Imaginary: _value,
    syntax.SimpleString: _value,
    syntax.FormattedString: _formatted,
    syntax.FormattedStringText: _value,
    syntax.FormattedStringExpression: _field,
    syntax.UnaryOperation: lambda node: (
        f"{node.operator}{' ' * (node.operator == 'not')}{code_of(node.expression)}"
    ),
    syntax.BinaryOperation: lambda node: (
        f"{code_of(node.left)} {node.operator} {code_of(node.right)}"
    ),
    syntax.BooleanOperation: lambda node: (
        f"{code_of(node.left)} {node.operator} {code_of(node.right)}"
    ),
    syntax.Comparison: lambda node: code_of(node.left) + _joined(node.comparisons, ""),
    syntax.ComparisonTarget: lambda node: f" {node.operator} {code_of(node.comparator)}",
    syntax.Subscript: _subscript,
    syntax.Index: lambda node: node.star + code_of(node.value),
    syntax.Slice: _slice,
    syntax.Lambda: _lambda,
    syntax.Param: _parameter,
    syntax.Parameters: _parameters,
    syntax.Call: lambda node: f"{code_of(node.func)}({_joined(node.args)})",
    syntax.Arg: _argument,
    syntax.Await: lambda node: f"await {code_of(node.expression)}",
    syntax.IfExp: lambda node: (
        f"{code_of(node.body)} if {code_of(node.test)} else {code_of(node.orelse)}"
    ),
    syntax.Yield: lambda node: "yield" + _optional(" ", node.value),
    syntax.From: lambda node: f"from {code_of(node.item)}",
    syntax.NamedExpr: lambda node: f"{code_of(node.target)} := {code_of(node.value)}",
    syntax.Tuple: _tuple,
    syntax.List: lambda node: f"[{_joined(node.elements)}]",
    syntax.Set: lambda node: f"{{{_joined(node.elements)}}}",
    syntax.Element: lambda node: code_of(node.value),
    syntax.StarredElement: lambda node: f"*{code_of(node.value)}",
    syntax.Dict: lambda node: f"{{{_joined(node.elements)}}}",
    syntax.DictElement: lambda node: f"{code_of(node.key)}: {code_of(node.value)}",
    syntax.StarredDictElement: lambda node: f"**{code_of(node.value)}",
    syntax.GeneratorExp: lambda node: f"({_comprehension(node)})",
    syntax.ListComp: lambda node: f"[{_comprehension(node)}]",
    syntax.SetComp: lambda node: f"{{{_comprehension(node)}}}",
    syntax.DictComp: lambda node: (
        f"{{{code_of(node.key)}: {code_of(node.value)}{_loops(node.for_in)}}}"
    ),
    syntax.Annotation: lambda node: code_of(node.annotation),
    syntax.MatchValue: lambda node: code_of(node.value),
    syntax.MatchSingleton: lambda node: code_of(node.value),
    syntax.MatchSequence: lambda node: f"[{_joined(node.patterns)}]",
    syntax.MatchSequenceElement: lambda node: code_of(node.value),
    syntax.MatchStar: lambda node: f"*{node.name.value if node.name is not None else '_'}",
    syntax.MatchMapping: _mapping,
    syntax.MatchClass: _class_pattern,
    syntax.MatchAs: _as_pattern,
    syntax.MatchOr: lambda node: _joined([item.pattern for item in node.patterns], " | "),
    syntax.Expr: lambda node: code_of(node.value),
    syntax.Assign: _assign,
    syntax.AnnAssign: _annotated,
    syntax.AugAssign: lambda node: f"{code_of(node.target)} {node.operator} {code_of(node.value)}",
    syntax.Return: lambda node: "return" + _optional(" ", node.value),
    syntax.Raise: lambda node: "raise" + _optional(" ", node.exc) + _optional(" ", node.cause),
    syntax.Assert: lambda node: f"assert {code_of(node.test)}{_optional(', ', node.msg)}",
    syntax.Del: lambda node: f"del {code_of(node.target)}",
    syntax.Global: lambda node: f"global {', '.join(item.name.value for item in node.names)}",
    syntax.Nonlocal: lambda node: f"nonlocal {', '.join(item.name.value for item in node.names)}",
    syntax.Import: lambda node: f"import {_joined(node.names)}",
    syntax.ImportFrom: _import_from,
    syntax.ImportAlias: _alias,
    syntax.TypeAlias: _type_alias,
    syntax.Pass: lambda _: "pass",
    syntax.Break: lambda _: "break",
    syntax.Continue: lambda _: "continue",
}

# -- lines ----------------------------------------------------------------------------------


def _lines(node: syntax.Node) -> list[str]:
    """Return the lines of a compound statement, of a part of one, or of a line of statements."""
    return _COMPOUND[type(node)](node)


def _block(body: syntax.BaseSuite, header: str) -> list[str]:
    if isinstance(body, syntax.SimpleStatementSuite):
        return [f"{header}: {_joined(body.body, '; ')}"]
    inner = [line for statement in body.body for line in _lines(statement)]
    return [f"{header}:", *[f"{_INDENT}{line}" for line in inner]]


def _parts(*nodes: syntax.Node | None) -> list[str]:
    return [line for node in nodes if node is not None for line in _lines(node)]


def _function(node: syntax.FunctionDef) -> list[str]:
    returns = _optional(" -> ", node.returns)
    name = node.name.value + _type_parameters(node.type_parameters)
    head = f"{_async(node)}def {name}({_parameters(node.params)}){returns}"
    return [*_decorators(node), *_block(node.body, head)]


def _class(node: syntax.ClassDef) -> list[str]:
    arguments = _joined([*node.bases, *node.keywords])
    name = node.name.value + _type_parameters(node.type_parameters)
    head = f"class {name}{f'({arguments})' if arguments else ''}"
    return [*_decorators(node), *_block(node.body, head)]


def _decorators(node: syntax.FunctionDef | syntax.ClassDef) -> list[str]:
    return [f"@{code_of(item.decorator)}" for item in node.decorators]


def _async(node: syntax.FunctionDef | syntax.For | syntax.With) -> str:
    return "async " if node.asynchronous else ""


def _if(node: syntax.If, word: str = "if") -> list[str]:
    lines = _block(node.body, f"{word} {code_of(node.test)}")
    rest = node.orelse
    return lines + (_if(rest, "elif") if isinstance(rest, syntax.If) else _parts(rest))


def _for(node: syntax.For) -> list[str]:
    head = f"{_async(node)}for {code_of(node.target)} in {code_of(node.iter)}"
    return [*_block(node.body, head), *_parts(node.orelse)]


def _while(node: syntax.While) -> list[str]:
    return [*_block(node.body, f"while {code_of(node.test)}"), *_parts(node.orelse)]


def _with(node: syntax.With) -> list[str]:
    items = ", ".join([code_of(item.item) + _as(item.asname) for item in node.items])
    return _block(node.body, f"{_async(node)}with {items}")


def _try(node: syntax.Try | syntax.TryStar) -> list[str]:
    return [*_block(node.body, "try"), *_parts(*node.handlers, node.orelse, node.finalbody)]


def _handler(node: syntax.ExceptHandler) -> list[str]:
    return _block(node.body, f"except{_optional(' ', node.type)}{_as(node.name)}")


def _star_handler(node: syntax.ExceptStarHandler) -> list[str]:
    return _block(node.body, f"except* {code_of(node.type)}{_as(node.name)}")


def _match(node: syntax.Match) -> list[str]:
    return [
        f"match {code_of(node.subject)}:",
        *[f"{_INDENT}{line}" for case in node.cases for line in _lines(case)],
    ]


def _case(node: syntax.MatchCase) -> list[str]:
    return _block(node.body, f"case {code_of(node.pattern)}{_optional(' if ', node.guard)}")


_COMPOUND: Final[dict[type[syntax.Node], Callable[[Any], list[str]]]] = {
    syntax.Module: lambda node: _parts(*node.body),
    syntax.IndentedBlock: lambda node: _parts(*node.body),
    syntax.SimpleStatementLine: lambda node: [_joined(node.body, "; ")],
    syntax.SimpleStatementSuite: lambda node: [_joined(node.body, "; ")],
    syntax.FunctionDef: _function,
    syntax.ClassDef: _class,
    syntax.If: _if,
    syntax.Else: lambda node: _block(node.body, "else"),
    syntax.For: _for,
    syntax.While: _while,
    syntax.With: _with,
    syntax.Try: _try,
    syntax.ExceptHandler: _handler,
    syntax.TryStar: _try,
    syntax.ExceptStarHandler: _star_handler,
    syntax.Match: _match,
    syntax.MatchCase: _case,
    syntax.Finally: lambda node: _block(node.body, "finally"),
}
